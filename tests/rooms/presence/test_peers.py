"""Who is there, of the other workers."""

from fastws.rooms.presence.peers import Peers


def test_a_worker_is_there_until_its_lease_has_run_out() -> None:
    peers = Peers(2)
    for worker in ("a", "b"):
        assert peers.hear(worker) is not None
    assert (peers.beat(), peers.beat()) == ([], [])
    peers.hear("b")
    assert peers.present() == {"a", "b"}
    assert peers.beat() == ["a"]
    assert peers.present() == {"b"}


def test_one_that_has_said_farewell_is_not_heard_any_more() -> None:
    peers = Peers(2)
    peer = peers.hear("a")
    assert peer is not None
    peer.gone = True
    assert peers.present() == set()
    assert peers.hear("a") is None
    assert [peers.beat() for _ in range(3)] == [[], [], []]
    # By then nothing comes that was said before.
    assert peers.hear("a") is not peer


def test_all_are_forgotten() -> None:
    peers = Peers(2)
    peers.hear("a")
    assert peers.clear() == {"a"}
    assert peers.present() == set()
