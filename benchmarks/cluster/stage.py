"""An engine, hosts with workers behind an nginx each, and what can be asked of them."""

import http.client
import json
import re
import resource
import shutil
import socket
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis

from benchmarks.cluster.hosts import Host
from benchmarks.servers import NotMeasuredError, raise_file_limit
from tests.nginx import Nginx, running
from tests.processes import PATIENCE, Process

SITE = Path(__file__).parents[2] / "deploy" / "nginx.conf"
APP = "benchmarks.cluster.app:app"
# Each host has an address of its own, so these are always free.
HTTP, REDIS, NATS, MONITOR = 7480, 7479, 7422, 7423


class Engine:
    """A Redis or a NATS on a host.

    Attributes:
        url: where workers find it.
    """

    def __init__(self, name: str, host: Host, ends: ExitStack) -> None:
        self.name = name
        self._host = host
        directory = ends.enter_context(tempfile.TemporaryDirectory(prefix="fastws"))
        match name:
            case "redis":
                self.url = f"redis://{host.address}:{REDIS}"
                command = [program("redis-server"), "--bind", host.address, "--port", str(REDIS)]
                command += ["--protected-mode", "no", "--save", "", "--dir", directory]
                ready = "eady to accept connections"
            case "nats":
                self.url = f"nats://{host.address}:{NATS}"
                command = [program("nats-server"), "-a", host.address, "-p", str(NATS)]
                command += ["-m", str(MONITOR), "-js", "-sd", directory]
                ready = "Server is ready"
            case _:
                raise ValueError(f"no engine is called {name!r}")
        self.process = Process(*host.within, *command)
        ends.callback(self.process.kill)
        self.process.wait_for(ready)

    def sent(self) -> int:
        """Counts messages that NATS has sent to subscribers, bytes that Redis has sent to all."""
        if self.name == "nats":
            with urllib.request.urlopen(f"http://{self._host.address}:{MONITOR}/varz") as answer:
                return int(json.load(answer)["out_msgs"])
        with Redis(self._host.address, REDIS) as client:
            found: Any = client.info("stats")
            return int(found["total_net_output_bytes"])

    @property
    def version(self) -> str:
        """What it calls itself."""
        found = re.search(r"Redis version=([\d.]+)|Version:\s+([\d.]+)", self.process.output)
        assert found is not None
        return f"{self.name} {found[1] or found[2]}"


class Stage(NamedTuple):
    """Where a proof takes place.

    Attributes:
        engine: what connects the workers, on a host of its own.
        hosts: for workers.
    """

    engine: Engine
    hosts: list[Host]


class Worker:
    """A server process with a socket of its own."""

    def __init__(self, path: Path, command: Sequence[str]) -> None:
        self.path = path
        self._command = command
        self.start()

    def start(self) -> None:
        """Starts it, also anew; `wait_until_ready` waits."""
        self.process = Process(*self._command)

    def wait_until_ready(self) -> None:
        """Waits until it has begun to listen."""
        self.process.wait_for("running on unix socket")

    def stop(self) -> None:
        """Ends its process by SIGTERM, and waits."""
        self.process.stop()

    def kill(self) -> None:
        """Ends its process at once, the last one that was started."""
        self.process.kill()

    @property
    def pid(self) -> int:
        """The process."""
        return self.process.pid

    def get(self, path: str) -> tuple[int, str]:
        """Gives the status and the body of a page."""
        connection = http.client.HTTPConnection("localhost")
        with socket.socket(socket.AF_UNIX) as connection.sock:
            connection.sock.settimeout(PATIENCE)
            connection.sock.connect(str(self.path))
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def metrics(self) -> dict[str, float]:
        """Gives its metrics by their names, with labels."""
        lines = self.get("/metrics")[1].splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


class Site:
    """The workers of a host, and the nginx in front of them.

    Attributes:
        url: where clients connect, without a path.
        workers: one for each socket.
        nginx: in front of them.
    """

    def __init__(self, host: Host, workers: list[Worker], nginx: Nginx) -> None:
        self.url = f"ws://{host.address}:{HTTP}"
        self.workers = workers
        self.nginx = nginx


@contextmanager
def serving(
    host: Host,
    url: str,
    *,
    count: int = 2,
    app: str = APP,
    options: Sequence[str] = (),
    proxies: int = 1,
    connections: int = 512,
) -> Iterator[Site]:
    """Serves an app on a host, by workers that are started and ended one by one.

    Args:
        host: where.
        url: that of the broker.
        count: of workers.
        app: what they run.
        options: more of `fastws run`.
        proxies: `worker_processes` of nginx.
        connections: `worker_connections` of each of them.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastws")))
        paths = [directory / f"{i}.sock" for i in range(1, count + 1)]
        workers = []
        for path in paths:
            workers.append(Worker(path, _command(host, app, url, "--uds", str(path), *options)))
            stack.callback(workers[-1].kill)
        for worker in workers:
            worker.wait_until_ready()
        nginx = stack.enter_context(_proxying(host, paths, proxies, connections))
        yield Site(host, workers, nginx)


@contextmanager
def supervising(
    host: Host, url: str, *, app: str, options: Sequence[str], connections: int
) -> Iterator[tuple[str, Process]]:
    """Serves an app by `--workers 2`; gives where, and the parent of the workers."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastws")))
        pattern = ("--workers", "2", "--uds", str(directory / "{worker}.sock"))
        parent = Process(*_command(host, app, url, *pattern, *options))
        stack.callback(parent.kill)
        parent.wait_for("running on unix socket")
        paths = [directory / "1.sock", directory / "2.sock"]
        stack.enter_context(_proxying(host, paths, 1, connections))
        yield f"ws://{host.address}:{HTTP}", parent


def _command(host: Host, app: str, url: str, *options: str) -> list[str]:
    command = [*host.within, sys.executable, "-m", "fastws", "run", app, "--broker", url]
    return [*command, "--forwarded-allow-ips", "*", "--no-access-log", *options]


@contextmanager
def _proxying(
    host: Host, paths: Sequence[Path], processes: int, connections: int
) -> Iterator[Nginx]:
    """Runs nginx in front of sockets, in their directory."""
    with ExitStack() as stack:
        listeners = []
        if not host.within:
            listeners.append(stack.enter_context(socket.create_server((host.address, HTTP))))
        inside = site(paths, f"{host.address}:{HTTP}")
        nginx = stack.enter_context(
            running(
                inside,
                paths[0].parent,
                *listeners,
                processes=processes,
                connections=connections,
                within=host.within,
            )
        )
        nginx.workers()  # once they are there, it listens
        yield nginx


def site(sockets: Sequence[Path], listen: str) -> str:
    """Gives deploy/nginx.conf for these sockets, without TLS and without limits of an address.

    All clients have one address here.
    """
    text = SITE.read_text()
    servers = "".join(f"    server unix:{path} max_fails=0;\n" for path in sockets)
    for pattern, replacement in (
        (r"(    server unix:.*;\n)+", servers),
        (r"server \{\n    listen 80;.*?\n\}\n", ""),
        (r"listen 443 ssl;", f"listen {listen};"),
        (r"    ssl_\w+ .*\n    ssl_\w+ .*\n", ""),
        (r"access_log .*;", "access_log off;"),
        (r"    limit_conn .*\n(?:    limit_.*\n)*", ""),
    ):
        text, found = re.subn(
            pattern, replacement, text, count=1, flags=re.DOTALL if "*?" in pattern else 0
        )
        assert found, pattern
    return text


def allow_files(count: int) -> None:
    """Allows this process, and those that it starts, so many open files.

    Raises:
        NotMeasuredError: the machine does not allow it.
    """
    raise_file_limit()
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if allowed < count:
        raise NotMeasuredError(f"{count:,} open files are needed, {allowed:,} are allowed")


def program(name: str) -> str:
    """The path of a program, also of one that pip has installed."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        raise NotMeasuredError(f"{name} is not installed")
    return found
