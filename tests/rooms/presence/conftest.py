"""Engines for the tests of presence."""

from tests.rooms.brokers.conftest import ends, engine, keeper_url, url

__all__ = ["ends", "engine", "keeper_url", "url"]
