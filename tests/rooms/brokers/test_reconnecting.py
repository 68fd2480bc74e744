"""The broker of an engine elsewhere: what fails is told at once, and made good by itself."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from fastws.errors import BrokerUnavailable
from fastws.rooms.brokers.history import NO_RECEIPT, History, Receipt
from fastws.rooms.brokers.outgoing import ITEM_COST, Parcel
from fastws.rooms.brokers.remote import FIRST_PAUSE, LAST_PAUSE, STEADY, RemoteBroker
from fastws.testing import Clock
from fastws.testing.waiting import patience
from tests.rooms.brokers.fake import FakeEngine, broker_with, running

HISTORY = History(10, 60.0)
NAME = "fake://engine"


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


@pytest.fixture
def whole_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: high)


# Failures, with what each needs: a call that fails, or one that the engine never answers.
Fault = Callable[[FakeEngine, RemoteBroker], Awaitable[Any]]


async def cut(engine: FakeEngine, broker: RemoteBroker) -> None:
    engine.cut()


async def refuse_to_subscribe(engine: FakeEngine, broker: RemoteBroker) -> None:
    engine.fail("change", ConnectionError("cut"))
    broker.subscribe("late")


async def fail_to_publish(engine: FakeEngine, broker: RemoteBroker) -> None:
    engine.fail("send", ConnectionError("cut"))
    with pytest.raises(BrokerUnavailable):
        await broker.publish("a", b"x")


async def fail_to_recall(engine: FakeEngine, broker: RemoteBroker) -> None:
    engine.fail("recall", ConnectionError("cut"))
    with pytest.raises(BrokerUnavailable):
        await broker.past("a", None)


async def fail_to_answer(engine: FakeEngine, broker: RemoteBroker) -> None:
    engine.fail("ask", ConnectionError("cut"))
    await asyncio.sleep(2.5)


FAULTS = [cut, refuse_to_subscribe, fail_to_publish, fail_to_recall, fail_to_answer]


@pytest.mark.parametrize("fault", FAULTS)
async def test_after_any_failure_all_is_made_anew(
    engine: FakeEngine, clock: Clock, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(engine, "a", "b", history=HISTORY) as (broker, told):
        connecting = engine.hold("connect")
        acting = asyncio.ensure_future(fault(engine, broker))
        await clock.advance(3)
        await acting
        assert (broker.connected, engine.channels) == (False, None)
        assert caplog.messages == [f"the broker is not connected to {NAME}: cut"]
        broker.unsubscribe("b")
        broker.subscribe("c")
        assert told.gaps == []
        connecting.set()
        await clock.advance(1)
        assert broker.connected
        late = {"late"} if fault is refuse_to_subscribe else set()
        assert engine.channels == {"a", "c"} | late
        assert {*told.gaps} == {(channel, None) for channel in {"a", "c"} | late}
        assert len(told.gaps) == len(engine.channels)
        await broker.publish("a", b"1")
        assert told.messages == [("a", b"1")]
        assert len(caplog.messages) == 1


SILENT: dict[str, Callable[[RemoteBroker], Awaitable[Any]]] = {
    "send": lambda broker: broker.publish("a", b"x"),
    "recall": lambda broker: broker.past("a", None),
    "change": lambda broker: broker.settled(),
}


@pytest.mark.parametrize("call", SILENT)
async def test_an_engine_that_does_not_answer_is_given_up_in_time(
    engine: FakeEngine, clock: Clock, call: str
) -> None:
    async with running(engine, history=HISTORY, broker_timeout=8.0) as (broker, _):
        await clock.advance(3.5)
        engine.hold(call)
        if call == "change":
            broker.subscribe("a")
        waiting = asyncio.ensure_future(SILENT[call](broker))
        await clock.advance(7.5)
        assert not waiting.done()
        await clock.advance(0.5)
        with pytest.raises(BrokerUnavailable, match=f"{NAME}|the engine has not answered"):
            await waiting
        assert len(engine.arguments("close")) == 1


async def test_an_engine_without_a_sign_of_life_is_given_up(
    engine: FakeEngine, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(engine, broker_timeout=8.0) as (broker, _):
        assert len(engine.arguments("ask")) == 1
        await clock.advance(4)
        assert len(engine.arguments("ask")) == 2
        await clock.advance(3.5)
        engine.hold("ask")
        await clock.advance(8)
        assert (broker.connected, len(engine.arguments("ask"))) == (True, 3)
        await clock.advance(0.5)
        assert not broker.connected
        assert caplog.messages == [f"the broker is not connected to {NAME}: it does not answer"]


async def test_messages_do_not_delay_the_question_for_a_sign_of_life(
    engine: FakeEngine, clock: Clock
) -> None:
    async with running(engine, broker_timeout=8.0) as (broker, _):
        for _ in range(16):
            await broker.publish("a", b"x")
            await clock.advance(0.5)
        assert len(engine.arguments("ask")) == 3


async def test_a_connection_that_takes_too_long_is_given_up(
    engine: FakeEngine, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    engine.hold("connect")
    broker, _ = broker_with(engine, broker_timeout=8.0)
    starting = asyncio.create_task(broker.start())
    await clock.advance(7.5)
    assert not starting.done()
    await clock.advance(0.5)
    assert starting.done()
    assert caplog.messages == [f"the broker is not connected to {NAME}: it does not answer"]
    await broker.stop()


async def test_an_error_is_seen_only_once_the_broker_is_red(
    engine: FakeEngine, clock: Clock
) -> None:
    """A task that gets an error must not find a broker that claims to be connected."""
    async with running(engine, history=HISTORY) as (broker, _):
        connected: list[bool] = []

        async def observe(waiting: Awaitable[Any]) -> None:
            with pytest.raises(BrokerUnavailable):
                await waiting
            connected.append(broker.connected)

        for call, act in SILENT.items():
            engine.fail(call, ConnectionError("cut"))
            if call == "change":
                broker.subscribe("b")
            await observe(act(broker))
            await clock.advance(1)
            assert broker.connected
        observing = asyncio.create_task(observe(broker.publish("a", b"x")))
        engine.hold("send")
        await asyncio.sleep(0)
        engine.cut()
        await observing
        assert connected == [False] * 4


async def test_all_that_wait_are_told(engine: FakeEngine, clock: Clock) -> None:
    async with running(engine, history=HISTORY, max_broker_queue=3 * ITEM_COST) as (broker, _):
        for name in ("send", "recall"):
            engine.hold(name)
        waiting: list[Awaitable[Any]] = [broker.publish("a", b""), broker.past("a", None)]
        tasks = [asyncio.ensure_future(each) for each in waiting]
        await clock.settle()
        waiting = [broker.publish("a", b""), broker.past("a", None), broker.settled()]
        later = [asyncio.ensure_future(each) for each in waiting]
        await clock.settle()
        engine.cut()
        await clock.settle()
        assert all(task.done() for task in tasks + later)
        assert {str(task.exception()) for task in tasks} == {
            f"{NAME} has not answered",
            "the engine has not answered",
        }
        assert {str(task.exception()) for task in later} == {f"{NAME} is out of reach: cut"}
        engine.hold("send").set()
        await clock.advance(1)
        # Nothing of what failed still counts, and nothing of it is sent again.
        await asyncio.gather(*(broker.publish("a", b"") for _ in range(3)))
        assert len([payload for batch in engine.sent for payload in batch]) == 4


async def test_rooms_that_come_and_go_meanwhile_leave_nothing(
    engine: FakeEngine, clock: Clock
) -> None:
    async with running(engine, "a") as (broker, told):
        connecting = engine.hold("connect")
        engine.cut()
        await clock.advance(1)
        for number in range(100):
            broker.subscribe(f"{number}")
            broker.unsubscribe(f"{number}")
        assert broker._missed == {"a"}
        connecting.set()
        await clock.advance(1)
        assert engine.arguments("change")[-1] == (["a"], [])
        assert told.gaps == [("a", None)]


@pytest.mark.usefixtures("whole_pauses")
async def test_attempts_are_made_at_growing_distances(engine: FakeEngine, clock: Clock) -> None:
    broker, _ = broker_with(engine)
    engine.fail("connect", *[ConnectionError("refused")] * 9)
    await broker.start()
    assert len(engine.arguments("connect")) == 1
    expected = [FIRST_PAUSE * 2**i for i in range(6)] + [LAST_PAUSE] * 2
    for attempt, pause in enumerate(expected, 1):
        await clock.advance(pause - 0.01)
        assert len(engine.arguments("connect")) == attempt
        await clock.advance(0.01)
        assert len(engine.arguments("connect")) == attempt + 1
    assert len(engine.arguments("close")) == len(expected) + 1
    await broker.stop()


@pytest.mark.usefixtures("whole_pauses")
@pytest.mark.parametrize(
    ("steady", "pause"), [(STEADY - 1, 4 * FIRST_PAUSE), (STEADY + 1, FIRST_PAUSE)]
)
async def test_only_a_connection_that_has_held_makes_the_next_attempt_soon(
    engine: FakeEngine, clock: Clock, steady: float, pause: float
) -> None:
    engine.fail("connect", *[ConnectionError("refused")] * 2)
    async with running(engine) as (broker, _):
        await clock.advance(3 * FIRST_PAUSE + steady)
        assert broker.connected
        engine.cut()
        await clock.advance(pause - 0.01)
        assert not broker.connected
        await clock.advance(0.01)
        assert broker.connected


async def test_workers_do_not_all_come_at_once(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    cuts: list[tuple[float, float]] = []

    def shortest(low: float, high: float) -> float:
        cuts.append((low, high))
        return low

    monkeypatch.setattr("random.uniform", shortest)
    engine.fail("connect", ConnectionError("refused"))
    async with running(engine) as (broker, _):
        await clock.advance(FIRST_PAUSE / 2 - 0.001)
        assert not broker.connected
        await clock.advance(0.001)
        assert broker.connected
        assert cuts == [(0.5, 1)]


async def test_each_reason_is_logged_once(
    engine: FakeEngine, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    errors = [ConnectionError("refused")] * 3 + [OSError("no route")] * 2
    engine.fail("connect", *errors)
    async with running(engine) as (broker, _):
        with pytest.raises(BrokerUnavailable, match=f"{NAME} is out of reach: refused"):
            await broker.publish("a", b"x")
        await clock.advance(20)
        assert broker.connected
        # What has failed before may fail again, and is news then.
        engine.fail("connect", OSError("no route"))
        engine.cut(OSError("no route"))
        await clock.advance(20)
        red = f"the broker is not connected to {NAME}: "
        green = f"the broker is connected to {NAME}"
        expected = [red + "refused", red + "no route", green, red + "no route", green]
        assert caplog.messages == expected


# Start and stop.


async def test_not_started_stopped_and_started_again(engine: FakeEngine, clock: Clock) -> None:
    broker, told = broker_with(engine, "a", history=HISTORY)
    for why in ("it has not been started", "it was stopped"):
        for act in SILENT.values():
            with pytest.raises(BrokerUnavailable, match=f"{NAME} is out of reach: {why}"):
                async with patience(5, lambda: "it is not refused"):
                    await act(broker)
        await broker.start()
        await broker.start()
        await broker.publish("a", b"x")
        await broker.stop()
        await broker.stop()
        assert (broker.connected, engine.channels) == (False, None)
    assert len(engine.arguments("connect")) == 2
    assert told.messages == [("a", b"x")] * 2
    assert told.gaps == [("a", None)]


async def test_a_stop_lets_nobody_wait(engine: FakeEngine, clock: Clock) -> None:
    broker, _ = broker_with(engine, "a", history=HISTORY)
    await broker.start()
    for name in ("send", "recall"):
        engine.hold(name)
    first = [asyncio.ensure_future(act(broker)) for act in SILENT.values()]
    await clock.settle()
    later = [asyncio.ensure_future(act(broker)) for act in SILENT.values()]
    await clock.settle()
    await broker.stop()
    assert not broker.connected
    results = await asyncio.gather(*first, *later, return_exceptions=True)
    # The engine knew all subscriptions before it was asked to send.
    assert results.pop(2) is None
    assert {type(each) for each in results} == {BrokerUnavailable}
    assert {str(each) for each in results[2:]} == {f"{NAME} is out of reach: it was stopped"}


async def test_a_stop_ends_an_attempt(engine: FakeEngine, clock: Clock) -> None:
    engine.hold("connect")
    broker, _ = broker_with(engine)
    starting = asyncio.create_task(broker.start())
    await clock.settle()
    await broker.stop()
    await starting
    assert (broker.connected, len(engine.arguments("close"))) == (False, 1)
    await clock.advance(10)
    assert len(engine.arguments("connect")) == 1


async def test_a_stop_is_repeated_until_the_engine_gives_in(
    engine: FakeEngine, clock: Clock
) -> None:
    """A client library may swallow a cancellation."""
    swallowed = 0

    async def stubborn(batch: list[Parcel]) -> list[Receipt | str]:
        nonlocal swallowed
        while swallowed < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
        return [NO_RECEIPT] * len(batch)

    engine.send = stubborn  # type: ignore[method-assign]
    broker, _ = broker_with(engine)
    await broker.start()
    publishing = asyncio.create_task(broker.publish("a", b"x"))
    await clock.settle()
    stopping = asyncio.create_task(broker.stop())
    await clock.advance(1)
    assert stopping.done()
    assert swallowed == 3
    assert publishing.result() == NO_RECEIPT


async def test_nothing_is_told_after_a_stop(engine: FakeEngine, clock: Clock) -> None:
    broker, told = broker_with(engine, "a")
    await broker.start()
    before = asyncio.all_tasks()
    await broker.stop()
    broker.subscribe("b")
    await clock.advance(10)
    assert (told.messages, told.gaps) == ([], [])
    assert asyncio.all_tasks() < before
