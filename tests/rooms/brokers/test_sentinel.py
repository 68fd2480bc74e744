"""A Redis that fails over, and the sentinels that see to it."""

import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from fastws.errors import BrokerUnavailable
from fastws.rooms import broker_at
from fastws.rooms.brokers import Broker
from fastws.testing.waiting import nap, patience
from tests.ports import free_ports
from tests.processes import PATIENCE, Process
from tests.rooms.brokers.engines import RedisServer
from tests.rooms.brokers.told import Told, started
from tests.server.serving import until

pytestmark = pytest.mark.deep

CONFIGURATION = """
port {port}
requirepass watch
sentinel monitor shop 127.0.0.1 {primary} 1
sentinel auth-pass shop secret
sentinel down-after-milliseconds shop 300
sentinel failover-timeout shop 2000
"""


class Shop:
    """A primary, a replica, and a sentinel, with passwords.

    Attributes:
        url: of the service.
        dead: a port at which nobody listens.
    """

    def __init__(self, ends: ExitStack, directory: Path) -> None:
        primary, replica, self.port, self.dead = free_ports(4)
        options = ["--requirepass", "secret", "--masterauth", "secret"]
        options += ["--repl-diskless-sync-delay", "0"]
        self.primary = RedisServer(ends, "--port", str(primary), *options)
        self.primary.start()
        options += ["--replicaof", "127.0.0.1", str(primary)]
        self.replica = RedisServer(ends, "--port", str(replica), *options)
        self.replica.start()
        assert self.replica.process is not None
        self.replica.process.wait_for("sync: Finished with success")
        file = directory / "sentinel.conf"
        file.write_text(CONFIGURATION.format(port=self.port, primary=primary))
        sentinel = Process(self.primary.program, str(file), "--sentinel")
        ends.callback(sentinel.kill)
        sentinel.wait_for(r"\+slave slave ")
        self.url = self.at("shop")

    def at(self, service: str, *, before: str = "") -> str:
        place = f"{before}127.0.0.1:{self.port}"
        return f"redis+sentinel://:secret@{place}/{service}?sentinel_password=watch&prefix=a"

    async def fail_over(self) -> None:
        """Lets the replica become the primary."""
        async with Redis(port=self.port, password="watch") as client:
            call: Any = client.execute_command
            # Else it looks at the replica every ten seconds.
            await call("SENTINEL", "DEBUG", "INFO-PERIOD", "100")
            # The primary of before is not told, and goes on.
            await call("SENTINEL", "DEBUG", "PUBLISH-PERIOD", "1000000")
            primary = before = await self._primary(client)
            while primary == before:
                # It refuses, or gives up, as long as it has not looked at the replica.
                with suppress(ResponseError):
                    await call("SENTINEL", "FAILOVER", "shop")
                await nap()
                primary = await self._primary(client)

    async def _primary(self, client: Redis) -> Any:
        call: Any = client.execute_command
        return await call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "shop")


@pytest.fixture
def shop(ends: ExitStack, tmp_path: Path) -> Shop:
    return Shop(ends, tmp_path)


async def works(broker: Broker, told: Told) -> None:
    """Publishes until it arrives."""
    while not told.messages:
        with suppress(BrokerUnavailable):
            await broker.publish("a", b"well")
        await nap()
    told.messages.clear()


async def test_the_primary_dies(shop: Shop) -> None:
    async with started(shop.url, "a") as (broker, told):
        await works(broker, told)
        assert told.gaps == []
        shop.primary.kill()
        await until(lambda: not broker.connected)
        with pytest.raises(BrokerUnavailable, match="is out of reach"):
            await broker.publish("a", b"in vain")
        async with patience(PATIENCE, lambda: "there was no failover"):
            await works(broker, told)
        assert told.gaps == [("a", None)]


async def test_another_one_becomes_the_primary(shop: Shop) -> None:
    async with started(shop.url, "a") as (broker, told), started(shop.url, "a") as (other, also):
        await shop.fail_over()
        await until(lambda: told.gaps and also.gaps)
        async with patience(PATIENCE, lambda: "there was no failover"):
            await works(broker, told)
            await works(other, also)


async def test_a_sentinel_that_is_gone_or_silent(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        before = f"127.0.0.1:{shop.dead},127.0.0.1:{silent.getsockname()[1]},"
        async with started(shop.at("shop", before=before), "a") as (broker, told):
            await works(broker, told)


async def test_a_service_that_no_sentinel_knows(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(shop.at("other")) as (broker, _):
        assert not broker.connected
    assert f"redis+sentinel://127.0.0.1:{shop.port}/other: " in caplog.text
    assert "SENTINEL GET-MASTER-ADDR-BY-NAME other: it does not know" in caplog.text


@pytest.mark.parametrize("url", ["redis+sentinel://host", "redis+sentinel:///shop"])
def test_a_url_that_makes_no_sense(url: str) -> None:
    with pytest.raises(ValueError, match="needs hosts and a service"):
        broker_at(url)
