"""The listening sockets, which are bound once and outlive every worker.

A connection that waits to be accepted belongs to its socket. Since a worker's successor gets the
same one, replacing a worker loses none. Each worker has a socket of its own where that can be:
a proxy then sees who has how many connections, and the kernel wakes one worker for each.
"""

import socket
import stat
import sys
from collections.abc import MutableMapping
from pathlib import Path
from types import TracebackType

import uvicorn

from fastws.server.systemd import take_sockets

# In the path of a unix socket: the number of the worker, from 1 on.
WORKER = "{worker}"


class Listeners:
    """The sockets of all workers; as a context manager it closes them in the end.

    Attributes:
        of_workers: the sockets of each.
        urls: where that is, for people to read.
    """

    def __init__(self, of_workers: list[list[socket.socket]], scheme: str, paths: list[Path]):
        self.of_workers = of_workers
        # Several workers may have one socket, or one address.
        found = (_describe(sock, scheme) for sockets in of_workers for sock in sockets)
        self.urls = list(dict.fromkeys(found))
        self._files = [(path, _identify(path)) for path in paths]

    @classmethod
    def bind(cls, config: uvicorn.Config, environ: MutableMapping[str, str]) -> "Listeners":
        """Binds the sockets that a configuration asks for, or takes those that systemd gives.

        Raises:
            OSError: it cannot listen there; a sentence says where and why.
        """
        given, paths = take_sockets(environ), []
        if given:
            of_workers = _deal(given, config.workers)
        elif config.fd is not None:
            of_workers = _deal([socket.socket(fileno=config.fd)], config.workers)
        elif config.uds is not None:
            names = [config.uds.replace(WORKER, str(i + 1)) for i in range(config.workers)]
            paths = [Path(name) for name in dict.fromkeys(names)]
            of_workers = _deal([_bind_unix(path) for path in paths], config.workers)
        else:
            of_workers = _bind_tcp(config.host, config.port, config.workers)
        return cls(of_workers, "https" if config.is_ssl else "http", paths)

    def close(self) -> None:
        """Closes them here; workers that have them go on listening."""
        for sock in {sock for sockets in self.of_workers for sock in sockets}:
            sock.close()

    def __enter__(self) -> "Listeners":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        for path, file in self._files:
            # By now it may be that of who comes next.
            if _identify(path) == file:
                path.unlink(missing_ok=True)


def _deal(sockets: list[socket.socket], workers: int) -> list[list[socket.socket]]:
    """Gives each worker one of its own, or all of them the only one; one worker has all."""
    if workers == 1:
        return [sockets]
    if len(sockets) == 1:
        return [sockets] * workers
    if len(sockets) != workers:
        raise OSError(f"there are {len(sockets)} sockets for {workers} workers")
    return [[sock] for sock in sockets]


def _bind_unix(path: Path) -> socket.socket:
    """Binds a path, also one that a process which is gone has left."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        mode = path.stat().st_mode if path.exists() else 0o666
        if stat.S_ISSOCK(mode) and _is_deserted(path):
            path.unlink()
        sock.bind(str(path))
        path.chmod(stat.S_IMODE(mode))
    except OSError as error:
        sock.close()
        raise OSError(f"cannot listen on {path}: {error.strerror or error}") from error
    return sock


def _is_deserted(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        # A full backlog is somebody, too.
        sock.setblocking(False)
        try:
            sock.connect(str(path))
        except ConnectionRefusedError:
            return True
        except BlockingIOError:
            pass
    return False


def _identify(path: Path) -> tuple[int, int] | None:
    """Gives what tells a file from those before and after it; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    # A number may be given again, but not at the same time.
    return found.st_ino, found.st_mtime_ns


def _bind_tcp(host: str, port: int, workers: int) -> list[list[socket.socket]]:
    """Binds all addresses of a host, for each worker; elsewhere than on Linux for all workers.

    Only there does the kernel spread connections over sockets with the same address.
    """
    bound: list[socket.socket] = []
    spread = workers > 1 and sys.platform == "linux"
    try:
        sockets = _bind_addresses(host, port, bound, reuse_port=False)
        if not spread:
            return [sockets] * workers
        # Nobody else is there, who would have let us share it; port 0 is one that is free.
        port = sockets[0].getsockname()[1]
        for sock in sockets:
            sock.close()
        of_workers = [_bind_addresses(host, port, bound, reuse_port=True) for _ in range(workers)]
    except (OSError, OverflowError) as error:
        for sock in bound:
            sock.close()
        why = getattr(error, "strerror", None) or error
        raise OSError(f"cannot listen on {host}:{port}: {why}") from error
    return of_workers


def _bind_addresses(
    host: str, port: int, bound: list[socket.socket], *, reuse_port: bool
) -> list[socket.socket]:
    sockets = []
    flags = socket.AI_PASSIVE
    # Without a name: all addresses that there are.
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=flags)
    for family, kind, protocol, _, address in dict.fromkeys(found):
        sock = socket.socket(family, kind, protocol)
        bound.append(sock)
        sockets.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Not address[1]: getaddrinfo cuts the port to 16 bits.
        sock.bind((address[0], port, *address[2:]))
        port = sock.getsockname()[1]
    return sockets


def _describe(sock: socket.socket, scheme: str) -> str:
    address = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix socket {address}"
    host = f"[{address[0]}]" if sock.family == socket.AF_INET6 else address[0]
    return f"{scheme}://{host}:{address[1]}"
