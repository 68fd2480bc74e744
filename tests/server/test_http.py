"""Plain HTTP: byte for byte what uvicorn's own class answers, and the same for the app."""

import asyncio
import re
from typing import Any

import pytest

from tests.server.peer import tcp
from tests.server.serving import Receive, Scope, Send, running

THEIRS = {"http": "httptools", "ws": "websockets-sansio"}


class Recorder:
    """An app that answers by the path, and keeps what it was told."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        body = b""
        event: dict[str, Any] = {"type": "http.request", "more_body": True}
        if scope["path"] != "/early":
            while event["type"] == "http.request" and event["more_body"]:
                event = await receive()
                body += event.get("body", b"")
        # All else in the scope is as uvicorn has it.
        extensions = scope.get("extensions", {})
        known = {**scope, "client": None, "server": None, "extensions": {**extensions}}
        assert set(known["extensions"].pop("fastws", {})) <= {"counters"}
        self.seen.append((known, body, event["type"]))
        if scope["path"] == "/raise":
            raise ZeroDivisionError
        if scope["path"] == "/return":
            return
        headers = [(b"x-a", b"b")]
        if scope["path"] == "/close":
            headers.append((b"connection", b"close"))
        if scope["path"] != "/chunked":
            headers.append((b"content-length", b"%d" % (len(body) + 2)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"<", "more_body": True})
        await send({"type": "http.response.body", "body": body + b">"})


def get(path: str = "/", *lines: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    head = [method + b" " + path.encode() + b" HTTP/" + version, b"host: localhost", *lines]
    return b"\r\n".join([*head, b"", b""])


def post(path: str, body: bytes, *lines: bytes) -> bytes:
    return get(path, b"content-length: %d" % len(body), *lines, method=b"POST") + body


CHUNKS = b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nx-trailer: y\r\n\r\n"
LAST = get("/close")

# Each is sent in the pieces that are given, the last of which makes the server close.
EXCHANGES: dict[str, list[bytes]] = {
    "GET": [LAST],
    "GET with a query": [get("/a?b=c&d"), LAST],
    "GET of an encoded path": [get("/%C3%A9%2F%20?%20"), LAST],
    "HEAD": [get("/", method=b"HEAD"), LAST],
    "OPTIONS": [get("*", method=b"OPTIONS"), LAST],
    "an unknown method": [get("/", method=b"BREW"), LAST],
    "keep-alive": [get(), get("/chunked"), get(), LAST],
    "keep-alive of HTTP/1.0": [get("/", b"connection: keep-alive", version=b"1.0")],
    "HTTP/1.0": [get("/", version=b"1.0")],
    "connection: close": [get("/", b"connection: close")],
    "POST": [post("/", b"hello"), LAST],
    "POST of a lot": [post("/", b"x" * 300_000), LAST],
    "GET and POST by turns": [get(), post("/", b"a"), get("/b"), post("/", b"c"), get(), LAST],
    "GET in two reads between others": [get(), get("/a")[:20], get("/a")[20:], get("/b"), LAST],
    "GET that was asked to be the last, and more": [get("/a", b"connection: close"), get("/b")],
    "POST in pieces": [post("/", b"hello")[:-3], b"l", b"lo", LAST],
    "POST of nothing": [post("/", b""), LAST],
    "chunked": [get("/", b"transfer-encoding: chunked", method=b"POST") + CHUNKS, LAST],
    "chunked, in pieces": [
        get("/", b"transfer-encoding: chunked", method=b"POST"),
        *(CHUNKS[i : i + 1] for i in range(len(CHUNKS))),
        LAST,
    ],
    "chunked, and more behind it": [
        get("/", b"transfer-encoding: chunked", method=b"POST") + CHUNKS + get("/more") + LAST
    ],
    "byte by byte": [get("/slow")[i : i + 1] for i in range(len(get("/slow")))] + [LAST],
    "pipelined": [get("/1") + get("/2?a") + post("/3", b"x") + get("/4") + LAST],
    "pipelined, cut": [
        get("/1") + post("/2", b"abc")[:-1],
        b"c" + get("/3")[:9],
        get("/3")[9:] + LAST,
    ],
    "100-continue": [post("/", b"hello", b"expect: 100-continue"), LAST],
    "100-continue, unwanted": [
        post("/early", b"hello", b"expect: 100-continue")[:-5],
        b"hello",
        LAST,
    ],
    "an app that raises": [get("/raise")],
    "an app that returns": [get("/return")],
    "not HTTP": [b"hello\r\n\r\n"],
    "a bad version": [get("/", version=b"9.9")],
    "a bad header": [get("/", b"no colon")],
    "a bad length": [get("/", b"content-length: -5")],
    "two lengths": [get("/", b"content-length: 5", b"content-length: 6")],
    "length and chunked": [post("/", b"hello", b"transfer-encoding: chunked")],
    "a bad chunk": [get("/", b"transfer-encoding: chunked", method=b"POST") + b"zz\r\n\r\n"],
    "a space before the colon": [get("/", b"a : b")],
    "a folded header": [get("/", b"a: b", b" c"), LAST],
    "a control character": [get("/", b"a: b\x01"), LAST],
    "NUL": [get("/", b"a: b\0c")],
    "bare LF": [b"GET / HTTP/1.1\nhost: x\n\nGET / HTTP/1.1\r\n\r\n"],
    "no host": [b"GET / HTTP/1.1\r\n\r\n", LAST],
    "empty lines before": [b"\r\n\r\n" + LAST],
    "empty lines between": [get() + b"\r\n\r\n" + LAST],
    "absolute target": [get("http://localhost:1/a?b"), LAST],
    "CONNECT": [get("localhost:80", method=b"CONNECT"), LAST],
    "upgrade to h2c": [
        get(
            "/",
            b"connection: upgrade, http2-settings",
            b"upgrade: h2c",
            b"http2-settings: AAMAAABk",
        ),
    ],
    "upgrade to something": [get("/", b"upgrade: tls/1.0", b"connection: upgrade")],
    "upgrade header alone": [get("/", b"upgrade: websocket"), LAST],
    "HTTP/2": [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
}


async def exchange(pieces: list[bytes], **options: Any) -> tuple[bytes, list[Any]]:
    """Gives all that a server answers, and all that its app has seen."""
    app = Recorder()
    async with (
        running(app, timeout_keep_alive=0.2, **options) as server,
        tcp(server.address) as peer,
    ):
        answer = asyncio.create_task(peer.gone())
        for piece in pieces:
            try:
                await peer.send(piece)
            except ConnectionError:
                break
            # The pieces are to come in reads of their own, mostly.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return re.sub(rb"date: [^\r]*", b"date: now", await answer), app.seen


@pytest.mark.parametrize("name", EXCHANGES)
async def test_as_uvicorn_answers(name: str) -> None:
    theirs = await exchange(EXCHANGES[name], **THEIRS)
    ours = await exchange(EXCHANGES[name])
    assert ours == theirs
    assert theirs[0].startswith(b"HTTP/1.1 ")
