"""What a WebSocket handshake must be (T13 to T15, T22), through the real server."""

import pytest

from tests.server.peer import TEXT, Frame, tcp, text, upgrade
from tests.server.serving import Receive, Scope, Send, hello, running


class Unused:
    """An app that must never be called."""

    called = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.called = True


REFUSED: dict[str, tuple[int, bytes]] = {
    "POST": (405, upgrade(line=b"POST /ws HTTP/1.1")),
    "HEAD": (405, upgrade(line=b"HEAD /ws HTTP/1.1")),
    "CONNECT": (405, upgrade(line=b"CONNECT /ws HTTP/1.1")),
    "lower-case method": (405, upgrade(line=b"get /ws HTTP/1.1")),
    "HTTP/1.0": (505, upgrade(line=b"GET /ws HTTP/1.0")),
    "HTTP/2.0": (505, upgrade(line=b"GET /ws HTTP/2.0")),
    "HTTP/1.2": (505, upgrade(line=b"GET /ws HTTP/1.2")),
    "no version": (400, upgrade(line=b"GET /ws")),
    "two spaces": (400, upgrade(line=b"GET  /ws HTTP/1.1")),
    "empty line": (400, upgrade(line=b" ")),
    "asterisk": (400, upgrade(line=b"GET * HTTP/1.1")),
    "target not ASCII": (400, upgrade(line="GET /é HTTP/1.1".encode())),
    "control character in target": (400, upgrade(line=b"GET /\x1b HTTP/1.1")),
    "bare CR in line": (400, upgrade(line=b"GET /\r HTTP/1.1")),
    "NUL in line": (400, upgrade(line=b"GET /\0 HTTP/1.1")),
    "version 12": (426, upgrade(headers=[(b"sec-websocket-version", b"12")])),
    "version 13, 12": (426, upgrade(headers=[(b"sec-websocket-version", b"13, 12")])),
    "version 013": (426, upgrade(headers=[(b"sec-websocket-version", b"013")])),
    "no version header": (400, upgrade(headers=[(b"sec-websocket-version", None)])),
    "no key": (400, upgrade(headers=[(b"sec-websocket-key", None)])),
    "no host": (400, upgrade(headers=[(b"host", None)])),
    "short key": (400, upgrade(headers=[(b"sec-websocket-key", b"AAAA")])),
    "key of 15 bytes": (400, upgrade(headers=[(b"sec-websocket-key", b"A" * 20)])),
    "key of 17 bytes": (400, upgrade(headers=[(b"sec-websocket-key", b"A" * 23 + b"=")])),
    "key not base64": (400, upgrade(headers=[(b"sec-websocket-key", b"*" * 22 + b"==")])),
    "key with NUL": (400, upgrade(headers=[(b"sec-websocket-key", b"A" * 21 + b"\0==")])),
    "huge key": (400, upgrade(headers=[(b"sec-websocket-key", b"A" * 4096)])),
    "empty key": (400, upgrade(headers=[(b"sec-websocket-key", b"")])),
    "content-length": (400, upgrade(headers=[(b"content-length", b"5")]) + b"abcde"),
    "chunked": (400, upgrade(headers=[(b"transfer-encoding", b"chunked")]) + b"0\r\n\r\n"),
    "NUL in value": (400, upgrade(headers=[(b"x", b"a\0b")])),
    "bare CR in value": (400, upgrade(headers=[(b"x", b"a\rb")])),
    "bare LF in value": (400, upgrade(headers=[(b"x", b"a\nb")])),
    "LF for CR LF": (400, upgrade(headers=[(b"x", b"a\ny: b")])),
    "no colon": (400, upgrade(line=b"GET /ws HTTP/1.1\r\nnothing")),
    "space in name": (400, upgrade(headers=[(b"x y", b"z")])),
    "space before colon": (400, upgrade(headers=[(b"x ", b"z")])),
    "empty name": (400, upgrade(headers=[(b"", b"z")])),
    "folded": (400, upgrade(headers=[(b"x", b"a\r\n b")])),
    "folded with colon": (400, upgrade(headers=[(b"x", b"a\r\n b: c")])),
    "subprotocol no token": (400, upgrade(headers=[(b"sec-websocket-protocol", b"a b")])),
}
for name in (b"host", b"sec-websocket-key", b"sec-websocket-version", b"upgrade"):
    doubled = upgrade().replace(b"connection:", name + b": websocket\r\nconnection:")
    REFUSED[f"second {name.decode()}"] = (400, doubled)


@pytest.mark.parametrize("name", REFUSED)
async def test_a_bad_handshake_is_refused_and_tcp_closed(name: str) -> None:
    """Nothing may be left open that a proxy could take for a tunnel (T22).

    And a request that comes behind a refused one is never answered.
    """
    status, request = REFUSED[name]
    app = Unused()
    async with running(app) as server, tcp(server.address) as peer:
        await peer.send(request, b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n", upgrade("/smuggled"))
        found, body = await peer.refused()
        assert (found, body.count(b"HTTP/1.1 ")) == (status, 0)
        assert not app.called
        peer.close()
        await server.emptied()


async def test_426_says_which_version_is_spoken() -> None:
    async with running(Unused()) as server, tcp(server.address) as peer:
        await peer.send(upgrade(headers=[(b"sec-websocket-version", b"12")]))
        head = await peer.head()
        assert (head.status, head.get(b"sec-websocket-version")) == (426, b"13")


async def test_405_says_which_method_is_allowed() -> None:
    async with running(Unused()) as server, tcp(server.address) as peer:
        await peer.send(upgrade(line=b"POST /ws HTTP/1.1"))
        head = await peer.head()
        assert (head.status, head.get(b"allow")) == (405, b"GET")


ALMOST: dict[str, list[tuple[bytes, bytes | None]]] = {
    "h2c": [(b"upgrade", b"h2c")],
    "no upgrade": [(b"upgrade", None)],
    "no connection": [(b"connection", None)],
    "keep-alive": [(b"connection", b"keep-alive")],
    # aiohttp found "upgrade" in this.
    "notupgrade": [(b"connection", b"notupgrade")],
    "part of a token": [(b"connection", b"upgrade-insecure-requests")],
    "quoted": [(b"connection", b'"upgrade"')],
    "websocket2": [(b"upgrade", b"websocket2")],
}


@pytest.mark.parametrize("name", ALMOST)
async def test_what_does_not_ask_for_a_websocket_gets_none(name: str) -> None:
    async with running(hello) as server, tcp(server.address) as peer:
        await peer.send(upgrade("/", ALMOST[name]))
        assert (await peer.head()).status == 200


GOOD: dict[str, bytes] = {
    "list": upgrade(headers=[(b"connection", b"keep-alive, Upgrade")]),
    "any case": upgrade(headers=[(b"connection", b"UPGRADE"), (b"upgrade", b"WebSocket")]),
    "blanks": upgrade(headers=[(b"connection", b" \t keep-alive ,\tupgrade\t ")]),
    "two headers": upgrade(headers=[(b"connection", b"a"), (b"connection", b"upgrade")]),
    "content-length 0": upgrade(headers=[(b"content-length", b"0")]),
    "absolute target": upgrade(line=b"GET http://localhost/ws HTTP/1.1"),
    "names in any case": upgrade().replace(b"sec-websocket-key", b"SeC-wEbSoCkEt-KeY"),
    "no blank behind the colon": upgrade().replace(b": ", b":"),
    "empty line first": b"\r\n" + upgrade(),
    "empty lines first": b"\r\n\r\n\r\n" + upgrade(),
    "obs-text": upgrade(headers=[(b"x", b"\xe9\xff")]),
}


@pytest.mark.parametrize("name", GOOD)
async def test_good_handshakes_of_all_kinds(name: str) -> None:
    async with running(hello) as server, tcp(server.address) as peer:
        await peer.send(GOOD[name])
        await peer.opened()
        await peer.send(text("x"))
        assert await peer.frame() == Frame(TEXT, b"x")


@pytest.mark.parametrize(
    "value", [b"b" + b" " * 30_000 + b"x", b'a="' + b"b" * 30_000, b"a;" * 15_000, b"__proto__"]
)
@pytest.mark.parametrize("name", [b"sec-websocket-extensions", b"sec-websocket-protocol"])
async def test_odd_offers_are_declined(name: bytes, value: bytes) -> None:
    """T15; that the time is linear, tests/wire shows."""
    async with running(hello) as server, tcp(server.address) as peer:
        await peer.send(upgrade(headers=[(name, value)]))
        head = await peer.head()
        assert head.status in (101, 400)
        assert head.get(name) is None
