"""What waits for an engine: in order, in batches, bounded, and given back however it ends."""

import asyncio

import pytest

from fastws.errors import BrokerUnavailable
from fastws.rooms.brokers.history import Position, Receipt
from fastws.rooms.brokers.outgoing import (
    BATCH_COUNT,
    BATCH_SIZE,
    ITEM_COST,
    Outgoing,
    Parcel,
    settle,
)

RECEIPT = Receipt(Position("epoch", 1))


def parcel(size: int = 0) -> Parcel:
    future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
    return Parcel("a", bytes(size), None, None, future)


def waiting(outgoing: Outgoing, count: int, size: int = 0) -> list[Parcel]:
    parcels = [parcel(size) for _ in range(count)]
    for each in parcels:
        outgoing.put(each)
    return parcels


def has_room_for(outgoing: Outgoing, count: int) -> bool:
    """Fill the queue with empty messages, and empty it; return whether exactly `count` fit."""
    batch = waiting(outgoing, count)
    with pytest.raises(BrokerUnavailable, match=f"{count * ITEM_COST} bytes wait"):
        outgoing.put(parcel())
    outgoing.fail("emptied")
    return all(isinstance(each.taken.exception(), BrokerUnavailable) for each in batch)


async def test_messages_leave_in_order_and_in_batches_of_a_count() -> None:
    outgoing = Outgoing(10**6)
    parcels = waiting(outgoing, BATCH_COUNT + 2)
    assert outgoing.take() == parcels[:BATCH_COUNT]
    assert outgoing.take() == parcels[BATCH_COUNT:]
    assert outgoing.take() == []


async def test_a_batch_ends_once_it_has_its_bytes() -> None:
    outgoing = Outgoing(10 * BATCH_SIZE)
    exact = waiting(outgoing, 4, BATCH_SIZE // 4 - ITEM_COST)
    large = waiting(outgoing, 1, 2 * BATCH_SIZE)
    small = waiting(outgoing, 2)
    assert [outgoing.take(), outgoing.take(), outgoing.take()] == [exact, large, small]


async def test_the_queue_is_bounded_in_bytes() -> None:
    outgoing = Outgoing(3 * ITEM_COST)
    waiting(outgoing, 2)
    outgoing.put(parcel())
    with pytest.raises(BrokerUnavailable, match=f"{3 * ITEM_COST} bytes wait"):
        outgoing.put(parcel())
    outgoing = Outgoing(3 * ITEM_COST)
    outgoing.put(parcel(ITEM_COST))
    with pytest.raises(BrokerUnavailable):
        outgoing.put(parcel(1))
    outgoing.put(parcel())


async def test_one_message_may_be_larger_than_the_queue() -> None:
    outgoing = Outgoing(ITEM_COST)
    (large,) = waiting(outgoing, 1, 10_000)
    with pytest.raises(BrokerUnavailable):
        outgoing.put(parcel())
    assert outgoing.take() == [large]
    outgoing.settle(large, RECEIPT)
    assert has_room_for(outgoing, 1)


async def test_a_message_counts_until_it_is_settled() -> None:
    outgoing = Outgoing(2 * ITEM_COST)
    parcels = waiting(outgoing, 2)
    assert outgoing.take() == parcels
    with pytest.raises(BrokerUnavailable):
        outgoing.put(parcel())
    outgoing.settle(parcels[0], RECEIPT)
    outgoing.put(parcel())
    with pytest.raises(BrokerUnavailable):
        outgoing.put(parcel())


@pytest.mark.parametrize("size", [0, 1, 700])
@pytest.mark.parametrize("taken", [False, True])
async def test_a_cancelled_publish_counts_no_more(size: int, taken: bool) -> None:
    """Neither one that still waits, nor one that is on its way."""
    outgoing = Outgoing(4 * ITEM_COST)
    for _ in range(5):
        (each,) = waiting(outgoing, 1, size)
        batch = outgoing.take() if taken else []
        each.taken.cancel()
        assert outgoing.take() == []
        for sent in batch:
            outgoing.settle(sent, RECEIPT)
    assert has_room_for(outgoing, 4)


async def test_cancelled_messages_take_no_place_in_a_batch() -> None:
    outgoing = Outgoing(10**9)
    for each in waiting(outgoing, 3 * BATCH_COUNT) + waiting(outgoing, 3, BATCH_SIZE):
        each.taken.cancel()
    parcels = waiting(outgoing, 2)
    assert outgoing.take() == parcels


async def test_the_engine_answers_each_message_of_a_batch() -> None:
    outgoing = Outgoing(3 * ITEM_COST)
    good, bad, also_good = waiting(outgoing, 3)
    for each in outgoing.take():
        outgoing.settle(each, "refused" if each is bad else RECEIPT)
    assert await good.taken == await also_good.taken == RECEIPT
    with pytest.raises(BrokerUnavailable, match=r"^refused$"):
        await bad.taken
    assert has_room_for(outgoing, 3)


async def test_all_that_wait_fail_and_what_is_on_its_way_does_not() -> None:
    outgoing = Outgoing(4 * ITEM_COST)
    (sent,) = waiting(outgoing, 1)
    outgoing.take()
    first, cancelled, last = waiting(outgoing, 3)
    cancelled.taken.cancel()
    outgoing.fail("cut")
    for each in (first, last):
        with pytest.raises(BrokerUnavailable, match=r"^cut$"):
            await each.taken
    assert outgoing.take() == []
    assert not sent.taken.done()
    outgoing.settle(sent, RECEIPT)
    assert has_room_for(outgoing, 4)


async def test_a_future_is_settled_once() -> None:
    for first in (RECEIPT, "refused"):
        future = parcel().taken
        settle(future, first)
        settle(future, RECEIPT)
        settle(future, "too late")
        if first is RECEIPT:
            assert future.result() is RECEIPT
        else:
            assert str(future.exception()) == first
