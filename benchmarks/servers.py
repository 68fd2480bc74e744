"""Servers: how one is had, started, pinned to its core and ended."""

import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "benchmarks"
NODE_MODULES = BUILD / "node_modules"
RESULTS = HERE / "results"
CORES = tuple(sorted(os.sched_getaffinity(0)))
SERVER_CORE, LOAD_CORE = CORES[-1], CORES[0]
START_TIMEOUT = 20.0
STOP_TIMEOUT = 20.0
LOG_TAIL = 1000


class NotMeasuredError(Exception):
    """Something that a figure needs is not to be had here; the table says what."""


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        pid: the process that was started.
        port: where it listens.
    """

    pid: int
    port: int

    def pids(self) -> list[int]:
        """Give all its processes: some serve in processes that they start."""
        found = [self.pid]
        for pid in found:  # it grows meanwhile
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        return found


@dataclass(frozen=True)
class Peer:
    """A server that can be started.

    Attributes:
        name: what the table calls it.
        command: from a free port to the command line that serves there.
        cores: where it runs, if not on the one that servers have.
        request: to see whether it is up, where who listens is not who serves.
    """

    name: str
    command: Callable[[int], list[str]]
    cores: tuple[int, ...] | None = None
    request: bytes = b""

    def prefixed(self, words: tuple[str, ...]) -> "Peer":
        """Give the same, with words before its command."""
        return replace(self, command=lambda port: [*words, *self.command(port)])

    @contextmanager
    def run(self) -> Iterator[Server]:
        """Start it on a free port and its own core; end it, by process id, on the way out."""
        port = free_port()
        command = self.command(port)
        cores = self.cores or (SERVER_CORE,)
        with TemporaryFile() as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
            try:
                wait_until_it_answers(process, port, self.request)
                yield Server(process.pid, port)
            finally:
                stop(process)
                log.seek(0)
                if said := log.read().decode(errors="replace").strip():
                    print(f"{self.name} said: {said[-LOG_TAIL:]}", file=sys.stderr)


def raise_file_limit() -> None:
    """Allow thousands of connections: both ends inherit what this process may open."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_it_answers(process: "subprocess.Popen[bytes]", port: int, request: bytes) -> None:
    """Return once it accepts connections and answers; `NotMeasuredError` if it ended instead."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotMeasuredError(f"the server ended with status {process.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=START_TIMEOUT) as client:
                client.sendall(request)
                if request:
                    client.recv(1)
            return
        except OSError:
            time.sleep(0.02)
    raise NotMeasuredError(f"did not answer within {START_TIMEOUT:.0f} s")


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to end, then make it."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def asgi(name: str, app: str, http: str, ws: str, *options: str) -> Peer:
    """An app on uvicorn with these two protocol classes, everything else the same."""
    # -P and --app-dir: neither the current directory nor an unbuilt fastws/ in it is imported.
    command = [sys.executable, "-P", "-m", "uvicorn", app, "--app-dir", str(HERE)]
    command += ["--http", http, "--ws", ws, "--ws-per-message-deflate", "false"]
    command += ["--loop", "uvloop", "--lifespan", "off", "--log-level", "warning"]
    command += ["--no-access-log", "--timeout-graceful-shutdown", "5"]
    return Peer(name, lambda port: [*command, *options, "--port", str(port)])


OURS = ("fastws.server:HttpProtocol", "fastws.server:WebSocketProtocol")
THEIRS = ("httptools", "websockets-sansio")


def node_module(name: str, version: int) -> Path:
    """The path of an npm package, put under build/ the first time."""
    path = NODE_MODULES / name
    if not path.exists():
        if shutil.which("npm") is None:
            raise NotMeasuredError("npm is not installed")
        # npm takes a folder without this file for no project, and installs elsewhere or fails.
        BUILD.mkdir(parents=True, exist_ok=True)
        (BUILD / "package.json").write_text('{"private": true}\n')
        run_or_not_measured("npm", "install", "--prefix", str(BUILD), f"{name}@{version}")
    return path


def node_program(name: str, version: int) -> str:
    """The path of a program that npm installs."""
    node_module(name, version)
    binary = str(NODE_MODULES / ".bin" / name)
    # The first run of a fresh copy may put the real program in the place of a launcher.
    run_or_not_measured(binary, "--version")
    return binary


def compiled(source: Path) -> str:
    """The path of a program in C, compiled when something in its folder is newer."""
    binary = BUILD / source.stem
    newest = max(path.stat().st_mtime for path in source.parent.glob("*.[ch]"))
    if not binary.exists() or binary.stat().st_mtime < newest:
        compiler = os.environ.get("CC") or shutil.which("cc")
        if compiler is None:
            raise NotMeasuredError("no C compiler (cc)")
        BUILD.mkdir(parents=True, exist_ok=True)
        run_or_not_measured(*compiler.split(), "-O2", "-o", str(binary), str(source), "-lz")
    return str(binary)


def run_or_not_measured(*command: str) -> str:
    """Run a tool; what it printed, or `NotMeasuredError` with the last thing that it said."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NotMeasuredError(f"{command[0]} is not installed") from error
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines()
        reason = lines[-1] if lines else f"status {result.returncode}"
        raise NotMeasuredError(f"{Path(command[0]).name}: {reason}")
    return result.stdout
