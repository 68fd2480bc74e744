"""Tokens on the way through a server: what the peer gets, and what is in no log."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

import fastws
from fastws.errors import HandshakeError
from tests.app.tokens import signed
from tests.processes import Server

APP = "tests.app.private:app"
pytestmark = pytest.mark.parametrize("control", [False, True], ids=["fastws", "uvicorn"])


def options(token: str, source: str) -> dict[str, Any]:
    if source == "header":
        return {"headers": [("Authorization", f"Bearer {token}")]}
    return {"subprotocols": ["chat", "bearer", token]}


@pytest.mark.parametrize("source", ["header", "subprotocol"])
async def test_who_has_a_token_gets_in(
    serve: Callable[..., Server], control: bool, source: str
) -> None:
    # At debug uvicorn's own class logs all headers, at trace its middleware the whole scope.
    level = "info" if control else "debug"
    server = serve(APP, "--log-level", level, uvicorn=control)
    token = signed(exp=time.time() + 600)
    async with fastws.connect(server.url(), **options(token, source)) as ws:
        assert ws.subprotocol == ("bearer" if source == "subprotocol" else None)
        await ws.send("hi")
        assert await ws.recv() == "ada: hi"
    bad = [signed(exp=time.time() - 600), token[:-10], f"{token}AAAA", "a" * 4000]
    for other in bad:
        with pytest.raises(HandshakeError) as caught:
            await fastws.connect(server.url(), **options(other, source))
        assert caught.value.status == 401
        challenge = dict(caught.value.headers)[b"www-authenticate"]
        assert challenge.startswith(b'Bearer realm="websocket", error="invalid_token"')
        assert other[-30:-10].encode() not in caught.value.body + challenge
    with pytest.raises(HandshakeError) as caught:
        await fastws.connect(server.url())
    assert dict(caught.value.headers)[b"www-authenticate"] == b'Bearer realm="websocket"'
    await asyncio.to_thread(server.stop)
    for each in token, *bad:
        assert each[-30:-10] not in server.output
    assert "Traceback" not in server.output
