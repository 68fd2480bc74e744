"""The broker of an engine elsewhere: subscriptions, batches, and what it says to its receiver."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fastws.errors import BrokerUnavailable, ProtocolError
from fastws.rooms.brokers.history import NO_RECEIPT, History, Position, Receipt, digest
from fastws.rooms.brokers.numbering import Numbered
from fastws.rooms.brokers.outgoing import BATCH_COUNT, ITEM_COST
from fastws.rooms.brokers.remote import TURN_SIZE, RemoteBroker
from fastws.testing import Clock
from tests.rooms.brokers.fake import EPOCH, FakeEngine, broker_with, log, running

HISTORY = History(10, 60.0)


@pytest.fixture
def anyio_backend() -> str:
    """Asyncio's own event loop, since the clock needs it."""
    return "asyncio"


@pytest.fixture(autouse=True)
async def clock() -> AsyncIterator[Clock]:
    with Clock() as clock:
        yield clock


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def publishing(broker: RemoteBroker, *payloads: bytes) -> list[asyncio.Task[Receipt]]:
    return [asyncio.create_task(broker.publish("a", payload)) for payload in payloads]


async def outcomes(tasks: list[asyncio.Task[Any]]) -> list[str]:
    """Return what each publish ended with: "" for a receipt, else the error."""
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, Receipt | BrokerUnavailable) for each in results)
    return [str(each) if isinstance(each, BrokerUnavailable) else "" for each in results]


# Subscriptions.


async def test_subscriptions_of_before_the_start_are_told_at_once(engine: FakeEngine) -> None:
    async with running(engine, "a", "b") as (broker, told):
        assert broker.connected
        assert engine.channels == {"a", "b"}
        assert engine.arguments("change") == [(["a", "b"], [])]
        assert told.gaps == []


async def test_a_message_after_a_join_comes_to_who_has_joined(engine: FakeEngine) -> None:
    async with running(engine) as (broker, told):
        broker.subscribe("a")
        await broker.publish("a", b"1")
        assert told.messages == [("a", b"1")]
        broker.unsubscribe("a")
        broker.subscribe("b")
        await broker.publish("a", b"2")
        assert engine.arguments("change") == [(["a"], []), (["b"], ["a"])]
        assert (told.messages, told.gaps) == ([("a", b"1")], [])


async def test_subscriptions_are_told_without_a_message(engine: FakeEngine, clock: Clock) -> None:
    async with running(engine, "a") as (broker, _):
        broker.subscribe("b")
        await clock.settle()
        assert engine.arguments("change") == [(["a"], []), (["b"], [])]
        broker.subscribe("c")
        broker.unsubscribe("c")
        await clock.settle()
        assert engine.arguments("change") == [(["a"], []), (["b"], [])]
        broker.unsubscribe("b")
        await clock.settle()
        assert engine.channels == {"a"}


async def test_subscriptions_that_come_during_the_start_are_waited_for(
    engine: FakeEngine, clock: Clock
) -> None:
    change = engine.hold("change")
    broker, told = broker_with(engine, "a")
    starting = asyncio.create_task(broker.start())
    await clock.settle()
    broker.subscribe("b")
    second = engine.hold("change")
    change.set()
    await clock.settle()
    assert (broker.connected, starting.done()) == (False, False)
    second.set()
    await starting
    assert engine.channels == {"a", "b"}
    # Nothing says that "b" missed nothing before the engine knew it.
    assert (broker.connected, told.gaps) == (True, [("b", None)])
    await broker.stop()


async def test_settled_waits_until_the_engine_knows(engine: FakeEngine, clock: Clock) -> None:
    async with running(engine, "a") as (broker, _):
        await broker.settled()
        change = engine.hold("change")
        broker.subscribe("b")
        settling = [asyncio.create_task(broker.settled()) for _ in range(2)]
        await clock.settle()
        assert not any(each.done() for each in settling)
        change.set()
        await asyncio.gather(*settling)
        assert engine.channels == {"a", "b"}


async def test_settled_raises_when_the_engine_never_knew(engine: FakeEngine, clock: Clock) -> None:
    async with running(engine) as (broker, _):
        engine.hold("change")
        first = asyncio.create_task(broker.settled())
        broker.subscribe("a")
        await clock.settle()
        late = asyncio.create_task(broker.settled())
        await clock.settle()
        engine.cut()
        with pytest.raises(BrokerUnavailable, match="fake://engine has not answered"):
            await first
        with pytest.raises(BrokerUnavailable, match="fake://engine is out of reach: cut"):
            await late
        with pytest.raises(BrokerUnavailable, match="fake://engine is out of reach: cut"):
            await broker.settled()


# Publishing.


async def test_what_is_published_meanwhile_goes_together(engine: FakeEngine, clock: Clock) -> None:
    async with running(engine) as (broker, _):
        send = engine.hold("send")
        first = publishing(broker, b"1")
        await clock.settle()
        rest = publishing(broker, b"2", b"3")
        await clock.settle()
        assert engine.sent == [[b"1"]]
        send.set()
        assert await outcomes(first + rest) == [""] * 3
        assert engine.sent == [[b"1"], [b"2", b"3"]]


async def test_more_than_goes_at_once_needs_no_new_work(engine: FakeEngine, clock: Clock) -> None:
    async with running(engine) as (broker, _):
        tasks = publishing(broker, *[b""] * (2 * BATCH_COUNT + 1))
        await clock.settle()
        assert all(task.done() for task in tasks)
        assert [len(batch) for batch in engine.sent] == [BATCH_COUNT, BATCH_COUNT, 1]


async def test_the_engine_is_told_all_of_a_message(engine: FakeEngine) -> None:
    receipt = Receipt(Position("epoch", 7), duplicate=True)
    engine.answer = lambda parcel: receipt
    async with running(engine, history=HISTORY) as (broker, _):
        assert await broker.publish("a", b"x", "id") == receipt
        assert engine.arguments("connect") == [[HISTORY]]
        ((parcel,),) = engine.arguments("send")
        assert parcel[:4] == ("a", b"x", HISTORY, digest("a", "id"))


async def test_what_an_engine_cannot_take_is_not_sent(engine: FakeEngine) -> None:
    broker, _ = broker_with(engine)
    for error in (ProtocolError(1009, "too large"), ValueError("no ids")):
        engine.fail("check", error)
        with pytest.raises(type(error)):
            await broker.publish("a", b"x")
    async with running(engine) as (broker, _):
        engine.fail("check", ValueError("no ids"))
        with pytest.raises(ValueError, match="no ids"):
            await broker.publish("a", b"x")
        assert engine.sent == []
        assert await broker.publish("a", b"x") == NO_RECEIPT


async def test_each_message_of_a_batch_has_its_own_outcome(engine: FakeEngine) -> None:
    engine.answer = lambda parcel: "refused" if parcel.payload == b"bad" else NO_RECEIPT
    async with running(engine) as (broker, _):
        assert await outcomes(publishing(broker, b"1", b"bad", b"2")) == ["", "refused", ""]
        assert len(engine.sent) == 1


async def test_a_batch_that_is_refused_harms_no_other(engine: FakeEngine, clock: Clock) -> None:
    async with running(engine, "a") as (broker, told):
        send = engine.hold("send")
        engine.fail("send", BrokerUnavailable("no memory"))
        refused = publishing(broker, b"1", b"2")
        await clock.settle()
        taken = publishing(broker, b"3")
        send.set()
        assert await outcomes(refused + taken) == ["no memory", "no memory", ""]
        assert broker.connected
        assert (told.messages, told.gaps) == ([("a", b"3")], [])
        assert engine.arguments("close") == []


async def test_the_queue_is_bounded(engine: FakeEngine, clock: Clock) -> None:
    async with running(engine, max_broker_queue=3 * ITEM_COST) as (broker, _):
        send = engine.hold("send")
        tasks = publishing(broker, b"", b"", b"", b"")
        await clock.settle()
        with pytest.raises(BrokerUnavailable, match="slower than what is published: 768 bytes"):
            await tasks.pop()
        send.set()
        assert await outcomes(tasks) == [""] * 3
        assert await outcomes(publishing(broker, b"", b"", b"")) == [""] * 3


async def test_cancelled_publishes_leave_room_for_others(engine: FakeEngine, clock: Clock) -> None:
    async with running(engine, max_broker_queue=4 * ITEM_COST) as (broker, _):
        for _ in range(10):
            send = engine.hold("send")
            first = publishing(broker, b"on its way")
            await clock.settle()
            waiting = publishing(broker, b"waiting", b"waiting")
            await clock.settle()
            for task in first + waiting:
                task.cancel()
            send.set()
            await asyncio.wait(first + waiting)
        assert {payload for batch in engine.sent for payload in batch} == {b"on its way"}
        assert await outcomes(publishing(broker, *[b""] * 4)) == [""] * 4


# Receiving.


async def test_messages_come_with_their_positions(engine: FakeEngine) -> None:
    async with running(engine, "a", history=HISTORY) as (_, told):
        engine.bring("a", b"1")
        engine.bring("a", b"2")
        assert told.messages == [("a", b"1"), ("a", b"2")]
        assert told.positions == [Position("epoch", 1), Position("epoch", 2)]


async def test_a_hole_in_the_numbers_is_a_gap_before_the_message(engine: FakeEngine) -> None:
    async with running(engine, "a", "b") as (_, told):
        engine.bring("a", b"1", 5)
        engine.bring("b", b"1", 9)
        assert told.gaps == []
        messages = 0

        def on_gap(channel: str, lost: int | None) -> None:
            nonlocal messages
            messages = len(told.messages)
            told.gaps.append((channel, lost))

        told.on_gap = on_gap  # type: ignore[method-assign]
        engine.bring("a", b"2", 8)
        assert (told.gaps, messages) == ([("a", 2)], 2)
        assert told.messages[2:] == [("a", b"2")]


async def test_an_engine_that_has_forgotten_its_numbers_is_a_gap(engine: FakeEngine) -> None:
    async with running(engine, "a") as (_, told):
        engine.bring("a", b"1", 5)
        engine.take("a", Numbered(b"other", 6, b"2"))
        assert told.gaps == [("a", None)]
        assert told.messages == [("a", b"1"), ("a", b"2")]


async def test_foreign_bytes_are_told_as_such(engine: FakeEngine) -> None:
    async with running(engine, "a") as (_, told):
        engine.take("a", None)
        assert (told.foreign, told.messages) == (["a"], [])


async def test_a_channel_that_was_left_is_not_told(engine: FakeEngine) -> None:
    """The engine does not know yet."""
    async with running(engine, "a", "b") as (broker, told):
        broker.unsubscribe("a")
        engine.bring("a", b"late")
        engine.take("a", None)
        assert (told.messages, told.foreign) == ([], [])


async def test_a_channel_that_was_left_has_no_gap_later(engine: FakeEngine) -> None:
    async with running(engine, "a") as (broker, told):
        await broker.publish("a", b"1")
        broker.unsubscribe("a")
        await broker.settled()
        broker.subscribe("a")
        await broker.settled()
        engine.bring("a", b"9", 9)
        assert (told.messages, told.gaps) == ([("a", b"1"), ("a", b"9")], [])


async def test_a_receiver_that_fails_costs_one_message(
    engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(engine, "a") as (broker, told):
        on_message = told.on_message

        def fail(channel: str, payload: bytes, position: Position | None) -> None:
            if payload == b"bad":
                raise ZeroDivisionError
            on_message(channel, payload, position)

        told.on_message = fail  # type: ignore[method-assign]
        engine.bring("a", b"bad")
        engine.bring("a", b"good")
        assert told.messages == [("a", b"good")]
        assert (broker.connected, told.gaps) == (True, [])
        assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_without_a_receiver_nothing_happens(engine: FakeEngine) -> None:
    async with running(engine, "a") as (broker, _):
        broker.receiver = None
        assert await broker.publish("a", b"1") == NO_RECEIPT


@pytest.mark.parametrize("size", [0, 1000, TURN_SIZE])
async def test_others_get_a_turn_after_so_many_bytes(engine: FakeEngine, size: int) -> None:
    async with running(engine, "a") as (_, _):
        count = -(-TURN_SIZE // (size + ITEM_COST))
        for _ in range(2):
            turns = [engine.bring("a", bytes(size)) for _ in range(count)]
            assert turns == [False] * (count - 1) + [True]


async def test_foreign_bytes_count_for_a_turn(engine: FakeEngine) -> None:
    async with running(engine, "a") as (_, _):
        count = TURN_SIZE // ITEM_COST
        assert [engine.take("a", None) for _ in range(count)] == [False] * (count - 1) + [True]


# What is kept.


async def test_the_past_comes_from_the_engine(engine: FakeEngine) -> None:
    engine.logs["a"] = log(1, 2, 3)
    async with running(engine, history=HISTORY) as (broker, _):
        past = await broker.past("a", Position("e", 1))
        assert [kept.number for kept in past.messages] == [2, 3]
        engine.fail("recall", BrokerUnavailable("busy"))
        with pytest.raises(BrokerUnavailable, match=r"^busy$"):
            await broker.past("a", None)
        assert (await broker.past("a", None)).position == Position("e", 3)
        assert broker.connected


async def test_what_has_no_history_has_no_past(engine: FakeEngine) -> None:
    async with running(engine) as (broker, _):
        with pytest.raises(RuntimeError, match="has no history"):
            await broker.past("a", None)


async def test_numbers_of_another_connection_are_no_gap_of_that_size(
    engine: FakeEngine, clock: Clock
) -> None:
    """Whatever came meanwhile is within the gap of the reconnect."""
    async with running(engine, "a") as (_, told):
        engine.bring("a", b"1", 1)
        engine.cut()
        await clock.advance(1)
        engine.take("a", Numbered(EPOCH, 8, b"8"))
        assert told.gaps == [("a", None)]
        assert told.messages == [("a", b"1"), ("a", b"8")]


async def test_a_connection_is_logged(engine: FakeEngine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running(engine):
        assert caplog.messages == ["the broker is connected to fake://engine"]
