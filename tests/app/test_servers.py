"""The main parts of an App on four ASGI servers, each in a process of its own."""

import asyncio
import re
import socket
import sys
from collections.abc import Iterator
from typing import Any

import aiohttp
import msgspec
import pytest

import fastws
from fastws.errors import Disconnected, HandshakeError
from tests.processes import PATIENCE, Process
from tests.server.peer import close, connected, text

APP = "tests.app.everywhere:app"
COMMANDS = {
    "fastws": f"fastws run {APP} --port {{}}",
    "uvicorn": f"uvicorn {APP} --port {{}}",
    "hypercorn": f"hypercorn {APP} --bind 127.0.0.1:{{}}",
    "granian": f"granian {APP} --interface asgi --port {{}}",
}
# How each says that it accepts connections.
STARTED = r"Uvicorn running on|Running on http|Started worker-1"


class Site(Process):
    """A server of one kind, with the app of `tests.app.everywhere`."""

    def __init__(self, kind: str, port: int) -> None:
        super().__init__(sys.executable, "-m", *COMMANDS[kind].format(port).split())
        self.kind = kind
        self.address = "127.0.0.1", port
        try:
            self.wait_for(STARTED)
        except AssertionError:
            self.kill()
            raise
        # granian says so a moment too early.
        self.wait_for_port(*self.address)

    def connect(self, path: str, **options: Any) -> Any:
        """Connects a client."""
        return fastws.connect("ws://{}:{}{}".format(*self.address, path), **options)

    async def end(self, path: str, *messages: str) -> tuple[int, str]:
        """Connects, sends, and gives the code and the reason that end the connection."""
        async with self.connect(path) as ws:
            for message in messages:
                await ws.send(message)
            with pytest.raises(Disconnected) as caught:
                await ws.recv(timeout=PATIENCE)
        return caught.value.code, caught.value.reason

    async def refusal(self, path: str) -> tuple[int, Any]:
        """Gives the status and the JSON of a refusal."""
        with pytest.raises(HandshakeError) as caught:
            async with self.connect(path):
                pass
        assert (b"content-type", b"application/json") in caught.value.headers
        return caught.value.status, msgspec.json.decode(caught.value.body)

    async def get(self, path: str) -> Any:
        """Gets a page of JSON."""
        url = "http://{}:{}{}".format(*self.address, path)
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            assert answer.status == 200
            return await answer.json()


@pytest.fixture
def anyio_backend() -> str:
    """The loop of the client, which does not matter here."""
    return "asyncio"


@pytest.fixture(scope="module", params=COMMANDS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Each of the servers."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    found = Site(request.param, port)
    yield found
    found.kill()


async def test_messages(site: Site) -> None:
    async with site.connect("/echo") as ws:
        for message in ("é", "", b"\0", b"", "x" * 70_000):
            await ws.send(message)
            assert await ws.recv(timeout=PATIENCE) == message


@pytest.mark.parametrize("subprotocol", [None, "json", "msgpack"])
async def test_typed_messages_and_rooms(site: Site, subprotocol: str | None) -> None:
    binary = subprotocol == "msgpack"
    codec: Any = msgspec.msgpack if binary else msgspec.json
    offered = [] if subprotocol is None else ["other", subprotocol]
    async with site.connect("/typed", subprotocols=offered) as one, site.connect("/typed") as two:
        assert one.subprotocol == subprotocol

        async def say(value: Any) -> None:
            data = codec.encode(value)
            await one.send(data if binary else data.decode())

        async def hear(ws: Any, decode: Any = msgspec.json.decode) -> Any:
            return decode(await ws.recv(timeout=PATIENCE))

        await say({"type": "Zap"})
        answer = await hear(one, codec.decode)
        assert (answer["type"], answer["code"]) == ("Error", "unknown_type")
        await say({"type": "Join", "room": "a"})
        assert await hear(one, codec.decode) == {"type": "Joined", "room": "a"}
        await two.send('{"type":"Join","room":"a"}')
        assert await hear(two) == {"type": "Joined", "room": "a"}
        await say({"type": "Chat", "content": "é"})
        assert await hear(two) == {"type": "Said", "content": "é"}
        assert await hear(one, codec.decode) == {"type": "Said", "content": "done"}
        await two.send('{"type":"Chat","content":"b"}')
        assert await hear(one, codec.decode) == {"type": "Said", "content": "b"}


async def test_the_request(site: Site) -> None:
    async with site.connect("/request/a%2Fb?n=1", headers={"X-A": "c"}) as ws:
        name, client, header = msgspec.json.decode(await ws.recv(timeout=PATIENCE))
    assert (name, client[0], header) == ("a/b", "127.0.0.1", "c")
    assert isinstance(client[1], int)


async def test_refusals(site: Site) -> None:
    body = {"status": 418, "detail": "a teapot", "pot": "small"}
    assert await site.refusal("/refuse") == (418, body)
    assert await site.refusal("/nowhere") == (404, {"status": 404, "detail": "no such WebSocket"})
    body = {"status": 500, "detail": "internal error"}
    assert await site.refusal("/fail") == (500, body)
    site.wait_for("the handler for /fail failed")


async def test_ends(site: Site) -> None:
    assert await site.end("/close/4123") == (4123, "that way out")
    assert await site.end("/close/1008") == (1008, "that way out")
    assert await site.end("/close/400") == (1011, "internal error")
    assert await site.end("/bug", "x") == (1011, "internal error")
    assert await site.end("/return") == (1000, "")
    assert (
        await site.end("/small", "x" * 11)
        == (
            1009,
            "a message has 11 bytes, the limit is 10",
        )
        or site.kind == "fastws"
    )


async def test_who_is_closed_while_it_receives_gets_to_know(site: Site) -> None:
    assert await site.end("/kick") == (4000, "kicked")
    assert await site.end("/expire") == (4401, "token expired")


@pytest.mark.parametrize("how", ["receive", "both", "late", "iterate"])
@pytest.mark.parametrize("leave", ["close", "empty", "reset", "fin"])
async def test_a_client_that_leaves_is_disconnected_whatever_the_server_says(
    site: Site, leave: str, how: str
) -> None:
    before = len((await site.get("/outcomes"))["outcomes"])
    async with connected(site.address, f"/watch/{how}") as peer:
        assert (await peer.frame()).payload == b"ready"
        match leave:
            case "close":
                await peer.send(text("m"), close(4001, "bye"))
                # granian has been seen to keep TCP open under load; its app is told all the same.
                if site.kind != "granian":
                    await peer.gone()
            case "empty":
                await peer.send(close())
                await peer.gone()
            case "reset":
                peer.reset()
    async with asyncio.timeout(PATIENCE):
        while len((told := await site.get("/outcomes"))["outcomes"]) == before:
            pass
    assert told["rooms"] == []
    *_, (way, code, reason, clean) = told["outcomes"]
    assert way == how
    assert (code, reason) == _as_told(site.kind, leave)
    assert clean == (code != 1006)


def _as_told(kind: str, leave: str) -> tuple[int, str]:
    """Gives what a server tells about an end: not all tell all."""
    match kind, leave:
        case _, "reset" | "fin":
            return 1006, ""
        case "hypercorn", _:
            return 1006, ""  # in any case
        case "granian", "close":
            return 4001, ""  # no reasons
        case "granian", "empty":
            return 1006, ""  # nor whether there was a close frame, if it had no code
        case _, "close":
            return 4001, "bye"
        case _:
            return 1005, ""


async def test_no_server_has_anything_to_complain_of(site: Site) -> None:
    """Is the last of these tests, and looks at what all of them have brought to the log."""
    complaints = re.findall(
        r"^(?:.*ERROR|.*WARN|Exception|Task|Future|the handler|a member).*", site.output, re.M
    )
    known = {
        "the handler for /fail failed",
        "the handler for /close/400 failed",
        "the handler for /bug failed",
        # uvicorn, of each refusal.
        "ERROR:    ASGI callable returned without completing handshake.",
    }
    assert set(complaints) <= known
