"""The outbox against a model that a list is enough for."""

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fastws.limits import Limits
from fastws.rooms import Counters, Outbox
from fastws.rooms.outbox import ITEM_COST, POLICIES, Policy

Entry = tuple[str | None, int, int]  # key, which message, its size


class Model:
    """What the docstring of `Outbox` says, without care for speed."""

    def __init__(self, policy: Policy, count: int | None, size: int | None) -> None:
        self.policy = policy
        self.max_count = 10**9 if count is None else count
        self.max_size = 10**9 if size is None else size
        self.waiting: list[Entry] = []
        self.counters = Counters()

    def fits(self, entries: list[Entry]) -> bool:
        cost = sum(size + ITEM_COST for _, _, size in entries)
        return len(entries) <= self.max_count and cost <= self.max_size

    def put(self, entry: Entry) -> bool:
        key = entry[0]
        keys = [waiting[0] for waiting in self.waiting]
        if self.policy == "latest-by-key" and key is not None and key in keys:
            at = keys.index(key)
            after = [*self.waiting[:at], entry, *self.waiting[at + 1 :]]
            if self.fits(after):
                self.counters.conflated += 1
        else:
            after = [*self.waiting, entry]
            while self.policy == "drop-oldest" and self.fits([entry]) and not self.fits(after):
                after = after[1:]
                self.counters.dropped += 1
        if self.fits(after):
            self.waiting = after
            return True
        if self.policy in {"drop-oldest", "drop-newest"}:
            self.counters.dropped += 1
            return True
        return False


class Comparison(RuleBasedStateMachine):
    """Does the same to an outbox and to the model."""

    @initialize(
        policy=st.sampled_from(POLICIES),
        count=st.none() | st.integers(0, 5),
        size=st.none() | st.integers(0, 4 * ITEM_COST),
    )
    def start(self, policy: Policy, count: int | None, size: int | None) -> None:
        limits = Limits(max_outbox_messages=count, max_outbox_size=size)
        self.counters = Counters()
        self.outbox = Outbox(limits, policy, self.counters)
        self.model = Model(policy, count, size)
        self.puts = self.refused = self.taken = 0
        self.last_position = 0

    @rule(key=st.sampled_from([None, None, "a", "b", "c", ""]), size=st.integers(0, ITEM_COST))
    def put(self, key: str | None, size: int) -> None:
        self.puts += 1
        entry = (key, self.puts, size)
        fits = self.outbox.put(entry, size, key)
        assert fits == self.model.put(entry)
        self.refused += not fits

    @precondition(lambda self: len(self.outbox) > 0)
    @rule()
    def take(self) -> None:
        assert self.outbox.first > self.last_position
        self.last_position = self.outbox.first
        assert self.outbox.take() == self.model.waiting.pop(0)
        self.taken += 1

    @rule()
    def discard(self) -> None:
        self.outbox.discard()
        self.model.counters.undelivered += len(self.model.waiting)
        self.model.waiting.clear()

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert len(self.outbox) == len(self.model.waiting)
        assert self.outbox.size == sum(size + ITEM_COST for _, _, size in self.model.waiting)

    @invariant()
    def is_within_its_bounds(self) -> None:
        assert len(self.outbox) <= self.model.max_count
        assert self.outbox.size <= self.model.max_size

    @invariant()
    def nothing_is_lost_in_silence(self) -> None:
        counted = self.counters
        assert asdict(counted) == asdict(self.model.counters)
        assert self.puts == (
            self.taken
            + len(self.outbox)
            + self.refused
            + counted.dropped
            + counted.conflated
            + counted.undelivered
        )


TestComparison = Comparison.TestCase


def outbox(policy: Policy, **limits: Any) -> Outbox:
    return Outbox(Limits(**limits), policy, Counters())


def drain(outbox: Outbox) -> list[Any]:
    return [outbox.take() for _ in range(len(outbox))]


def test_without_bounds_it_is_a_queue() -> None:
    box = outbox("disconnect", max_outbox_messages=None, max_outbox_size=None)
    assert all(box.put(i, 1 << 20) for i in range(2000))
    assert drain(box) == list(range(2000))


def test_disconnect_says_when_it_is_over_and_stays_as_it_was() -> None:
    box = outbox("disconnect", max_outbox_messages=2)
    assert [box.put(i, 1) for i in range(4)] == [True, True, False, False]
    assert drain(box) == [0, 1]


def test_a_message_counts_its_payload_and_a_constant() -> None:
    box = outbox("disconnect", max_outbox_size=2 * (100 + ITEM_COST))
    assert [box.put(i, 100) for i in range(3)] == [True, True, False]
    box.take()
    assert not box.put(3, 101)
    assert box.put(3, 100)


def test_the_first_may_have_any_size_and_counts() -> None:
    box = outbox("disconnect", max_outbox_size=2 * ITEM_COST)
    box.put_first("large", 1000)
    assert box.size == 1000 + ITEM_COST
    assert not box.put("small", 0)
    assert box.take() == "large"
    assert (box.size, box.last) == (0, 1)
    assert box.put("small", 0)


@pytest.mark.parametrize(
    ("policy", "waiting"), [("latest-by-key", ["new"]), ("drop-oldest", ["old", "new"])]
)
def test_the_first_has_its_key_too(policy: Policy, waiting: list[str]) -> None:
    box = outbox(policy)
    box.put_first("old", 1, "key")
    assert box.put("new", 1, "key")
    assert drain(box) == waiting


def test_drop_oldest_keeps_the_end() -> None:
    box = outbox("drop-oldest", max_outbox_messages=3)
    assert all(box.put(i, 1) for i in range(10))
    assert drain(box) == [7, 8, 9]


def test_a_message_of_just_the_bound_takes_the_place_of_all() -> None:
    box = outbox("drop-oldest", max_outbox_size=2 * ITEM_COST)
    assert [box.put("a", 0), box.put("b", 0), box.put("large", ITEM_COST)] == [True] * 3
    assert drain(box) == ["large"]


def test_drop_newest_keeps_the_beginning() -> None:
    box = outbox("drop-newest", max_outbox_messages=3)
    assert all(box.put(i, 1) for i in range(10))
    assert drain(box) == [0, 1, 2]


@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest"])
def test_a_message_that_can_never_fit_costs_no_other_its_place(policy: Policy) -> None:
    box = outbox(policy, max_outbox_size=1000)
    assert box.put("small", 10)
    assert box.put("large", 1000)
    assert drain(box) == ["small"]


def test_a_newer_message_of_a_key_has_to_fit() -> None:
    box = outbox("latest-by-key", max_outbox_size=2 * ITEM_COST + 10)
    assert [box.put("a", 5, "a"), box.put("b", 5, "b")] == [True, True]
    assert not box.put("too large", 6, "a")
    assert box.put("just right", 5, "a")
    assert box.size == 2 * ITEM_COST + 10
    assert drain(box) == ["just right", "b"]


def test_latest_by_key_keeps_the_place() -> None:
    box = outbox("latest-by-key")
    for i, key in enumerate("abcabba"):
        assert box.put((key, i), 1, key)
    assert drain(box) == [("a", 6), ("b", 5), ("c", 2)]


def test_the_busiest_key_is_sent_in_its_turn() -> None:
    """At the end of the line, what changes between any two takes would never be taken."""
    box = outbox("latest-by-key")
    taken = []
    for i in range(9):
        for key in "abc":
            box.put((key, i), 1, key)
        taken.append(box.take()[0])
    assert taken == list("abc" * 3)


def test_messages_without_a_key_replace_none() -> None:
    box = outbox("latest-by-key", max_outbox_messages=3)
    assert [box.put(i, 1) for i in range(4)] == [True, True, True, False]


def test_other_policies_do_not_look_at_the_key() -> None:
    box = outbox("drop-oldest")
    assert all(box.put(i, 1, "same") for i in range(3))
    assert drain(box) == [0, 1, 2]


@given(st.lists(st.integers(0, 3)))
def test_positions_grow_whatever_is_replaced(keys: list[int]) -> None:
    box = outbox("latest-by-key")
    for key in keys:
        box.put(key, 1, str(key))
    positions = []
    while box:
        positions.append(box.first)
        box.take()
    assert positions == sorted(set(positions))
    assert not positions or positions[-1] <= box.last
