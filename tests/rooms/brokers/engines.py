"""Real engines, each a process of a test's own, which can die, stop, and come back."""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import pytest
from nats.aio.client import Client
from redis.asyncio import Redis

from fastws.testing.waiting import nap, patience
from tests.ports import free_ports
from tests.processes import PATIENCE, Process


class Engine(Protocol):
    """An engine, and what a test does to it.

    Attributes:
        url: where brokers find it.
    """

    url: str

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def forget(self) -> None:
        """Removes what it has on its disk, when it was killed."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    async def cut(self) -> None:
        """Ends all connections that subscribe."""

    async def put(self, channel: str, data: bytes) -> None:
        """Publishes as somebody else would."""

    async def channels(self) -> set[str]:
        """Gives the names, in the engine, of what anybody is subscribed to."""

    def name_of(self, channel: str) -> str:
        """Gives the name of a channel in the engine."""


class _Program:
    """A process that can be started anew."""

    def __init__(self) -> None:
        self.process: Process | None = None

    def run(self, *argv: str, ready: str) -> str:
        self.process = Process(*argv)
        self.process.wait_for(ready)
        return self.process.output

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process = None

    def pause(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        # The kernel stops one thread after the other, in its own time.
        threads = Path(f"/proc/{self.process.pid}/task")
        while any(" T " not in (thread / "stat").read_text() for thread in threads.iterdir()):
            pass

    def resume(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)


class RedisServer(_Program):
    """A redis-server on a unix socket, without a disk unless an option says so.

    Args:
        ends: what ends it.
        options: for its command line.
    """

    def __init__(self, ends: ExitStack, *options: str) -> None:
        super().__init__()
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed")
        self.program = program
        directory = ends.enter_context(tempfile.TemporaryDirectory(prefix="fastws"))
        ends.callback(self.kill)
        self.path = f"{directory}/redis"
        self.url = f"unix://{self.path}"
        self._argv = [program, "--port", "0", "--unixsocket", self.path, "--dir", directory]
        self._argv += ["--save", "", *options]

    def start(self) -> None:
        self.run(*self._argv, ready="eady to accept connections")

    def forget(self) -> None:
        """Has nothing on its disk."""

    async def call(self, *command: Any) -> Any:
        async with Redis(unix_socket_path=self.path) as client:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]

    async def until(self, *command: Any, shows: str) -> None:
        """Waits until the answer to a command shows something."""
        async with patience(PATIENCE, lambda: "what was waited for did not come"):
            while shows not in str(await self.call(*command)):
                await nap()

    async def cut(self) -> None:
        await self.call("CLIENT", "KILL", "TYPE", "pubsub")

    async def put(self, channel: str, data: bytes) -> None:
        await self.call("PUBLISH", self.name_of(channel), data)

    async def channels(self) -> set[str]:
        return {name.decode() for name in await self.call("PUBSUB", "CHANNELS")}

    def name_of(self, channel: str) -> str:
        return f"fastws:{channel}"


class NatsServer(_Program):
    """A nats-server on a port of its own.

    Args:
        ends: what ends it.
        options: for its command line.
    """

    def __init__(self, ends: ExitStack, *options: str) -> None:
        super().__init__()
        program = shutil.which("nats-server", path=str(Path(sys.executable).parent))
        if program is None:
            pytest.skip("nats-server is not installed")
        ends.callback(self.kill)
        port, self._monitor = free_ports(2)
        self._argv = [program, "-a", "127.0.0.1", "-p", str(port), "-m", str(self._monitor)]
        self._argv += options
        self.url = f"nats://127.0.0.1:{port}"

    def start(self) -> None:
        self.run(*self._argv, ready="Server is ready")

    def forget(self) -> None:
        """Has nothing on its disk."""

    async def cut(self) -> None:
        # There is no command for it; a server that is told to quit and back at once is the same.
        self.kill()
        self.start()

    async def put(self, channel: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        client = Client()
        await client.connect(self.url)
        await client.publish(self.name_of(channel), data, headers=headers)
        await client.close()

    async def channels(self) -> set[str]:
        text = await asyncio.to_thread(self._subscriptions)
        return {s["subject"] for s in json.loads(text).get("subscriptions_list", [])}

    def _subscriptions(self) -> bytes:
        url = f"http://127.0.0.1:{self._monitor}/subsz?subs=1"
        with urllib.request.urlopen(url) as answer:
            text: bytes = answer.read()
            return text

    def name_of(self, channel: str) -> str:
        return f"fastws.{quote(channel, safe='')}"


class JetStream(NatsServer):
    """A nats-server that keeps messages on a disk.

    Args:
        ends: what ends it.
        options: for its command line.
    """

    def __init__(self, ends: ExitStack, *options: str) -> None:
        self._directory = ends.enter_context(tempfile.TemporaryDirectory(prefix="fastws"))
        super().__init__(ends, "-js", "-sd", self._directory, *options)

    def forget(self) -> None:
        """See `Engine`."""
        shutil.rmtree(f"{self._directory}/jetstream")

    async def call(self, what: str, **question: Any) -> dict[str, Any]:
        """Calls the API of JetStream."""
        client = Client()
        await client.connect(self.url)
        data = json.dumps(question).encode()
        try:
            answer = await client.request(f"$JS.API.{what}", data, timeout=PATIENCE)
            found: dict[str, Any] = json.loads(answer.data)
            return found
        finally:
            await client.close()

    async def until(
        self, what: str, shows: Callable[[dict[str, Any]], Any], **question: Any
    ) -> dict[str, Any]:
        """Calls the API until an answer shows something; gives that answer."""
        async with patience(PATIENCE, lambda: "what was waited for did not come"):
            while not shows(answer := await self.call(what, **question)):
                await nap()
        return answer


ENGINES: dict[str, Callable[[ExitStack], Engine]] = {"redis": RedisServer, "nats": NatsServer}

# Those that keep messages.
KEEPERS: dict[str, Callable[[ExitStack], Engine]] = {"redis": RedisServer, "nats": JetStream}
