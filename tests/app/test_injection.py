"""What a client sends is in no log line as it came, and in no refusal."""

import logging
from typing import Any

import msgspec
import pytest

from fastws.app.app import App
from fastws.app.http import Request
from fastws.app.messages import Message
from fastws.app.query import parse_query
from fastws.app.websocket import WebSocket
from fastws.errors import HandshakeError, ProtocolError
from tests.app.conftest import Run
from tests.server.peer import Peer, close, request, tcp, text, upgrade

Socket = WebSocket[Any]

CANARY = "canary"
# ESC, CR, LF, and a line separator that str.splitlines() knows; as it goes into a path, and raw.
NASTY = "\x1b[31m\r\nERROR: forged\u2028"
ESCAPED = f"{CANARY}%1B%5B31m%0D%0AERROR:%20forged%E2%80%A8"


class Chat(Message):
    content: int


class Params(msgspec.Struct):
    n: int


def make() -> App:
    app = App()

    @app.websocket("/{path}", messages=Chat)
    async def act(ws: Socket) -> None:
        match ws.headers["x-do"]:
            case "fail":
                raise ZeroDivisionError
            case "nothing":
                return
            case "query":
                ws.query(Params)
        await ws.accept()
        async for message in ws:
            ws.join(str(message))

    @app.websocket("/room/{path}")
    async def room(ws: Socket) -> None:
        await ws.accept()
        ws.join(ws.path_params["path"] * 20)

    @app.websocket("/reason/{path}")
    async def reason(ws: Socket) -> None:
        await ws.accept()
        raise ProtocolError(4000, ws.path_params["path"])

    @app.websocket("/subprotocol/{path}")
    async def subprotocol(ws: Socket) -> None:
        await ws.accept(ws.path_params["path"])

    @app.get("/page/{path}")
    async def page(asked: Request) -> None:
        raise ZeroDivisionError

    @app.get("/query/{path}")
    async def query(asked: Request) -> None:
        asked.query(Params)

    return app


def check_log(caplog: pytest.LogCaptureFixture) -> None:
    """Checks that no line is forged, and that a traceback is in lines of its own only."""
    for record in caplog.records:
        message = record.getMessage()
        assert message.isprintable() or message == "Exception in ASGI application\n", message
        if record.exc_info:
            lines = logging.Formatter().formatException(record.exc_info)
            assert all(line.isprintable() for line in lines.split("\n")), lines


WEBSOCKETS: list[tuple[str, dict[str, str]]] = [
    (f"/nowhere/at/all/{ESCAPED}", {}),
    (f"/{ESCAPED}", {"x-do": "fail"}),
    (f"/{ESCAPED}", {"x-do": "nothing"}),
    (f"/{ESCAPED}?n={ESCAPED}", {"x-do": "query"}),
    (f"/{ESCAPED}?{ESCAPED}=1&n", {"x-do": "query"}),
    (f"/{ESCAPED}", {"x-do": "fail", "cookie": "a=b", "origin": f"https://{CANARY}.example"}),
    (f"/{ESCAPED}", {"x-do": "fail", "cookie": "a=b", "origin": f"{CANARY}\x1b[31m\x85"}),
    (f"/subprotocol/{ESCAPED}", {"sec-websocket-protocol": f"other-{CANARY}"}),
]


@pytest.mark.parametrize(("path", "headers"), WEBSOCKETS)
async def test_a_refusal_has_nothing_of_the_request(
    path: str, headers: dict[str, str], run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "fastws")
    async with run(make()) as server, tcp(server.address) as peer:
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await peer.send(upgrade(path, raw))
        answer = await peer.gone()
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    assert CANARY.encode() not in answer
    check_log(caplog)


@pytest.mark.parametrize("path", ["/nowhere/", "/page/", "/query/", "/query/x?n="])
async def test_a_page_that_is_refused_has_nothing_of_the_request(
    path: str, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async with run(make()) as server, tcp(server.address) as peer:
        head = request(headers=[(b"connection", b"close"), (b"x-a", CANARY.encode())])
        await peer.send(head.replace(b" / ", b" %s%s " % (path.encode(), ESCAPED.encode())))
        answer = await peer.gone()
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    assert CANARY.encode() not in answer
    check_log(caplog)


@pytest.mark.parametrize("tag", [CANARY + NASTY, NASTY * 100, "\ud800"])
async def test_an_error_reply_has_nothing_of_the_message(
    tag: str, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "fastws")
    escaped = msgspec.json.encode(tag).decode() if tag != "\ud800" else '"\\ud800"'
    async with run(make()) as server, tcp(server.address) as peer:
        await peer.open(f"/{ESCAPED}", [(b"x-do", b"")])
        for message in (
            f'{{"type":{escaped}}}',
            f'{{"type":"Chat","content":{escaped}}}',
            f'{{"type":"Chat",{escaped}:1}}',
            CANARY + NASTY,
        ):
            await peer.send(text(message))
            reply = (await peer.frame()).payload.decode()
            assert CANARY not in reply
            assert "forged" not in reply
            assert reply.isprintable()
        await peer.send(close(4000, NASTY[:20]))
        await peer.gone()
    check_log(caplog)


@pytest.mark.parametrize("route", ["room", "reason"])
async def test_names_of_rooms_and_reasons_are_in_no_line(
    route: str, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async with run(make()) as server, tcp(server.address) as peer:
        await peer.open(f"/{route}/{ESCAPED}")
        await peer.closed()
    check_log(caplog)


async def test_a_subprotocol_that_is_offered_is_in_no_line(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async with run(make()) as server:
        peer = await Peer.connect(server.address)
        await peer.send(upgrade("/subprotocol/x", [(b"sec-websocket-protocol", b"x\x1b, y\x85")]))
        await peer.gone()
        peer.close()
    check_log(caplog)


def test_faults_of_queries_quote_no_values() -> None:
    for query in (b"n=%s", b"n=1&n=%s", b"n=%%ff%s", b"%s=1"):
        with pytest.raises(HandshakeError) as caught:
            parse_query(query % ESCAPED.encode(), Params)
        assert CANARY not in f"{caught.value} {caught.value.reason} {caught.value.fields}"
