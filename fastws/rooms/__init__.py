"""L3: who is where, and how bytes get there.

- `rooms`: room -> members and member -> rooms; encoding once, fan-out
- `member`: one connection as rooms see it; what it gets while it is behind
- `outbox`: where messages wait for a member that is behind, within bounds, by a named policy
- `names`: what a room may be called
- `groups`: the members of a room that get the same bytes
- `delivery`: the last step of a message, to them
- `presence`: who is in a room in all processes, for those that ask or want to be told
- `gap`: what a member is told when messages did not come to it
- `position`, `resuming`: how a member comes back into a room that has a history
- `envelope`: what goes through the broker
- `counters`: what has become of the messages, for metrics
- `brokers`: how a message gets to the rooms of the same name, in this process or in others

It runs on any ASGI server; ours it reaches through ``scope["extensions"]["fastws"]`` only.
"""

from fastws.rooms.brokers import Broker, History, Receipt, broker_at
from fastws.rooms.counters import Counters
from fastws.rooms.gap import Gap
from fastws.rooms.member import Codec, Member
from fastws.rooms.outbox import Outbox, Policy
from fastws.rooms.position import Resumed, RoomPosition
from fastws.rooms.presence import Joined, Left, Level, Present, present_id
from fastws.rooms.rooms import Rooms

__all__ = [
    "Broker",
    "Codec",
    "Counters",
    "Gap",
    "History",
    "Joined",
    "Left",
    "Level",
    "Member",
    "Outbox",
    "Policy",
    "Present",
    "Receipt",
    "Resumed",
    "RoomPosition",
    "Rooms",
    "broker_at",
    "present_id",
]
