"""Each message reaches each member of its room exactly once, and in order, across all hosts."""

import asyncio
import random
import time
import zlib
from array import array
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

import fastws
from benchmarks.cluster.clients import PATIENCE, Link, connected, parts, shares
from benchmarks.cluster.findings import Finding
from benchmarks.cluster.stage import Engine, Site, Stage, serving

SIZE = 128  # bytes of a message, of which some are what the receiver looks at
PROCESSES = 2


class Seat(NamedTuple):
    """Where a client goes.

    Attributes:
        number: its own, in all processes.
        url: where it connects.
        room: whom it talks to.
    """

    number: int
    url: str
    room: int


@dataclass
class Seen:
    """What clients have seen.

    Attributes:
        received: messages, by the room.
        wrong: what was not as it has to be.
        orders: by the room, each order in which a member has got its messages.
        across: nanoseconds from the call of `send` to the message, from another worker.
        within: the same from the own worker.
    """

    received: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    orders: dict[int, set[int]] = field(default_factory=dict)
    across: "array[int]" = field(default_factory=lambda: array("q"))
    within: "array[int]" = field(default_factory=lambda: array("q"))

    def add(self, other: "Seen") -> None:
        """Adds what others have seen."""
        self.received += other.received
        self.wrong += other.wrong
        self.across += other.across
        self.within += other.within
        for room, orders in other.orders.items():
            self.orders.setdefault(room, set()).update(orders)


class Client:
    """One client: what it has got of each of the others in its room."""

    def __init__(self, seat: Seat, ws: fastws.ClientConnection, seen: Seen) -> None:
        self.seat = seat
        self.worker = ""
        self.count = 0
        self._ws = ws
        self._seen = seen
        self._last: dict[str, int] = {}
        self._order = 0

    async def begin(self) -> None:
        """Learns in which worker it is."""
        self.worker = str(await self._ws.recv())

    async def say(self, number: int) -> None:
        """Publishes its message of this number."""
        head = f"{self.seat.number} {number} {self.worker} {time.monotonic_ns()} "
        await self._ws.send(head.ljust(SIZE, "."))

    async def ask(self) -> None:
        """Asks to be answered when what it has said is published, and what was has come."""
        await self._ws.send("?")

    async def listen(self) -> None:
        """Looks at what comes, until the answer does."""
        seen, last = self._seen, self._last
        async for message in self._ws:
            text = str(message)
            if text == "!":
                return
            now = time.monotonic_ns()
            sender, number, worker, sent, _ = text.split(" ", 4)
            expected = last.get(sender, 0) + 1
            last[sender] = int(number)
            if int(number) != expected:
                seen.wrong.append(f"{self.seat} got {number} of {sender}, not {expected}")
            self._order = zlib.crc32(f"{sender} {number}".encode(), self._order)
            self.count += 1
            (seen.within if worker == self.worker else seen.across).append(now - int(sent))
        seen.wrong.append(f"{self.seat} was closed: {self._ws.close_code}")

    def conclude(self) -> None:
        """Adds what it has got to what all have seen."""
        self._seen.received[self.seat.room] += self.count
        self._seen.orders.setdefault(self.seat.room, set()).add(self._order)


async def talk(link: Link, seats: Sequence[Seat], messages: int, rate: float) -> None:
    """Lets some clients talk; says what they have seen.

    Args:
        link: to who has started this.
        seats: one for each client.
        messages: so many of each client.
        rate: messages per second of all of them.
    """
    seen = Seen()
    opened = await connected([f"{seat.url}/rooms/{seat.room}" for seat in seats])
    clients = [Client(seat, ws, seen) for seat, ws in zip(seats, opened, strict=True)]
    await asyncio.gather(*(client.begin() for client in clients))
    link.say(Counter((client.seat.room, client.worker) for client in clients))
    await link.hear()
    listening = [asyncio.create_task(client.listen()) for client in clients]
    due = time.monotonic()
    for number in range(1, messages + 1):
        for client in clients:
            due += 1 / rate
            if (pause := due - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            await client.say(number)
    # What others have said has come for sure when it is asked for after all of it was published.
    for client in clients:
        await client.ask()
    await asyncio.gather(*listening)
    link.say("published")
    await link.hear()
    for client in clients:
        await client.ask()
        await client.listen()
        client.conclude()
    link.say(seen)


class Delivered(NamedTuple):
    """What a run has come to.

    Attributes:
        seen: by all clients.
        places: how many of a room are in a worker, by both.
        messages: so many has each of them published.
        came: messages that came to workers, of all workers.
        sent: what the engine has sent meanwhile, see `Engine.sent`.
    """

    seen: Seen
    places: Counter[tuple[int, str]]
    messages: int
    came: int
    sent: int

    @property
    def members(self) -> Counter[int]:
        """How many are in a room."""
        return sum((Counter({room: n}) for (room, _), n in self.places.items()), Counter())

    @property
    def wanted(self) -> int:
        """How many messages come to workers, if each comes once to each that has members."""
        return self.messages * sum(self.members[room] for room, _ in self.places)

    @property
    def expected(self) -> int:
        """How many messages members get, if each gets each once."""
        return self.messages * sum(n * n for n in self.members.values())


def deliver(
    engine: Engine, sites: Sequence[Site], *, clients: int, rooms: int, messages: int, rate: float
) -> Delivered:
    """Lets clients talk through all sites.

    Args:
        engine: what connects the workers.
        sites: clients are dealt out to them.
        clients: how many there are.
        rooms: into which they are dealt out.
        messages: so many says each of them.
        rate: so many are said in a second, by all.
    """
    seats = [Seat(i, sites[i // rooms % len(sites)].url, i % rooms) for i in range(clients)]
    # Else the members of a room would come to the same worker, as nginx goes by turns.
    random.Random(1).shuffle(seats)
    work = [(share, messages, rate / PROCESSES) for share in shares(seats, PROCESSES)]
    with parts(talk, work) as processes:
        places: Counter[tuple[int, str]] = sum(processes.hear(), Counter())
        before = engine.sent()
        processes.tell()
        processes.hear(patience=clients * messages / rate + PATIENCE)
        processes.tell()
        seen = Seen()
        for other in processes.hear():
            seen.add(other)
        sent = engine.sent() - before
    metrics = [worker.metrics() for site in sites for worker in site.workers]
    came = sum(int(found["fastws_published_messages_total"]) for found in metrics)
    return Delivered(seen, places, messages, came, sent)


def prove(stage: Stage, *, clients: int, rooms: int, messages: int, rate: float) -> list[Finding]:
    """Finds out whether each message reaches each member once, and what the engine did for it."""
    with ExitStack() as stack:
        sites = [
            stack.enter_context(serving(host, stage.engine.url, connections=4 * clients))
            for host in stage.hosts
        ]
        run = deliver(
            stage.engine, sites, clients=clients, rooms=rooms, messages=messages, rate=rate
        )
    seen = run.seen
    received = sum(seen.received.values())
    orders = max(len(orders) for orders in seen.orders.values())
    workers = len({worker for _, worker in run.places})
    findings = [
        Finding("clients, rooms, workers", f"{clients:,}, {rooms:,}, {workers}"),
        Finding("published, a second", f"{clients * messages:,}, {rate:,.0f}"),
        Finding("received", f"{received:,}", f"{run.expected:,}", received == run.expected),
        Finding("twice, missing or out of order", f"{len(seen.wrong)}", "0", not seen.wrong),
        Finding("came to workers", f"{run.came:,}", f"{run.wanted:,}", run.came == run.wanted),
        Finding("from another worker", latencies(seen.across)),
        Finding("from the own worker", latencies(seen.within)),
    ]
    if stage.engine.name == "nats":
        findings.append(
            Finding("sent by NATS", f"{run.sent:,}", f"{run.wanted:,}", run.sent == run.wanted)
        )
    else:
        each = run.sent / run.wanted
        findings += [
            Finding("orders in a room", f"{orders}", "1", orders == 1),
            Finding("sent by Redis, for each that came to a worker", f"{each:.0f} bytes"),
        ]
    return [*findings, *(Finding("wrong", what, "", met=False) for what in seen.wrong[:5])]


def latencies(found: "array[int]") -> str:
    """Gives percentiles of nanoseconds, in milliseconds."""
    if not found:
        return "none"
    in_order = sorted(found)
    parts = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "the last": 1.0}
    return ", ".join(
        f"{name} {in_order[int(part * (len(in_order) - 1))] / 1e6:.2f} ms"
        for name, part in parts.items()
    )
