"""The broker of one process, as `Broker` has it."""

import pytest

from fastws.rooms.brokers import Broker, MemoryBroker


class Told:
    """Remembers what came."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []

    def on_message(self, channel: str, payload: bytes) -> None:
        self.messages.append((channel, payload))


async def test_messages_come_in_order_to_whom_wants_them() -> None:
    broker: Broker = MemoryBroker()
    told = Told()
    broker.receiver = told
    await broker.start()
    broker.subscribe("a")
    await broker.publish("a", b"1")
    await broker.publish("A", b"2")
    broker.subscribe("A")
    await broker.publish("A", b"3")
    await broker.publish("a", b"4")
    broker.unsubscribe("a")
    broker.unsubscribe("a")
    await broker.publish("a", b"5")
    await broker.stop()
    assert told.messages == [("a", b"1"), ("A", b"3"), ("a", b"4")]


@pytest.mark.parametrize("name", ["", " ", "a.b*>", "é", "x" * 200])
def test_any_name_and_no_turn_of_the_loop(name: str) -> None:
    broker = MemoryBroker()
    broker.receiver = told = Told()
    broker.subscribe(name)
    with pytest.raises(StopIteration):
        broker.publish(name, b"x").send(None)
    assert told.messages == [(name, b"x")]


async def test_without_a_receiver_nothing_happens() -> None:
    broker = MemoryBroker()
    broker.subscribe("a")
    await broker.publish("a", b"x")
