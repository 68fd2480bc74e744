"""Numbers on messages, and the holes in them."""

import pytest

from fastws.rooms.brokers import numbering
from fastws.rooms.brokers.numbering import (
    EngineProgress,
    Numbered,
    Numbering,
    Progress,
    PublisherProgress,
    read,
    write,
)


@pytest.mark.parametrize("payload", [b"", b" ", b"a b  c\x00", b"1 e 2 x"])
def test_what_is_written_is_read(payload: bytes) -> None:
    message = Numbered(b"epoch", 2**63 - 1, payload)
    assert read(write(message)) == message


def advance(progress: Progress, *numbers: tuple[bytes, int]) -> list[int | None]:
    return [progress.advance(Numbered(epoch, number, b"")) for epoch, number in numbers]


def test_one_epoch_for_all() -> None:
    steps = [(b"e", 5), (b"e", 6), (b"e", 9), (b"e", 9), (b"f", 1), (b"f", 2), (b"e", 10)]
    assert advance(EngineProgress(kept=True), *steps) == [0, 0, 2, None, None, 0, None]


def test_the_position_is_that_of_the_last_message() -> None:
    progress = EngineProgress(kept=True)
    advance(progress, (b"e", 5), (b"e", 7), (b"f", 1))
    assert progress.position == ("f", 1)
    for none in (EngineProgress(kept=False), PublisherProgress()):
        advance(none, (b"e", 5))
        assert none.position is None


@pytest.mark.parametrize("progress", [EngineProgress(kept=True), PublisherProgress()])
def test_numbers_with_holes_tell_of_the_one_before(progress: Progress) -> None:
    steps = [(5, 2), (9, 5), (20, 12), (30, 20), (31, 0), (7, 31), (8, 7)]
    lost = [progress.advance(Numbered(b"e", number, b"", before)) for number, before in steps]
    assert lost == [0, 0, None, 0, None, 0, 0]


def test_an_epoch_for_each_who_publishes() -> None:
    steps = [(b"e", 5), (b"f", 7), (b"e", 6), (b"f", 9), (b"e", 6), (b"g", 1), (b"e", 7)]
    assert advance(PublisherProgress(), *steps) == [0, 0, 0, 1, None, 0, 0]


def test_each_channel_is_counted_under_an_epoch_of_its_own() -> None:
    counting = Numbering()
    messages = [counting.number(channel, b"") for channel in ("a", "b", "a", "a")]
    assert [message.number for message in messages] == [1, 1, 2, 3]
    assert len({message.epoch for message in messages}) == 2


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "MAX_COUNTERS", 3)
    counting = Numbering()
    first = counting.number("a", b"")
    for channel in "bcd":
        counting.number(channel, b"")
    again = counting.number("a", b"")
    assert again.number == 1
    assert again.epoch != first.epoch
    progress = PublisherProgress()
    advance(progress, (b"a", 1), (b"b", 1), (b"c", 1), (b"d", 1))
    # Forgotten, and so nobody knows that it has lost one.
    assert advance(progress, (b"a", 3), (b"d", 3)) == [0, 1]
