"""The connection to a Redis, or to what speaks like it, such as Valkey.

Publishing runs a script: Redis counts the messages of each channel, in a key of the channel's name,
keeps those that are to be kept, and publishes each with its number. So a receiver sees when
messages did not come, and when Redis counts anew since it has lost its data.

There are three connections: one that is subscribed cannot publish (RESP2), and who publishes is not
to wait for what is kept, which may be large. All are redis-py's `Connection` as it is: its `PubSub`
reconnects by itself, and says nothing of what was lost.
"""

import asyncio
import math
import re
import secrets
from typing import Any, NoReturn
from urllib.parse import urlsplit

from redis.asyncio import Connection
from redis.exceptions import ReadOnlyError, ResponseError

from fastws.closing import CloseCode
from fastws.errors import BrokerUnavailable, ProtocolError
from fastws.rooms.brokers.engine import Take, Wanted
from fastws.rooms.brokers.history import NO_RECEIPT, History, Kept, Log, Position, Receipt
from fastws.rooms.brokers.numbering import EngineProgress, read
from fastws.rooms.brokers.outgoing import Parcel
from fastws.rooms.brokers.redis_connections import abort, connections_to
from fastws.rooms.brokers.redis_scripts import DATASET_SIZE, PUBLISH, RECALL

# Redis' limit for one argument (proto-max-bulk-len, as it is by default), less our header.
MAX_SIZE = 512 * 1024 * 1024 - 256


class RedisEngine:
    """A connection to Redis; see `fastws.rooms.brokers.engine.Engine`.

    Args:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``, with what redis-py reads from it.
        prefix: what the names of all channels and keys begin with.

    Raises:
        ValueError: the URL makes no sense.
    """

    # What is said by one that was the primary once: to connect anew leads to the one that is.
    outdated: tuple[type[ResponseError], ...] = (ReadOnlyError,)

    def __init__(self, url: str, prefix: str) -> None:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        self.name = f"{parts.scheme}://{place}{parts.path}"
        self._prefix = prefix.encode()
        self._connections = connections_to(url, 3)
        self._subscriber, self._publisher, self._reader = self._connections
        # What epochs begin with.
        self._dataset = b""
        # The channels by the names that they have in Redis.
        self._channels: dict[bytes, str] = {}
        self._answers: dict[bytes, asyncio.Future[None]] = {}

    def progress(self, history: History | None) -> EngineProgress:
        """See `Engine`."""
        return EngineProgress(kept=history is not None)

    def check(self, parcel: Parcel) -> None:
        """See `Engine`."""
        check_size(parcel)

    async def connect(self, histories: list[History]) -> None:
        """See `Engine`."""
        for connection in self._connections:
            await connection.connect()  # type: ignore[no-untyped-call]
        self._dataset = await self._current_dataset()

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
                case [b"message" | b"smessage", name, data]:
                    channel = self._channels.get(name)
                    if channel is not None and take(channel, read(data)):
                        await asyncio.sleep(0)
                case [b"sunsubscribe", name, _] if name in self._channels:
                    raise ConnectionError("it has given a channel to another node")
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
            await self._tell("SUBSCRIBE", list(names))
        if unsubscribe:
            gone = [self._name_of(channel) for channel in unsubscribe]
            for name in gone:
                del self._channels[name]
            await self._tell("UNSUBSCRIBE", gone)
        await self._answered()

    async def _tell(self, command: str, names: list[bytes]) -> None:
        await self._subscriber.send_command(command, *names)

    async def _answered(self) -> None:
        """Waits until all that was sent before has been done."""
        token = secrets.token_bytes(8)
        answer = self._answers[token] = asyncio.get_running_loop().create_future()
        await self._subscriber.send_command("PING", token)
        await answer

    async def ask(self) -> None:
        """See `Engine`."""
        await self._answered()
        if await self._current_dataset() != self._dataset:
            raise ConnectionError("it is another primary, or has other data")

    async def _current_dataset(self) -> bytes:
        """Gives the id of what Redis has; it is another one after a restart or a failover."""
        found = re.search(rb"master_replid:(\w+)", await self._call("INFO", "replication"))
        if found is None:
            raise ConnectionError("it tells no master_replid, by which its restarts are noticed")
        return found[1][:DATASET_SIZE]

    # The one that publishes.

    async def send(self, batch: list[Parcel]) -> list[Receipt | str]:
        """See `Engine`."""
        # As text, since a Redis that has been restarted knows no script by its name.
        answers = await self._call("EVAL", PUBLISH, *self._arguments(batch))
        return receipts(batch, answers)

    def _arguments(self, batch: list[Parcel]) -> list[Any]:
        """Gives what the script that publishes is called with."""
        keys = [self._name_of(parcel.channel) for parcel in batch]
        more: list[int] = []
        for i, parcel in enumerate(batch):
            if parcel.history is not None or parcel.message_id is not None:
                more += (i + 1, *self._add_keys(keys, keys[i], parcel))
        payloads = [parcel.payload for parcel in batch]
        return [len(keys), *keys, self._new_epoch(), len(batch), *payloads, *more]

    def _add_keys(self, keys: list[bytes], name: bytes, parcel: Parcel) -> tuple[int, ...]:
        """Adds the keys of a message with a history or an id; gives what the script has to know."""
        log = identity = count = ttl = 0
        if parcel.history is not None:
            keys.append(self._key("log", name))
            log, count, ttl = len(keys), parcel.history.count, _milliseconds(parcel.history)
        if parcel.message_id is not None:
            keys.append(self._key("id", name) + parcel.message_id.encode())
            identity = len(keys)
        return log, identity, count, ttl

    async def _call(self, *command: Any) -> Any:
        await self._publisher.send_command(*command)
        return await self._reply(self._publisher)

    async def _reply(self, connection: Connection) -> Any:
        try:
            return await connection.read_response(disconnect_on_error=False)
        except self.outdated:
            raise
        except ResponseError as error:
            raise BrokerUnavailable(f"{self.name} refuses: {error}") from None

    # The one that reads what is kept.

    async def recall(self, wanted: list[Wanted]) -> list[Log]:
        """See `Engine`."""
        await self._reader.send_packed_command(
            self._reader.pack_commands([self._command(one) for one in wanted])
        )
        replies: list[Any] = []
        refused: BrokerUnavailable | None = None
        for _ in wanted:
            try:
                replies.append(await self._reply(self._reader))
            except BrokerUnavailable as error:
                refused = error
        if refused is not None:
            raise refused
        return [_log(*reply) for reply in replies]

    def _command(self, wanted: Wanted) -> tuple[Any, ...]:
        name = self._name_of(wanted.channel)
        after = b"" if wanted.after is None else b"%d" % wanted.after
        ttl = _milliseconds(wanted.history)
        return ("EVAL", RECALL, 2, name, self._key("log", name), self._new_epoch(), ttl, after)

    # Names.

    def _name_of(self, channel: str) -> bytes:
        return self._prefix + b":" + channel.encode()

    def _key(self, kind: str, name: bytes) -> bytes:
        """Gives a key that belongs to a channel."""
        return b"%b.%b:{%b}" % (self._prefix, kind.encode(), name)

    def _new_epoch(self) -> bytes:
        return self._dataset + secrets.token_hex(6).encode()


def check_size(parcel: Parcel) -> None:
    """Raises a ProtocolError for a message that is larger than Redis takes."""
    if len(parcel.payload) > MAX_SIZE:
        reason = f"Redis takes no message of more than {MAX_SIZE} bytes"
        raise ProtocolError(CloseCode.MESSAGE_TOO_BIG, reason)


def _milliseconds(history: History) -> int:
    return math.ceil(history.ttl * 1000)


def receipts(batch: list[Parcel], answers: list[bytes]) -> list[Receipt | str]:
    """Gives what is said to each message; the script answers to those with a history or an id."""
    said: list[Receipt | str] = [NO_RECEIPT] * len(batch)
    told = [i for i, p in enumerate(batch) if p.history is not None or p.message_id is not None]
    for i, answer in zip(told, answers, strict=True):
        said[i] = _receipt(answer)
    return said


def _receipt(answer: bytes) -> Receipt:
    epoch, number, *again = answer.decode().split(" ")
    return Receipt(Position(epoch, int(number)), duplicate=bool(again))


def _log(epoch: bytes, number: bytes, kept: list[bytes]) -> Log:
    """Gives what was read, but nothing from before a hole in the numbers."""
    position = Position(epoch.decode(), int(number))
    messages: list[Kept] = []
    for key, payload in zip(kept[::2], kept[1::2], strict=True):
        message = Kept(int(key.partition(b"-")[0]), payload)
        if messages and messages[-1].number + 1 != message.number:
            messages.clear()
        messages.append(message)
    after = messages[0].number - 1 if messages else position.number
    return Log(position, after, messages)
