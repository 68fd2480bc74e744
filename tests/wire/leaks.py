"""What is left behind: `python -m tests.wire.leaks RUNS`.

Runs every scenario that many times after a tenth of it to warm up, and prints by how much the
process grew: blocks of Python's allocator, bytes of memory, references to shared objects. In a
process of its own, where nothing else grows.
"""

import gc
import json
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from fastws.errors import Disconnected, HandshakeError
from fastws.limits import Limits
from fastws.wire import Compression, Connection, Deflate, Opcode, Params, Role
from fastws.wire.deflate import accepted, negotiate, offer
from fastws.wire.frames import apply_mask, is_utf8
from fastws.wire.handshake import accept_response, find_head, parse_request, refusal
from tests.wire.drive import SHARED, connect
from tests.wire.reference import BINARY, KEY, PING, frame
from tests.wire.requests import request, with_field
from tests.wire.vectors import broken, deflate, plain

Scenario = Callable[[], object]
LIMITS = Limits()
# What code that counts references by hand could count wrongly.
SHARED_OBJECTS = (None, True, False, b"", "", "a", 0, LIMITS, SHARED, *Opcode)


def received(data: bytes, compression: Compression | None) -> Scenario:
    """A connection gets some bytes, and is left in whatever state that is."""

    def run() -> None:
        connection = Connection(Role.SERVER, LIMITS, compression)
        connection.observe_control = True
        connection.receive_data(data)
        while connection.next_event() is not None:
            pass
        connection.data_to_send()

    return run


def streams() -> Iterator[tuple[str, Scenario]]:
    shared = Compression(SHARED, Deflate(threshold=0), True)
    for named, compression in ((plain(), None), (broken(), None), (deflate(), shared)):
        for name, data in named.items():
            if len(data) < 300:
                yield name, received(data, compression)


def left_alone() -> None:
    """Messages that nobody takes, and a message, a header and a control frame without end."""
    for data in (
        frame(BINARY, b"x") * 20,
        frame(BINARY, bytes(2000), fin=False),
        frame(BINARY, length=1000)[:9],
        frame(PING, b"ping")[:-1],
    ):
        connection = Connection(Role.SERVER, LIMITS)
        connection.receive_data(data)
        connection.send_ping()


def takeover() -> None:
    """Both streams of a connection, and what is sent through them."""
    params = Params(True, True, 9, 9)
    one, other = (connect(role, params, Deflate(memory_level=1, threshold=0)) for role in Role)
    one.send_text("Hello €")
    other.receive_data(one.data_to_send())
    other.next_event()


def sending() -> None:
    for role in Role:
        connection = Connection(role, LIMITS, Compression(SHARED, Deflate(threshold=2), False))
        connection.send_text("é" * 100)
        connection.send_binary(bytes(300))
        connection.send_text("")
        connection.send_pong(b"x")
        with suppress(ValueError):
            connection.send_ping(bytes(126))
        with suppress(ValueError):
            connection.send_close(1006)
        connection.send_close(1000, "bye")
        with suppress(Disconnected):
            connection.send_text("late")
        connection.data_to_send()


def handshake() -> None:
    head = with_field("Sec-WebSocket-Protocol", "a, b")
    found = parse_request(head[: find_head(head)], 128)
    accept_response(found.key, [(b"x", b"y")])
    for wrong in (with_field("X", "\0"), with_field("Host", "\r"), request(b""), b""):
        try:
            parse_request(wrong, 128)
        except HandshakeError as error:
            refusal(error, [])
    with suppress(ValueError):
        accept_response(b"key", [(b"x", b"\r\n")])


def negotiation() -> None:
    found = negotiate(offer(Deflate()) + b', x; y="z"', Deflate())
    assert found is not None
    accepted(found[1], Deflate())
    negotiate(b'x; y="', Deflate())
    with suppress(HandshakeError):
        accepted(b"x", Deflate())


def kernels() -> None:
    apply_mask(bytes(300), KEY)
    is_utf8(b"\xe2", b"\x82", b"\xff")
    with suppress(ValueError):
        apply_mask(b"", b"")
    with suppress(TypeError):
        is_utf8(None)  # type: ignore[arg-type]
    with suppress(TypeError):
        apply_mask(None, KEY)  # type: ignore[arg-type]


def references() -> list[int]:
    return [sys.getrefcount(thing) for thing in SHARED_OBJECTS]


def resident() -> int:
    """The memory that this process has, in bytes; on Linux only."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * 4096 if path.exists() else 0


def growth(run: Scenario, runs: int) -> tuple[int, int, int]:
    for _ in range(runs // 10 + 1):
        run()
    gc.collect()
    counts, blocks, size = references(), sys.getallocatedblocks(), resident()
    for _ in range(runs):
        run()
    gc.collect()
    blocks, size = sys.getallocatedblocks() - blocks, resident() - size
    drift = max(abs(a - b) for a, b in zip(counts, references(), strict=True))
    return blocks, size, drift


def large(role: Role) -> int:
    """Sends messages, random and not, and gives how much more memory there is in use then."""
    size = 40 << 20  # over 32 MiB: glibc gives it back to the system at once
    off = Limits(max_message_size=None, max_frame_size=None, max_wire_size=None)
    noise = random.Random(0).randbytes(1 << 20) * (size >> 20)
    one, other = connect(role, SHARED, limits=off), connect(Role(1 - role), SHARED, limits=off)
    before = resident()
    for message in (noise, noise[:9] * (size // 9)):
        one.send_binary(message)
        other.receive_data(one.data_to_send())
        event = other.next_event()
        assert event == (Opcode.BINARY, message)
    del message, event
    return resident() - before


def main(runs: int) -> None:
    found = {f"40 MiB by the {role.name}": (0, large(role), 0) for role in Role}
    scenarios = dict(streams())
    for run in (left_alone, takeover, sending, handshake, negotiation, kernels):
        scenarios[run.__name__] = run
    found.update((name, growth(run, runs)) for name, run in scenarios.items())
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
