"""A server that is the only process of its service."""

import logging
import signal
from socket import socket
from types import FrameType

from fastws.server.config import Config
from fastws.server.drain import Server
from fastws.server.listeners import Listeners
from fastws.server.systemd import Notifier

logger = logging.getLogger("uvicorn.error")


class SingleServer(Server):
    """A server that is the only process of its service.

    Attributes:
        ended_by: the signal that has come, the last one of several.

    Args:
        config: what it serves.
        listeners: what it accepts from.
        notifier: who wants to know how it is going.
    """

    def __init__(self, config: Config, listeners: Listeners, notifier: Notifier) -> None:
        super().__init__(config)
        self.ended_by: int | None = None
        self._listeners = listeners
        self._notifier = notifier

    def run(self, sockets: list[socket] | None = None) -> None:
        """Serves until a signal comes."""
        # No other worker would go on: it is the end, but not an abrupt one. With nohup it is none.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self.handle_exit)
        super().run(sockets or self._listeners.of_workers[0])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Takes a signal: the first one begins the end, the second one cuts it short."""
        self.ended_by = sig
        super().handle_exit(sig, frame)

    def announce(self) -> None:
        """Tells whom it may concern that the server serves."""
        for url in self._listeners.urls:
            logger.info("Uvicorn running on %s (Press CTRL+C to quit)", url)
        self._notifier.ready("serving")

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second, unless the event loop stands still."""
        self._notifier.alive()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Drains, and then ends what is left."""
        self._notifier.stopping("draining")
        await super().shutdown(sockets)
