"""How many room messages in a second the broker brings into one worker."""

import asyncio
import time
from contextlib import ExitStack

from benchmarks import measures
from benchmarks.cluster.clients import Link, connected, parts
from benchmarks.cluster.findings import Finding
from benchmarks.cluster.stage import Stage, serving
from fastws.rooms import Rooms, broker_at

WANTED = 20_000
SIZE = 100
IN_FLIGHT = 512
WARM_UP = 1.0
COUNTED = ("published_messages", "deliveries", "gaps")


async def publish(link: Link, url: str) -> None:
    """Publishes for ever, as a worker without members does: the next one when one is taken."""
    rooms = Rooms(broker_at(url))
    await rooms.start()
    text = "." * SIZE

    async def go_on() -> None:
        while True:
            await rooms.publish("0", text)

    link.say("begins")
    await asyncio.gather(*(go_on() for _ in range(IN_FLIGHT)))


async def listen(link: Link, url: str) -> None:
    """Is a member."""
    (member,) = await connected([url])
    link.say("here")
    async for _ in member:
        pass


def prove(stage: Stage, *, seconds: float) -> list[Finding]:
    """Floods one worker with one member in the room."""
    engine = stage.engine
    with ExitStack() as stack:
        site = stack.enter_context(serving(stage.hosts[0], engine.url, count=1))
        (worker,) = site.workers
        stack.enter_context(parts(listen, [(f"{site.url}/rooms/0",)])).hear()
        publishing = stack.enter_context(parts(publish, [(engine.url,)]))
        publishing.hear()
        time.sleep(WARM_UP)
        pids = {
            "worker": worker.pid,
            engine.name: engine.process.pid,
            "publisher": publishing.pids[0],
        }

        def look() -> list[float]:
            found = worker.metrics()
            counted = [found[f"fastws_{name}_total"] for name in COUNTED]
            return [time.monotonic(), *counted, *(measures.cpu(pid) for pid in pids.values())]

        before = look()
        time.sleep(seconds)
        spent, came, delivered, gaps, *cpu = (b - a for a, b in zip(before, look(), strict=True))
    each = {name: one / came * 1e6 for name, one in zip(pids, cpu, strict=True)}
    rate = came / spent
    return [
        Finding(
            f"{SIZE} bytes into one worker", f"{rate:,.0f}/s", f">= {WANTED:,}", rate >= WANTED
        ),
        Finding("given to the member", f"{delivered:,.0f}", f"{came:,.0f}", delivered == came),
        Finding("gaps", f"{gaps:.0f}", "0", gaps == 0),
        Finding("CPU for one", ", ".join(f"{name} {one:.1f} µs" for name, one in each.items())),
        Finding(
            "of a core", ", ".join(f"{n} {c / spent:.0%}" for n, c in zip(pids, cpu, strict=True))
        ),
        Finding("a worker with a core of its own", f"{1e6 / each['worker']:,.0f}/s"),
    ]
