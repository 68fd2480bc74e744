"""What is known of the members of a room, and what the others are told of them."""

from typing import Any, Literal, get_args

import msgspec

# What all workers know of a room, each more than the one before: how many are in it; who they are;
# and members are told of each who comes or goes.
Level = Literal["count", "members", "events"]
LEVELS: tuple[Level, ...] = get_args(Level)


class Present(msgspec.Struct, frozen=True):
    """Somebody who is in a room.

    Attributes:
        id: tells it from all others; another one for each connection.
        data: what it has shown of itself as it joined, as JSON has it; None if nothing.
    """

    id: str
    data: Any = None


class Joined(msgspec.Struct, frozen=True, tag=True, tag_field="type"):
    """Somebody is in a room now.

    Attributes:
        room: the name of the room.
        id: as in `Present`.
        data: as in `Present`.
    """

    room: str
    id: str
    data: Any = None


class Left(msgspec.Struct, frozen=True, tag=True, tag_field="type"):
    """Somebody is in a room no more: it has left, its connection has ended, or its worker.

    Attributes:
        room: the name of the room.
        id: as in `Present`.
    """

    room: str
    id: str
