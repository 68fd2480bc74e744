"""What all users have: an address, a connection, and how they tell locust what happened."""

from time import monotonic_ns, perf_counter
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import gevent
from locust import User
from locust.exception import RescheduleTask

from fastws.errors import HandshakeError
from loadtest.client import Client, connect
from loadtest.deliveries import WrongAnswer

# Seconds to wait for an answer.
PATIENCE = 10.0
# Seconds until a user that could not connect tries again.
RETRY = 1.0


# What makes a request a failed one; any other exception is a bug of the user.
FAILURES = (OSError, HandshakeError, WrongAnswer)


class WebSocketUser(User):
    """A user with at most one connection, of a path of the server's."""

    abstract = True
    path = "/"
    ws: Client | None = None

    def connect(self, name: str = "connect", **options: Any) -> Client:
        """Opens a connection; `options` are those of `loadtest.client.connect`."""
        start = perf_counter()
        try:
            ws = connect(self.url(), **options)
        except FAILURES as error:
            self.record(name, start, error=error)
            gevent.sleep(RETRY)
            raise RescheduleTask from error
        self.record(name, start)
        return ws

    def connected(self) -> Client:
        """Gives the user's connection, and opens one if there is none."""
        if self.ws is None:
            self.ws = self.connect()
        return self.ws

    def url(self) -> str:
        """Gives where to connect to: the user's path of the host; a host with a path is all."""
        assert self.host is not None
        if urlsplit(self.host).path in ("", "/"):
            return self.host.rstrip("/") + self.path
        return self.host

    def measured(self, name: str) -> "Measured":
        """Measures what a block does; if it fails, the connection is dropped, the task over."""
        return Measured(self, name)

    def record(self, name: str, start: float, error: Exception | None = None) -> None:
        """Tells locust of something that began at `start` of `perf_counter`, and is done."""
        self.tell(name, (perf_counter() - start) * 1e3, error)

    def record_delivery(self, name: str, sent: int, error: Exception | None = None) -> None:
        """Tells locust of a message that was sent at `sent` of `monotonic_ns`, and is here."""
        self.tell(name, (monotonic_ns() - sent) / 1e6, error)

    def tell(self, name: str, milliseconds: float | None, error: Exception | None) -> None:
        """Tells locust of something that took so long, or whose time means nothing."""
        self.environment.events.request.fire(
            request_type="WS",
            name=name,
            response_time=milliseconds,
            response_length=0,
            exception=error,
            context={},
        )

    def drop(self) -> None:
        """Forgets the connection, whatever state it is in."""
        if self.ws is not None:
            self.ws.drop()
            self.ws = None

    def on_stop(self) -> None:
        """Closes the connection; called by locust."""
        if self.ws is not None:
            self.ws.close()
            self.ws = None


class Measured:
    """What `WebSocketUser.measured` gives; a generator would take longer."""

    __slots__ = ("name", "start", "user")

    def __init__(self, user: WebSocketUser, name: str) -> None:
        self.user = user
        self.name = name

    def __enter__(self) -> None:
        self.start = perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.user.record(self.name, self.start)
        elif isinstance(error, FAILURES):
            self.user.record(self.name, self.start, error)
            self.user.drop()
            raise RescheduleTask from error
