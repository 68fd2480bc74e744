"""Clients in processes of their own, which say when they are ready, and what they have seen."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import uvloop

import fastws

# So many handshakes at once: more than that wait in the backlog of a worker.
AT_ONCE = 50
OPEN_TIMEOUT = 60.0
PATIENCE = 120.0  # seconds for the next word of a process
# As browsers, which answer pings and send none.
QUIET = fastws.Limits(ping_interval=None)

spawning = multiprocessing.get_context("spawn")


class Link:
    """What a process of clients hears from the one that has started it, and says to it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def say(self, what: Any) -> None:
        """Says something."""
        self._pipe.send(what)

    async def hear(self) -> Any:
        """Waits for the next word."""
        return await asyncio.to_thread(self._pipe.recv)


Work = Callable[..., Awaitable[None]]


class Parts:
    """Processes that do the same with different arguments.

    Attributes:
        pids: theirs.
    """

    def __init__(self, pipes: list[Connection], pids: list[int]) -> None:
        self.pids = pids
        self._pipes = pipes

    def tell(self, what: Any = None) -> None:
        """Says something to all."""
        for pipe in self._pipes:
            pipe.send(what)

    def hear(self, patience: float = PATIENCE) -> list[Any]:
        """Waits for the next word of each.

        Raises:
            TimeoutError: one has not said anything for so many seconds.
            EOFError: one has ended.
        """
        words = []
        for pipe in self._pipes:
            if not pipe.poll(patience):
                raise TimeoutError("clients have nothing to say")
            words.append(pipe.recv())
        return words


@contextmanager
def parts(work: Work, arguments: Iterable[Sequence[Any]]) -> Iterator[Parts]:
    """Runs ``work(link, *arguments)`` in a process for each of the arguments."""
    pipes, processes = [], []
    try:
        for these in arguments:
            ours, theirs = spawning.Pipe()
            process = spawning.Process(target=_run, args=(work, theirs, these), daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        yield Parts(pipes, [process.pid or 0 for process in processes])
    finally:
        for process in processes:
            process.kill()
            process.join()


def _run(work: Work, pipe: Connection, arguments: Sequence[Any]) -> None:
    async def run() -> None:
        await work(Link(pipe), *arguments)

    uvloop.run(run())


async def connected(urls: Sequence[str]) -> list[fastws.ClientConnection]:
    """Opens a connection to each of the URLs, in their order."""
    door = asyncio.Semaphore(AT_ONCE)

    async def enter(url: str) -> fastws.ClientConnection:
        async with door:
            return await fastws.connect(
                url, compression=False, limits=QUIET, open_timeout=OPEN_TIMEOUT
            )

    return await asyncio.gather(*map(enter, urls))


def shares(some: Sequence[Any], count: int) -> list[Sequence[Any]]:
    """Deals something out."""
    return [some[i::count] for i in range(count)]
