"""Engines for the tests of brokers."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.rooms.brokers.engines import ENGINES, KEEPERS, Engine, JetStream, NatsServer, RedisServer


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, ends: ExitStack) -> Engine:
    """A Redis, or a NATS, that runs until the test is over."""
    server = ENGINES[request.param](ends)
    server.start()
    return server


@pytest.fixture
def redis(ends: ExitStack) -> RedisServer:
    server = RedisServer(ends)
    server.start()
    return server


@pytest.fixture
def nats(ends: ExitStack) -> NatsServer:
    server = NatsServer(ends)
    server.start()
    return server


@pytest.fixture(params=["memory", *ENGINES])
def url(request: pytest.FixtureRequest, ends: ExitStack) -> str:
    """Where any broker is."""
    if request.param == "memory":
        return "memory://"
    server = ENGINES[request.param](ends)
    server.start()
    return server.url


@pytest.fixture
def jetstream(ends: ExitStack) -> JetStream:
    server = JetStream(ends)
    server.start()
    return server


@pytest.fixture(params=KEEPERS)
def keeper(request: pytest.FixtureRequest, ends: ExitStack) -> Engine:
    """An engine that keeps messages."""
    server = KEEPERS[request.param](ends)
    server.start()
    return server


@pytest.fixture(params=["memory", *KEEPERS])
def keeper_url(request: pytest.FixtureRequest, ends: ExitStack) -> str:
    """Where any broker is that keeps messages."""
    if request.param == "memory":
        return "memory://"
    server = KEEPERS[request.param](ends)
    server.start()
    return server.url
