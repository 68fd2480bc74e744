"""Quart: the socket is a context variable, and a handler is cancelled when its peer goes."""

import asyncio
from collections.abc import Iterable
from typing import Any

from quart import Quart, websocket
from werkzeug.datastructures import Headers

from tests.interop.frameworks.bare import lifespan
from tests.interop.programs import PROGRAMS
from tests.interop.serving import App

Answer = tuple[str, int, dict[str, str]]


class QuartSocket:
    """Quart's ``websocket``."""

    gone = asyncio.CancelledError
    closing = None  # it keeps that to itself

    def __init__(self, rest: str | None):
        self.scope: Any = websocket.scope
        self.seen = rest, websocket.args.get("q"), websocket.headers.get("x-test")
        self.answer: Answer | None = None
        self.lost = False

    async def accept(
        self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        await websocket.accept(headers=Headers(headers), subprotocol=subprotocol)

    async def receive(self) -> str | bytes:
        return await websocket.receive()

    async def send(self, data: str | bytes) -> None:
        try:
            await websocket.send(data)
        except Exception:
            self.lost = True
            raise

    async def close(self, code: int, reason: str) -> None:
        await websocket.close(code, reason)

    async def refuse(self) -> None:
        await websocket.close(1000)

    async def respond(self, status: int, headers: dict[str, str], body: str) -> None:
        self.answer = body, status, headers


async def endpoint(program: str, rest: str | None = None) -> Answer | None:
    """Runs the program that the path names."""
    socket = QuartSocket(rest)
    await PROGRAMS[program](socket)
    # Quart cancels the handler of a lost connection, and a program may have swallowed that.
    task = asyncio.current_task()
    assert task is not None
    if socket.lost and not task.cancelling():
        await asyncio.Event().wait()
    if task.cancelling():
        raise asyncio.CancelledError
    return socket.answer


def make() -> App:
    """Makes the app."""
    quart = Quart(__name__)
    for path in "/<program>", "/<program>/<rest>":
        quart.add_websocket(path, view_func=endpoint)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (lifespan if scope["type"] == "lifespan" else quart)(scope, receive, send)

    return app
