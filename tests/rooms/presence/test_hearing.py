"""What a worker hears of others: late messages, questions, and words of workers that are gone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from fastws.limits import Limits
from fastws.rooms import Joined, Left, Receipt, Rooms
from fastws.rooms.brokers import MemoryBroker
from fastws.rooms.presence.gossip import BEATS, EVERYWHERE, LINGER, PREFIX
from fastws.rooms.presence.messages import (
    NOBODY,
    Alive,
    Ask,
    Bye,
    Change,
    Count,
    Entry,
    State,
    decode_for_all,
    decode_for_room,
    encode,
)
from tests.rooms.presence.workers import LEVELS, Visitor
from tests.rooms.serving import turns

Word = Alive | Ask | Bye


class Post(MemoryBroker):
    """A broker that other workers would share; a test plays those.

    Attributes:
        said: all that was published, and not looked at yet.
    """

    local = False

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, Any]] = []

    async def publish(self, channel: str, payload: bytes, message_id: str | None = None) -> Receipt:
        decode = decode_for_all if channel == EVERYWHERE else decode_for_room
        self.said.append((channel, decode(payload)))
        return await super().publish(channel, payload, message_id)


class Listener:
    """A worker that hears what a test says in the name of others.

    Its lease takes an hour, so that a beat comes only when the test says so.
    """

    def __init__(self) -> None:
        self.post = Post()
        self.rooms = Rooms(self.post, presence=LEVELS, limits=Limits(presence_lease=3600.0))
        self.age = 1

    @property
    def name(self) -> str:
        gossip = self.rooms._presence._gossip
        assert gossip is not None
        return gossip._worker

    def hear(self, message: Any, room: str = "room") -> None:
        """Bring a message of another worker."""
        channel = EVERYWHERE if isinstance(message, Word) else PREFIX + room
        self.rooms.on_message(channel, encode(message))

    def beat(self, count: int = 1) -> None:
        """Bring what the worker has said of itself."""
        for _ in range(count):
            self.age += 1
            self.hear(Alive(self.name, self.age, {}))

    async def said(self, *kinds: type) -> list[Any]:
        """Return what it has said since then, of some kinds."""
        await turns(20)
        said, self.post.said = self.post.said, []
        return [message for _, message in said if isinstance(message, kinds)]

    async def asked(self) -> list[tuple[str, list[str]]]:
        """Return whom it has asked since then, and for which rooms."""
        return [(ask.whom, sorted(ask.rooms)) for ask in await self.said(Ask)]

    def enter(self, room: str = "room") -> Visitor:
        visitor = Visitor()
        self.rooms.join(visitor.member, room)
        return visitor

    async def who(self, room: str = "room") -> set[str]:
        async with asyncio.timeout(5):
            return {each.id for each in await self.rooms.presence(room)}


@pytest.fixture
async def here() -> AsyncIterator[Listener]:
    """A worker that has heard itself twice, and so would have heard all others."""
    listener = Listener()
    await listener.rooms.start()
    await turns(20)
    listener.beat()
    listener.post.said.clear()
    yield listener
    await listener.rooms.stop()


def raw(*entries: Entry) -> msgspec.Raw:
    return msgspec.Raw(encode(entries))


def change(before: int, version: int, *ids: str) -> Change:
    return Change("w", before, version, raw(*map(Entry, ids)))


def state(version: int, *ids: str, first: bool = True, last: bool = True) -> State:
    return State("w", version, first, last, raw(*map(Entry, ids)))


# What comes after a worker has said farewell, or was taken for gone.
LATE: dict[str, Any] = {
    "first change": change(0, 9, "late"),
    "next change": change(1, 9, "late"),
    "state": state(9, "late"),
    "nobody": State("w", 9, True, True, NOBODY),
    "alive": Alive("w", 3, {"room": {}}),
    "alive for long": Alive("w", 10**6, {}),
    "question": Ask("w", "", ["room"]),
    "farewell": Bye("w"),
}


@pytest.mark.parametrize("late", LATE)
async def test_a_late_message_revives_no_worker(here: Listener, late: str) -> None:
    ada = here.enter()
    here.hear(Alive("w", 1, {}))
    here.hear(state(1, "bob"))
    assert await here.who() == {ada.id, "bob"}
    here.hear(Bye("w"))
    await here.said()
    here.hear(LATE[late])
    assert await here.who() == {ada.id}
    await turns()
    assert ada.events == [Joined("room", "bob"), Left("room", "bob")]
    # It is neither answered nor asked for anything.
    assert await here.said(Ask, State, Alive) == []
    assert here.rooms.counters.foreign == 0


async def test_a_late_count_revives_no_worker(here: Listener) -> None:
    here.enter("count/1")
    here.hear(Count("w", 1, 5), "count/1")
    assert await here.rooms.presence_count("count/1") == 6
    here.hear(Bye("w"))
    here.hear(Count("w", 2, 5), "count/1")
    assert await here.rooms.presence_count("count/1") == 1


async def test_half_a_state_of_a_worker_that_is_gone_is_forgotten(here: Listener) -> None:
    """One that was not heard of for a lease, and is again."""
    ada = here.enter()
    here.hear(Alive("w", 1, {}))
    here.hear(state(1, "bob", last=False))
    here.beat(BEATS + 1)
    assert here.rooms.counters.expired == 1
    here.hear(state(1, "eve", first=False))
    assert await here.who() == {ada.id}
    here.hear(state(1, "bob", last=False))
    here.hear(state(1, "eve", first=False))
    assert await here.who() == {ada.id, "bob", "eve"}


async def test_a_worker_is_gone_after_a_lease_of_silence(
    here: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    ada = here.enter()
    for worker in "vw":
        here.hear(State(worker, 1, True, True, raw(Entry(worker))))
    here.beat(BEATS)
    here.hear(Alive("v", 1, {}))
    assert await here.who() == {ada.id, "v", "w"}
    here.beat()
    assert await here.who() == {ada.id, "v"}
    here.beat(BEATS)
    assert await here.who() == {ada.id}
    assert here.rooms.counters.expired == 2
    assert caplog.messages == ["a worker is not heard of any more; its members are gone"] * 2
    # One that has said farewell is not missed.
    here.hear(Alive("u", 1, {}))
    here.hear(Bye("u"))
    here.beat(2 * BEATS)
    assert here.rooms.counters.expired == 2


async def test_only_new_words_of_its_own_are_beats(here: Listener) -> None:
    here.enter()
    here.hear(State("w", 1, True, True, raw(Entry("w"))))
    for _ in range(3 * BEATS):
        here.hear(Alive(here.name, here.age, {}))
        here.hear(Alive(here.name, 1, {}))
    assert here.rooms.counters.expired == 0


async def test_its_own_news_change_nothing(here: Listener) -> None:
    ada = here.enter()
    here.hear(State(here.name, 10**6, True, True, raw(Entry("stranger"))))
    here.hear(Bye(here.name))
    assert await here.who() == {ada.id}


# Questions.


async def test_a_new_worker_is_greeted_once(here: Listener) -> None:
    here.hear(Alive("w", 1, {}))
    (greeting,) = await here.said(Alive)
    assert greeting.worker == here.name
    here.hear(Alive("w", 2, {}))
    assert await here.said(Alive) == []


async def test_who_has_missed_something_asks_once(here: Listener) -> None:
    here.enter()
    here.hear(Alive("w", 1, {}))
    here.hear(change(0, 1, "a"))
    await here.said()
    here.hear(change(2, 3, "b"))
    assert await here.asked() == [("w", ["room"])]
    here.hear(change(3, 4, "c"))
    assert await here.asked() == []
    here.hear(state(4, "a", "b", "c"))
    here.hear(change(4, 5, "d"))
    assert await here.asked() == []
    assert len(await here.who()) == 5


async def test_a_worker_that_was_away_is_asked_for_all(here: Listener) -> None:
    here.enter()
    here.enter("other")
    await here.said()
    here.hear(Alive("w", BEATS, {}))
    assert await here.asked() == []
    here.hear(Alive("v", BEATS + 1, {}))
    assert await here.asked() == [("v", ["other", "room"])]


async def test_a_question_without_an_answer_is_asked_again(here: Listener) -> None:
    here.hear(Alive("w", 1, {}))
    here.enter()
    assert await here.asked() == [("w", ["room"])]
    for _ in range(BEATS - 1):
        here.beat()
        here.hear(Alive("w", 1, {}))
    assert await here.asked() == []
    here.beat()
    assert await here.asked() == [("w", ["room"])]


async def test_a_gap_is_asked_about(here: Listener) -> None:
    here.enter()
    for worker in "vw":
        here.hear(State(worker, 1, True, True, raw(Entry(worker))))
    await here.said()
    here.rooms.on_gap(PREFIX + "room", None)
    here.rooms.on_gap(PREFIX + "other", None)
    here.rooms.on_gap(EVERYWHERE, None)
    assert await here.asked() == [("", ["room"])]


@pytest.mark.parametrize(("whom", "answered"), [("", True), ("me", True), ("other", False)])
async def test_the_worker_that_is_asked_answers(here: Listener, whom: str, answered: bool) -> None:
    ada = here.enter()
    await here.said()
    here.hear(Ask("w", here.name if whom == "me" else whom, ["room", "empty"]))
    states = await here.said(State)
    found = {who for each in states for who, *_ in msgspec.json.decode(each.entries)}
    assert (len(states), found) == ((2, {ada.id}) if answered else (0, set()))


async def test_what_another_knows_is_corrected(here: Listener) -> None:
    here.enter()
    (told,) = await here.said(Change)
    here.beat(2)
    here.hear(Alive("w", 1, {"room": {here.name: told.version}}))
    assert await here.said(State) == []
    here.hear(Alive("w", 2, {"room": {}}))
    here.hear(Alive("w", 2, {"other": {here.name: 3}}))
    assert len(await here.said(State)) == 2


async def test_what_has_just_changed_is_not_corrected(here: Listener) -> None:
    """It may be on its way."""
    here.beat()
    here.enter()
    await here.said()
    here.hear(Alive("w", 1, {"room": {}}))
    here.beat()
    here.hear(Alive("w", 2, {"room": {}}))
    assert await here.said(State) == []
    here.beat()
    here.hear(Alive("w", 3, {"room": {}}))
    assert len(await here.said(State)) == 1


# What is given back.


async def test_a_room_that_nobody_uses_is_not_followed(here: Listener) -> None:
    visitor = here.enter()
    await here.who("asked")
    followed = {PREFIX + "room", PREFIX + "asked"}
    assert followed <= here.post._channels
    here.beat(LINGER)
    assert followed <= here.post._channels
    here.beat()
    assert followed & here.post._channels == {PREFIX + "room"}
    visitor.member.end()
    await here.said()
    here.beat(LINGER)
    assert set(here.rooms._presence._rosters) == {"room"}
    here.beat()
    assert (here.rooms._presence._rosters, here.post._channels) == ({}, {EVERYWHERE})


async def test_workers_that_are_gone_are_forgotten(here: Listener) -> None:
    for number in range(20):
        here.hear(Alive(f"w{number}", 1, {}))
        if number % 2:
            here.hear(Bye(f"w{number}"))
    here.beat(BEATS + 1)
    gossip: Any = here.rooms._presence._gossip
    assert gossip._peers._peers == {}


async def test_a_stop_forgets_the_others_and_says_so() -> None:
    here = Listener()
    await here.rooms.start()
    ada = here.enter()
    here.hear(state(1, "bob"))
    name = here.name
    await here.said()
    await here.rooms.stop()
    assert await here.said(Bye) == [Bye(name)]
    assert (here.post._channels, here.rooms.presence_known) == ({"", "room", PREFIX + "room"}, 1)
    await here.rooms.start()
    assert here.name != name
    await turns(20)
    here.beat()
    assert await here.who() == {ada.id}
    await here.rooms.stop()
