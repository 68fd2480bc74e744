"""Engines that ask who one is, and are asked themselves: passwords, TLS, certificates."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
import trustme

from fastws.rooms import broker_at
from tests.ports import free_ports
from tests.rooms.brokers.engines import Engine, NatsServer, RedisServer
from tests.rooms.brokers.told import started
from tests.server.serving import until

PASSWORD = "p@ss:w/ord,%20?#é"


class Files(NamedTuple):
    """Certificates with their keys, each in a file.

    Attributes:
        authority: whose certificate is all that there is to trust.
        here: of a server at 127.0.0.1.
        elsewhere: of one that is somewhere else.
        client: of who connects.
    """

    authority: Path
    here: Path
    elsewhere: Path
    client: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    directory = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    files = Files(*(directory / f"{name}.pem" for name in Files._fields))
    authority.cert_pem.write_to_path(files.authority)
    for file, name in [
        (files.here, "127.0.0.1"),
        (files.elsewhere, "elsewhere.example"),
        (files.client, "client.example"),
    ]:
        authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(file)
    return files


def redis(ends: ExitStack, certificate: Path, authority: Path | None) -> tuple[Engine, str]:
    (port,) = free_ports(1)
    options = ["--tls-port", str(port), "--tls-cert-file", str(certificate)]
    options += ["--tls-key-file", str(certificate)]
    options += ["--tls-ca-cert-file", str(authority or certificate)]
    options += ["--tls-auth-clients", "no" if authority is None else "yes"]
    server = RedisServer(ends, *options)
    server.start()
    return server, f"rediss://127.0.0.1:{port}"


def nats(ends: ExitStack, certificate: Path, authority: Path | None) -> tuple[Engine, str]:
    options = ["--tls", "--tlscert", str(certificate), "--tlskey", str(certificate)]
    if authority is not None:
        options += ["--tlsverify", "--tlscacert", str(authority)]
    server = NatsServer(ends, *options)
    server.start()
    return server, server.url.replace("nats://", "tls://")


# Starts an engine with a certificate, and with an authority for those of clients; gives its URL.
Make = Callable[[ExitStack, Path, Path | None], tuple[Engine, str]]


@pytest.fixture(params=[redis, nats])
def make(request: pytest.FixtureRequest) -> Make:
    chosen: Make = request.param
    return chosen


async def test_tls(make: Make, ends: ExitStack, files: Files) -> None:
    engine, url = make(ends, files.here, None)
    async with started(f"{url}?ssl_ca_certs={files.authority}&prefix=a", "a") as (broker, told):
        for _ in range(2):
            await until(lambda: broker.connected)
            await broker.publish("a", bytes(100_000))
            await until(lambda: told.messages)
            assert [payload for _, payload, *_ in told.messages] == [bytes(100_000)]
            told.messages.clear()
            engine.kill()
            await until(lambda: not broker.connected)
            engine.start()


async def complains(url: str, caplog: pytest.LogCaptureFixture, reason: str) -> None:
    """Expects no connection, for a reason that is logged; tries more than once."""
    async with started(url) as (broker, _):
        await until(lambda: reason in caplog.text)
        assert not broker.connected


@pytest.mark.parametrize("who", ["stranger", "elsewhere"])
async def test_another_server(
    make: Make, ends: ExitStack, files: Files, who: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, url = make(ends, files.here if who == "stranger" else files.elsewhere, None)
    trusted = "" if who == "stranger" else f"?ssl_ca_certs={files.authority}"
    await complains(url + trusted, caplog, "certificate verify failed")


async def test_a_certificate_of_the_client(
    make: Make, ends: ExitStack, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    _, url = make(ends, files.here, files.authority)
    url += f"?ssl_ca_certs={files.authority}"
    await complains(url, caplog, "is not connected to")
    own = f"&ssl_certfile={files.client}&ssl_keyfile={files.client}"
    async with started(url + own) as (broker, _):
        await until(lambda: broker.connected)


def test_files_that_are_not_there() -> None:
    for option in ("ssl_ca_certs", "ssl_certfile"):
        with pytest.raises(ValueError, match=r"cannot be read: .*No such file"):
            broker_at(f"tls://example.com?{option}=/nowhere")
    with pytest.raises(ValueError, match="nats:// has no option 'ssl_cacerts'"):
        broker_at("nats://example.com?ssl_cacerts=/nowhere")


async def test_a_nats_without_tls_learns_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It may be somebody in between who says so, to read along."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"X","max_payload":1048576,"auth_required":true}\r\n')
        received.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for who in ("alice:secret", "secret"):
            caplog.clear()
            await complains(f"tls://{who}@127.0.0.1:{port}", caplog, "it does not speak TLS")
        await until(lambda: len(received) >= 2)
    assert set(received) == {b""}


async def test_a_nats_without_tls_is_left(
    nats: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    await complains(nats.url.replace("nats:", "tls:"), caplog, "it does not speak TLS")


@pytest.fixture(params=["redis", "nats", "token"])
def guarded(request: pytest.FixtureRequest, ends: ExitStack) -> tuple[str, str]:
    """A URL without a password, and what goes before the @ of it."""
    server: RedisServer | NatsServer
    secret, place = quote(PASSWORD, safe=""), ""
    if request.param == "redis":
        (port,) = free_ports(1)
        user = ["--user", "al:ce", "on", f">{PASSWORD}", "~*", "&*", "+@all"]
        server = RedisServer(ends, "--port", str(port), *user)
        place = f"redis://127.0.0.1:{port}"
    elif request.param == "nats":
        server = NatsServer(ends, "--user", "al:ce", "--pass", PASSWORD)
    else:
        server = NatsServer(ends, "--auth", PASSWORD)
    server.start()
    return place or server.url, secret if request.param == "token" else f"al%3Ace:{secret}"


async def test_passwords(guarded: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    url, who = guarded
    async with started(url.replace("//", f"//{who}@"), "a") as (broker, told):
        await broker.publish("a", b"x")
        await until(lambda: told.messages)
    assert caplog.text == ""
    await complains(url.replace("//", f"//{who}wrong@"), caplog, "is not connected to")
    for secret in (PASSWORD, quote(PASSWORD, safe=""), "wrong"):
        assert secret not in caplog.text.replace("WRONGPASS", "")


async def test_what_one_nats_is_told_holds_for_the_others(ends: ExitStack) -> None:
    servers = [NatsServer(ends, "--user", "alice", "--pass", "secret") for _ in range(2)]
    first, second = (server.url.partition("://")[2] for server in servers)
    servers[1].start()
    async with started(f"nats://alice:secret@{first},{second}") as (broker, _):
        await until(lambda: broker.connected)
