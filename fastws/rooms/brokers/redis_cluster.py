"""A Redis Cluster: each channel, with what counts and keeps its messages, is at one of the nodes.

Pub/sub is sharded, so that a message goes to the nodes of its shard only. There are connections to
all primaries, and they are as one: when one of them ends, or a channel has moved to another node,
all are made anew, and a gap is told. So nothing depends on who notices a change first.
"""

import asyncio
import random
from collections.abc import Coroutine, Iterable
from typing import Any, NoReturn
from urllib.parse import urlsplit

from redis.asyncio import Connection
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import MovedError, NoScriptError

from fastws.errors import BrokerUnavailable
from fastws.rooms.brokers.engine import Take, Wanted
from fastws.rooms.brokers.history import History, Log, Receipt
from fastws.rooms.brokers.numbering import EngineProgress
from fastws.rooms.brokers.outgoing import Parcel
from fastws.rooms.brokers.redis import RedisEngine, check_size, receipts
from fastws.rooms.brokers.redis_connections import connections_to, first_answer
from fastws.rooms.brokers.redis_scripts import PUBLISH

SHARDED_PUBLISH = PUBLISH.replace(b"'PUBLISH'", b"'SPUBLISH'")


class _Node(RedisEngine):
    """The connections to one primary: a command there has names of one slot."""

    outdated = (*RedisEngine.outdated, MovedError, NoScriptError)

    def __init__(self, url: str, prefix: str, place: tuple[str, int]) -> None:
        super().__init__(url, prefix)
        self.name = f"{place[0]}:{place[1]}"
        for connection in self._connections:
            connection.host, connection.port = place
        self._script = b""

    async def connect(self, histories: list[History]) -> None:
        """See `Engine`."""
        await super().connect(histories)
        self._script = await self._call("SCRIPT", "LOAD", SHARDED_PUBLISH)

    async def send(self, batch: list[Parcel]) -> list[Receipt | str]:
        """See `Engine`."""
        parts = _by_slot([self._name_of(parcel.channel) for parcel in batch])
        parcels = [[batch[i] for i in places] for places in parts]
        commands: Any = [("EVALSHA", self._script, *self._arguments(some)) for some in parcels]
        await self._publisher.send_packed_command(self._publisher.pack_commands(commands))
        outcomes: list[Receipt | str] = [""] * len(batch)
        for places, some in zip(parts, parcels, strict=True):
            said: list[Receipt | str]
            try:
                said = receipts(some, await self._reply(self._publisher))
            except BrokerUnavailable as error:
                said = [str(error)] * len(some)
            for i, outcome in zip(places, said, strict=True):
                outcomes[i] = outcome
        return outcomes

    async def _tell(self, command: str, names: list[bytes]) -> None:
        parts = _by_slot(names)
        commands: Any = [(f"S{command}", *(names[i] for i in places)) for places in parts]
        await self._subscriber.send_packed_command(self._subscriber.pack_commands(commands))

    def _name_of(self, channel: str) -> bytes:
        return _name(self._prefix.decode(), channel)


class ClusterEngine:
    """Connections to all primaries; see `fastws.rooms.brokers.engine.Engine`.

    Args:
        url: ``redis+cluster://[user:password@]host[:port],...``, of some of the nodes, or
            ``rediss+cluster://`` with TLS.
        prefix: what the names of all channels and keys begin with.

    Raises:
        ValueError: the URL makes no sense.
    """

    def __init__(self, url: str, prefix: str) -> None:
        parts = urlsplit(url)
        scheme = parts.scheme.removesuffix("+cluster")
        who, at, places = parts.netloc.rpartition("@")
        if not all(places.split(",")):
            raise ValueError(f"{parts.scheme}:// needs a host")
        self.name = f"{parts.scheme}://{places}"
        self._prefix = prefix
        # The host of a node is known later.
        self._url = f"{scheme}://{who}{at}?{parts.query}"
        self._seeds: list[Connection] = []
        for place in places.split(","):
            self._seeds += connections_to(f"{scheme}://{who}{at}{place}?{parts.query}", 1)
        random.shuffle(self._seeds)
        self._nodes: dict[tuple[str, int], _Node] = {}
        self._by_slot: list[_Node] = []

    def progress(self, history: History | None) -> EngineProgress:
        """See `Engine`."""
        return EngineProgress(kept=history is not None)

    def check(self, parcel: Parcel) -> None:
        """See `Engine`."""
        check_size(parcel)

    async def connect(self, histories: list[History]) -> None:
        """See `Engine`."""
        by_slot: list[_Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        ranges = await first_answer(self._seeds, "CLUSTER", "SLOTS")
        for first, last, (host, port, *_), *_ in ranges:
            # One that does not know its own address is the one that was asked.
            place = (host.decode() if host else self._seeds[0].host, port)
            if place not in self._nodes:
                self._nodes[place] = _Node(self._url, self._prefix, place)
            by_slot[first : last + 1] = [self._nodes[place]] * (last + 1 - first)
        self._by_slot = [node for node in by_slot if node is not None]
        if len(self._by_slot) < REDIS_CLUSTER_HASH_SLOTS:
            raise ConnectionError("some slots are at no node")
        await _all(node.connect(histories) for node in self._nodes.values())

    async def close(self) -> None:
        """See `Engine`."""
        nodes, self._nodes, self._by_slot = self._nodes, {}, []
        for node in nodes.values():
            await node.close()

    async def receive(self, take: Take) -> NoReturn:
        """See `Engine`."""
        await _all(node.receive(take) for node in self._nodes.values())
        raise ConnectionError("it has no nodes")

    async def change(self, subscribe: list[str], unsubscribe: list[str]) -> None:
        """See `Engine`."""
        more, less = self._split(subscribe), self._split(unsubscribe)
        await _all(
            node.change(
                [subscribe[i] for i in more.get(node, ())],
                [unsubscribe[i] for i in less.get(node, ())],
            )
            for node in more.keys() | less.keys()
        )

    async def send(self, batch: list[Parcel]) -> list[Receipt | str]:
        """See `Engine`."""
        outcomes: list[Receipt | str] = [""] * len(batch)

        async def give(node: _Node, places: list[int]) -> None:
            some = await node.send([batch[i] for i in places])
            for i, outcome in zip(places, some, strict=True):
                outcomes[i] = outcome

        parts = self._split([parcel.channel for parcel in batch])
        await _all(give(node, places) for node, places in parts.items())
        return outcomes

    async def recall(self, wanted: list[Wanted]) -> list[Log]:
        """See `Engine`."""
        logs: dict[int, Log] = {}
        refused: list[BrokerUnavailable] = []

        async def read(node: _Node, places: list[int]) -> None:
            try:
                some = await node.recall([wanted[i] for i in places])
            except BrokerUnavailable as error:
                refused.append(error)
            else:
                logs.update(zip(places, some, strict=True))

        parts = self._split([one.channel for one in wanted])
        await _all(read(node, places) for node, places in parts.items())
        if refused:
            raise refused[0]
        return [logs[i] for i in range(len(wanted))]

    async def ask(self) -> None:
        """See `Engine`."""
        await _all(node.ask() for node in self._nodes.values())

    def _split(self, channels: list[str]) -> dict[_Node, list[int]]:
        """Gives where in a list the channels of each node are."""
        parts: dict[_Node, list[int]] = {}
        for i, channel in enumerate(channels):
            node = self._by_slot[key_slot(_name(self._prefix, channel))]
            parts.setdefault(node, []).append(i)
        return parts


def _name(prefix: str, channel: str) -> bytes:
    """Gives a name without braces: what is in braces decides on the slot."""
    escaped = channel.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
    return f"{prefix}:{escaped}".encode()


def _by_slot(names: list[bytes]) -> list[list[int]]:
    """Gives where in a list the names of each slot are."""
    parts: dict[int, list[int]] = {}
    for i, name in enumerate(names):
        parts.setdefault(key_slot(name), []).append(i)
    return list(parts.values())


async def _all(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for coroutine in coroutines:
            tasks.create_task(coroutine)
