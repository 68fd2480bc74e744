"""Numbers on messages, by which a receiver sees that some did not come.

What a broker sends is ``1 EPOCH NUMBER PAYLOAD``: the version, who or what has numbered, and how
many messages it has numbered in this channel. Who numbers is the engine's matter:

- An engine that can count numbers itself, as it publishes. Then a channel has one epoch, which
  changes if the engine forgets, and all processes agree on every number.
- With one that cannot, each publisher numbers what it publishes, under an epoch of its own.

- One that keeps messages in a log that many channels share numbers the log. The numbers of a
  channel then have holes; instead each message tells the number of the one before it.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

from fastws.rooms.brokers.history import Position

VERSION = b"1"
# Publishers whose number in one channel is remembered, and channels in which a publisher counts;
# of those beyond, a gap may not be seen.
MAX_COUNTERS = 10_000


class Numbered(NamedTuple):
    """A message with its number.

    Attributes:
        epoch: what the number counts from.
        number: from 1 on, without holes if there is no `previous`.
        payload: what was published.
        previous: the number of the message before it in the channel; 0 if that is not known.
    """

    epoch: bytes
    number: int
    payload: bytes
    previous: int | None = None


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


class Progress(Protocol):
    """How far one channel has come, since it was subscribed to."""

    def advance(self, message: Numbered) -> int | None:
        """Goes on to a message; gives how many before it did not come, None if nobody knows."""

    @property
    def position(self) -> Position | None:
        """Where that is, for all processes alike; None if they have no such thing."""


class EngineProgress:
    """The progress in a channel that the engine numbers.

    Args:
        kept: whether what is published has a position.
    """

    __slots__ = ("_epoch", "_kept", "_name", "_number")

    def __init__(self, *, kept: bool) -> None:
        self._kept = kept
        self._epoch = b""
        # The same as a str.
        self._name = ""
        self._number = 0

    def advance(self, message: Numbered) -> int | None:
        """See `Progress`."""
        epoch, before = self._epoch, self._number
        self._number = message.number
        if message.epoch != epoch:
            self._epoch, self._name = message.epoch, message.epoch.decode("ascii", "replace")
            # The engine has forgotten what was.
            return None if epoch else 0
        return _lost(message, before)

    @property
    def position(self) -> Position | None:
        """See `Progress`."""
        return Position(self._name, self._number) if self._kept else None


class PublisherProgress:
    """The progress in a channel in which each publisher numbers what is its own."""

    __slots__ = ("_numbers",)

    position = None

    def __init__(self) -> None:
        self._numbers: OrderedDict[bytes, int] = OrderedDict()

    def advance(self, message: Numbered) -> int | None:
        """See `Progress`."""
        before = self._numbers.get(message.epoch)
        self._numbers[message.epoch] = message.number
        self._numbers.move_to_end(message.epoch)
        if before is None:
            if len(self._numbers) > MAX_COUNTERS:
                self._numbers.popitem(last=False)
            return 0
        return _lost(message, before)


def _lost(message: Numbered, before: int) -> int | None:
    """Gives how many messages were between; None if nobody knows."""
    if message.previous == before:
        return 0
    lost = message.number - before - 1
    # A number that is not above that before is of one who has forgotten something.
    return lost if message.previous is None and lost >= 0 else None


class Progresses:
    """The progress in all channels that are subscribed to.

    Args:
        begin: gives the progress in a channel of which nothing has come yet.
    """

    def __init__(self, begin: Callable[[str], Progress]) -> None:
        self._begin = begin
        self._channels: dict[str, Progress] = {}

    def of(self, channel: str) -> Progress:
        """Gives the progress in a channel."""
        progress = self._channels.get(channel)
        if progress is None:
            progress = self._channels[channel] = self._begin(channel)
        return progress

    def forget(self, channel: str) -> None:
        """Begins anew with a channel."""
        self._channels.pop(channel, None)

    def clear(self) -> None:
        """Begins anew with all."""
        self._channels.clear()
