"""fastws as the server: the suite's fuzzing client goes through the cases against it."""

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from fastws.limits import MIB
from tests.autobahn import suite
from tests.nginx import nginx

STOP_TIMEOUT = 20.0


@contextmanager
def direct(protocols: str, loop: str, log: Path) -> Iterator[str]:
    """Runs the echo server on a TCP port and gives its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()
    with running_server(listener, protocols, loop, log):
        yield f"ws://{host}:{port}"


@contextmanager
def behind_nginx(protocols: str, loop: str, log: Path) -> Iterator[str]:
    """Runs the echo server on a unix socket behind nginx and gives the URL of that."""
    with tempfile.TemporaryDirectory(prefix="fastws") as directory:
        path = Path(directory) / "sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        with (
            running_server(listener, protocols, loop, log),
            nginx(path, Path(directory)) as (host, port),
        ):
            yield f"ws://{host}:{port}"


@contextmanager
def running_server(listener: socket.socket, protocols: str, loop: str, log: Path) -> Iterator[None]:
    """Runs the echo server in a process of its own.

    The socket listens before the process starts, so nobody has to wait for the server: early
    connections queue in the kernel.
    """
    with listener, open(log, "wb") as output:
        command = [sys.executable, "-m", "tests.autobahn.echo", "--fd", str(listener.fileno())]
        server = subprocess.Popen(
            [*command, "--loop", loop, "--protocols", protocols],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Cases 9.1.6 and 9.2.6 send 16 MiB; all other limits are the defaults.
            env={**os.environ, "FASTWS_MAX_MESSAGE_SIZE": str(16 * MIB)},
        )
    try:
        yield
        if server.poll() is not None:
            raise suite.Trouble(f"the server ended by itself ({server.returncode}), see {log}")
        server.terminate()
        try:
            server.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise suite.Trouble(f"the server goes on {STOP_TIMEOUT} s after SIGTERM") from None
        if re.search(r"AddressSanitizer|: runtime error: |Traceback", log.read_text()):
            raise suite.Trouble(f"the server has something to report, see {log}")
    finally:
        server.kill()
        server.wait()


def run(
    protocols: str, loop: str, cases: list[str], jobs: int, outdir: Path, *, proxied: bool
) -> None:
    """Lets the suite test a server; its reports are then below ``outdir``.

    Raises:
        Trouble: the server crashed, or did not stop.
    """
    short, long = suite.plan(cases)
    serve = behind_nginx if proxied else direct
    with serve(protocols, loop, outdir / "server.log") as url:

        def run_part(name: str, part: list[str]) -> None:
            spec = {"servers": [{"agent": suite.AGENT, "url": url}], "cases": part}
            with suite.wstest("fuzzingclient", spec, outdir / name) as process:
                try:
                    process.wait(suite.RUN_TIMEOUT)
                except subprocess.TimeoutExpired:
                    print(f"autobahn: wstest hung: {outdir / name}", flush=True)

        if short:
            run_part("short", short)
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(run_part, (f"long-{n}" for n, _ in enumerate(long, 1)), long))
