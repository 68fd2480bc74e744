"""What only the broker of one process has: what is published is there at once."""

import pytest

from fastws.rooms.brokers import MemoryBroker
from tests.rooms.brokers.told import Told


@pytest.mark.parametrize("name", ["", " ", "a.b*>", "é", "x" * 200])
def test_any_name_and_no_turn_of_the_loop(name: str) -> None:
    broker = MemoryBroker()
    broker.receiver = told = Told()
    broker.subscribe(name)
    with pytest.raises(StopIteration):
        broker.publish(name, b"x").send(None)
    assert told.messages == [(name, b"x")]
