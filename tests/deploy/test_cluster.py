"""Workers on two hosts, each behind an nginx, share their rooms. Larger: `make cluster`."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from benchmarks.cluster import delivery, restarts
from benchmarks.cluster.hosts import hosts
from benchmarks.cluster.stage import Engine, Stage
from tests.nginx import NGINX

pytestmark = [pytest.mark.deep, pytest.mark.skipif(NGINX is None, reason="no nginx")]


@pytest.fixture(params=["redis", "nats"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with ExitStack() as stack:
        # Not in namespaces, which not every machine allows.
        first, *others = stack.enter_context(hosts("engine", "a", "b", isolated=False))
        yield Stage(Engine(request.param, first, stack), others)


def test_each_message_reaches_each_member_once(stage: Stage) -> None:
    found = delivery.prove(stage, clients=60, rooms=6, messages=3, rate=300)
    assert [one for one in found if not one.met] == []
    received = next(one for one in found if one.what == "received")
    assert received.found == "1,800"


def test_one_message_of_the_engine_for_each_worker(stage: Stage) -> None:
    found = delivery.prove(stage, clients=40, rooms=1, messages=2, rate=300)
    assert [one for one in found if not one.met] == []
    came = next(one for one in found if one.what == "came to workers")
    assert came.found == "320"


@pytest.mark.parametrize("manner", restarts.MANNERS)
def test_what_is_acknowledged_outlives_rolling_restarts(stage: Stage, manner: str) -> None:
    found = restarts.prove(stage, manner=manner, clients=20, rooms=2, pause=0.1, rounds=1)
    assert [one for one in found if not one.met] == []
