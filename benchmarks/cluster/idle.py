"""Many idle connections through nginx to two workers: memory, CPU, and no heartbeat lost."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks import measures
from benchmarks.cluster.clients import Link, connected, parts, shares
from benchmarks.cluster.findings import Finding
from benchmarks.cluster.stage import Stage, Worker, allow_files, serving
from fastws.limits import KIB, Limits

PROCESSES = 2
ROOMS = 100
MOST_CPU = 0.10  # of a core, of all workers
SETTLE = 5.0


async def stay(link: Link, urls: Sequence[str]) -> None:
    """Holds connections; says in the end how many of them still answer."""
    everybody = await connected(urls)
    for ws in everybody:
        await ws.recv()
    link.say(len(everybody))
    await link.hear()
    for ws in everybody:
        await ws.send("?")
    answers = await asyncio.gather(*(ws.recv() for ws in everybody), return_exceptions=True)
    link.say(sum(answer == "!" for answer in answers))


def memory(pids: Sequence[int]) -> int:
    """Gives the resident bytes of processes."""
    return sum(measures.field("smaps_rollup", "Rss:", pid) for pid in pids)


def closes(workers: Sequence[Worker]) -> int:
    """Counts connections that have ended."""
    return int(
        sum(
            value
            for worker in workers
            for name, value in worker.metrics().items()
            if name.startswith("fastws_closes_total")
        )
    )


def pongs(workers: Sequence[Worker]) -> int:
    """Counts pings that were answered."""
    return int(sum(w.metrics()["fastws_ping_rtt_seconds_count"] for w in workers))


def prove(stage: Stage, *, clients: int, seconds: float) -> list[Finding]:
    """Looks at what connections take that do nothing but answer pings."""
    # What one of nginx's processes may take, though they do not share connections evenly.
    allow_files(int(1.5 * clients) + 1024)
    with ExitStack() as stack:
        site = stack.enter_context(
            serving(stage.hosts[0], stage.engine.url, proxies=2, connections=2 * clients)
        )
        workers = [worker.pid for worker in site.workers]
        proxies = site.nginx.workers()
        before = [memory(workers), memory(proxies)]
        urls = [f"{site.url}/rooms/{i % ROOMS}" for i in range(clients)]
        work = [(share,) for share in shares(urls, PROCESSES)]
        processes = stack.enter_context(parts(stay, work))
        connected = sum(processes.hear(patience=600))
        time.sleep(SETTLE)
        sizes = [memory(workers) - before[0], memory(proxies) - before[1]]
        ended, answered = closes(site.workers), pongs(site.workers)
        cpu = [[measures.cpu(pid) for pid in pids] for pids in (workers, proxies)]
        time.sleep(seconds)
        spent = [
            [measures.cpu(pid) - was for pid, was in zip(pids, before, strict=True)]
            for pids, before in zip((workers, proxies), cpu, strict=True)
        ]
        ended, answered = closes(site.workers) - ended, pongs(site.workers) - answered
        held = [int(worker.metrics()["fastws_connections"]) for worker in site.workers]
        processes.tell()
        there = sum(processes.hear())
    interval = Limits().ping_interval
    assert interval is not None
    # One may be due, or on its way.
    least = clients * (int(seconds / interval) - 1)
    busy = sum(spent[0]) / seconds
    return [
        Finding("connections", f"{connected:,}, {held[0]:,} and {held[1]:,} in a worker"),
        Finding("memory of workers, each", f"{sizes[0] / clients / KIB:.1f} KiB"),
        Finding("memory of nginx, each", f"{sizes[1] / clients / KIB:.1f} KiB"),
        Finding(
            "CPU of both workers", f"{busy:.1%} of a core", f"< {MOST_CPU:.0%}", busy < MOST_CPU
        ),
        Finding("CPU of nginx", f"{sum(spent[1]) / seconds:.1%} of a core"),
        Finding(
            f"pings answered in {seconds:.0f} s",
            f"{answered:,}",
            f">= {least:,}",
            answered >= least,
        ),
        Finding("connections that ended", f"{ended}", "0", ended == 0),
        Finding("answer in the end", f"{there:,}", f"{clients:,}", there == clients),
    ]
