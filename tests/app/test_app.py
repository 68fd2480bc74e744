"""What an App does around its handlers, on our server and on plain uvicorn."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from fastws.app.app import App
from fastws.app.http import Request, Response
from fastws.app.origin import OriginCheck
from fastws.app.websocket import WebSocket
from fastws.errors import Disconnected, HandshakeError, ProtocolError
from fastws.limits import Limits
from tests.app.conftest import Run, connect
from tests.server.serving import Running, until

Socket = WebSocket[Any]


async def refused(server: Running, path: str = "/ws", **options: Any) -> tuple[int, Any]:
    """Gives the status and the JSON of a refusal."""
    with pytest.raises(HandshakeError) as caught:
        async with connect(server, path, **options):
            pass
    assert (b"content-type", b"application/json") in caught.value.headers
    return caught.value.status, msgspec.json.decode(caught.value.body)


async def ended(server: Running, path: str = "/ws") -> tuple[int, str]:
    """Connects and gives the code and the reason that end the connection."""
    async with connect(server, path) as ws:
        with pytest.raises(Disconnected) as caught:
            await ws.recv(timeout=5)
    return caught.value.code, caught.value.reason


def handled(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Gives the app's log lines."""
    return [record.getMessage() for record in caplog.records if record.name == "fastws.app"]


async def test_a_path_leads_to_its_handler(run: Run) -> None:
    app = App()

    @app.websocket("/{what}/{which}")
    async def tell(ws: Socket) -> None:
        await ws.accept()
        await ws.send_json(ws.path_params)

    async with run(app) as server, connect(server, "/rooms/caf%C3%A9%2F1") as ws:
        assert await ws.recv(timeout=5) == '{"what":"rooms","which":"café/1"}'


async def test_an_unknown_path_is_404(run: Run) -> None:
    async with run(App()) as server:
        assert await refused(server) == (404, {"status": 404, "detail": "no such WebSocket"})


async def test_what_a_handler_raises_before_the_accept_is_the_answer(run: Run) -> None:
    app = App()

    @app.websocket("/ws")
    async def refuse(ws: Socket) -> None:
        raise HandshakeError(418, "a teapot", ((b"x-pot", b"1"),), fields={"pot": "small"})

    async with run(app) as server:
        body = {"status": 418, "detail": "a teapot", "pot": "small"}
        assert await refused(server) == (418, body)


async def test_what_a_handler_raises_after_it_is_the_close_code(run: Run) -> None:
    app = App()

    @app.websocket("/protocol")
    async def protocol(ws: Socket) -> None:
        await ws.accept()
        raise ProtocolError(4123, "that way out")

    @app.websocket("/handshake")
    async def handshake(ws: Socket) -> None:
        await ws.accept()
        raise HandshakeError(401, "too late for that")

    @app.websocket("/return")
    async def finish(ws: Socket) -> None:
        await ws.accept()

    async with run(app) as server:
        assert await ended(server, "/protocol") == (4123, "that way out")
        assert await ended(server, "/handshake") == (1008, "too late for that")
        assert await ended(server, "/return") == (1000, "")


async def test_a_bug_is_logged_once_and_closes_only_its_connection(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    @app.websocket("/early")
    async def early(ws: Socket) -> None:
        raise ZeroDivisionError

    @app.websocket("/late")
    async def late(ws: Socket) -> None:
        await ws.accept()
        async for _ in ws:
            raise ZeroDivisionError

    async with run(app) as server, connect(server, "/late") as other:
        body = {"status": 500, "detail": "internal error"}
        assert await refused(server, "/early") == (500, body)
        async with connect(server, "/late") as ws:
            await ws.send("boom")
            with pytest.raises(Disconnected) as caught:
                await ws.recv(timeout=5)
        assert (caught.value.code, caught.value.reason) == (1011, "internal error")
        assert other.close_code is None
    failures = [r for r in caplog.records if r.exc_info and r.exc_info[0] is ZeroDivisionError]
    assert [r.name for r in failures] == ["fastws.app"] * 2
    assert handled(caplog) == ["the handler for /early failed", "the handler for /late failed"]


async def test_a_handler_that_does_not_answer(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.websocket("/ws")
    async def nothing(ws: Socket) -> None:
        pass

    async with run(app) as server:
        assert (await refused(server))[0] == 500
    assert handled(caplog) == ["the handler for /ws has not answered the handshake"]


async def test_a_path_in_a_log_line_forges_no_other(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    @app.websocket("/{name}")
    async def fail(ws: Socket) -> None:
        raise ZeroDivisionError

    async with run(app) as server:
        await refused(server, "/a%0Aforged%1B%E2%80%A8")
    assert handled(caplog) == ["the handler for /a%0Aforged%1B%E2%80%A8 failed"]


async def test_pages_of_elsewhere_are_refused_with_cookies(run: Run) -> None:
    app = App()

    @app.websocket("/ws")
    async def greet(ws: Socket) -> None:
        await ws.accept()
        await ws.send("hello")

    foreign = {"Cookie": "session=1", "Origin": "https://evil.example"}
    async with run(app) as server:
        assert (await refused(server, headers=foreign))[0] == 403
        own = foreign | {"Origin": "http://{}:{}".format(*server.address)}
        for headers in ({}, own, {"Origin": "https://evil.example"}):
            async with connect(server, headers=headers) as ws:
                assert await ws.recv(timeout=5) == "hello"


async def test_origins_that_are_allowed(run: Run) -> None:
    app = App(origins=OriginCheck(["https://good.example"]))

    @app.websocket("/ws")
    async def greet(ws: Socket) -> None:
        await ws.accept()

    async with run(app) as server:
        assert (await refused(server, headers={"Origin": "https://evil.example"}))[0] == 403
        async with connect(server, headers={"Origin": "https://good.example", "Cookie": "a=b"}):
            pass


async def test_caps(run: Run) -> None:
    limits = Limits(max_connections=3, max_connections_per_client=2)
    app = App()

    @app.websocket("/ws", limits=limits)
    async def wait(ws: Socket) -> None:
        await ws.accept()
        await ws.send("in")
        async for _ in ws:
            pass

    @app.websocket("/other", limits=limits)
    async def other(ws: Socket) -> None:
        await ws.accept()

    async with run(app, forwarded_allow_ips="*") as server:

        def client(address: str) -> dict[str, str]:
            return {"X-Forwarded-For": address}

        async with (
            connect(server, headers=client("10.0.0.1")) as first,
            connect(server, headers=client("10.0.0.1")) as second,
            connect(server, "/other", headers=client("10.0.0.1")),
        ):
            await first.recv(timeout=5)
            await second.recv(timeout=5)
            assert (await refused(server, headers=client("10.0.0.1")))[0] == 429
            async with connect(server, headers=client("10.0.0.2")) as third:
                await third.recv(timeout=5)
                assert (await refused(server, headers=client("10.0.0.3")))[0] == 503
        await server.emptied()
        async with connect(server, headers=client("10.0.0.1")) as again:
            assert await again.recv(timeout=5) == "in"


async def test_lifespan_is_around_everything(run: Run) -> None:
    steps: list[str] = []
    app = App()

    @app.lifespan
    @asynccontextmanager
    async def live(inside: App) -> AsyncIterator[dict[str, Any]]:
        assert inside is app
        steps.append("start")
        yield {"answer": 42}
        steps.append("stop")

    @app.websocket("/ws")
    async def tell(ws: Socket) -> None:
        await ws.accept()
        await ws.send_json(ws.scope["state"]["answer"])

    async with run(app, lifespan="on") as server:
        assert steps == ["start"]
        async with connect(server) as ws:
            assert await ws.recv(timeout=5) == "42"
        await server.shut_down()
        assert steps == ["start", "stop"]
    assert not app.ready


async def test_a_start_that_fails_is_told_to_the_server(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.lifespan
    @asynccontextmanager
    async def live(_: App) -> AsyncIterator[None]:
        raise ConnectionRefusedError("no database")
        yield

    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(event: Any) -> None:
        sent.append(event)

    await app({"type": "lifespan", "state": {}}, receive, send)
    assert sent == [{"type": "lifespan.startup.failed", "message": "no database"}]
    assert handled(caplog) == ["the startup failed"]


async def test_a_shutdown_that_fails_is_told_to_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App()

    @app.lifespan
    @asynccontextmanager
    async def live(_: App) -> AsyncIterator[None]:
        yield
        raise ConnectionResetError("the database is gone")

    sent: list[Any] = []
    events = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        return {"type": next(events)}

    async def send(event: Any) -> None:
        sent.append(event)

    await app({"type": "lifespan"}, receive, send)
    failed = {"type": "lifespan.shutdown.failed", "message": "the database is gone"}
    assert sent == [{"type": "lifespan.startup.complete"}, failed]
    assert handled(caplog) == ["the shutdown failed"]


async def test_pages_that_cannot_be_sent_are_bugs(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    @app.get("/header")
    async def header(_: Request) -> Response:
        return Response(b"", headers=((b"x-a", b"1\r\nset-cookie: a=b"),))

    @app.get("/refusal")
    async def refusal(_: Request) -> None:
        raise HandshakeError(403, "no", ((b"x-a", b"1\r\nset-cookie: a=b"),))

    @app.get("/fields")
    async def fields(_: Request) -> None:
        raise HandshakeError(403, "no", fields={"a": object()})

    @app.get("/json")
    async def json(_: Request) -> Any:
        return object()

    @app.get("/sync")
    def sync(_: Request) -> Any:
        return "x"

    names = ["header", "refusal", "fields", "json", "sync"]
    async with run(app) as server, aiohttp.ClientSession() as http:
        for name in names:
            async with http.get("http://{}:{}/{}".format(*server.address, name)) as answer:
                assert (answer.status, await answer.read()) == (500, b"internal error\n")
    assert handled(caplog) == [f"the page for /{name} failed" for name in names]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "PATCH"])
async def test_other_methods_have_no_body_or_are_405(method: str, run: Run) -> None:
    async with run(App()) as server, aiohttp.ClientSession() as http:
        url = "http://{}:{}/healthz".format(*server.address)
        async with http.request(method, url) as answer:
            assert answer.status == (200 if method == "HEAD" else 405)
            if method == "HEAD":
                assert (answer.headers["content-length"], await answer.read()) == ("3", b"")
            else:
                assert answer.headers["allow"] == "GET, HEAD"


def test_the_apps_own_pages_are_not_replaced_by_accident() -> None:
    with pytest.raises(ValueError, match="there already"):
        App().page("/healthz", Path(__file__))


async def test_an_optional_part_of_a_scope_may_be_missing() -> None:
    app = App()

    @app.websocket("/ws")
    async def act(ws: Socket) -> None:
        await ws.accept()
        assert (ws.client, ws.rooms, ws.subprotocol) == (None, frozenset(), None)

    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(event: Any) -> None:
        sent.append(event["type"])

    scope: dict[str, Any] = {"type": "websocket", "path": "/ws", "headers": []}
    scope["extensions"] = None
    await app(scope, receive, send)
    assert sent == ["websocket.accept", "websocket.close"]
    sent.clear()
    await app(scope | {"path": "/nowhere"}, receive, send)
    assert sent == ["websocket.close"]


async def test_pages(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "page.html"
    file.write_text("<p>é")
    app = App()
    app.page("/", file)

    class Params(msgspec.Struct):
        n: int

    @app.get("/json/{name}")
    async def data(request: Request) -> dict[str, Any]:
        return {"name": request.path_params["name"], "n": request.query(Params).n}

    @app.get("/text")
    async def text(_: Request) -> str:
        return "<b>hi</b>"

    @app.get("/created")
    async def created(request: Request) -> Response:
        return Response(request.headers["x-a"].encode(), status=201, headers=((b"x-b", b"c"),))

    @app.get("/bug")
    async def bug(_: Request) -> str:
        raise ZeroDivisionError

    async with run(app) as server, aiohttp.ClientSession() as http:
        base = "http://{}:{}".format(*server.address)

        async def get(path: str, method: str = "GET", **headers: str) -> tuple[int, str, bytes]:
            async with http.request(method, base + path, headers=headers) as answer:
                return answer.status, answer.headers["content-type"], await answer.read()

        html, plain = "text/html; charset=utf-8", "text/plain; charset=utf-8"
        assert await get("/") == (200, html, "<p>é".encode())
        assert await get("/", "HEAD") == (200, html, b"")
        assert await get("/text") == (200, html, b"<b>hi</b>")
        body = b'{"name":"a/b","n":1}'
        assert await get("/json/a%2Fb?n=1") == (200, "application/json", body)
        status, kind, body = await get("/json/a?n=x")
        assert (status, kind) == (400, "application/json")
        assert msgspec.json.decode(body)["parameter"] == "n"
        assert await get("/created", **{"x-a": "y"}) == (201, plain, b"y")
        assert (await get("/nowhere"))[0] == 404
        assert (await get("/text", "POST"))[0] == 405
        assert (await get("/bug"))[0] == 500
        assert await get("/healthz") == (200, plain, b"ok\n")
        assert await get("/readyz") == (200, plain, b"ready\n")
        app.ready = False
        assert (await get("/readyz"))[0] == 503
    assert handled(caplog) == ["the page for /bug failed"]
    assert caplog.get_records("call")[-1].levelno >= logging.INFO


async def test_rooms_are_left_whatever_way_it_ends(run: Run) -> None:
    app = App()

    @app.websocket("/{how}")
    async def end(ws: Socket) -> None:
        await ws.accept()
        ws.join("a")
        ws.join("b")
        await ws.send(",".join(sorted(ws.rooms)))
        async for _ in ws:
            match ws.path_params["how"]:
                case "bug":
                    raise ZeroDivisionError
                case "return":
                    return
                case "close":
                    await ws.close()
                case "kick":
                    ws.close_soon(4000, "kicked")

    async with run(app) as server:
        for how in ("bug", "return", "close", "kick", "leave", "abort"):
            async with connect(server, f"/{how}") as ws:
                assert await ws.recv(timeout=5) == "a,b"
                assert sorted(app.rooms.names()) == ["a", "b"]
                if how == "abort":
                    ws.abort()
                elif how != "leave":
                    await ws.send("go")
                    with pytest.raises(Disconnected):
                        await ws.recv(timeout=5)
            await until(lambda: not app.rooms.names())
        await server.emptied()
    assert app.rooms.population == 0
