"""A Redis that is found by Sentinel: another one may become its primary.

Each time that it connects, and now and then, the engine asks where the primary is. So a failover is
to it what a restart is: a connection that ends, and a gap.
"""

import asyncio
from contextlib import suppress
from typing import NoReturn
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio import Connection

from fastws.rooms.brokers.engine import Take
from fastws.rooms.brokers.history import History
from fastws.rooms.brokers.redis import RedisEngine
from fastws.rooms.brokers.redis_connections import NobodyAnswersError, connections_to, first_answer

# Where sentinels are by default.
PORT = 26379
# Seconds between two questions. The primary of before is told to be a replica only after a while,
# and until then takes messages, which those who have left it do not get.
PAUSE = 1.0


class SentinelEngine(RedisEngine):
    """A connection to the primary of a service; see `fastws.rooms.brokers.engine.Engine`.

    Args:
        url: ``redis+sentinel://[user:password@]host[:port],.../service``, or ``rediss+sentinel://``
            with TLS. The user and the password are those of Redis; those of the sentinels are
            ``sentinel_username`` and ``sentinel_password``.
        prefix: what the names of all channels and keys begin with.

    Raises:
        ValueError: the URL makes no sense.
    """

    def __init__(self, url: str, prefix: str) -> None:
        parts = urlsplit(url)
        scheme = parts.scheme.removesuffix("+sentinel")
        who, at, places = parts.netloc.rpartition("@")
        self._service = unquote(parts.path.strip("/"))
        if not self._service or not all(places.split(",")):
            raise ValueError(f"{parts.scheme}:// needs hosts and a service: //host,host/service")
        options = dict(parse_qsl(parts.query))
        own = {key: options.pop(f"sentinel_{key}", None) for key in ("username", "password")}
        # The host is known later.
        super().__init__(f"{scheme}://{who}{at}?{urlencode(options)}", prefix)
        self.name = f"{parts.scheme}://{places}/{self._service}"
        tls = urlencode({key: value for key, value in options.items() if key.startswith("ssl_")})
        self._place = ("", 0)
        # That which has answered is the first.
        self._sentinels: list[Connection] = []
        for place in places.split(","):
            (sentinel,) = connections_to(f"{scheme}://{place}?{tls}", 1, **own)
            sentinel.port = urlsplit(f"//{place}").port or PORT
            self._sentinels.append(sentinel)

    async def connect(self, histories: list[History]) -> None:
        """See `Engine`."""
        self._place = host, port = await self._primary()
        for connection in self._connections:
            connection.host, connection.port = host, port
        await super().connect(histories)
        role, *_ = await self._call("ROLE")
        if role != b"master":
            raise ConnectionError(f"{host}:{port} is not the primary yet, or any more")

    async def receive(self, take: Take) -> NoReturn:
        """See `Engine`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            await super().receive(take)

    async def _watch(self) -> NoReturn:
        """Raises once another one is the primary."""
        while True:
            await asyncio.sleep(PAUSE)
            # Without sentinels it goes on as it is.
            with suppress(NobodyAnswersError):
                if await self._primary() != self._place:
                    raise ConnectionError("another one has become the primary")

    async def _primary(self) -> tuple[str, int]:
        """Asks where the primary is."""
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        host, port = await first_answer(self._sentinels, *question)
        return host.decode(), int(port)
