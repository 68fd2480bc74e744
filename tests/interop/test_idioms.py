"""What is particular to each framework; see ``idioms`` for the apps."""

import json
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.interop import differences, idioms
from tests.interop.conftest import Open
from tests.interop.serving import App, Served, Servers
from tests.interop.stage import Stage

pytestmark = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)


@pytest.fixture
def served(servers: Servers, kind: str, request: pytest.FixtureRequest) -> Served:
    """The server of the app that the test's name begins with."""
    name = request.function.__name__.split("_")[1]
    make: Callable[[], App] = getattr(idioms, {"quart": "quart_app"}.get(name, name))
    return servers.get(kind, f"idioms of {name}", make, lifespan="auto")


Refused = Callable[..., Awaitable[tuple[int, bytes]]]


@pytest.fixture
def refused(served: Served, errors: list[str]) -> Refused:
    """Gives status and body of the refusal of a path."""

    async def connecting(path: str, host: str = "127.0.0.1") -> tuple[int, bytes]:
        url = served.url(path).replace("127.0.0.1", host)
        with pytest.raises(InvalidStatus) as refusal:
            await connect(url, host="127.0.0.1", proxy=None)
        await served.settled()
        assert set(errors) <= differences.COMPLAINTS_ABOUT_DENIAL.on(served.kind)
        errors.clear()
        return refusal.value.response.status_code, bytes(refusal.value.response.body or b"")

    return connecting


async def test_starlette_endpoint(served: Served, open_ws: Open) -> None:
    stage = Stage()
    async with open_ws(served, f"/counter{stage.query}") as ws:
        for total in 2, 4:
            await ws.send('{"add": 2}')
            assert json.loads(await ws.recv()) == {"total": total}
        await ws.close(1001)
    assert await stage.reported() == (4, 1001)


async def test_starlette_iteration(served: Served, open_ws: Open) -> None:
    stage = Stage()
    async with open_ws(served, f"/iterated{stage.query}") as ws:
        await ws.send("a")
        assert await ws.recv() == "A"
    assert await stage.reported() == "the iteration has ended"


async def test_starlette_refusals(refused: Refused) -> None:
    assert (await refused("/nowhere"))[0] == 403
    assert await refused("/iterated", host="evil.example") == (400, b"Invalid host header")


async def test_fastapi_dependencies(served: Served, open_ws: Open) -> None:
    async with open_ws(served, "/greet?token=me&times=2") as ws:
        for _ in range(2):
            assert json.loads(await ws.recv()) == {"hello": "me"}
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert (ws.close_code, ws.close_reason) == (1008, "enough")


async def test_fastapi_refusals(refused: Refused) -> None:
    assert (await refused("/greet"))[0] == 403
    assert (await refused("/greet?token=me&times=many"))[0] == 403
    status, body = await refused("/greet?token=wrong")
    assert (status, json.loads(body)) == (401, {"detail": "wrong token"})


async def test_litestar_listener(served: Served, open_ws: Open) -> None:
    async with open_ws(served, "/listener") as ws:
        await ws.send('{"item": "egg", "count": 2}')
        assert json.loads(await ws.recv()) == {"ordered": "eggegg"}


async def test_litestar_listener_class(served: Served, open_ws: Open) -> None:
    stage = Stage()
    async with open_ws(served, f"/class{stage.query}") as ws:
        assert await stage.reported() == "accepted"
        await ws.send("abc")
        assert await ws.recv() == "cba"
    assert await stage.reported() == "disconnected"


async def test_litestar_stream_ends_with_its_client(served: Served, open_ws: Open) -> None:
    stage = Stage()
    async with open_ws(served, f"/stream{stage.query}") as ws:
        assert [await ws.recv() for _ in range(3)] == ["0", "1", "2"]
    assert await stage.reported() == "the stream has ended"


async def test_litestar_channels(served: Served, open_ws: Open) -> None:
    async with open_ws(served, "/news") as one, open_ws(served, "/news") as two:
        async with open_ws(served, "/publish") as publisher:
            await publisher.send("hot")
            assert await publisher.recv() == "published"
        assert [await one.recv(), await two.recv()] == ["hot", "hot"]


async def test_channels_group(served: Served, open_ws: Open) -> None:
    async with open_ws(served, "/chat") as one, open_ws(served, "/chat") as two:
        for ws in one, two:
            assert json.loads(await ws.recv()) == {"ready": True}
        await one.send('"hi"')
        for ws in one, two:
            assert json.loads(await ws.recv()) == {"said": "hi"}


async def test_channels_consumer_in_threads(served: Served, open_ws: Open) -> None:
    stage = Stage()
    async with open_ws(served, f"/threaded{stage.query}") as ws:
        assert await ws.recv() == "hello from a thread"
        for message in "text", b"bytes":
            await ws.send(message)
            assert await ws.recv() == message
        await ws.send("bye")
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert (ws.close_code, ws.close_reason) == (4003, "as you wish")
    assert await stage.reported() == 4003


async def test_quart_two_tasks(served: Served, open_ws: Open) -> None:
    async with open_ws(served, "/two-tasks?token=x") as ws:
        for number in range(20):
            await ws.send(str(number))
        assert [await ws.recv() for _ in range(20)] == [str(number) for number in range(20)]


async def test_quart_refusal(refused: Refused) -> None:
    assert await refused("/two-tasks") == (401, b"who are you?")
