"""Startup and shutdown of an app that is tested without a server."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fastws.testing import connect, get, lifespan
from fastws.testing.call import App, Event, Receive, Scope, Send
from tests.testing.apps import echo


def living(*answers: Event, then: Callable[[], Any] = lambda: None) -> App:
    """Makes an app that answers the phases of its lifespan, and then acts."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        for answer in answers:
            event = await receive()
            if answer["type"].startswith(event["type"]):
                await send(answer)
        await asyncio.sleep(0)
        then()

    return app


STARTED: Event = {"type": "lifespan.startup.complete"}
STOPPED: Event = {"type": "lifespan.shutdown.complete"}


async def test_an_app_finds_what_its_startup_has_left() -> None:
    log: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            log.append((await receive())["type"])
            scope["state"]["database"] = log
            await send(STARTED)
            log.append((await receive())["type"])
            await send(STOPPED)
            return
        assert scope["state"]["database"] is log
        assert "mine" not in scope["state"]
        scope["state"]["mine"] = True
        log.append(scope["type"])
        if scope["type"] == "websocket":
            await echo(scope, receive, send)
        else:
            await send({"type": "http.response.start", "status": 204})
            await send({"type": "http.response.body"})

    async with lifespan(app) as started, connect(started, "/ws") as ws:
        await ws.send("x")
        assert await ws.recv() == "x"
        assert (await get(started)).status == 204
    assert log == ["lifespan.startup", "websocket", "http", "lifespan.shutdown"]


class BugError(Exception):
    pass


def bug() -> None:
    raise BugError


@pytest.mark.parametrize(
    ("app", "fault"),
    [
        (living(then=bug), BugError()),
        (living(), AssertionError("the end of startup did not come, but the app has returned")),
        (
            living({"type": "lifespan.startup.failed", "message": "no database"}),
            AssertionError("startup failed: no database"),
        ),
        (living(STARTED, then=bug), BugError()),
        (
            living(STARTED, {"type": "lifespan.shutdown.failed"}),
            AssertionError("shutdown failed: {'type': 'lifespan.shutdown.failed'}"),
        ),
        (living(STARTED, STOPPED, then=bug), BugError()),
        (
            living({"type": "websocket.accept"} | {"type": "lifespan.startup"}),
            AssertionError("startup failed: {'type': 'lifespan.startup'}"),
        ),
    ],
)
async def test_what_goes_wrong(app: App, fault: Exception) -> None:
    with pytest.raises(type(fault)) as caught:
        async with lifespan(app):
            pass
    assert str(caught.value) == str(fault)


async def test_an_event_of_another_protocol() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    with pytest.raises(AssertionError, match=r"sent 'websocket\.accept' during its lifespan"):
        async with lifespan(app):
            pass


async def test_an_app_that_does_not_start() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError, match="the end of startup did not come; the app waits at"):
        async with lifespan(app, timeout=0.01):
            pass


async def test_a_failed_test_does_not_wait_for_the_shutdown() -> None:
    async def fail() -> None:
        async with lifespan(living(STARTED, STOPPED)):
            raise BugError

    with pytest.raises(BugError):
        await fail()
