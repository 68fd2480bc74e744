"""The connection to a Redis, or to what speaks like it, such as Valkey.

Publishing runs a script: Redis counts the messages of each channel, in a key of the channel's name,
and publishes each with its number. So a receiver sees when messages did not come, and when Redis
counts anew since it has lost its data.

There are two connections, as one that is subscribed cannot publish (RESP2). Both are redis-py's
`Connection` as it is: its `PubSub` reconnects by itself, and says nothing of what was lost.
"""

import asyncio
import secrets
from typing import Any, NoReturn
from urllib.parse import urlsplit

from redis.exceptions import ReadOnlyError, ResponseError

from fastws.closing import CloseCode
from fastws.errors import BrokerUnavailable, ProtocolError
from fastws.rooms.brokers.engine import Take
from fastws.rooms.brokers.numbering import VERSION, EnginePosition, new_epoch
from fastws.rooms.brokers.outgoing import Parcel
from fastws.rooms.brokers.redis_connections import abort, connections_to

# Seconds for which Redis remembers the number of a channel to which nobody publishes, or half of
# it: to say so with each message would double what goes to its disk and its replicas.
REMEMBER = 24 * 60 * 60
# Redis' limit for one argument (proto-max-bulk-len, as it is by default), less our header.
MAX_SIZE = 512 * 1024 * 1024 - 256

# KEYS: the channel of each message, which is also the key of its counter. ARGV: the payloads, then
# an epoch for channels that have none, and how long to remember.
SCRIPT = b"""
local epoch, remember = ARGV[#KEYS + 1], tonumber(ARGV[#KEYS + 2])
for i, channel in ipairs(KEYS) do
  local number = redis.call('HINCRBY', channel, 'number', 1)
  local its_epoch = redis.call('HGET', channel, 'epoch')
  if not its_epoch then
    its_epoch = epoch
    redis.call('HSET', channel, 'epoch', epoch)
  end
  if redis.call('TTL', channel) < remember / 2 then
    redis.call('EXPIRE', channel, remember)
  end
  redis.call('PUBLISH', channel, '%b ' .. its_epoch .. ' ' .. number .. ' ' .. ARGV[i])
end
""" % (VERSION,)


class RedisEngine:
    """A connection to Redis; see `fastws.rooms.brokers.engine.Engine`.

    Args:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``, with what redis-py reads from it.
        prefix: what the names of all channels and keys begin with.

    Raises:
        ValueError: the URL makes no sense.
    """

    def __init__(self, url: str, prefix: str) -> None:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        self.name = f"{parts.scheme}://{place}{parts.path}"
        self._prefix = f"{prefix}:".encode()
        self._connections = connections_to(url, 2)
        self._subscriber, self._publisher = self._connections
        # The channels by the names that they have in Redis.
        self._channels: dict[bytes, str] = {}
        self._answers: dict[bytes, asyncio.Future[None]] = {}

    def position(self) -> EnginePosition:
        """See `Engine`."""
        return EnginePosition()

    def check_size(self, payload: bytes) -> None:
        """See `Engine`."""
        if len(payload) > MAX_SIZE:
            reason = f"Redis takes no message of more than {MAX_SIZE} bytes"
            raise ProtocolError(CloseCode.MESSAGE_TOO_BIG, reason)

    async def connect(self) -> None:
        """See `Engine`."""
        for connection in self._connections:
            await connection.connect()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """See `Engine`."""
        self._channels.clear()
        for future in self._answers.values():
            future.cancel()
        self._answers.clear()
        for connection in self._connections:
            await abort(connection)

    # The connection that is subscribed.

    async def receive(self, take: Take) -> NoReturn:
        """See `Engine`."""
        while True:
            # What is here already is read without a turn of the loop.
            reply: Any = await self._subscriber.read_response(disconnect_on_error=False)
            match reply:
                case [b"message", name, data]:
                    channel = self._channels.get(name)
                    if channel is not None and take(channel, data):
                        await asyncio.sleep(0)
                # What is subscribed to nothing is answered as any other connection.
                case [b"pong", token] | (bytes() as token):
                    answer = self._answers.pop(token, None)
                    if answer is not None and not answer.done():
                        answer.set_result(None)

    async def change(self, subscribe: list[str], unsubscribe: list[str]) -> None:
        """See `Engine`."""
        if subscribe:
            names = {self._name_of(channel): channel for channel in subscribe}
            self._channels |= names
            await self._subscriber.send_command("SUBSCRIBE", *names)
        if unsubscribe:
            gone = [self._name_of(channel) for channel in unsubscribe]
            await self._subscriber.send_command("UNSUBSCRIBE", *gone)
            for name in gone:
                del self._channels[name]
        await self._answered()

    async def _answered(self) -> None:
        """Waits until all that was sent before has been done."""
        token = secrets.token_bytes(8)
        answer = self._answers[token] = asyncio.get_running_loop().create_future()
        await self._subscriber.send_command("PING", token)
        await answer

    async def ask(self) -> None:
        """See `Engine`."""
        await self._answered()
        await self._call("PING")

    # The other one.

    async def send(self, batch: list[Parcel]) -> None:
        """See `Engine`."""
        names = [self._name_of(parcel.channel) for parcel in batch]
        payloads = [parcel.payload for parcel in batch]
        # As text, since a Redis that has been restarted knows no script by its name.
        script = ("EVAL", SCRIPT, len(names), *names, *payloads, new_epoch(), REMEMBER)
        try:
            await self._call(*script)
        except ReadOnlyError:
            raise  # it was the primary once: to connect anew leads to the one that is
        except ResponseError as error:
            raise BrokerUnavailable(f"{self.name} refuses: {error}") from None

    async def _call(self, *command: Any) -> Any:
        await self._publisher.send_command(*command)
        return await self._publisher.read_response(disconnect_on_error=False)

    def _name_of(self, channel: str) -> bytes:
        return self._prefix + channel.encode()
