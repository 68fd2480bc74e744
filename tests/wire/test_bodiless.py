"""Heads after which nothing comes: what is taken for one, and httptools as the judge of that."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastws.wire.handshake import is_bodiless

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def bodiless(head: bytes, size: int = 65536, count: int = 128) -> bool:
    return is_bodiless(head, size, count)


@pytest.mark.parametrize(
    "head",
    [
        GET,
        b"HEAD /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: a\r\nTE: x\r\n\r\n",
    ],
)
def test_plain_requests_are(head: bytes) -> None:
    assert bodiless(head)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        GET[:-1],
        GET + b"G",
        GET + GET,
        b"\r\n" + GET,
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-LENGTH: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length:\r\n\r\n",
        b"GET / HTTP/1.1\r\ntransfer-encoding:chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n Content-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\nContent-Length: 2\r\n\r\n",
    ],
)
def test_what_needs_a_closer_look_is_not(head: bytes) -> None:
    assert not bodiless(head)


def test_limits_are_inclusive() -> None:
    assert bodiless(GET, len(GET), 1)
    assert not bodiless(GET, len(GET) - 1, 1)
    assert not bodiless(GET, len(GET), 0)


class Watcher:
    """Counts what a parser meets."""

    def __init__(self) -> None:
        self.begun = self.complete = self.headers = self.body = 0

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers += 1

    def on_body(self, body: bytes) -> None:
        self.body += 1

    def on_message_complete(self) -> None:
        self.complete += 1


PIECES = st.sampled_from(
    [
        *(b"GET / HTTP/1.1", b"HEAD", b"POST / HTTP/1.1", b" ", b"\r\n", b"\n", b"\r", b"\t", b":"),
        *(b"Host: x", b"Content-Length: 0", b"Content-Length: 3", b"Transfer-Encoding: chunked"),
        *(b"Upgrade: websocket", b"Connection: upgrade", b"Connection: close", b"content-length"),
    ]
)


@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_a_parser_finds_one_request_without_a_body(middle: bytes) -> None:
    """Whatever is taken for bodiless leaves a parser between two requests, or it is an error."""
    head = b"GET / HTTP/1.1\r\n" + middle + b"\r\n\r\n"
    if not bodiless(head, count=2):
        return
    watcher = Watcher()
    parser = httptools.HttpRequestParser(watcher)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        raise AssertionError("an upgrade") from None
    except httptools.HttpParserError:
        return
    assert (watcher.begun, watcher.complete, watcher.body) == (1, 1, 0)
    assert watcher.headers <= 2
