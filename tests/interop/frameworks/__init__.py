"""The frameworks, and what each of them makes of a WebSocket's end by itself."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from tests.interop.serving import App


@dataclass(frozen=True)
class Framework:
    """One framework.

    Attributes:
        module: the module here that has its app.
        strips_root: whether it takes the root path off the scope's path.
        tells: whether a handler gets to know code and reason of the peer's close.
        closes_on_fault: the code with which it closes if the handler raises; None if it lets
            the server see the exception.
        refuses_on_fault: the HTTP status that it leads to if that is before the accept.
        closes_on_return: the code with which it closes if the handler returns without that;
            None if it leaves that to the server.
        late: what (any of these) its ``send`` raises in a handler that knows that the peer has
            gone.
        deaf: what it raises in a handler that does not.
        empty_bytes: whether it can receive an empty binary message.
    """

    module: str
    strips_root: bool = False
    tells: bool = True
    closes_on_fault: int | None = None
    refuses_on_fault: int = 500
    closes_on_return: int | None = None
    late: tuple[str, ...] = ("OSError",)
    deaf: tuple[str, ...] = ("OSError",)
    empty_bytes: bool = True

    def make(self) -> App:
        """Makes its app."""
        factory: Callable[[], App] = import_module(f"{__name__}.{self.module}").make
        return factory()


FRAMEWORKS = [
    Framework("bare"),
    Framework("starlette", late=("WebSocketDisconnect",), deaf=("WebSocketDisconnect",)),
    Framework("fastapi", late=("WebSocketDisconnect",), deaf=("WebSocketDisconnect",)),
    Framework(
        "litestar",
        strips_root=True,
        closes_on_fault=4500,
        refuses_on_fault=403,
        late=("WebSocketDisconnect",),
    ),
    Framework("channels"),
    # Its queue takes `event.get("bytes") or event["text"]`: b"" is no message to it.
    Framework(
        "quart",
        tells=False,
        closes_on_fault=1000,
        closes_on_return=1000,
        late=("OSError", "ClientDisconnectedError"),  # the latter since 0.23
        deaf=("CancelledError", "OSError", "ClientDisconnectedError"),
        empty_bytes=False,
    ),
]
