"""Ids of messages that the broker of one process remembers: for a time, and not too many."""

from types import SimpleNamespace

import pytest

from fastws.rooms.brokers import History, MemoryBroker
from fastws.rooms.brokers.history import ID_WINDOW, Histories


class Clock:
    """Shows the time that a test has set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("fastws.rooms.brokers.memory.time", SimpleNamespace(monotonic=clock))
    return clock


async def is_new(broker: MemoryBroker, name: str, channel: str = "a") -> bool:
    return not (await broker.publish(channel, b"x", name)).duplicate


async def test_an_id_is_forgotten_after_its_time(clock: Clock) -> None:
    broker = MemoryBroker()
    assert await is_new(broker, "1")
    clock.now += ID_WINDOW - 1
    assert not await is_new(broker, "1")
    assert await is_new(broker, "2")
    clock.now += 1
    # A repetition does not make an id last longer.
    assert await is_new(broker, "1")
    assert not await is_new(broker, "2")
    clock.now += ID_WINDOW - 1
    assert not await is_new(broker, "1")
    assert await is_new(broker, "2")


async def test_ids_of_before_take_no_memory(clock: Clock) -> None:
    broker = MemoryBroker()
    for number in range(1000):
        clock.now += ID_WINDOW / 10
        assert await is_new(broker, f"{number}")
        assert len(broker._ids) <= 10


async def test_ids_are_bounded_within_their_time(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastws.rooms.brokers.memory.MAX_IDS", 3)
    broker = MemoryBroker()
    for name in "1234":
        assert await is_new(broker, name)
    assert len(broker._ids) == 3
    assert [await is_new(broker, name) for name in "432"] == [False] * 3
    assert await is_new(broker, "1")


async def test_messages_without_an_id_are_not_remembered() -> None:
    broker = MemoryBroker()
    for _ in range(2):
        assert not (await broker.publish("a", b"x")).duplicate
    assert not broker._ids


async def test_a_duplicate_is_not_kept(clock: Clock) -> None:
    broker = MemoryBroker()
    broker.histories = Histories({"": History(10, 1000.0)})
    first = await broker.publish("a", b"1", "id")
    clock.now += 1
    assert await broker.publish("a", b"2", "id") == first._replace(duplicate=True)
    past = await broker.past("a", first.position)
    assert (past.recovered, past.messages, past.position) == (True, [], first.position)
