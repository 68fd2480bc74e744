"""What is wanted, and what of it has still to be told."""

import random

import pytest

from fastws.rooms.brokers.wishes import Wishes


def test_only_the_difference_is_told() -> None:
    wishes = Wishes()
    for channel in "abc":
        wishes.add(channel)
    wishes.discard("b")
    assert (sorted(wishes.take()[0]), wishes.take()) == (["a", "c"], ([], []))
    wishes.discard("a")
    wishes.add("a")
    wishes.add("b")
    wishes.discard("c")
    wishes.discard("never")
    assert wishes.take() == (["b"], ["c"])
    assert not wishes
    assert sorted(wishes) == ["a", "b"]


def test_an_engine_that_knows_nothing_is_told_all() -> None:
    wishes = Wishes()
    for channel in "ab":
        wishes.add(channel)
    wishes.take()
    wishes.discard("a")
    wishes.start_over()
    assert wishes.take() == (["b"], [])


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_wished_ends_as_wished(seed: int) -> None:
    choose = random.Random(seed)
    wishes, engine, wanted = Wishes(), set[str](), set[str]()
    for _ in range(300):
        channel = choose.choice("abcd")
        match choose.randrange(5):
            case 0 | 1:
                wishes.add(channel)
                wanted.add(channel)
            case 2 | 3:
                wishes.discard(channel)
                wanted.discard(channel)
            case 4:
                on, off = wishes.take()
                assert not engine.intersection(on)
                assert engine.issuperset(off)
                engine = engine.union(on).difference(off)
                assert engine == wanted
    assert all((channel in wishes) is (channel in wanted) for channel in "abcd")
