"""A room of more members than are served in one turn of the loop."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from tests.rooms.serving import hall, payloads, turns

MANY = 1200  # more than `FLUSHES_AT_ONCE`


@pytest.fixture(autouse=True)
def enough_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_all_get_all_in_order_and_the_loop_turns_meanwhile() -> None:
    async with hall() as app, AsyncExitStack() as stack:
        peers = [(await stack.enter_async_context(app.enter()))[0] for _ in range(MANY)]
        expected: list[list[bytes]] = [[] for _ in peers]

        async def publish(message: str, exclude: int) -> None:
            for i, its in enumerate(expected):
                if i != exclude:
                    its.append(message.encode())
            await app.rooms.publish("room", message, exclude=app.members[exclude])

        async def send(i: int, message: str) -> None:
            expected[i].append(message.encode())
            await app.members[i].send({"type": "websocket.send", "text": message})

        await publish("one", 7)
        await publish("two", MANY - 7)
        # The first have it now, the last have not.
        await turns(1)
        for i in (0, MANY - 1):
            await send(i, "own")
        await publish("three", 8)
        await turns(1)
        await publish("x" * 20_000, 9)
        await publish("four", MANY - 8)
        for i in (1, MANY - 2):
            await send(i, "own")
        found = await asyncio.gather(
            *(payloads(peer, len(its)) for peer, its in zip(peers, expected, strict=True))
        )
        assert found == expected
