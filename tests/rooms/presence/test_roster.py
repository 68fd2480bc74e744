"""One room as a worker knows it: what it takes from other workers, and what it tells of them."""

import msgspec
import pytest

from fastws.rooms.presence.events import Joined, Left, Level, Present
from fastws.rooms.presence.messages import NOBODY, Change, Count, Entry, State, encode
from fastws.rooms.presence.roster import HERE, Roster

Events = list[Joined | Left]


def raw(*entries: Entry) -> msgspec.Raw:
    return msgspec.Raw(encode(entries))


def there(*ids: str) -> msgspec.Raw:
    return raw(*(Entry(who) for who in ids))


def gone(*ids: str) -> msgspec.Raw:
    return raw(*(Entry(who, left=True) for who in ids))


def state(version: int, *ids: str, first: bool = True, last: bool = True) -> State:
    return State("w", version, first, last, there(*ids))


def roster_of(level: Level = "events") -> tuple[Roster, Events]:
    """Return a roster that waits for no worker, and what it tells."""
    events: Events = []
    roster = Roster("room", level, events.append)
    roster.wait_for(set())
    return roster, events


def ids(roster: Roster) -> list[str]:
    return sorted(present.id for present in roster.list())


# Members.


def test_members_are_listed_with_their_data() -> None:
    roster, events = roster_of()
    roster.join(HERE, "a", 1)
    roster.join("w", "b", {"name": "B"})
    assert roster.list() == [Present("a", 1), Present("b", {"name": "B"})]
    assert len(roster) == 2
    roster.leave(HERE, "a")
    assert roster.list() == [Present("b", {"name": "B"})]
    assert events == [Joined("room", "a", 1), Joined("room", "b", {"name": "B"}), Left("room", "a")]


def test_a_member_joins_and_leaves_once() -> None:
    roster, events = roster_of()
    for _ in range(2):
        roster.join("w", "a", 1)
    roster.join("w", "a", 2)
    assert roster.list() == [Present("a", 1)]
    for _ in range(2):
        roster.leave("w", "a")
    roster.leave("other", "a")
    assert events == [Joined("room", "a", 1), Left("room", "a")]


@pytest.mark.parametrize("level", ["count", "members"])
def test_only_the_level_of_events_tells(level: Level) -> None:
    roster, events = roster_of(level)
    for worker in (HERE, "w"):
        roster.join(worker, "a", None)
        roster.leave(worker, "a")
    assert events == []


def test_a_worker_is_replaced_member_by_member() -> None:
    roster, events = roster_of()
    for who in "abc":
        roster.join("w", who, 1)
    roster.join("v", "a", 1)
    events.clear()
    roster.replace("w", {"b": 1, "c": 2, "d": None})
    assert events == [
        Left("room", "a"),
        Left("room", "c"),
        Joined("room", "c", 2),
        Joined("room", "d", None),
    ]
    assert ids(roster) == ["a", "b", "c", "d"]


# What is told before all have answered.


def test_members_that_were_there_before_are_not_told() -> None:
    events: Events = []
    roster = Roster("room", "events", events.append)
    roster.join(HERE, "here", None)
    roster.wait_for({"w", "v"})
    roster.take(state(1, "a"))
    roster.take(Change("v", 0, 1, there("b")))
    assert roster.complete.is_set()
    assert events == [Joined("room", "here", None)]
    roster.take(Change("w", 1, 2, there("c")))
    assert events == [Joined("room", "here", None), Joined("room", "c", None)]


def test_members_of_before_may_leave_untold() -> None:
    events: Events = []
    roster = Roster("room", "events", events.append)
    roster.wait_for({"w", "v"})
    roster.take(state(1, "a"))
    roster.take(Change("w", 1, 2, gone("a")))
    roster.forget("v")
    assert (events, ids(roster)) == ([], [])


def test_it_is_complete_once_each_worker_has_answered() -> None:
    roster = Roster("room", "events", None)
    assert not roster.complete.is_set()
    roster.wait_for({"w", "v"})
    roster.answered("w")
    roster.answered("stranger")
    assert (roster.awaited, roster.complete.is_set()) == ({"v"}, False)
    roster.answered("v")
    assert roster.complete.is_set()
    roster.wait_for({"w"})
    assert not roster.complete.is_set()
    roster.wait_for({"v"})
    assert roster.awaited == {"w", "v"}
    # Nothing new is asked; what was asked before is still open.
    roster.wait_for(set())
    assert not roster.complete.is_set()


def test_a_later_question_silences_nothing() -> None:
    """Once it was known who is there, all who come are told."""
    roster, events = roster_of()
    roster.wait_for({"w"})
    roster.take(state(1, "a"))
    assert events == [Joined("room", "a", None)]


@pytest.mark.parametrize(
    "message",
    [state(1, "a"), State("w", 1, True, True, NOBODY), Change("w", 0, 1, there("a"))],
)
def test_a_whole_answer_is_an_answer(message: State | Change) -> None:
    roster = Roster("room", "events", None)
    roster.wait_for({"w"})
    assert roster.take(message) is True
    assert roster.complete.is_set()


def test_half_an_answer_is_none() -> None:
    roster = Roster("room", "events", None)
    roster.take(state(1, "a"))
    roster.wait_for({"w"})
    roster.take(Change("w", 1, 2, there("b")))
    roster.take(state(3, "a", last=False))
    assert not roster.complete.is_set()
    # What is known already is an answer, too.
    roster.take(state(2, "a", "b"))
    assert roster.complete.is_set()


# Changes.


def test_changes_follow_each_other() -> None:
    roster, events = roster_of()
    assert roster.take(Change("w", 0, 1, there("a", "b"))) is True
    assert roster.take(Change("w", 1, 5, raw(Entry("a", left=True), Entry("c", 3)))) is True
    assert (roster.version("w"), ids(roster)) == (5, ["b", "c"])
    assert events[2:] == [Left("room", "a"), Joined("room", "c", 3)]


def test_a_change_is_taken_in_the_order_of_its_entries() -> None:
    roster, _ = roster_of()
    roster.take(
        Change("w", 0, 1, raw(Entry("a"), Entry("a", left=True), Entry("b", left=True), Entry("b")))
    )
    assert ids(roster) == ["b"]


def test_a_change_of_something_unknown_is_not_taken() -> None:
    roster, events = roster_of()
    roster.take(Change("w", 0, 3, there("a")))
    for before in (2, 4):
        assert roster.take(Change("w", before, 7, there("b"))) is False
    assert roster.take(Change("stranger", 1, 2, there("b"))) is False
    assert (roster.version("w"), ids(roster), len(events)) == (3, ["a"], 1)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("before", [0, 2, 3])
def test_a_late_change_is_ignored(version: int, before: int) -> None:
    """It came by another way than what it precedes, or once more."""
    roster, events = roster_of()
    roster.take(state(3, "a"))
    assert roster.take(Change("w", before, version, gone("a"))) is True
    assert roster.take(Change("w", before, version, there("b"))) is True
    assert (roster.version("w"), ids(roster), len(events)) == (3, ["a"], 1)


def test_a_change_of_nobody_begins_anew() -> None:
    """A worker has nobody there, forgets the room, and has somebody again."""
    roster, events = roster_of()
    roster.take(state(1, "a", "b"))
    events.clear()
    assert roster.take(Change("w", 0, 9, there("b"))) is True
    assert (roster.version("w"), ids(roster)) == (9, ["b"])
    assert Left("room", "a") in events


def test_a_change_that_cannot_be_read_changes_nothing() -> None:
    roster, events = roster_of()
    roster.take(state(1, "a"))
    for before in (0, 1):
        with pytest.raises(msgspec.MsgspecError):
            roster.take(Change("w", before, 2, msgspec.Raw(b"[[1]]")))
    assert (roster.version("w"), ids(roster), len(events)) == (1, ["a"], 1)


# States.


def test_a_state_replaces_what_was_known() -> None:
    roster, events = roster_of()
    roster.take(state(1, "a", "b"))
    events.clear()
    roster.take(state(4, "b", "c"))
    assert (roster.version("w"), ids(roster)) == (4, ["b", "c"])
    assert events == [Left("room", "a"), Joined("room", "c", None)]


def test_a_late_state_is_ignored() -> None:
    """Members that have left since are not there again, and later ones stay."""
    roster, events = roster_of()
    roster.take(state(5, "a"))
    for version in (1, 4):
        assert roster.take(state(version, "a", "b")) is True
        roster.take(State("w", version, True, True, NOBODY))
        roster.take(State("w", version, True, False, there("b")))
        roster.take(State("w", version, False, True, there("c")))
    assert (roster.version("w"), ids(roster), len(events)) == (5, ["a"], 1)
    assert roster.pieces == {}


def test_a_late_state_answers_nothing() -> None:
    roster, _ = roster_of()
    roster.take(state(5, "a"))
    roster.wait_for({"w"})
    roster.take(state(4, "a"))
    assert not roster.complete.is_set()
    roster.take(state(5, "a"))
    assert roster.complete.is_set()


def test_a_first_state_is_taken_whatever_its_version() -> None:
    roster, _ = roster_of()
    roster.take(state(0, "a"))
    assert ids(roster) == ["a"]


def test_a_state_of_the_known_version_changes_nothing() -> None:
    roster, events = roster_of()
    roster.take(state(5, "a"))
    roster.take(state(5, "b"))
    assert (ids(roster), len(events)) == (["a"], 1)


def test_a_state_comes_in_pieces_and_counts_once_whole() -> None:
    roster, events = roster_of()
    roster.take(state(1, "x"))
    events.clear()
    roster.wait_for({"w"})
    for who, first, last in (("a", True, False), ("b", False, False), ("c", False, True)):
        assert (ids(roster), events, roster.complete.is_set()) == (["x"], [], False)
        assert roster.take(state(2, who, first=first, last=last)) is True
    assert (roster.version("w"), ids(roster), roster.pieces) == (2, ["a", "b", "c"], {})
    assert roster.complete.is_set()
    assert len(events) == 4


def test_a_piece_that_is_lost_makes_the_rest_useless() -> None:
    roster, _ = roster_of()
    # The first one.
    roster.take(state(1, "b", first=False, last=False))
    roster.take(state(1, "c", first=False))
    assert (len(roster), roster.version("w"), roster.pieces) == (0, 0, {})
    # The last one, before those of the next version.
    roster.take(state(1, "a", last=False))
    roster.take(state(2, "b", first=False))
    assert (len(roster), roster.version("w")) == (0, 0)
    # All of it comes again.
    roster.take(state(2, "a", last=False))
    roster.take(state(2, "b", first=False))
    assert ids(roster) == ["a", "b"]


def test_a_first_piece_begins_anew() -> None:
    roster, _ = roster_of()
    roster.take(state(1, "a", last=False))
    roster.take(state(1, "b", last=False))
    roster.take(state(1, "c", first=False))
    assert ids(roster) == ["b", "c"]


def test_pieces_of_several_workers_do_not_mix() -> None:
    roster, _ = roster_of()
    for worker in ("v", "w"):
        roster.take(State(worker, 1, True, False, there(f"{worker}1")))
    for worker in ("v", "w"):
        roster.take(State(worker, 1, False, True, there(f"{worker}2")))
    assert [sorted(roster.parts[worker].members) for worker in ("v", "w")] == [
        ["v1", "v2"],
        ["w1", "w2"],
    ]


def test_pieces_of_a_worker_that_is_gone_are_forgotten() -> None:
    """What comes after its end would complete them."""
    roster, events = roster_of()
    roster.take(state(1, "a", last=False))
    roster.forget("w")
    assert roster.pieces == {}
    roster.take(state(1, "b", first=False))
    assert (len(roster), events) == (0, [])


def test_a_state_without_members_forgets_the_worker() -> None:
    roster, events = roster_of()
    roster.take(state(1, "a"))
    roster.take(State("w", 2, True, True, NOBODY))
    assert roster.parts == {}
    assert events == [Joined("room", "a", None), Left("room", "a")]


def test_entries_of_members_that_have_left_are_no_members() -> None:
    roster, _ = roster_of()
    roster.take(State("w", 1, True, True, raw(Entry("a"), Entry("b", left=True))))
    assert ids(roster) == ["a"]


# The end of a worker.


def test_a_worker_that_is_gone_leaves_nothing() -> None:
    roster, events = roster_of()
    roster.wait_for({"w"})
    roster.take(Change("w", 0, 3, there("a", "b")))
    roster.take(state(4, "c", last=False))
    roster.wait_for({"w"})
    events.clear()
    roster.forget("w")
    assert (roster.parts, roster.pieces, roster.awaited) == ({}, {}, set())
    assert roster.complete.is_set()
    assert events == [Left("room", "a"), Left("room", "b")]
    roster.forget("w")
    assert roster.version("w") == 0


# Only numbers.


def test_a_late_count_is_ignored() -> None:
    roster, _ = roster_of("count")
    roster.take(Count("w", 5, 3))
    roster.wait_for({"w"})
    assert roster.take(Count("w", 4, 9)) is True
    assert (len(roster), roster.version("w"), roster.complete.is_set()) == (3, 5, False)
    assert roster.take(Count("w", 5, 3)) is True
    assert roster.complete.is_set()


def test_a_count_is_taken_and_replaced() -> None:
    roster, events = roster_of("count")
    roster.wait_for({"w"})
    roster.part(HERE).count = 2
    assert roster.take(Count("w", 1, 3)) is True
    assert (len(roster), roster.version("w"), roster.complete.is_set()) == (5, 1, True)
    assert roster.take(Count("w", 2, 1)) is True
    assert (len(roster), roster.list(), events) == (3, [], [])
    assert roster.take(State("w", 3, True, True, NOBODY)) is True
    assert len(roster) == 2


def test_what_does_not_fit_the_level_is_foreign() -> None:
    counting, _ = roster_of("count")
    naming, _ = roster_of("members")
    assert counting.take(Change("w", 0, 1, there("a"))) is None
    assert counting.take(state(1, "a")) is None
    assert naming.take(Count("w", 1, 3)) is None
    assert (len(counting), len(naming), counting.parts, naming.parts) == (0, 0, {}, {})
