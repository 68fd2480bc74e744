"""What is missing among messages to many is told."""

import pytest

from loadtest.deliveries import Deliveries, Said, WrongAnswer, decode


def test_each_sender_counts_for_itself() -> None:
    deliveries = Deliveries()
    came = [("a", 5), ("b", 0), ("a", 6), ("b", 1), ("b", 2), ("a", 7)]
    assert [deliveries.check(Said(number, 0, sender)) for sender, number in came] == [None] * 6


@pytest.mark.parametrize("number", [0, 3, 4, 6])
def test_what_does_not_follow_is_wrong_once(number: int) -> None:
    deliveries = Deliveries()
    deliveries.check(Said(4, 0))
    wrong = deliveries.check(Said(number, 0))
    assert str(wrong) == f"number {number} after 4"
    assert deliveries.check(Said(number + 1, 0)) is None


def test_what_is_no_message() -> None:
    assert decode('{"number": 1, "sent": 2, "padding": "x"}') == Said(1, 2)
    for message in ("", "{}", '{"number": "1", "sent": 2}', b"\xff"):
        with pytest.raises(WrongAnswer):
            decode(message)
