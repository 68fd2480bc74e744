"""Other people's clients, on our server and on uvicorn's own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trustme

from tests.interop.clients import CLIENTS, Client, Peer, Target
from tests.interop.conftest import Open
from tests.interop.frameworks.bare import app
from tests.interop.serving import Served, Servers
from tests.interop.stage import Stage
from tests.processes import PATIENCE

pytestmark = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)

PAYLOADS: list[str | bytes] = [
    "hi",
    b"\x00\xff",
    "",
    b"",
    "käse 🧀",
    "x" * 2**20,
    "ü" * 2**19,
    bytes(range(256)) * 4096,
]
SMALL = PAYLOADS[:4]


def clients(*needs: str) -> pytest.MarkDecorator:
    """Parametrises a test by the clients that can do something."""
    able = [client for client in CLIENTS if not client.cannot.intersection(needs)]
    return pytest.mark.parametrize("client", able, ids=lambda client: client.name)


@pytest.fixture
def served(servers: Servers, kind: str) -> Served:
    return servers.get(kind, "clients", lambda: app)


@asynccontextmanager
async def opened(client: Client, served: Served, path: str, **options: Any) -> AsyncIterator[Peer]:
    target = Target(served.url(path), **options)
    async with asyncio.timeout(PATIENCE), client.connect(target) as peer:
        yield peer


async def assert_echo(peer: Peer, payloads: list[str | bytes]) -> None:
    for payload in payloads:
        await peer.send(payload)
        assert await peer.receive() == payload


@clients("plain")
async def test_messages(served: Served, client: Client) -> None:
    async with opened(client, served, "/echo") as peer:
        assert not peer.compressed
        await assert_echo(peer, PAYLOADS)


@clients()
async def test_compressed_messages(served: Served, client: Client) -> None:
    async with opened(client, served, "/echo", compression=True) as peer:
        assert peer.compressed
        await assert_echo(peer, PAYLOADS + PAYLOADS)


@clients()
async def test_a_server_without_compression(servers: Servers, kind: str, client: Client) -> None:
    served = servers.get(kind, "uncompressed", lambda: app, ws_per_message_deflate=False)
    async with opened(client, served, "/echo", compression=True) as peer:
        assert not peer.compressed
        await assert_echo(peer, PAYLOADS)


@clients()
@pytest.mark.parametrize("compression", [True, False])
async def test_many_messages_at_once(served: Served, client: Client, compression: bool) -> None:
    numbers = [str(number) for number in range(200)]
    async with opened(client, served, "/echo", compression=compression) as peer:
        for number in numbers:
            await peer.send(number)
        assert [await peer.receive() for _ in numbers] == numbers


@clients()
async def test_subprotocol(served: Served, client: Client) -> None:
    offered = ("x", "chat.v1", "chat.v2")
    async with opened(client, served, "/echo", subprotocols=offered) as peer:
        assert peer.subprotocol == "chat.v2"
    async with opened(client, served, "/echo") as peer:
        assert peer.subprotocol is None


@clients()
async def test_the_client_sees_why_the_app_closed(served: Served, client: Client) -> None:
    async with opened(client, served, "/close") as peer:
        await peer.send("please")
        assert await peer.closed() == (4001, "bye, ünïcode")


@clients()
@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4999, "grüße")])
async def test_the_app_sees_why_the_client_closed(
    served: Served, client: Client, code: int, reason: str
) -> None:
    stage = Stage()
    async with opened(client, served, f"/watch{stage.query}") as peer:
        assert await peer.receive() == "ready"
        await peer.close(code, reason)
        assert await stage.reported() == (code, reason)


@clients("ping")
async def test_the_server_answers_a_ping(served: Served, client: Client) -> None:
    async with opened(client, served, "/echo", pongs=True) as peer:
        await peer.ping()
        await assert_echo(peer, SMALL)


@clients()
async def test_the_client_answers_a_ping(servers: Servers, client: Client) -> None:
    """Only on our server, which lets the app ping."""
    served = servers.get("fastws", "clients", lambda: app)
    async with opened(client, served, "/ping") as peer:
        await peer.send("ping me")  # a client may answer only while it receives
        assert 0 <= float(await peer.receive()) < PATIENCE


async def test_a_round_trip_takes_more_than_no_time(servers: Servers, open_ws: Open) -> None:
    """Uvloop's clock has steps of a millisecond, which is more than most pings take."""
    served = servers.get("fastws", "clients", lambda: app)
    async with open_ws(served, "/ping") as ws:
        for _ in range(10):
            await ws.send("ping me")
            assert float(await ws.recv()) > 0


class Authority:
    """A certificate authority, and a certificate for this machine.

    Attributes:
        file: what clients have to trust.
        options: what uvicorn needs.
    """

    def __init__(self, directory: Path):
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        self.file = directory / "authority.pem"
        authority.cert_pem.write_to_path(self.file)
        pem = directory / "server.pem"
        certificate.private_key_and_cert_chain_pem.write_to_path(pem)
        self.options = {"ssl_certfile": str(pem)}


@pytest.fixture(scope="session")
def directory() -> Iterator[Path]:
    """A directory with a path that is short enough for unix sockets."""
    with TemporaryDirectory(prefix="fastws") as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def authority(directory: Path) -> Authority:
    return Authority(directory)


@clients()
async def test_tls(servers: Servers, kind: str, client: Client, authority: Authority) -> None:
    served = servers.get(kind, "tls", lambda: app, **authority.options)
    stage = Stage()
    async with opened(client, served, "/echo", authority=authority.file) as peer:
        await assert_echo(peer, PAYLOADS)
    async with opened(client, served, f"/watch{stage.query}", authority=authority.file) as peer:
        assert await peer.receive() == "ready"
        await peer.close(4321, "bye")
        assert await stage.reported() == (4321, "bye")


@clients("uds")
async def test_unix_socket(servers: Servers, kind: str, client: Client, directory: Path) -> None:
    uds = directory / kind
    served = servers.get(kind, "uds", lambda: app, uds=str(uds))
    stage = Stage()
    async with opened(client, served, "/echo", uds=uds, compression=True) as peer:
        await assert_echo(peer, PAYLOADS)
    async with opened(client, served, f"/describe{stage.query}", uds=uds) as peer:
        scope, _ = await stage.reported()
        assert (scope["client"], tuple(scope["server"])) == (None, (str(uds), None))
        assert await peer.closed() == (1000, "")
