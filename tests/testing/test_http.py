"""Pages, fetched without a server."""

import asyncio
from typing import Any

import pytest

from fastws.app.headers import Headers
from fastws.testing import Response, get
from fastws.testing.call import Event, Receive, Scope, Send

START: Event = {"type": "http.response.start", "status": 200, "headers": [(b"X-One", b"1")]}
BODY: Event = {"type": "http.response.body", "body": b"all"}


async def test_a_page_and_what_its_app_is_called_with() -> None:
    called: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.extend([scope, await receive()])
        await send(START)
        await send({**BODY, "body": b"in ", "more_body": True})
        await send({**BODY, "body": b"parts"})
        called.append(await receive())

    page = await get(app, "/a%20b?c=d", headers={"Accept": "text/html"}, client=("1.2.3.4", 5))
    assert page == Response(200, Headers([(b"x-one", b"1")]), b"in parts")
    assert page.headers["X-One"] == "1"
    scope, request, end = called
    assert request == {"type": "http.request", "body": b"", "more_body": False}
    assert end == {"type": "http.disconnect"}
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"c=d",
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"accept", b"text/html")],
        "client": ("1.2.3.4", 5),
        "server": ("127.0.0.1", 80),
        "state": {},
        "extensions": {},
    }


class BugError(Exception):
    pass


@pytest.mark.parametrize("events", [[], [START], [START, BODY]])
async def test_an_exception_of_the_app_is_the_tests(events: list[Event]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for event in events:
            await send(event)
        raise BugError

    with pytest.raises(BugError):
        await get(app)


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ([], "a response did not come, but the app has returned"),
        ([START, {**BODY, "more_body": True}], "a response did not come, but"),
        ([BODY], r"sent 'http\.response\.body' out of its order"),
        ([START, START], r"sent 'http\.response\.start' out of its order"),
        ([START, BODY, BODY], r"sent 'http\.response\.body' out of its order"),
        ([{"type": "websocket.accept"}], "out of its order"),
    ],
)
async def test_what_no_server_puts_up_with(events: list[Event], fault: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for event in events:
            await send(event)

    with pytest.raises(AssertionError, match=fault):
        await get(app)


@pytest.mark.parametrize(
    ("events", "awaited"), [([], "a response did not come"), ([START, BODY], "app did not end")]
)
async def test_an_app_that_hangs(events: list[Event], awaited: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for event in events:
            await send(event)
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError, match=rf"{awaited}; the app waits at .*test_http\.py"):
        await get(app, timeout=0.2)


async def test_a_path_is_a_path() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    for target in ("page", "/a b"):
        with pytest.raises(ValueError, match=r"is no path|percent-encoded"):
            await get(app, target)
