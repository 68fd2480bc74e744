"""`python -m tests.fuzz.seeds`: writes the corpus that the fuzzers start from.

It is made of the streams and requests of tests/wire; a file's name says what is in it. What is
called `found-` the fuzzers have found: each reaches code that all others do not.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from fastws.wire import Role
from tests.fuzz.harness import LIMITS, PARAMS, Setting
from tests.wire.requests import FIELDS, request, with_field
from tests.wire.vectors import broken, deflate, plain

CORPUS = Path(__file__).parent / "corpus"
MAX = 1000

REQUESTS = {
    "request": request(),
    "plain": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "post": request(line=b"POST / HTTP/1.1"),
    "http10": request(line=b"GET / HTTP/1.0"),
    "absolute": request(line=b"GET http://example.com/chat?a=b HTTP/1.1"),
    "version": with_field("Sec-WebSocket-Version", "12"),
    "key": with_field("Sec-WebSocket-Key", "c2hvcnQ="),
    "twice": request(FIELDS + b"Host: y\r\n"),
    "body": request(FIELDS + b"Content-Length: 5\r\n") + b"Hello",
    "lists": request(
        FIELDS.replace(b"Upgrade\r\n", b"keep-alive, Upgrade\r\n")
        + b"Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n"
        + b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x\r\n"
    ),
    "control": with_field("X", "a\0b"),
    "latin": request(FIELDS + b"X: caf\xe9\t \r\n"),
    "folded": request(FIELDS + b"X: a\r\n b\r\n"),
    "lf": request(FIELDS + b"X: a\n"),
    "offer": b"permessage-deflate; client_max_window_bits=10; server_max_window_bits=9",
    "offers": b"x; y=z, permessage-deflate; server_no_context_takeover, permessage-deflate",
    "quotes": b'permessage-deflate; server_max_window_bits="10"; client_no_context_takeover',
    "declined": b"permessage-deflate; server_max_window_bits=8",
}


def connections() -> Iterator[tuple[str, bytes]]:
    """Streams, masked with zeros, which a fuzzer reads through."""
    number = 0
    for role, key in ((Role.SERVER, bytes(4)), (Role.CLIENT, None)):
        for kind in (plain, broken, deflate):
            for name, data in kind(key).items():
                params = PARAMS[1 + number % 3] if kind is deflate else None
                limits = LIMITS[number % 5 % 4]
                chosen = Setting(role, bool(number % 2), params, limits, number % 7)
                yield f"{role.name.lower()}-{slug(name)}", chosen.encode() + data
                number += 1


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def corpus() -> Iterator[tuple[Path, bytes]]:
    """The files, by their paths in the corpus."""
    for name, data in connections():
        if len(data) < MAX:
            yield Path("connection") / name, data
    for name, data in REQUESTS.items():
        yield Path("handshake") / name, data


def main() -> None:
    for path, data in corpus():
        (CORPUS / path).parent.mkdir(parents=True, exist_ok=True)
        (CORPUS / path).write_bytes(data)


if __name__ == "__main__":
    main()
