"""What systemd gives to a service, and what it wants to hear from it: sockets, and sd_notify."""

import logging
import os
from collections.abc import MutableMapping
from socket import AF_UNIX, SOCK_DGRAM, socket
from time import monotonic, monotonic_ns

logger = logging.getLogger("uvicorn.error")

# sd_listen_fds(3): the first one after stderr.
FIRST_FD = 3


def take_sockets(environ: MutableMapping[str, str]) -> list[socket]:
    """Gives the sockets of a ``.socket`` unit, if they are for this process.

    Args:
        environ: the environment; afterwards no child of this process takes them for its own.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()):
        return []
    sockets = [socket(fileno=fd) for fd in range(FIRST_FD, FIRST_FD + int(count))]
    for sock in sockets:
        sock.set_inheritable(False)
    return sockets


class Notifier:
    """Tells the service manager how the service is doing, if there is one that listens.

    Args:
        address: of its unix socket; in the abstract namespace if it begins with ``@``.
        watchdog: seconds without a sign of life after which it ends the service; None for ever.
    """

    def __init__(self, address: str | None = None, watchdog: float | None = None) -> None:
        self._address = address and address.replace("@", "\0", 1)
        self._watchdog = watchdog
        self._alive_at = 0.0

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> "Notifier":
        """Makes one of an environment; no child of this process speaks for it then."""
        pid, usec = environ.pop("WATCHDOG_PID", None), environ.pop("WATCHDOG_USEC", None)
        watchdog = int(usec) / 1e6 if usec and pid in (None, str(os.getpid())) else None
        return cls(environ.pop("NOTIFY_SOCKET", None), watchdog)

    def ready(self, status: str) -> None:
        """Says that the service serves."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self, status: str) -> None:
        """Says that a reload has begun, which `ready` ends."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}", f"STATUS={status}")

    def alive(self) -> None:
        """Gives a sign of life, if one is wanted and the last one is old enough; call it often."""
        if self._watchdog is not None and monotonic() >= self._alive_at + self._watchdog / 3:
            self._alive_at = monotonic()
            self._tell("WATCHDOG=1")

    def stopping(self, status: str) -> None:
        """Says that the service has begun to end."""
        self._tell("STOPPING=1", f"STATUS={status}")

    def _tell(self, *assignments: str) -> None:
        if self._address is None:
            return
        try:
            with socket(AF_UNIX, SOCK_DGRAM) as sock:
                sock.connect(self._address)
                sock.send("\n".join(assignments).encode())
        except OSError as error:
            logger.warning("the service manager was not told %s: %s", assignments[0], error)
