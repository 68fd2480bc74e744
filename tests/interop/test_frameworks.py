"""The same behaviours through every framework, on our server and on uvicorn's own."""

import asyncio

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.interop import differences
from tests.interop.conftest import Open, reset
from tests.interop.frameworks import FRAMEWORKS, Framework
from tests.interop.programs import PROTOCOLS, TICKS
from tests.interop.serving import Served, Servers
from tests.interop.stage import Stage

pytestmark = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)

ROOT = "/base"


@pytest.fixture(params=FRAMEWORKS, ids=lambda framework: framework.module)
def framework(request: pytest.FixtureRequest) -> Framework:
    found: Framework = request.param
    return found


@pytest.fixture
def served(servers: Servers, kind: str, framework: Framework) -> Served:
    options = {"lifespan": "on", "root_path": ROOT}
    return servers.get(kind, framework.module, framework.make, **options)


async def ended(ws: ClientConnection) -> tuple[int, str]:
    """Gives code and reason with which the connection ends, and that must be all that comes."""
    with pytest.raises(ConnectionClosed):
        raise AssertionError(f"unexpected message: {await ws.recv()!r}")
    assert ws.close_code is not None
    return ws.close_code, ws.close_reason or ""


def named(error: BaseException) -> set[str]:
    """Gives the names of an exception's classes."""
    return {each.__name__ for each in type(error).__mro__}


async def test_text_and_binary_come_back(
    served: Served, framework: Framework, open_ws: Open
) -> None:
    messages: list[str | bytes] = ["hi", b"hi", "", "käse 🧀", bytes(range(256)), "x" * 70_000]
    if framework.empty_bytes:
        messages.append(b"")
    async with open_ws(served, "/echo") as ws:
        for message in messages:
            await ws.send(message)
            assert await ws.recv() == message


async def test_a_megabyte_comes_back(served: Served, open_ws: Open) -> None:
    text, binary = "ö" * 2**19, bytes(2**20)
    async with open_ws(served, "/echo") as ws:
        await ws.send(text)
        assert await ws.recv() == text
        await ws.send(binary)
        assert await ws.recv() == binary


async def test_many_messages_at_once_come_back_in_order(served: Served, open_ws: Open) -> None:
    numbers = [str(number) for number in range(1000)]
    async with open_ws(served, "/echo", max_queue=None) as ws:
        for number in numbers:
            await ws.send(number)
        assert [await ws.recv() for _ in numbers] == numbers


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["chat.v1"], "chat.v1"), (["x", *reversed(PROTOCOLS)], "chat.v2"), (["x"], None)],
)
async def test_the_app_chooses_the_subprotocol(
    served: Served, open_ws: Open, offered: list[str], chosen: str | None
) -> None:
    async with open_ws(served, "/echo", subprotocols=offered) as ws:
        assert ws.subprotocol == chosen


async def test_scope(served: Served, framework: Framework, open_ws: Open) -> None:
    stage = Stage()
    path = f"/describe/caf%C3%A9%20x{stage.query}&q=a%26b"
    headers = [("X-Test", "one"), ("x-same", "1"), ("X-Same", "2")]
    async with open_ws(
        served, path, additional_headers=headers, subprotocols=["chat.v1", "x"]
    ) as ws:
        scope, seen = await stage.reported()
        address = ws.local_address[:2]
    assert seen == ("café x", "a&b", "one")
    assert scope["type"] == "websocket"
    assert scope["asgi"]["spec_version"] == "2.4"
    assert (scope["http_version"], scope["scheme"]) == ("1.1", "ws")
    assert scope["root_path"] == ROOT
    assert scope["path"] == ("" if framework.strips_root else ROOT) + "/describe/café x"
    assert scope["raw_path"] == ROOT.encode() + b"/describe/caf%C3%A9%20x"
    assert scope["query_string"] == f"{stage.query[1:]}&q=a%26b".encode()
    assert tuple(scope["server"]) == (served.host, served.port)
    assert tuple(scope["client"]) == address
    assert scope["subprotocols"] == ["chat.v1", "x"]
    assert "websocket.http.response" in scope["extensions"]
    assert [value for name, value in scope["headers"] if name == b"x-same"] == [b"1", b"2"]
    assert (b"host", f"{served.host}:{served.port}".encode()) in scope["headers"]


async def test_headers_of_the_accept(served: Served, open_ws: Open) -> None:
    stage = Stage()
    async with open_ws(served, f"/describe{stage.query}") as ws:
        await stage.reported()
        assert ws.response is not None
        assert ws.response.headers["x-one"] == "1"
        assert ws.response.headers.get_all("x-two") == ["a", "b"]
        assert ws.response.headers.get_all("server") == ["uvicorn"]
        assert len(ws.response.headers.get_all("date")) == 1


async def test_a_close_before_the_accept_is_403(served: Served, open_ws: Open) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        async with open_ws(served, "/refuse"):
            pass
    assert refusal.value.response.status_code == 403


async def test_denial_response(served: Served, open_ws: Open, errors: list[str]) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        async with open_ws(served, "/respond"):
            pass
    response = refusal.value.response
    assert response.status_code == 418
    assert response.headers["x-pot"] == "tea"
    assert response.body == b"short and stout"
    await served.settled()
    assert set(errors) <= differences.COMPLAINTS_ABOUT_DENIAL.on(served.kind)
    errors.clear()


async def test_the_client_sees_why_the_app_closed(served: Served, open_ws: Open) -> None:
    async with open_ws(served, "/close") as ws:
        await ws.send("please")
        assert await ended(ws) == (4001, "bye, ünïcode")


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "tab"), (4999, "grüße")])
async def test_the_app_sees_why_the_client_closed(
    served: Served, framework: Framework, open_ws: Open, code: int, reason: str
) -> None:
    stage = Stage()
    async with open_ws(served, f"/watch{stage.query}") as ws:
        assert await ws.recv() == "ready"
        await ws.close(code, reason)
    assert await stage.reported() == ((code, reason) if framework.tells else None)


async def test_the_app_sees_that_the_client_vanished(
    served: Served, framework: Framework, open_ws: Open
) -> None:
    stage = Stage()
    async with open_ws(served, f"/watch{stage.query}") as ws:
        assert await ws.recv() == "ready"
        reset(ws)
        code = differences.CODE_OF_VANISHED_PEER.on(served.kind)
        assert await stage.reported() == ((code, "") if framework.tells else None)


@pytest.mark.parametrize("cleanly", [True, False])
async def test_a_send_after_the_disconnect_raises(
    served: Served, framework: Framework, open_ws: Open, cleanly: bool
) -> None:
    stage = Stage()
    async with open_ws(served, f"/late{stage.query}") as ws:
        if cleanly:
            await ws.close()
        else:
            reset(ws)
        assert named(await stage.reported()).intersection(framework.late)


async def test_an_app_that_only_sends_learns_that_the_client_has_gone(
    served: Served, framework: Framework, open_ws: Open
) -> None:
    stage = Stage()
    async with open_ws(served, f"/deaf{stage.query}") as ws:
        assert await ws.recv() == "tick"
        reset(ws)
        assert named(await stage.reported()).intersection(framework.deaf)


async def test_a_fault_of_the_handler_closes_only_its_connection(
    served: Served, framework: Framework, open_ws: Open, errors: list[str]
) -> None:
    expected = framework.closes_on_fault or differences.CODE_AFTER_FAULT.on(served.kind)
    async with open_ws(served, "/echo") as other:
        async with open_ws(served, "/fail") as ws:
            await ws.send("go")
            assert (await ended(ws))[0] == expected
        await other.send("still here")
        assert await other.recv() == "still here"
    assert_logged_once(framework, errors)


async def test_a_fault_before_the_accept_is_500(
    served: Served, framework: Framework, open_ws: Open, errors: list[str]
) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        async with open_ws(served, "/fail_early"):
            pass
    assert refusal.value.response.status_code == framework.refuses_on_fault
    await served.settled()
    assert_logged_once(framework, errors)


def assert_logged_once(framework: Framework, errors: list[str]) -> None:
    """One traceback of the app's fault by the server, unless the framework kept the fault."""
    ours = [each for each in errors if each.startswith("Exception in ASGI application")]
    assert len(ours) == (0 if framework.closes_on_fault else 1)
    assert all("Boom" in each for each in errors)
    errors.clear()


async def test_an_app_may_return_without_a_close(
    served: Served, framework: Framework, open_ws: Open
) -> None:
    expected = framework.closes_on_return or differences.CODE_AFTER_RETURN.on(served.kind)
    async with open_ws(served, "/leave") as ws:
        await ws.send("go")
        assert (await ended(ws))[0] == expected


async def test_a_background_task_sends_while_the_handler_receives(
    served: Served, open_ws: Open
) -> None:
    messages = [f"message {number}" for number in range(TICKS)]
    async with open_ws(served, "/push", max_queue=None) as ws:
        for message in messages:
            await ws.send(message)
        came = [await ws.recv() for _ in range(2 * TICKS)]
    assert [each for each in came if "message" in str(each)] == messages
    assert [each for each in came if "tick" in str(each)] == [f"tick {n}" for n in range(TICKS)]


async def test_a_ping_is_answered_while_the_app_is_busy(served: Served, open_ws: Open) -> None:
    stage = Stage()
    async with open_ws(served, f"/busy{stage.query}") as ws:
        assert await stage.reported() == "busy"
        await (await ws.ping())
        await ws.send("unread")
        pong = await ws.ping()
        if differences.PONG_WHILE_MESSAGE_WAITS.on(served.kind):
            await pong
        stage.give_cue()
        assert await ws.recv() == "unread"
        await pong


async def test_connections_do_not_mix(served: Served, open_ws: Open) -> None:
    async def talk(name: int) -> None:
        async with open_ws(served, "/echo") as ws:
            for number in range(20):
                await ws.send(f"{name}: {number}")
                assert await ws.recv() == f"{name}: {number}"

    async with asyncio.TaskGroup() as group:
        for name in range(20):
            group.create_task(talk(name))


async def test_state_of_the_lifespan(served: Served, open_ws: Open) -> None:
    for _ in range(2):
        async with open_ws(served, "/state") as ws:
            assert await ws.recv() == "hello"
