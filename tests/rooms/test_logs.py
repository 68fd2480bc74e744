"""Lines of the log: what an engine or a connection says cannot forge one."""

import asyncio
from typing import Any

import pytest

from fastws.errors import BrokerUnavailable
from fastws.limits import Limits
from fastws.rooms import Member, Receipt, Rooms
from fastws.rooms.brokers import MemoryBroker
from fastws.rooms.brokers.remote import _explain
from tests.rooms.brokers.fake import FakeEngine, running
from tests.rooms.serving import turns
from tests.rooms.test_member import Wire
from tests.server.serving import until

HOSTILE = "gone\r\nERROR all is well\x1b[2J\x00 é\u2028\u202e\ud800"
WHY = r"gone\r\nERROR all is well\x1b[2J\x00 \xe9\u2028\u202e\ud800"


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the messages, each of which is one printable line."""
    assert all(message.isprintable() for message in caplog.messages)
    assert not any(record.exc_info for record in caplog.records)
    return caplog.messages


@pytest.mark.parametrize("way", ["connect", "cut", "send", "grouped"])
async def test_an_engine_cannot_forge_a_line(way: str, caplog: pytest.LogCaptureFixture) -> None:
    engine, error = FakeEngine(), ConnectionError(HOSTILE)
    if way == "connect":
        engine.fail("connect", error)
    async with running(engine) as (broker, _):
        if way == "send":
            engine.fail("send", error)
            with pytest.raises(BrokerUnavailable):
                await broker.publish("a", b"x")
        elif way != "connect":
            engine.cut(ExceptionGroup("of\nmany", [error]) if way == "grouped" else error)
        await turns()
        with pytest.raises(BrokerUnavailable) as refused:
            await broker.publish("a", b"x")
        assert lines_of(caplog) == [f"the broker is not connected to {engine.name}: {WHY}"]
        assert str(refused.value) == f"{engine.name} is out of reach: {WHY}"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ConnectionResetError(), "ConnectionResetError"),
        (TimeoutError("whatever"), "it does not answer"),
        (asyncio.CancelledError(), "it was stopped, or the connection has ended"),
        (ExceptionGroup("x", [ExceptionGroup("y", [TimeoutError()])]), "it does not answer"),
        (
            BaseExceptionGroup("x", [asyncio.CancelledError()]),
            "it was stopped, or the connection has ended",
        ),
    ],
)
def test_a_reason_is_said_in_words(error: BaseException, why: str) -> None:
    assert _explain(error) == why


async def test_a_server_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    rooms, wire = Rooms(), Wire()
    wire.error = ValueError(HOSTILE)
    rooms.join(Member(wire), "room")
    await rooms.publish("room", "x")
    await turns()
    (line,) = lines_of(caplog)
    assert line.startswith("a member ends: ")


async def test_an_engine_cannot_forge_a_line_about_presence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Refusing(MemoryBroker):
        local = False

        async def publish(self, *args: Any) -> Receipt:
            raise ValueError(HOSTILE) if not caplog.messages else BrokerUnavailable("away")

    rooms = Rooms(Refusing(), presence={"": "events"}, limits=Limits(presence_lease=60.0))
    await rooms.start()
    await until(lambda: caplog.messages)
    (line,) = lines_of(caplog)
    assert line.startswith("who is where cannot be told: ")
    await rooms.stop()
