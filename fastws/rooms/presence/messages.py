"""What workers say to each other of who is where, as JSON.

On the channel that all hear:

- `Alive`, of each worker in each beat. A worker that is not heard of any more is gone, and so are
  its members. It also says what the worker knows of a few rooms: whoever knows better answers.
- `Ask`, for all that others have in some rooms.
- `Bye`, as a worker stops.

On the channel of a room: `Change`, `State` and `Count` of the members in one worker. Versions of a
worker only grow. A `Change` names the version that it is a change of, so whoever has missed one
sees that, and asks.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import msgspec

# Bytes that what is said at once may take, or little more: NATS takes 1 MiB.
PIECE_SIZE = 32 * 1024

Number = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Worker = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]


class Entry(msgspec.Struct, array_like=True, frozen=True, omit_defaults=True):
    """A member that is in a room, or has left it."""

    id: Id
    data: Any = None
    left: bool = False


class Alive(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """A worker is there.

    Attributes:
        worker: its name, which no other has and none has had before.
        age: how often it has said so.
        known: of a few rooms, the versions it knows, by worker.
    """

    worker: Worker
    age: Number
    known: dict[Name, dict[Worker, Number]]


class Ask(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """A worker asks for the states of rooms.

    Attributes:
        worker: who asks.
        whom: the only one who is to answer; "" for all.
        rooms: their names. Who has nobody there says so, too.
    """

    worker: Worker
    whom: str
    rooms: list[Name]


class Bye(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """A worker stops, and its members are gone."""

    worker: Worker


class Change(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Who has come and gone, in their order.

    Attributes:
        worker: where.
        before: the version without this change; 0 for nobody.
        version: the version with it.
        entries: who, a list of `Entry`.
    """

    worker: Worker
    before: Number
    version: Number
    entries: msgspec.Raw


class State(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Who is there, or a piece of that.

    Attributes:
        worker: where.
        version: the version of it.
        first: whether it is the first piece.
        last: whether it is the last piece.
        entries: who, a list of `Entry`.
    """

    worker: Worker
    version: Number
    first: bool
    last: bool
    entries: msgspec.Raw


class Count(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """How many are there, where only that is told."""

    worker: Worker
    version: Number
    count: Number


# A list of no entries.
NOBODY = msgspec.Raw(b"[]")

encode = msgspec.json.Encoder().encode
decode_for_all = msgspec.json.Decoder(Alive | Ask | Bye).decode
decode_for_room = msgspec.json.Decoder(Change | State | Count).decode
decode_entries = msgspec.json.Decoder(list[Entry]).decode


def pieces(entries: Iterable[Entry]) -> Iterator[msgspec.Raw]:
    """Encodes lists of entries, each of a size that goes at once; gives one, at least."""
    encoded: list[bytes] = []
    size = 0
    for entry in entries:
        if size >= PIECE_SIZE:
            yield _list(encoded)
            encoded, size = [], 0
        encoded.append(encode(entry))
        size += len(encoded[-1]) + 1
    yield _list(encoded)


def _list(encoded: list[bytes]) -> msgspec.Raw:
    return msgspec.Raw(b"[%b]" % b",".join(encoded))
