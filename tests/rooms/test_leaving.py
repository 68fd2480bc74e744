"""Whichever way members leave, nothing of them stays: no room, task, descriptor or object."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from fastws.errors import Disconnected
from fastws.limits import KIB, Limits
from fastws.rooms import Member
from tests.rooms.serving import Hall, all_payloads, hall
from tests.server.peer import Peer, close, text
from tests.server.serving import fds, until

Way = Callable[[Peer, Member], Awaitable[Any]]


async def says_goodbye(peer: Peer, member: Member) -> None:
    await peer.send(close(1000))
    await peer.gone()


async def resets(peer: Peer, member: Member) -> None:
    peer.reset()


async def finishes(peer: Peer, member: Member) -> None:
    peer.finish()
    await peer.gone()


async def is_kicked(peer: Peer, member: Member) -> None:
    member.close(4000, "kicked")
    await answer(peer)


async def makes_the_handler_fail(peer: Peer, member: Member) -> None:
    await peer.send(text("fail"))
    await answer(peer)


async def answer(peer: Peer) -> None:
    """Answers the close frame, without which some wait for ten seconds."""
    await all_payloads(peer)
    await peer.send(close(1000))
    await peer.gone()


async def is_silent(peer: Peer, member: Member) -> None:
    await until(lambda: member.ended)


WAYS: list[Way] = [
    says_goodbye,
    resets,
    finishes,
    is_kicked,
    makes_the_handler_fail,
    is_silent,
]
CASES = [
    pytest.param(
        kind, slow, way, marks=() if (kind, way) == ("fastws", resets) else pytest.mark.deep
    )
    for kind in ("fastws", "hidden", "uvicorn")
    for slow in (False, True)
    for way in WAYS
    # uvicorn's own class waits for ever for one that is silent and does not read.
    if (kind, slow, way) != ("uvicorn", True, is_silent)
]


async def act(member: Member, message: Any) -> None:
    if message == "fail":
        raise ZeroDivisionError


async def fall_behind(app: Hall) -> None:
    """Publish until all members are behind at once: the kernel takes more with each pause."""
    for _ in range(1000):
        if all(each.ended or each.outbox is not None for each in app.members):
            return
        await app.rooms.publish("room", bytes(4 * KIB))
        await asyncio.sleep(0)
    raise AssertionError("the kernel takes everything")


async def come_and_go(app: Hall, slow: bool, way: Way) -> list[weakref.ref[Any]]:
    """Lets some join, hear something that they do not read, and leave."""
    async with AsyncExitStack() as stack:
        for _ in range(6):
            entering = app.enter_slowly() if slow else app.enter()
            stack.enter_context(suppress(ConnectionError, EOFError))
            peer, member = await stack.enter_async_context(entering)
            stack.push_async_callback(way, peer, member)
            with suppress(Disconnected):
                for i in range(19):
                    app.rooms.join(member, str(i))
        for i in range(20):
            await app.rooms.publish("room", bytes(4 * KIB))
            await app.rooms.publish(str(i), "x", key="x")
            await asyncio.sleep(0)
        # On a busy machine those who are silent may be over by now.
        if slow:
            await fall_behind(app)
        else:
            assert all(each.ended or each.outbox is None for each in app.members)
        assert len(app.members) == 6
    left = [weakref.ref(member) for member in app.members]
    app.members.clear()
    return left


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize(("kind", "slow", "way"), CASES)
async def test_nothing_stays(kind: str, slow: bool, way: Way) -> None:
    silence = 0.05 if way is is_silent else None
    limits = Limits(max_outbox_messages=None)
    async with hall(kind, silence=silence, limits=limits, policy="latest-by-key") as app:
        app.act = act
        before, descriptors = len(asyncio.all_tasks()), fds()
        left = await come_and_go(app, slow, way)
        await app.server.emptied()
        assert app.rooms.names() == []
        assert app.rooms.population == 0
        await until(lambda: len(asyncio.all_tasks()) == before)
        await until(lambda: fds() == descriptors)
        if kind == "uvicorn":
            gc.collect()
        await until(lambda: not any(ref() for ref in left))
