"""Numbers on messages, by which a receiver sees that some did not come.

What a broker sends is ``1 EPOCH NUMBER PAYLOAD``: the version, who or what has numbered, and how
many messages it has numbered in this channel. Who numbers is the engine's matter:

- An engine that can count numbers itself, as it publishes. Then a channel has one epoch, which
  changes if the engine forgets, and all processes agree on every number.
- With one that cannot, each publisher numbers what it publishes, under an epoch of its own.

A history would be asked for what comes after an (epoch, number), so it can be added to a broker
without a change to what it sends.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

VERSION = b"1"
# Publishers whose number in one channel is remembered, and channels in which a publisher counts;
# of those beyond, a gap may not be seen.
MAX_COUNTERS = 10_000


class Numbered(NamedTuple):
    """A message with its number; numbers of an epoch begin at 1 and have no holes."""

    epoch: bytes
    number: int
    payload: bytes


def write(message: Numbered) -> bytes:
    """Gives what is sent."""
    return b"%b %b %d %b" % (VERSION, message.epoch, message.number, message.payload)


def read(data: bytes) -> Numbered | None:
    """Reads what has come; gives None if that is none of ours."""
    parts = data.split(b" ", 3)
    if len(parts) != 4 or parts[0] != VERSION or not (parts[2].isdigit() and len(parts[2]) < 20):
        return None
    return Numbered(parts[1], int(parts[2]), parts[3])


def new_epoch() -> bytes:
    """Gives a name that nobody has had before."""
    return secrets.token_hex(8).encode()


class Numbering:
    """Counts what one publisher sends to each channel."""

    def __init__(self) -> None:
        self._counters: OrderedDict[str, tuple[bytes, int]] = OrderedDict()

    def number(self, channel: str, payload: bytes) -> Numbered:
        """Gives the next message of a channel its number."""
        epoch, last = self._counters.get(channel) or (new_epoch(), 0)
        self._counters[channel] = (epoch, last + 1)
        self._counters.move_to_end(channel)
        if len(self._counters) > MAX_COUNTERS:
            # Should it be counted again, that is under another epoch.
            self._counters.popitem(last=False)
        return Numbered(epoch, last + 1, payload)


class Position(Protocol):
    """How far one channel has come, since it was subscribed to."""

    def advance(self, message: Numbered) -> int | None:
        """Goes on to a message; gives how many before it did not come, None if nobody knows."""


class EnginePosition:
    """The position in a channel that the engine numbers."""

    __slots__ = ("_epoch", "_number")

    def __init__(self) -> None:
        self._epoch = b""
        self._number = 0

    def advance(self, message: Numbered) -> int | None:
        """See `Position`."""
        first, same = not self._epoch, self._epoch == message.epoch
        lost = message.number - self._number - 1
        self._epoch, self._number = message.epoch, message.number
        if first:
            return 0
        # In another epoch, or back in this one, the engine has forgotten what was.
        return lost if same and lost >= 0 else None


class PublisherPosition:
    """The position in a channel in which each publisher numbers what is its own."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: OrderedDict[bytes, int] = OrderedDict()

    def advance(self, message: Numbered) -> int | None:
        """See `Position`."""
        before = self._numbers.get(message.epoch)
        self._numbers[message.epoch] = message.number
        self._numbers.move_to_end(message.epoch)
        if before is None:
            if len(self._numbers) > MAX_COUNTERS:
                self._numbers.popitem(last=False)
            return 0
        lost = message.number - before - 1
        return lost if lost >= 0 else None


class Positions:
    """The positions in all channels that are subscribed to.

    Args:
        begin: gives the position in a channel of which nothing has come yet.
    """

    def __init__(self, begin: Callable[[], Position]) -> None:
        self._begin = begin
        self._channels: dict[str, Position] = {}

    def advance(self, channel: str, message: Numbered) -> int | None:
        """See `Position.advance`."""
        position = self._channels.get(channel)
        if position is None:
            position = self._channels[channel] = self._begin()
        return position.advance(message)

    def forget(self, channel: str) -> None:
        """Begins anew with a channel."""
        self._channels.pop(channel, None)

    def clear(self) -> None:
        """Begins anew with all."""
        self._channels.clear()
