"""A receiver that remembers, and brokers with one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastws.limits import Limits
from fastws.rooms.brokers import Broker, Histories, History, Position, broker_at
from tests.server.serving import until


class Told:
    """Remembers what a broker has told.

    Attributes:
        messages: channels and payloads, in their order.
        positions: where those were.
        gaps: channels and how many were lost.
        foreign: channels to which something strange has come.
    """

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.positions: list[Position | None] = []
        self.gaps: list[tuple[str, int | None]] = []
        self.foreign: list[str] = []

    def on_message(self, channel: str, payload: bytes, position: Position | None) -> None:
        self.messages.append((channel, payload))
        self.positions.append(position)

    def on_gap(self, channel: str, lost: int | None) -> None:
        self.gaps.append((channel, lost))

    def on_foreign(self, channel: str) -> None:
        self.foreign.append(channel)

    async def have(self, *messages: tuple[str, bytes]) -> None:
        """Waits for so many messages, and expects these."""
        await until(lambda: len(self.messages) >= len(messages))
        assert self.messages == list(messages)


def made(url: str, history: History | None = None, **limits: Any) -> tuple[Broker, Told]:
    """Gives a broker that is not started, and whom it tells; all channels have the history."""
    broker = broker_at(url, Limits(**limits))
    if history is not None:
        broker.histories = Histories({"": history})
    broker.receiver = told = Told()
    return broker, told


@asynccontextmanager
async def started(
    url: str, *channels: str, history: History | None = None, **limits: Any
) -> AsyncIterator[tuple[Broker, Told]]:
    """Starts a broker that is subscribed to some channels."""
    broker, told = made(url, history, **limits)
    for channel in channels:
        broker.subscribe(channel)
    await broker.start()
    try:
        yield broker, told
    finally:
        async with asyncio.timeout(5):
            await broker.stop()
