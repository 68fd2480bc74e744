"""A worker process, seen from both sides.

Supervisor and worker have a pair of sockets, over which each says single bytes. That the other has
gone is the end of the stream, however it went.
"""

import asyncio
import logging
import signal
from contextlib import suppress
from functools import partial
from socket import socket, socketpair

from uvicorn._subprocess import get_subprocess

from fastws.server.config import Config
from fastws.server.drain import Server

logger = logging.getLogger("uvicorn.error")

# What a worker says: that it serves, and about once a second that its event loop turns.
READY, ALIVE = b"R", b"."
# What it is told: to end; to end, while a successor accepts from its sockets; to end at once.
DRAIN, RETIRE, ABORT = b"d", b"r", b"a"


class Worker:
    """A worker process, as its supervisor sees it.

    Attributes:
        name: of it, for the log.
        since: when it was started, in the time of the event loop.
        heard: when it was heard last.
        ready: whether it has begun to serve.
        settled: set once it is ready, or has ended before.
        ended: set once it has ended.
    """

    def __init__(self, config: Config, sockets: list[socket], number: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._link, theirs = socketpair()
        self._link.setblocking(False)
        with theirs:
            target = partial(serve, config, theirs)
            self._process = get_subprocess(config, target, sockets)
            self._process.start()
        self.name = f"worker {number} [{self._process.pid}]"
        self.since = self.heard = self._loop.time()
        self.ready = False
        self.settled = asyncio.Event()
        self.ended = asyncio.Event()
        self._loop.add_reader(self._link, self._listen)
        self._loop.add_reader(self._process.sentinel, self._end)

    @property
    def exit_code(self) -> int | None:
        """How it ended: the exit code, or minus the signal that killed it."""
        return self._process.exitcode

    def tell(self, word: bytes) -> None:
        """Says something to it; no matter if it has gone."""
        with suppress(OSError):
            self._link.send(word)

    def kill(self) -> None:
        """Ends it at once, whatever it is at."""
        self._process.kill()

    def _listen(self) -> None:
        try:
            words = self._link.recv(4096)
        except OSError:
            words = b""
        if not words:
            self._loop.remove_reader(self._link)
            return
        self.heard = self._loop.time()
        if READY in words:
            self.ready = True
            self.settled.set()

    def _end(self) -> None:
        self._loop.remove_reader(self._process.sentinel)
        self._loop.remove_reader(self._link)
        self._process.join()
        self._link.close()
        self.settled.set()
        self.ended.set()


def serve(config: Config, link: socket, sockets: list[socket]) -> None:
    """Is what a worker process does."""
    # A terminal hangs up on all; what becomes of it, the supervisor says.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _Served(config, link).run(sockets)


class _Served(Server):
    """The server in a worker process."""

    def __init__(self, config: Config, link: socket) -> None:
        super().__init__(config)
        self._link = link
        self._link.setblocking(False)

    def announce(self) -> None:
        """Tells the supervisor, and listens to it from now on."""
        asyncio.get_running_loop().add_reader(self._link, self._obey)
        self._say(READY)

    async def on_tick(self, counter: int) -> bool:
        """Called ten times in a second, by the event loop that is to be heard of."""
        if counter % 10 == 0:
            self._say(ALIVE)
        return await super().on_tick(counter)

    def _say(self, word: bytes) -> None:
        # One that has stopped does not read; it will find enough when it goes on.
        with suppress(OSError):
            self._link.send(word)

    def _obey(self) -> None:
        try:
            words = self._link.recv(4096)
        except OSError:
            words = b""
        if not words:
            asyncio.get_running_loop().remove_reader(self._link)
            logger.error("The supervisor has gone")
        self.succeeded |= RETIRE in words
        self.force_exit |= ABORT in words
        self.should_exit = True
