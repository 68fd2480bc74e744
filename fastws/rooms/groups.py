"""The members of a room, in groups that get the same bytes in the same way."""

from typing import Any

from fastws.rooms.member import Member


class Group:
    """The members of a room that get the same bytes, in the order in which they joined."""

    __slots__ = ("codec", "has_tasks", "hears", "members", "prepare", "publish")

    def __init__(self, like: Member) -> None:
        self.codec = like.codec
        # Whether they get what a room itself has to say, such as a `Gap`.
        self.hears = like.hears_gaps
        # Whether it takes tasks to send to them, as on other servers than ours.
        self.has_tasks = like.place is like
        self.prepare = like.prepare
        self.publish = like.publish
        # By what `publish` looks at: the connections, on our server.
        self.members: dict[Any, Member] = {}


Groups = dict[Any, Group]


def put(groups: Groups, member: Member) -> None:
    """Adds a member to the group of those like it."""
    name = _name_of(member)
    group = groups.get(name)
    if group is None:
        group = groups[name] = Group(member)
    group.members[member.place] = member


def remove(groups: Groups, member: Member) -> None:
    """Takes a member out; a group without members vanishes."""
    name = _name_of(member)
    group = groups[name]
    del group.members[member.place]
    if not group.members:
        del groups[name]


def without(group: Group, late: set[Member]) -> Group:
    """Gives a group of the others."""
    others = Group(next(iter(group.members.values())))
    others.members = {place: m for place, m in group.members.items() if m not in late}
    return others


def _name_of(member: Member) -> Any:
    """Gives what the bytes depend on that a member gets, and how it gets them."""
    codec = None if member.codec is None else member.codec.subprotocol
    return (codec, member.publish, member.hears_gaps)
