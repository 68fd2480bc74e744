"""What rolling restarts are judged by: nothing that is wrong in a story goes unseen."""

from benchmarks.cluster.restarts import judge
from benchmarks.cluster.travellers import Story

HEARD = [("e", 1, "0-1"), ("e", 2, "1-1"), ("e", 3, "0-2")]


def story(heard: list[tuple[str, int, str]], *taken: str) -> Story:
    return Story("room", heard, list(taken))


def wrong(*stories: Story) -> list[str]:
    return [finding.what for finding in judge(stories) if not finding.met]


def test_all_is_well() -> None:
    assert wrong(story(HEARD, "0-1", "0-2"), story(HEARD, "1-1")) == []


def test_an_acknowledged_message_that_did_not_come() -> None:
    without = [HEARD[0], HEARD[2]]
    found = wrong(story(HEARD, "0-1"), story(without, "1-1"))
    assert found == ["acknowledged, but not received", "orders in a room"]


def test_a_message_that_came_twice() -> None:
    twice = [*HEARD, ("e", 4, "1-1")]
    found = wrong(story(twice, "0-1"), story(twice, "1-1"))
    assert found == ["received twice", "of one sender, out of order"]


def test_messages_of_one_sender_in_another_order() -> None:
    other = [("e", 1, "0-2"), ("e", 2, "1-1"), ("e", 3, "0-1")]
    assert wrong(story(other, "0-1"), story(other, "1-1")) == ["of one sender, out of order"]


def test_what_a_client_has_seen_itself() -> None:
    one = story(HEARD, "0-1")
    one.wrong.append("it could not be recovered")
    found = judge([one])
    assert [finding.found for finding in found if not finding.met] == [
        "1",
        "it could not be recovered",
    ]
