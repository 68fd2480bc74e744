"""No framework: ``async def app(scope, receive, send)``."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

from tests.interop.programs import PROGRAMS
from tests.interop.serving import App


class Gone(Exception):
    """The peer has gone."""


class BareSocket:
    """Plain ASGI events."""

    gone = Gone

    def __init__(self, scope: Any, receive: Any, send: Any):
        self.scope, self._receive, self._send = scope, receive, send
        self.closing: tuple[int, str] | None = None
        query = parse_qs(scope["query_string"].decode())
        headers = dict(scope["headers"])
        self.seen = (
            scope["path"].rpartition("/")[2],
            query.get("q", [None])[0],
            headers.get(b"x-test", b"").decode("latin-1") or None,
        )

    async def accept(
        self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        assert await self._receive() == {"type": "websocket.connect"}
        encoded = [(name.encode(), value.encode()) for name, value in headers]
        await self._send(
            {"type": "websocket.accept", "subprotocol": subprotocol, "headers": encoded}
        )

    async def receive(self) -> str | bytes:
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            self.closing = event["code"], event.get("reason") or ""
            raise Gone
        data: str | bytes | None = event.get("text")
        return event["bytes"] if data is None else data

    async def send(self, data: str | bytes) -> None:
        key = "text" if isinstance(data, str) else "bytes"
        await self._send({"type": "websocket.send", key: data})

    async def close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def refuse(self) -> None:
        await self._receive()
        await self._send({"type": "websocket.close"})

    async def respond(self, status: int, headers: dict[str, str], body: str) -> None:
        await self._receive()
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        start = {"type": "websocket.http.response.start", "status": status, "headers": encoded}
        await self._send(start)
        for letter in body:
            part = {"type": "websocket.http.response.body", "body": letter.encode()}
            await self._send({**part, "more_body": True})
        await self._send({"type": "websocket.http.response.body", "body": b""})


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Runs the program that the path names; answers plain HTTP with an empty page."""
    if scope["type"] == "websocket":
        program = scope["path"].removeprefix(scope["root_path"]).split("/")[1]
        await PROGRAMS[program](BareSocket(scope, receive, send))
    elif scope["type"] == "http":
        headers = [(b"content-type", b"text/html"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
    else:
        await lifespan(scope, receive, send)


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Puts the greeting into the state, for the apps whose framework has no way to."""
    assert (await receive())["type"] == "lifespan.startup"
    scope["state"]["greeting"] = "hello"
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    await send({"type": "lifespan.shutdown.complete"})


def make() -> App:
    """Gives the app."""
    return app
