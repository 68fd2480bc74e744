"""What an engine keeps of a channel, and how it is asked for: by those who come back.

Whoever comes back within `History.ttl`, having missed no more than `History.count` messages, gets
all of them, in order, once. More may be kept than that; what is not complete is not given.

It is given in parts, so that who asks and then does not read holds on to little.
"""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

# Bytes of payload, or little more, and messages that are given at once of a channel.
CHUNK_SIZE = 1024 * 1024
CHUNK_COUNT = 4096


class History(msgspec.Struct, frozen=True):
    """How much is kept of a channel; the same in all processes.

    Attributes:
        count: messages, from 1 on.
        ttl: seconds after a message was published, for which it is kept at least; above 0.
    """

    count: int
    ttl: float

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 < self.ttl < 10**9:
            raise ValueError(f"a history is of at least one message and some time, not {self}")


class Position(NamedTuple):
    """Where in a channel a message is.

    Attributes:
        epoch: what the number counts from; another one if the engine has forgotten what was.
        number: only grows within an epoch; 0 is before all.
    """

    epoch: str
    number: int


class Kept(NamedTuple):
    """A message that an engine has kept."""

    number: int
    payload: bytes


class Past(NamedTuple):
    """What was published to a channel after a position, or the first part of it.

    Attributes:
        recovered: whether that is known, and complete.
        position: of the newest message of the channel.
        messages: in their order, all of the epoch of `position`; none if not `recovered`.
    """

    recovered: bool
    position: Position
    messages: list[Kept]

    @property
    def is_part(self) -> bool:
        """Whether there is more after the last of `messages`."""
        return bool(self.messages) and self.messages[-1].number < self.position.number


class Log(NamedTuple):
    """What an engine has told of a channel.

    Attributes:
        position: of the newest message.
        complete_after: no message with a number above this, up to the last of `messages`, or of
            `position` if there are none, is missing.
        messages: in their order; those at the end may have been left for later.
    """

    position: Position
    complete_after: int
    messages: list[Kept]

    def tells(self, position: Position | None) -> bool:
        """Whether `since` knows what comes right after a position, or that nobody does."""
        if position is None or position.epoch != self.position.epoch or not self.messages:
            return True
        last = self.messages[-1].number
        return position.number < last or last >= self.position.number

    def since(self, position: Position | None) -> Past:
        """Gives what comes after a position, or a part of it, if it is complete."""
        newest = self.position
        if (
            position is None
            or position.epoch != newest.epoch
            or not self.complete_after <= position.number <= newest.number
        ):
            return Past(recovered=False, position=newest, messages=[])
        messages: list[Kept] = []
        size = 0
        for kept in self.messages:
            if kept.number > position.number:
                if size >= CHUNK_SIZE or len(messages) >= CHUNK_COUNT:
                    break
                messages.append(kept)
                size += len(kept.payload)
        return Past(recovered=True, position=newest, messages=messages)


class Receipt(NamedTuple):
    """What an engine says to a message that it has taken.

    Attributes:
        position: where it is, for all processes alike; None if the engine does not tell.
        duplicate: whether a message with the same id was there before. Then this one went to
            nobody, and the position is that of the first.
    """

    position: Position | None = None
    duplicate: bool = False


NO_RECEIPT = Receipt()
# Seconds for which the id of a message is remembered.
ID_WINDOW = 120
# Seconds for which an engine remembers the newest number of a channel to which nobody publishes, or
# half of it: who comes back to a quiet room need not have heard anything within the room's ttl.
REMEMBER = 24 * 60 * 60


class Histories:
    """What is kept of which channels: by what their names begin with.

    Args:
        by_prefix: the longest prefix that a name begins with counts; "" is that of all.
    """

    def __init__(self, by_prefix: Mapping[str, History] | None = None) -> None:
        rules = (by_prefix or {}).items()
        self._rules = sorted(rules, key=lambda rule: len(rule[0]), reverse=True)

    def __call__(self, channel: str) -> History | None:
        """Gives what is kept of a channel; None is nothing, as of all internal ones."""
        if not self._rules or not channel or channel[0] == INTERNAL:
            return None
        return next((kept for prefix, kept in self._rules if channel.startswith(prefix)), None)

    def every(self) -> list[History]:
        """Gives all that there are, each once."""
        return list(dict.fromkeys(kept for _, kept in self._rules))


def digest(channel: str, message_id: str) -> str:
    """Gives what stands for a message id in an engine: short, whatever characters it has."""
    name = f"{len(channel)} {channel} {message_id}".encode(errors="surrogatepass")
    return hashlib.blake2b(name, digest_size=16).hexdigest()


# What the names of channels begin with that are no rooms.
INTERNAL = "\0"
