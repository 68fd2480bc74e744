"""Log lines: what is in them, and what never is (T20)."""

import logging
import re

import pytest

from fastws.limits import Limits
from tests.server.peer import Peer, close, connected, frame, request, tcp, text, upgrade
from tests.server.serving import ACCEPT, Receive, Scope, Send, echo, running

# C0 and C1 control characters, and what some take for the end of a line.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

LIMITS = Limits(handshake_timeout=0.1, close_timeout=0.1, max_message_size=100)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Ends as its path says."""
    await receive()
    path = scope["path"]
    if "/deny" in path:
        await send({"type": "websocket.http.response.start", "status": 401})
        await send({"type": "websocket.http.response.body"})
    elif "/refuse" in path:
        await send({"type": "websocket.close"})
    elif "/raise" in path:
        raise ZeroDivisionError
    else:
        await echo(scope, again, send)


async def again() -> dict[str, str]:
    """Gives the event that `app` has taken already."""
    return {"type": "websocket.connect"}


@pytest.mark.parametrize("path", ["/ws", "/deny", "/refuse", "/raise"])
@pytest.mark.parametrize("odd", ["", "/%0A%0D", "/%1B%5B31m", "/%00", "/%C2%85%E2%80%A8", "/%ff"])
async def test_nothing_in_a_path_forges_a_line(
    path: str, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    headers = [(b"origin", b"http://x\x85y"), (b"x-forwarded-for", b"1.2.3.4\x9b31m")]
    async with running(app, LIMITS) as server, tcp(server.address) as peer:
        await peer.send(upgrade(f"{path}{odd}?token=secret", headers))
        await peer.head()
        if path == "/ws":
            await peer.send(frame(1, b"\xff"))
        await peer.gone()
        peer.close()
        await server.emptied()
    # What a handler writes, but for the tracebacks.
    messages = [record.getMessage() for record in caplog.records]
    assert any(path in message for message in messages)
    for message in messages:
        assert not CONTROL.search(message.rstrip("\n")), message
        assert "secret" not in message
        assert "token" not in message


BAD = [
    upgrade("/ws?token=secret", line=b"POST /ws?token=secret HTTP/1.1"),
    upgrade("/ws?token=secret", [(b"sec-websocket-version", b"\x1b[31m")]),
    upgrade("/ws?token=secret", [(b"secret", b"a\nb")]),
    upgrade("/ws?token=secret", [(b"sec-websocket-protocol", b"secret\x85 \x9b")]),
    upgrade("/ws?token=secret")[:-1],
    b"GET /ws?token=secret\x1b HTTP/1.1\r\n\r\n",
    request(headers=[(b"upgrade", b"\x1b"), (b"connection", b"upgrade")]),
]


REFUSED: list[tuple[bytes, str, str]] = [
    (upgrade("/a/b%20c?d=e", [(b"host", None)]), "/a/b%20c", "HTTP 400: the Host header is"),
    (b"GET\x1b /a\x1b[31m\x85 HTTP/1.1" + upgrade()[16:], "/a%1B%5B31m%85", "HTTP 400"),
    (b"GET" + upgrade()[16:], "", "HTTP 400: the request line is malformed"),
    (upgrade("/a?b=c")[:-1], "/a", "HTTP 408"),
    (upgrade("/" + "a" * 70_000), "/" + "a" * 199, "HTTP 431"),
    (b"GET /" + b"a" * 70_000, "/" + "a" * 199, "HTTP 414"),
    (request(headers=[(b"x", b"y")] * 200), "/", "HTTP 431: too many headers"),
]


@pytest.mark.parametrize(("sent", "path", "why"), REFUSED)
async def test_a_refusal_says_what_was_asked_for(
    sent: bytes, path: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(app, LIMITS) as server, tcp(server.address) as peer:
        port = peer.socket.getsockname()[1]
        await peer.send(sent)
        await peer.gone()
        peer.close()
        await server.emptied()
    (line,) = [found.getMessage() for found in caplog.records if "refused" in found.getMessage()]
    assert line.startswith(f'127.0.0.1:{port} - "{path}" refused: {why}')


async def test_a_refusal_behind_the_http_class_of_uvicorn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with running(app, LIMITS, http="httptools") as server, tcp(server.address) as peer:
        await peer.send(upgrade("/a?b=c", [(b"host", None)]))
        assert (await peer.refused())[0] == 400
    assert '"/a" refused: HTTP 400: the Host header is missing' in caplog.text


@pytest.mark.parametrize("sent", BAD)
async def test_a_refusal_does_not_repeat_the_request(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(app, LIMITS) as server, tcp(server.address) as peer:
        await peer.send(sent)
        assert b"secret" not in await peer.gone()
        peer.close()
        await server.emptied()
    for record in caplog.records:
        if record.name != "uvicorn.access":
            assert "secret" not in record.getMessage()
            assert not CONTROL.search(record.getMessage().rstrip("\n"))


async def test_the_reason_of_a_close_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(echo, LIMITS) as server, connected(server.address) as peer:
        await peer.send(close(4000, "\x1b[31m\nsecret"))
        await peer.rest()
        await server.emptied()
    assert "secret" not in caplog.text


async def test_the_lines_of_a_connection(caplog: pytest.LogCaptureFixture) -> None:
    """As uvicorn writes them, without the query."""
    caplog.set_level(logging.INFO)
    async with running(app, LIMITS) as server:
        ports = []
        for path in ("/ws", "/refuse", "/deny", "/raise"):
            peer = await Peer.connect(server.address)
            ports.append(peer.socket.getsockname()[1])
            await peer.send(upgrade(path + "?a=b"))
            await peer.head()
            peer.close()
            await server.emptied()
    lines = [record.getMessage() for record in caplog.records if "WebSocket" in record.getMessage()]
    outcomes = ["[accepted]", "403", "401", "500"]
    paths = ["/ws", "/refuse", "/deny", "/raise"]
    assert lines == [
        f'127.0.0.1:{port} - "WebSocket {path}" {outcome}'
        for port, path, outcome in zip(ports, paths, outcomes, strict=True)
    ]


async def test_one_line_for_each_failure(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running(echo, LIMITS) as server, connected(server.address, "/ws?a=b") as peer:
        await peer.send(text("x" * 101), text("x") * 1000)
        await peer.ended()
        peer.close()
        await server.emptied()
    (line,) = [record.getMessage() for record in caplog.records if "failed" in record.getMessage()]
    assert re.fullmatch(r'[\d.:]+ - "WebSocket /ws" failed: 1009 .* the limit is 100', line)


async def test_a_failure_has_its_line_if_the_app_ends_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is behind the first message, the app never looks at; the peer is told, all the same."""

    async def receives_one(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()

    caplog.set_level(logging.INFO)
    async with running(receives_one, LIMITS) as server, connected(server.address) as peer:
        await peer.send(text("one"), text("two"), frame(7))
        assert (await peer.ended())[0] == 1002
        peer.close()
        await server.emptied()
    assert caplog.text.count("failed: 1002 an opcode is reserved") == 1


async def test_a_client_that_leaves_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def sends(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        while True:
            await send({"type": "websocket.send", "bytes": b"x" * 10_000})

    async with running(sends) as server:
        async with connected(server.address) as peer:
            await peer.frame()
            peer.reset()
        await server.emptied()
    assert not caplog.records
