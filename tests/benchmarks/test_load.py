"""The load generator: it believes nothing, and counts from when a message was due."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.load import measure
from benchmarks.roster import FASTWS, FASTWS_ROOMS
from benchmarks.servers import OURS, Server, asgi
from tests.benchmarks.stalling import STALL

CHAT, SAID = '{"type":"Chat","content":"##"}', '{"type":"Said","content":"##"}'
SHORT = ("-t", "0.2", "-w", "0")


@pytest.fixture(scope="module")
def echo() -> Iterator[Server]:
    with FASTWS.run() as server:
        yield server


@pytest.mark.parametrize(
    "load",
    [
        ("echo", "-c", "3", "-d", "5", "-s", "200"),
        ("echo", "-s", "70000", "-B"),
        ("echo", "-c", "300"),
        ("echo", "-m", CHAT, "-d", "16"),
        ("handshake", "-c", "4"),
        ("http", "-c", "4"),
    ],
)
def test_what_is_right_is_counted(echo: Server, load: tuple[str, ...]) -> None:
    result = measure(echo, *load, *SHORT)
    assert result.total >= result.count
    assert result.total > 0


def test_another_reply_is_an_error(echo: Server) -> None:
    with pytest.raises(RuntimeError, match="wrong bytes within message 0"):
        measure(echo, "echo", "-m", CHAT, "-r", SAID, *SHORT)


def test_a_message_for_all_is_not_for_who_sent_it(echo: Server) -> None:
    with pytest.raises(RuntimeError, match="came back to who published it"):
        measure(echo, "fanout", "-c", "2", *SHORT)


def test_a_server_that_does_not_compress(echo: Server) -> None:
    with pytest.raises(RuntimeError, match="does not compress"):
        measure(echo, "echo", "-z", *SHORT)


@pytest.mark.parametrize("size", ["1", "100", "200000"])
def test_compressed_replies_are_inflated_and_compared(size: str) -> None:
    with asgi("deflate", "peers.echo:app", *OURS, "--ws-per-message-deflate", "true").run() as ours:
        assert measure(ours, "echo", "-z", "-c", "2", "-d", "3", "-s", size, *SHORT).total > 0


def test_an_open_loop_sends_what_is_due(echo: Server) -> None:
    result = measure(echo, "echo", "-c", "7", "-d", "100", "-R", "200", "-t", "0.5", "-w", "0")
    assert 0 < result.total <= 0.5 * 200 + 200
    assert 0 < result.p50 <= result.p99 <= result.p999


def test_who_waits_behind_another_counts_from_when_it_was_due() -> None:
    """A closed loop would see one slow message in 500: less than its p99."""
    app = asgi("stalling", "stalling:app", *OURS, "--app-dir", str(Path(__file__).parent))
    with app.run() as server:
        result = measure(server, "echo", "-d", "1000", "-R", "500", "-t", "1", "-w", "0")
    assert result.p99 > STALL / 2


@pytest.mark.deep
def test_who_never_reads_ends_and_nobody_waits() -> None:
    with FASTWS_ROOMS.run() as server:
        load = ("fanout", "-c", "4", "-n", "1", "-d", "4", "-s", "65536", "-t", "1.5")
        result = measure(server, *load)
    assert result.count > 0
    assert result.server_cpu > 0
    assert result.ended == 1
