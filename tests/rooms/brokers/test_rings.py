"""What is kept in this process, and for how long."""

import random

import pytest

from fastws.rooms.brokers.history import REMEMBER, History, Position
from fastws.rooms.brokers.outgoing import ITEM_COST
from fastws.rooms.brokers.rings import Rings

BIG = 10**9


class Clock:
    """Shows the time that a test has set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def missed(rings: Rings, channel: str, since: Position) -> int | None:
    past = rings.log(channel).since(since)
    return len(past.messages) if past.recovered else None


def test_messages_go_when_their_time_is_over_and_numbers_stay() -> None:
    clock = Clock()
    rings = Rings(BIG, clock)
    short, long = History(9, 10.0), History(9, 50.0)
    one, _ = (rings.keep("short", short, bytes(100)) for _ in range(2))
    two, _ = (rings.keep("long", long, bytes(100)) for _ in range(2))
    clock.now += 9
    last = rings.keep("short", short, bytes(100))
    clock.now += 9
    assert (missed(rings, "short", one), missed(rings, "long", two)) == (2, 1)
    clock.now += 2
    assert (missed(rings, "short", one), missed(rings, "long", two)) == (None, 1)
    # Who has missed nothing has missed nothing, however long ago that was.
    assert missed(rings, "short", last) == 0
    clock.now += 40
    assert missed(rings, "long", two) is None
    assert rings.size == 2 * ITEM_COST
    again = rings.keep("short", short, b"")
    assert again == last._replace(number=last.number + 1)
    assert missed(rings, "short", last) == 1


def test_a_channel_that_nobody_uses_is_forgotten() -> None:
    clock = Clock()
    rings = Rings(BIG, clock)
    position = rings.keep("a", History(9, 10.0), b"")
    clock.now += REMEMBER - 1
    assert missed(rings, "a", position) == 0
    clock.now += REMEMBER
    assert missed(rings, "a", position) is None
    assert rings.size == ITEM_COST


@pytest.mark.parametrize("seed", range(5))
def test_the_size_is_bounded_and_what_is_left_is_right(seed: int) -> None:
    choose, clock = random.Random(seed), Clock()
    rings = Rings(20_000, clock)
    histories = [History(3, 5.0), History(20, 100.0)]
    published: dict[str, list[tuple[Position, bytes]]] = {}
    for _ in range(3000):
        clock.now += choose.random()
        channel = str(choose.randrange(12))
        if choose.random() < 0.7:
            payload = choose.randbytes(choose.choice([0, 10, 3000]))
            position = rings.keep(channel, histories[int(channel) % 2], payload)
            published.setdefault(channel, []).append((position, payload))
        elif channel in published:
            since, _ = choose.choice(published[channel][-20:])
            past = rings.log(channel).since(since)
            if past.recovered:
                later = [
                    payload
                    for position, payload in published[channel]
                    if position.epoch == since.epoch and position > since
                ]
                assert [kept.payload for kept in past.messages] == later
        assert 0 <= rings.size <= 20_000


def test_one_message_that_is_larger_than_all() -> None:
    rings = Rings(1000)
    first = rings.keep("a", History(9, 10.0), b"")
    rings.keep("a", History(9, 10.0), bytes(2000))
    assert missed(rings, "a", first) is None
    assert rings.size <= 1000


def known(rings: Rings) -> tuple[int, int]:
    """Return the channels that are remembered, and those that will expire."""
    return len(rings._rings), sum(map(len, rings._expiring.values()))


def test_what_is_forgotten_for_want_of_room_leaves_nothing() -> None:
    """Its time to live would be long."""
    rings = Rings(4 * ITEM_COST, Clock())
    histories = [History(9, 10.0), History(9, 10.0**8)]
    for number in range(100):
        rings.keep(str(number), histories[number % 2], b"")
        assert known(rings) <= (2, 2)
    assert rings.size == 4 * ITEM_COST


def test_what_is_forgotten_for_its_age_leaves_nothing() -> None:
    clock = Clock()
    rings = Rings(BIG, clock)
    for number in range(100):
        rings.keep(str(number), History(9, 2.0 * REMEMBER), b"")
        clock.now += REMEMBER / 10
        assert known(rings) <= (11, 11)


def test_what_has_expired_will_not_expire_again() -> None:
    clock = Clock()
    rings = Rings(BIG, clock)
    for number in range(100):
        rings.keep(str(number), History(9, 10.0), bytes(100))
        clock.now += 1
        assert known(rings)[1] <= 10
    assert rings.size == 100 * ITEM_COST + 10 * (100 + ITEM_COST)


def test_a_question_is_bounded_too() -> None:
    """Clients choose the names of the rooms that they come back to."""
    rings = Rings(4 * ITEM_COST, Clock())
    for number in range(100):
        rings.log(str(number))
        assert known(rings) <= (4, 0)
    assert rings.size == 4 * ITEM_COST


def test_a_channel_lives_on_from_its_newest_message() -> None:
    clock = Clock()
    rings = Rings(BIG, clock)
    for channel in "aba":
        rings.keep(channel, History(9, 10.0), bytes(100))
        clock.now += 4
    # "b" is over, and does not wait for "a", which was there before.
    clock.now += 3
    rings.log("other")
    assert rings.size == 3 * ITEM_COST + 2 * (100 + ITEM_COST)


def test_a_channel_that_is_in_use_outlives_others() -> None:
    rings = Rings(4 * ITEM_COST, Clock())
    positions = {channel: rings.log(channel).position for channel in "abcd"}
    rings.log("a")
    rings.log("e")
    assert rings.log("a").position == positions["a"]
    assert rings.log("b").position != positions["b"]
