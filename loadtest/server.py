"""A server process to be loaded; it ends, by its id, with the block that it serves."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

BUILD = Path("build/loadtest")
APP = "loadtest.app:app"
# Seconds for it to listen, and to end.
PATIENCE = 30.0


@dataclass(frozen=True)
class Server:
    """A server that listens.

    Attributes:
        pid: its process id.
        address: host and port.
        log: where its warnings are.
    """

    pid: int
    address: str
    log: Path

    def url(self, scheme: str = "ws", path: str = "") -> str:
        """Gives an address of it."""
        return f"{scheme}://{self.address}{path}"

    def cpu_seconds(self) -> float:
        """Gives the CPU time that it has taken so far, in the kernel and outside."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serve(app: str = APP, *options: str, core: int | None = None) -> Iterator[Server]:
    """Serves an app with `fastws run` on a free port.

    Args:
        app: ``module:app``.
        options: more of `fastws run`.
        core: the CPU that the process may use; None for any.

    Raises:
        RuntimeError: it did not start; with its log.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    log = BUILD / "server.log"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    # At level info there would be a line for each connection.
    argv = [sys.executable, "-m", "fastws", "run", app, "--port", str(port)]
    argv += ["--log-level", "warning", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        _wait_until_it_listens(process, port, log)
        yield Server(process.pid, f"127.0.0.1:{port}", log)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = monotonic() + PATIENCE
    while monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            sleep(0.02)
        else:
            return
    raise RuntimeError(f"the server does not listen:\n{log.read_text()}")
