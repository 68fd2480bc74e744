"""`JWKS`: an issuer that answers slowly is given up at the deadline, wherever it is slow."""

import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace

import pytest

from fastws.app.fetching import _Incoming
from fastws.app.keys import JWKS
from tests.app.tokens import jwk
from tests.processes import PATIENCE

BODY = json.dumps({"keys": [jwk("Ed25519", kid="1")]}).encode()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BODY)
# Seconds between two pieces.
PAUSE = 0.02


class Slow:
    """A server that sends one answer, a piece now and then.

    Attributes:
        url: its address.
        unsent: the pieces that are still to be sent.
    """

    def __init__(self, pieces: tuple[bytes, ...]) -> None:
        self.unsent = list(pieces)
        self.over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        with self._listener, suppress(OSError):
            connection, _ = self._listener.accept()
            with connection:
                connection.recv(65536)
                while self.unsent and not self.over.is_set():
                    connection.sendall(self.unsent[0])
                    del self.unsent[0]
                    self.over.wait(PAUSE)


Start = Callable[..., Slow]


@pytest.fixture
def slow() -> Iterator[Start]:
    """Start servers, ``slow(piece, ...)``, until the test is over."""
    started: list[Slow] = []

    def start(*pieces: bytes) -> Slow:
        started.append(Slow(pieces))
        return started[-1]

    yield start
    for server in started:
        server.over.set()
        server.thread.join(PATIENCE)
        assert not server.thread.is_alive()


def split(data: bytes, count: int) -> list[bytes]:
    size = -(-len(data) // count)
    return [data[i : i + size] for i in range(0, len(data), size)]


# Each of them takes a second and a half, and never pauses for long.
SLOW: dict[str, list[bytes]] = {
    "the status line": [*split(b"HTTP/1.1 200 " + b"x" * 75, 75), HEAD[15:] + BODY],
    "a header": [HEAD[:-2], *[b"x"] * 75, b": y\r\n\r\n" + BODY],
    "many headers": [HEAD[:-2], *[b"x: y\r\n"] * 75, b"\r\n" + BODY],
    "the body": [HEAD, *split(BODY[:75], 75), BODY[75:]],
    "chunks": [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        *(b"1\r\n%c\r\n" % byte for byte in BODY[:75]),
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY) - 75, BODY[75:]),
    ],
    "the size of a chunk": [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        *[b"0"] * 75,
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    ],
}


@pytest.mark.parametrize("where", SLOW)
def test_a_slow_answer_is_given_up(slow: Start, where: str) -> None:
    """Each piece comes long before the timeout of a socket."""
    server = slow(*SLOW[where])
    jwks = JWKS(server.url, timeout=0.1)
    with pytest.raises(OSError, match="timed out"):
        jwks.load()
    assert server.unsent
    with pytest.raises(RuntimeError, match="no keys were loaded"):
        jwks.find("1", "EdDSA")


@pytest.mark.parametrize("where", SLOW)
def test_an_answer_in_several_pieces_is_taken(slow: Start, where: str) -> None:
    pieces = SLOW[where]
    server = slow(b"".join(pieces[:30]), b"".join(pieces[30:60]), b"".join(pieces[60:]))
    jwks = JWKS(server.url, timeout=PATIENCE)
    jwks.load()
    assert jwks.find("1", "EdDSA") is not None


def test_an_endless_answer_is_not_received_to_the_end(slow: Start) -> None:
    megabyte = bytes(2**20)
    server = slow(b"HTTP/1.1 200 OK\r\n\r\n", *[megabyte] * 20)
    with pytest.raises(ValueError, match="larger than 1048576 bytes"):
        JWKS(server.url, timeout=PATIENCE).load()
    assert server.unsent


@pytest.mark.parametrize("left", [100.0, -1.0, 0.0])
def test_bytes_that_have_come_are_late_too(left: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """An issuer that sends fast enough never waits for a timeout of the socket."""
    monkeypatch.setattr("fastws.app.fetching.time", SimpleNamespace(monotonic=lambda: 1000.0))
    times: list[float] = []
    incoming = _Incoming(
        1000.0 + left,
        SimpleNamespace(settimeout=times.append),
        io.BytesIO(b"x"),  # type: ignore[arg-type]
    )
    if left > 0:
        assert incoming.read(1) == b"x"
        assert times == [100.0]
    else:
        with pytest.raises(TimeoutError, match="timed out"):
            incoming.read(1)
