"""Where in a room with a history a member is."""

from typing import Annotated

import msgspec


class RoomPosition(msgspec.Struct, frozen=True, gc=False):
    """Where in a room with a history a member is.

    Each of its messages that is no plain text or binary has one, as the field ``position``.

    Attributes:
        room: the name of the room.
        epoch: what the number counts from; "" for who has had no message yet.
        number: only grows within an epoch, not always by one.
    """

    room: str
    # Clients send them, too.
    epoch: Annotated[str, msgspec.Meta(max_length=64)] = ""
    number: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0


class Resumed(msgspec.Struct, frozen=True, gc=False, tag=True, tag_field="type"):
    """The answer to a member that comes back to a room with a history: it is there again.

    Attributes:
        position: all messages after it follow, in their order, each once.
        recovered: whether it is where the member was; else messages between may be missing, and
            whoever needs them has to ask elsewhere what is now.
    """

    position: RoomPosition
    recovered: bool
