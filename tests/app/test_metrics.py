"""What /metrics tells, on our server and on plain uvicorn."""

import asyncio
import sys
from typing import Any

import aiohttp
import prometheus_client
import pytest

from fastws import testing
from fastws.aio.counters import Counters
from fastws.app.app import App
from fastws.app.counters import PortableCounters, ServerCounters
from fastws.app.http import Request
from fastws.app.messages import Message
from fastws.app.prometheus import FANOUT
from fastws.errors import HandshakeError
from fastws.limits import KIB, Limits
from tests.app.conftest import Run, connect
from tests.app.figures import (
    ACCEPTED,
    LOST,
    VISIT,
    Figures,
    Socket,
    app_of,
    changed,
    closed,
    echo,
    end_of,
    prometheus,
    read,
    scrape,
    traffic,
)
from tests.server.peer import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    connected,
    frame,
    text,
)
from tests.server.serving import Running, limit_kernel, until

# Messages.


@pytest.mark.parametrize(
    ("message", "size"),
    [("", 0), ("x" * 1000, 1000), ("é" * 1000, 2000), (b"x" * 1000, 1000), (b"x" * 40000, 40000)],
    ids=["empty", "ASCII", "UTF-8", "binary", "large"],
)
@pytest.mark.parametrize("compression", [True, False])
async def test_messages_and_payloads(
    run: Run, message: str | bytes, size: int, compression: bool
) -> None:
    async with (
        run(app_of(echo)) as server,
        changed(server) as change,
        connect(server, compression=compression) as ws,
    ):
        for _ in range(2):
            await ws.send(message)
            assert await ws.recv(timeout=5) == message
    assert change == VISIT | traffic([size, size], [size, size])


async def test_a_message_is_not_its_frames(run: Run) -> None:
    async with (
        run(app_of(echo)) as server,
        changed(server) as change,
        connected(server.address) as peer,
    ):
        await peer.send(frame(BINARY, b"ab", fin=False))
        await peer.send(frame(PING, b"ping"))
        await peer.send(frame(CONTINUATION, b"cde"))
        found = {(await peer.frame()).opcode, (await peer.frame()).opcode}
        assert found == {PONG, BINARY}
        await peer.send(frame(BINARY, b"no end", fin=False))
    assert change == {ACCEPTED: 1, LOST: 1} | traffic([5], [5])


async def test_messages_to_rooms(run: Run) -> None:
    async def talk(ws: Socket) -> None:
        await ws.accept()
        ws.join("a")
        await ws.send("in")
        async for message in ws:
            await ws.publish("a", message)

    app = app_of(talk)
    sizes = [3, 20 * KIB]
    async with (
        run(app) as server,
        changed(server) as change,
        connect(server) as first,
        connect(server) as second,
        connect(server) as third,
    ):
        for ws in (first, second, third):
            await ws.recv(timeout=5)
        figures = await scrape(server)
        assert figures["fastws_connections"] == 3
        assert (figures["fastws_rooms"], figures["fastws_room_members"]) == (1, 3)
        for size in sizes:
            await first.send(b"x" * size)
            for ws in (second, third):
                assert len(await ws.recv(timeout=5)) == size
    assert change.pop("fastws_fanout_seconds_total") > 0
    change.pop("fastws_outbox_queued_messages_total", 0)  # others than our server have no way else
    assert change == {
        **dict.fromkeys(VISIT, 3),
        "fastws_published_messages_total": 2,
        "fastws_deliveries_total": 4,
        **traffic(sizes, [2] * 3 + sizes * 2),
    }


async def test_what_has_become_of_messages_to_rooms() -> None:
    """That the counters move is for the tests of the rooms; here each gets its name."""
    app = App()
    for i, (attribute, _, _) in enumerate(FANOUT):
        setattr(app.rooms.counters, attribute, i + 1)
    figures = read((await testing.get(app, "/metrics")).body.decode())
    told = [figures[f"{name}_total"] for _, name, _ in FANOUT]
    assert told == list(range(1, len(FANOUT) + 1))


async def test_messages_that_could_not_be_read(run: Run) -> None:
    class Chat(Message):
        content: str

    app = app_of(echo, messages=Chat, limits=Limits(max_bad_messages=4))
    bad = ["{", '{"type":"Nothing"}', '{"type":"Chat","content":1}', "{"]
    answers: list[int] = []
    async with run(app) as server, changed(server) as change, connect(server) as ws:
        for message in bad:
            await ws.send(message)
        answers.extend([len(answer) async for answer in ws])
    assert len(answers) == 3
    assert change == {
        'fastws_bad_messages_total{code="malformed"}': 2,
        'fastws_bad_messages_total{code="unknown_type"}': 1,
        'fastws_bad_messages_total{code="wrong_type"}': 1,
        ACCEPTED: 1,
        closed("policy_violation", "server"): 1,
        **traffic([len(message) for message in bad], answers),
    }


@pytest.mark.parametrize(
    ("limits", "what"),
    [(Limits(max_message_rate=1), "messages"), (Limits(max_byte_rate=3), "bytes")],
)
async def test_peers_that_are_too_fast(run: Run, limits: Limits, what: str) -> None:
    async with (
        run(app_of(echo, limits=limits)) as server,
        changed(server) as change,
        connect(server) as ws,
    ):
        for _ in range(3):
            await ws.send("abc")
        await end_of(ws)
    assert change[f'fastws_rate_limit_closes_total{{limit="{what}"}}'] == 1
    assert change[closed("policy_violation", "server")] == 1


# What waits.


def waiting(figures: Figures) -> dict[str, float]:
    name = "fastws_buffered_bytes"
    queues = ("unread", "unsent", "outbox")
    found = {queue: figures.get(f'{name}{{queue="{queue}"}}') for queue in queues}
    return {queue: value for queue, value in found.items() if value is not None}


async def test_messages_that_wait_for_the_app(run: Run, server_kind: str) -> None:
    go = asyncio.Event()

    async def wait(ws: Socket) -> None:
        await ws.accept()
        await go.wait()
        await echo(ws)

    async with run(app_of(wait)) as server:
        async with connected(server.address) as peer:
            await peer.send(text("a" * 1000), text("b" * 500), frame(TEXT, b"c" * 250, fin=False))
            if server_kind == "fastws":
                while (found := waiting(await scrape(server)))["unread"] < 1750:
                    pass
                assert found == {"unread": 1750, "unsent": 0, "outbox": 0}
            else:
                assert waiting(await scrape(server)) == {"outbox": 0}
        go.set()


async def test_messages_that_wait_for_a_client(run: Run, server_kind: str) -> None:
    """What a client does not read is unsent at first, and in the outbox if others sent it."""
    count = 100
    app = App()

    @app.websocket("/ws", policy="drop-oldest", limits=Limits(max_outbox_messages=10))
    async def wait(ws: Socket) -> None:
        await ws.accept()
        ws.join("a")
        async for _ in ws:
            pass

    async with run(app) as server:
        async with connected(server.address, receive_buffer=4 * KIB):
            await until(lambda: app.rooms.count("a") == 1)
            if server_kind == "fastws":
                limit_kernel(server)
            while not app.rooms.counters.dropped:
                await app.rooms.publish("a", b"x" * 16 * KIB)
                await asyncio.sleep(0)
            found = waiting(await scrape(server))
            assert found.pop("outbox") == 10 * (16 * KIB + 256)
            if server_kind == "fastws":
                assert 0 < found.pop("unsent") < count * 16 * KIB
                assert found.pop("unread") == 0
            assert not found
        await server.emptied()
        assert not sum(waiting(await scrape(server)).values())


async def test_pings(run: Run, server_kind: str) -> None:
    async def ping(ws: Socket) -> None:
        await ws.accept()
        for _ in range(3):
            try:
                await ws.ping()
            except NotImplementedError:
                assert server_kind == "uvicorn"
        await echo(ws)

    async with run(app_of(ping)) as server, changed(server) as change:
        async with connect(server) as ws:
            await ws.send("done")
            await ws.recv(timeout=5)
        async with connected(server.address) as peer:
            await peer.send(frame(PONG, b"unsolicited"))
    name = "fastws_ping_rtt_seconds"
    if server_kind == "uvicorn":
        assert not [found for found in change if found.startswith(name)]
        return
    assert change[f"{name}_count"] == change[f'{name}_bucket{{le="+Inf"}}'] == 3
    assert change[f"{name}_sum"] > 0
    buckets = [value for found, value in change.items() if found.startswith(f"{name}_bucket")]
    assert buckets == sorted(buckets)


# The exposition.


async def test_nothing_that_a_client_chooses_is_a_label(run: Run) -> None:
    """Whatever it sends, there are no more figures than before it sent it."""
    app = app_of(echo, messages=Message)
    hostile = "hostile"

    async def attack(server: Running, i: int) -> None:
        name = f"{hostile}{i}"
        headers = {"X-Name": name, "User-Agent": name, "Origin": f"https://{name}"}
        path = f"/{name}?{name}={name}"
        async with connect(server, path, headers=headers, subprotocols=[name]) as ws:
            await ws.send(f'{{"type":"{name}"}}')
            await ws.recv(timeout=5)
            await ws.close(3000 + i, name)
        with pytest.raises(HandshakeError):
            async with connect(server, f"/a/{name}", headers=headers):
                pass

    async with run(app) as server:
        await attack(server, 0)
        await server.emptied()
        before = (await scrape(server)).keys()
        for i in range(1, 20):
            await attack(server, i)
        await server.emptied()
        after = await scrape(server)
    assert after.keys() == before
    assert hostile not in str(after)


@pytest.mark.usefixtures("no_gc")
async def test_a_scrape_costs_what_connections_cost_not_messages(run: Run) -> None:
    """By the calls that it makes, since each message that is counted is only a number."""

    def calls(app: App, extensions: Any) -> int:
        made = 0

        def count(*_: Any) -> None:
            nonlocal made
            made += 1

        sys.setprofile(count)
        try:
            app.metrics.respond(extensions)
        finally:
            sys.setprofile(None)
        return made

    seen: list[Any] = []
    app = app_of(echo)

    @app.get("/seen")
    async def see(request: Request) -> str:
        seen.append(request.scope.get("extensions") or {})
        return ""

    async with run(app) as server, connect(server) as ws:
        async with aiohttp.ClientSession() as http:
            await http.get("http://{}:{}/seen".format(*server.address))
        (extensions,) = seen
        calls(app, extensions)  # the first one loads prometheus-client
        made: list[int] = []
        for count in (10, 1000):
            for _ in range(count):
                await ws.send("x")
                await ws.recv(timeout=5)
            made.append(calls(app, extensions))
        assert made[0] == made[1]
        assert read(prometheus(app))["fastws_received_messages_total"] == 1010


async def test_metrics_of_ones_own() -> None:
    app, other = App(), App()
    own = prometheus_client.Counter("shop_orders", "Orders.", registry=app.metrics.registry)
    own.inc()
    assert "\nshop_orders_total 1.0\n" in prometheus(app)
    assert "shop_orders" not in prometheus(other)
    # No global state.
    assert "fastws" not in prometheus_client.generate_latest().decode()


def test_both_kinds_of_counters_have_one_shape() -> None:
    """For mypy, which checks the assignments; and all that is counted is public on both."""
    kinds: list[ServerCounters] = [Counters(lambda: (0, 0)), PortableCounters()]
    for kind in kinds:
        assert all(hasattr(kind, name) for name in ServerCounters.__annotations__)
        assert (kind.closes, kind.refusals) == ({}, {})
