"""Apps on our server and on plain uvicorn: everything must hold on both."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import pytest

import fastws
from tests.server.serving import Running, running

Run = Callable[..., AbstractAsyncContextManager[Running]]

SERVERS: dict[str, dict[str, Any]] = {
    "fastws": {},
    "uvicorn": {"http": "httptools", "ws": "websockets-sansio"},
}


@pytest.fixture(params=SERVERS)
def server_kind(request: pytest.FixtureRequest) -> str:
    """Whose WebSockets the test runs on."""
    kind: str = request.param
    return kind


@pytest.fixture
def run(server_kind: str) -> Run:
    """Serves an app, ``async with run(app) as server``."""
    return partial(running, **SERVERS[server_kind])


def connect(server: Running, path: str = "/ws", **options: Any) -> Any:
    """Connects a client to a server of `run`."""
    return fastws.connect("ws://{}:{}{}".format(*server.address, path), **options)
