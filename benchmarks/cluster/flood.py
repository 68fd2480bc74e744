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
# Seconds until what was published has come, at most, and between two looks.
PATIENCE, POLL = 10.0, 0.01
COUNTED = ("published_messages", "gaps")


async def publish(link: Link, url: str) -> None:
    """Publishes as a worker without members does, the next one when one is taken, until told.

    In the end it says how many.
    """
    rooms = Rooms(broker_at(url))
    await rooms.start()
    text = "." * SIZE
    end = asyncio.Event()
    count = 0

    async def go_on() -> None:
        nonlocal count
        while not end.is_set():
            await rooms.publish("0", text)
            count += 1

    tasks = [asyncio.create_task(go_on()) for _ in range(IN_FLIGHT)]
    link.say("begins")
    await link.hear()
    end.set()
    await asyncio.gather(*tasks)
    link.say(count)
    await rooms.stop()


async def listen(link: Link, url: str) -> None:
    """Is a member; says how many messages it has got, once it is asked for that."""
    (member,) = await connected([url])
    await member.recv()
    link.say("here")

    async def ask() -> None:
        await link.hear()
        await member.send("?")

    asking = asyncio.create_task(ask())
    count = 0
    async for message in member:
        if message == "!":
            break
        count += 1
    await asking
    link.say(count)


def prove(stage: Stage, *, seconds: float) -> list[Finding]:
    """Floods one worker with one member in the room."""
    engine = stage.engine
    with ExitStack() as stack:
        site = stack.enter_context(serving(stage.hosts[0], engine.url, count=1))
        (worker,) = site.workers
        listening = stack.enter_context(parts(listen, [(f"{site.url}/rooms/0",)]))
        listening.hear()
        publishing = stack.enter_context(parts(publish, [(engine.url,)]))
        publishing.hear()
        time.sleep(WARM_UP)
        pids = {
            "publisher": publishing.pids[0],
            engine.name: engine.process.pid,
            "worker": worker.pid,
            "nginx": site.nginx.workers()[0],
            "member": listening.pids[0],
        }

        def look() -> list[float]:
            found = worker.metrics()
            counted = [found[f"fastws_{name}_total"] for name in COUNTED]
            return [time.monotonic(), *counted, *(measures.cpu(pid) for pid in pids.values())]

        before = look()
        time.sleep(seconds)
        spent, came, gaps, *cpu = (b - a for a, b in zip(before, look(), strict=True))
        publishing.tell()
        (published,) = publishing.hear()
        # What the engine has taken is with the worker a moment later; the answer to the member
        # would overtake it.
        patience = time.monotonic() + PATIENCE
        while worker.metrics()["fastws_published_messages_total"] < published:
            if time.monotonic() > patience:
                break
            time.sleep(POLL)
        listening.tell()
        (received,) = listening.hear()
    each = {name: one / came * 1e6 for name, one in zip(pids, cpu, strict=True)}
    rate = came / spent
    return [
        Finding(
            f"{SIZE} bytes into one worker", f"{rate:,.0f}/s", f">= {WANTED:,}", rate >= WANTED
        ),
        Finding("received in all", f"{received:,}", f"{published:,}", received == published),
        Finding("gaps", f"{gaps:.0f}", "0", gaps == 0),
        Finding("CPU for one", ", ".join(f"{name} {one:.1f} µs" for name, one in each.items())),
        Finding(
            "of a core", ", ".join(f"{n} {c / spent:.0%}" for n, c in zip(pids, cpu, strict=True))
        ),
        Finding("a worker with a core of its own", f"{1e6 / each['worker']:,.0f}/s"),
    ]
