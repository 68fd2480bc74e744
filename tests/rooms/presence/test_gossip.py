"""How workers find out what they have missed, each way for itself."""

import pytest

from fastws.rooms.presence import gossip
from fastws.rooms.presence.gossip import EVERYWHERE, PREFIX, Gossip
from tests.rooms.brokers.engines import Engine
from tests.rooms.presence.losing import Loss
from tests.rooms.presence.workers import PATIENT, Worker, workers
from tests.server.serving import until


@pytest.fixture
def uncompared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets nobody say what it knows, as where there are too many rooms for it to come to one."""
    monkeypatch.setattr(gossip, "COMPARED", 0)


def gossip_of(worker: Worker) -> Gossip:
    found = worker.rooms._presence._gossip
    assert found is not None
    return found


@pytest.mark.usefixtures("uncompared")
async def test_the_next_change_tells_that_one_is_missing(engine: Engine) -> None:
    async with workers(engine.url, 2) as [here, there]:
        ada, bob = here.enter(), there.enter()
        for worker in (here, there):
            await worker.sees(ada, bob)
        loss = Loss(there, PREFIX + "room")
        kim = there.enter()
        there.rooms.leave(bob.member, "room")
        await until(lambda: loss.lost)
        loss.stop()
        eve = there.enter()
        await here.sees(ada, kim, eve)


@pytest.mark.usefixtures("uncompared")
async def test_a_gap_leads_to_a_question(engine: Engine) -> None:
    async with workers(engine.url, 2) as [here, there]:
        ada, bob = here.enter(), there.enter()
        await here.sees(ada, bob)
        loss = Loss(there, PREFIX + "room")
        kim = there.enter()
        await until(lambda: loss.lost)
        loss.stop()
        here.rooms.on_gap(PREFIX + "room", 1)
        await here.sees(ada, bob, kim)


@pytest.mark.usefixtures("uncompared")
async def test_what_could_not_be_published_is_told_again(engine: Engine) -> None:
    async with workers(engine.url, 2) as [here, there]:
        ada, bob = here.enter(), there.enter()
        await here.sees(ada, bob)
        loss = Loss(there, known=True)
        kim = there.enter()
        bob.member.end()
        await until(lambda: PREFIX + "room" in loss.lost)
        loss.stop()
        await here.sees(ada, kim)


@pytest.mark.usefixtures("uncompared")
async def test_who_comes_back_is_asked_for_all(engine: Engine) -> None:
    """Somebody of whom nothing was heard for a lease, and who has noticed nothing."""
    async with workers(engine.url, 2) as [here, there]:
        ada, bob = here.enter(), there.enter()
        await here.sees(ada, bob)
        loss = Loss(there)
        await here.sees(ada)
        assert here.rooms.counters.expired == 1
        loss.stop()
        await here.sees(ada, bob)


async def test_a_comparison_tells_what_nobody_else_does(engine: Engine) -> None:
    async with workers(engine.url, 2) as [here, there]:
        ada, bob = here.enter(), there.enter()
        last, counted = there.enter("other"), there.enter("count/1")
        for worker in (here, there):
            await worker.sees(ada, bob)
            await worker.sees(last, room="other")
            await worker.counts(1, "count/1")
        loss = Loss(there, *(PREFIX + room for room in ("room", "other", "count/1")))
        kim = there.enter()
        last.member.end()
        counted.member.end()
        await until(lambda: len(set(loss.lost)) == 3)
        loss.stop()
        await here.sees(ada, bob, kim)
        await here.sees(room="other")
        await here.counts(0, "count/1")


@pytest.mark.usefixtures("uncompared")
async def test_a_question_without_an_answer_is_asked_again(engine: Engine) -> None:
    async with workers(engine.url, 2) as [here, there]:
        bob = there.enter()
        await there.sees(bob)
        await here.sees(room="other")
        loss = Loss(here, EVERYWHERE)
        ada = here.enter()
        await until(lambda: len(loss.lost) > 1)
        loss.stop()
        assert await here.who() == {ada.id, bob.id}


async def test_who_does_not_hear_itself_takes_nobody_for_gone(engine: Engine) -> None:
    async with workers(engine.url, 2) as [here, there]:
        ada, bob = here.enter(), there.enter()
        await here.sees(ada, bob)
        own, others = Loss(here, EVERYWHERE), Loss(there, EVERYWHERE)
        await until(lambda: len(own.lost) > 3 * gossip.BEATS)
        assert here.rooms.counters.expired == 0
        assert await here.who() == {ada.id, bob.id}
        own.stop()
        await here.sees(ada)
        assert here.rooms.counters.expired == 1
        others.stop()
        await here.sees(ada, bob)


async def test_a_new_worker_is_greeted(engine: Engine) -> None:
    """It hears of all at once, however seldom they say something."""
    async with workers(engine.url, 1, presence_lease=600.0) as [here]:
        ada = here.enter()
        async with workers(engine.url, 1, presence_lease=PATIENT) as [there]:
            assert await there.who() == {ada.id}


async def test_greetings_are_no_beats(engine: Engine) -> None:
    async with workers(engine.url, 4) as some:
        for worker in some:
            await worker.sees()
        assert all(gossip_of(worker)._beats <= gossip_of(worker)._age for worker in some)
