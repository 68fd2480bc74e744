"""Engines for the tests of presence."""

from tests.rooms.brokers.conftest import ends, engine, nats, redis, url

__all__ = ["ends", "engine", "nats", "redis", "url"]
