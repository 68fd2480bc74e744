"""A real nginx in front of servers on unix sockets, with the README's block or a whole site."""

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from tests.processes import PATIENCE

README = Path(__file__).resolve().parents[1] / "README.md"
# Debian's place for it is not on everybody's path.
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")

# It writes nowhere but into its directory, which is that of who runs the tests, be that root.
CONFIGURATION = """
daemon off;
user root;
worker_processes {processes};
pid {directory}/pid;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {inside}
}}
"""


def location(upstream: Path) -> str:
    """Gives the README's block, with the socket of a server in it."""
    found = re.search(r"^    location / \{.*?^    \}", README.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    block, count = re.subn("http://shop;", f"http://unix:{upstream};", found[0])
    assert count == 1
    return block


@contextmanager
def nginx(upstream: Path, directory: Path) -> Iterator[tuple[str, int]]:
    """Runs nginx and gives the address that it listens on.

    Args:
        upstream: the unix socket of the server behind it.
        directory: for its files; its log is ``nginx.log`` there.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        server = f"server {{ listen {host}:{port}; {location(upstream)} }}"
        with running(server, directory, listener):
            yield host, port


class Nginx:
    """A running nginx.

    Attributes:
        pid: the process that reads the configuration; its child has the connections.
    """

    def __init__(self, pid: int, directory: Path, processes: int, connections: int) -> None:
        self.pid = pid
        self._directory = directory
        self._processes = processes
        self._connections = connections

    def configure(self, inside: str) -> Path:
        """Writes the configuration, with what is inside of ``http``."""
        file = self._directory / "nginx.conf"
        file.write_text(
            CONFIGURATION.format(
                directory=self._directory,
                inside=inside,
                processes=self._processes,
                connections=self._connections,
            )
        )
        return file

    def reload(self, inside: str) -> None:
        """Tells it to go on with another configuration, as `nginx -s reload` does."""
        self.workers()  # before it has any, the signal would end it
        self.configure(inside)
        os.kill(self.pid, signal.SIGHUP)

    def workers(self) -> list[int]:
        """Gives the processes that have connections: after a reload also those of before.

        Waits until there are any.
        """
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        deadline = monotonic() + PATIENCE
        while len(found := children.read_text().split()) < self._processes:
            assert monotonic() < deadline, "nginx does not begin"
            sleep(0.01)
        return [int(pid) for pid in found]


@contextmanager
def running(
    inside: str,
    directory: Path,
    *listeners: socket.socket,
    processes: int = 1,
    connections: int = 512,
    within: Sequence[str] = (),
) -> Iterator[Nginx]:
    """Runs nginx with what is inside of ``http``, and what its servers listen on.

    Args:
        inside: servers, upstreams and the like.
        directory: for its files; its log is ``nginx.log`` there.
        listeners: sockets that listen already where the servers say; what else they say, nginx
            listens on soon.
        processes: so many have connections.
        connections: how many each of them may have, counting those to upstreams, too.
        within: what comes before its command line.
    """
    assert NGINX is not None, "there is no nginx"
    file = Nginx(0, directory, processes, connections).configure(inside)
    fds = [listener.fileno() for listener in listeners]
    process = subprocess.Popen(
        [*within, NGINX, "-p", directory, "-c", file, "-e", directory / "nginx.log"],
        # The way in which one nginx hands its sockets over to the next: so this one listens
        # already, and nobody has to wait for it.
        env={**os.environ, **({"NGINX": "".join(f"{fd};" for fd in fds)} if fds else {})},
        pass_fds=fds,
        stdin=subprocess.DEVNULL,
    )
    try:
        yield Nginx(process.pid, directory, processes, connections)
        assert process.poll() is None, (directory / "nginx.log").read_text()
    finally:
        process.terminate()
        process.wait()
