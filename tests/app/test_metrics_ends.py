"""What /metrics tells of how connections begin and end."""

import asyncio

import pytest

from fastws.app.app import App
from fastws.errors import HandshakeError, ProtocolError
from fastws.limits import Limits
from tests.app.conftest import Run, connect
from tests.app.figures import (
    ACCEPTED,
    LOST,
    REFUSED,
    Socket,
    app_of,
    changed,
    closed,
    echo,
    end_of,
    prometheus,
    read,
    refused,
    traffic,
)
from tests.server.peer import (
    Peer,
    connected,
    tcp,
    upgrade,
)
from tests.server.serving import Receive, Running, Scope, Send, running, until


async def end(ws: Socket) -> None:
    match ws.path_params["name"]:
        case "bug":
            await ws.accept()
            raise ZeroDivisionError
        case "error":
            await ws.accept()
            raise ProtocolError(4321, "private")
        case "return":
            await ws.accept()
        case "kick":
            await ws.accept()
            ws.close_soon(1013)
            await ws.receive()
        case _:
            await echo(ws)


@pytest.mark.parametrize(
    ("how", "code"),
    [("bug", "internal_error"), ("error", "other"), ("return", "normal"), ("kick", "try_again")],
)
async def test_ends_that_are_ours(run: Run, how: str, code: str) -> None:
    async with (
        run(app_of(end)) as server,
        changed(server) as change,
        connect(server, f"/{how}") as ws,
    ):
        await end_of(ws)
    assert change == {ACCEPTED: 1, closed(code, "server"): 1}


async def test_ends_that_are_the_clients(run: Run) -> None:
    """Codes that a client makes up have one label together."""
    async with run(app_of(end)) as server, changed(server) as change:
        for code in (1000, 1001, 3000, 3001, 4444):
            async with connect(server) as ws:
                await ws.close(code)
        async with connect(server) as ws:
            ws.abort()
    assert change == {
        ACCEPTED: 6,
        closed("normal", "client"): 1,
        closed("going_away", "client"): 1,
        closed("other", "client"): 3,
        LOST: 1,
    }


async def test_a_client_that_is_gone_when_the_handler_wants_to_send(run: Run) -> None:
    go = asyncio.Event()

    async def send(ws: Socket) -> None:
        await ws.accept()
        await go.wait()
        while True:
            await ws.send("x")
            await asyncio.sleep(0)

    async with run(app_of(send)) as server, changed(server) as change:
        async with connect(server) as ws:
            ws.abort()
        go.set()
    assert change.pop(ACCEPTED) == 1
    assert change.pop(LOST) == 1
    assert change.keys() <= traffic([], [1]).keys()


async def test_refusals_by_the_app(run: Run) -> None:
    app = App()

    @app.websocket("/ws")
    async def refuse(ws: Socket) -> None:
        raise HandshakeError(418, "a teapot")

    @app.websocket("/close")
    async def close(ws: Socket) -> None:
        await ws.close()

    async with run(app) as server, changed(server) as change:
        for path in ("/ws", "/close", "/nowhere", "/ws"):
            with pytest.raises(HandshakeError):
                async with connect(server, path):
                    pass
    assert change == {
        REFUSED: 4,
        refused("app", 418): 2,
        refused("app", 403): 1,
        refused("app", 404): 1,
    }


async def test_refusals_where_a_server_has_only_one(run: Run) -> None:
    """Without ASGI's extension for denials each is 403, and counted as what the client gets."""
    app = App()

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        scope.get("extensions", {}).pop("websocket.http.response", None)
        await app(scope, receive, send)

    async with run(around) as server, changed(server) as change:
        with pytest.raises(HandshakeError) as caught:
            async with connect(server):
                pass
    assert caught.value.status == 403
    assert change == {REFUSED: 1, refused("app", 403): 1}


async def test_clients_that_do_not_wait_for_the_answer(run: Run) -> None:
    called, go = asyncio.Event(), asyncio.Event()

    async def wait(ws: Socket) -> None:
        called.set()
        await go.wait()
        await ws.accept()
        await ws.receive()

    async with run(app_of(wait)) as server, changed(server) as change:
        async with tcp(server.address) as peer:
            await peer.send(upgrade())
            await called.wait()
        await until(lambda: not server.connections)
        go.set()
    assert change == {'fastws_handshakes_total{outcome="abandoned"}': 1}


async def request(server: Running, data: bytes) -> None:
    async with tcp(server.address) as peer:
        await peer.send(data)
        await peer.gone()


async def test_refusals_by_our_server() -> None:
    limits = Limits(max_header_size=300, max_header_count=10, handshake_timeout=0.05)
    many = [(b"x%d" % i, b"") for i in range(11)]
    requests = {
        400: [upgrade(headers=[(b"host", None)]), b"hello\r\n\r\n"],
        408: [b"GET / HTTP/1.1\r\n"],
        414: [b"GET /" + b"x" * 500],
        426: [upgrade(headers=[(b"sec-websocket-version", b"12")])],
        431: [upgrade(headers=[(b"x", b"y" * 500)]), upgrade(headers=many)],
    }
    async with running(App(), limits) as server, changed(server) as change:
        for datas in requests.values():
            for data in datas:
                await request(server, data)
    assert change == {
        REFUSED: 7,
        **{refused("server", status): len(datas) for status, datas in requests.items()},
    }


async def test_handshakes_that_an_app_leaves_open() -> None:
    app = app_of(echo)
    called = asyncio.Event()

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            called.set()
            await asyncio.Event().wait()
        elif scope["path"] != "/return":
            await app(scope, receive, send)

    async with running(around) as server, changed(server) as change:
        await request(server, upgrade("/return"))
    assert change == {REFUSED: 1, refused("server", 500): 1}
    async with running(around) as server, connected(server.address), tcp(server.address) as peer:
        await peer.send(upgrade("/wait"))
        await called.wait()
        before = read(prometheus(app)).get(refused("server", 503), 0)
        shutdown = server.shut_down()
        assert (await peer.refused())[0] == 503
        assert read(prometheus(app))[refused("server", 503)] == before + 1
        shutdown.cancel()


async def test_our_websockets_behind_another_http_class() -> None:
    """It has no place for our counters in its requests, so there are none before a WebSocket."""
    app = app_of(echo)
    async with running(app, http="httptools") as server:
        async with connect(server):
            pass
        async with changed(server) as change:
            await request(server, upgrade(headers=[(b"sec-websocket-key", b"short")]))
    assert change == {REFUSED: 1, refused("server", 400): 1}


async def test_a_full_server() -> None:
    """Of connections far above the limit TCP is ended at once; they are counted all the same."""
    async with (
        running(app_of(echo), Limits(max_connections=1)) as server,
        changed(server) as change,
        connected(server.address),
        tcp(server.address) as late,
    ):
        await late.send(upgrade())
        assert (await late.refused())[0] == 503
        many = [await Peer.connect(server.address) for _ in range(50)]
        for peer in many[-5:]:
            assert await peer.gone() == b""
        for peer in many:
            peer.close()
    left_out = change.pop(refused("server", 0))
    assert 5 <= left_out < 50
    assert change == {
        ACCEPTED: 1,
        REFUSED: 1 + left_out,
        refused("server", 503): 1,
        LOST: 1,
    }
