"""A worker with many clients shuts down in time, whatever some of them do."""

import asyncio
import signal
import socket
import time
from collections import Counter
from contextlib import ExitStack

import fastws
from benchmarks.cluster.clients import AT_ONCE, OPEN_TIMEOUT, Link, parts
from benchmarks.cluster.findings import Finding
from benchmarks.cluster.stage import Stage, allow_files, serving
from fastws.limits import KIB, Limits
from fastws.testing.peer import upgrade

# What one who does not read is sent: more than the kernel takes, less than an outbox holds.
FLOOD, SIZE = 512, 1 * KIB
READ_SIZE = 64 * KIB


async def leave(link: Link, path: str, friendly: int, stubborn: int) -> None:
    """Holds clients; says how they were closed.

    Args:
        link: to who has started this.
        path: the socket of the worker.
        friendly: so many who do what is right.
        stubborn: so many who never read, and so many who never answer a close frame.
    """
    door = asyncio.Semaphore(AT_ONCE)

    async def enter() -> fastws.ClientConnection:
        async with door:
            ws = await fastws.connect(
                "ws://localhost/rooms/all", uds=path, open_timeout=OPEN_TIMEOUT
            )
            await ws.recv()
            return ws

    deaf = [_opened(path, "/rooms/deaf") for _ in range(stubborn)]
    mute = [_opened(path, "/rooms/all") for _ in range(stubborn)]
    everybody = await asyncio.gather(*(enter() for _ in range(friendly)))
    async with fastws.connect("ws://localhost/rooms/deaf", uds=path) as ws:
        await ws.recv()
        for _ in range(FLOOD):
            await ws.send("." * SIZE)
            await ws.recv()
    reading = [asyncio.create_task(_read(sock)) for sock in mute]
    link.say(len(everybody) + len(deaf) + len(mute))

    async def end(ws: fastws.ClientConnection) -> int | None:
        async for _ in ws:
            pass
        return ws.close_code

    link.say(Counter(await asyncio.gather(*map(end, everybody))))
    await asyncio.gather(*reading)
    for sock in deaf:
        sock.close()


def _opened(path: str, target: str) -> socket.socket:
    """Opens a WebSocket of which nobody takes care."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    sock.sendall(upgrade(target))
    head = b""
    # Byte by byte: what follows is left to be read.
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    sock.setblocking(False)
    return sock


async def _read(sock: socket.socket) -> None:
    """Reads until the end of the connection, and says nothing."""
    try:
        while await asyncio.get_running_loop().sock_recv(sock, READ_SIZE):
            pass
    except ConnectionError:
        pass
    sock.close()


def prove(stage: Stage, *, clients: int, stubborn: int) -> list[Finding]:
    """Ends a worker by SIGTERM, and looks at the time.

    Args:
        stage: where.
        clients: how many there are.
        stubborn: so many of them never read, and so many never answer a close frame.
    """
    allow_files(2 * clients + 1024)
    limits = Limits()
    allowed = limits.drain_window + limits.close_timeout + 1
    with ExitStack() as stack:
        site = stack.enter_context(serving(stage.hosts[0], stage.engine.url, count=1))
        (worker,) = site.workers
        friendly = clients - 2 * stubborn
        work = [(str(worker.path), friendly, stubborn)]
        processes = stack.enter_context(parts(leave, work))
        there = sum(processes.hear())
        metrics = worker.metrics()
        behind = sum(metrics[f'fastws_buffered_bytes{{queue="{q}"}}'] for q in ("outbox", "unsent"))
        start = time.monotonic()
        code = worker.process.stop(signal.SIGTERM)
        spent = time.monotonic() - start
        (codes,) = processes.hear()
    return [
        Finding("clients", f"{there:,}", f"{clients:,}", there == clients),
        Finding("wait for those who never read", f"{behind / KIB:,.0f} KiB", "> 0", behind > 0),
        Finding(
            "until the process is gone", f"{spent:.2f} s", f"<= {allowed:g} s", spent <= allowed
        ),
        Finding("exit code", f"{code}"),
        Finding(
            "closed with 1012",
            f"{codes[1012]:,}",
            f"{friendly:,}",
            codes == {1012: friendly},
        ),
    ]
