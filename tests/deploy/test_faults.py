"""Faults as clients see them, through a real nginx and two real workers.

They stay connected, they are told what did not come, and readiness says so meanwhile.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import msgspec
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import ClientConnection, connect

from benchmarks.cluster.hosts import Host, hosts
from benchmarks.cluster.stage import HTTP, Site, Worker, serving, site
from fastws import Gap, Message
from tests.deploy.app import Join, Joined, Said, Say, Unavailable
from tests.nginx import NGINX
from tests.processes import PATIENCE
from tests.rooms.brokers.engines import ENGINES, Engine, NatsServer, RedisServer

pytestmark = [pytest.mark.deep, pytest.mark.skipif(NGINX is None, reason="no nginx")]

# Seconds: after that much silence nginx gives a worker up, and it is pinged far more often.
SILENCE, PING = "4s", "0.5"
OPTIONS = ("--ping-interval", PING)
FOREIGN = "fastws_foreign_messages_total"
BOTH = {Gap("hall", None), Gap("", None)}


class Guest:
    """A client that has joined the hall.

    Attributes:
        worker: the process that serves it.
    """

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.send(Join("hall"))
        joined = self.hear()
        assert isinstance(joined, Joined)
        self.worker = joined.worker

    def send(self, message: Message) -> None:
        self.ws.send(msgspec.json.encode(message).decode())

    def say(self, content: str) -> None:
        self.send(Say(content))

    def hear(self) -> Any:
        return msgspec.json.decode(
            self.ws.recv(timeout=PATIENCE), type=Joined | Said | Unavailable | Gap
        )


class Hall:
    """Two workers behind nginx, and guests.

    Attributes:
        site: the workers and nginx.
        host: where they are.
    """

    def __init__(self, site: Site, host: Host, ends: ExitStack) -> None:
        self.site = site
        self.host = host
        self._ends = ends

    def enter(self) -> Guest:
        """Lets one more in."""
        ws = connect(f"{self.site.url}/ws", open_timeout=PATIENCE)
        return Guest(self._ends.enter_context(ws))

    def pair(self) -> tuple[Guest, Guest]:
        """Lets two in, one in each worker, as it is the other's turn."""
        ada, bob = self.enter(), self.enter()
        assert {ada.worker, bob.worker} == {worker.pid for worker in self.site.workers}
        return ada, bob

    def worker_of(self, guest: Guest) -> Worker:
        return next(w for w in self.site.workers if w.pid == guest.worker)

    def behind(self, *workers: Worker) -> str:
        """Gives nginx's configuration with these workers."""
        return site([worker.path for worker in workers], f"{self.host.address}:{HTTP}")

    def wait_for(self, status: int) -> None:
        """Waits until all workers say so of being ready."""
        until(lambda: all(w.get("/readyz")[0] == status for w in self.site.workers))

    def wait_for_foreign(self, guest: Guest, count: int) -> None:
        """Waits until so many messages that are none of ours came to the worker of a guest."""
        worker = self.worker_of(guest)
        until(lambda: worker.metrics()[FOREIGN] == count)


def until(condition: Callable[[], bool]) -> None:
    """Waits for what has no event of its own."""
    deadline = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < deadline
        sleep(0.01)


def talk(*guests: Guest) -> None:
    """Lets each of them say something, and all hear it."""
    for i, guest in enumerate(guests):
        guest.say(f"from {i}")
        assert [other.hear() for other in guests] == [Said(f"from {i}")] * len(guests)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with ExitStack() as ends:
        engine = ENGINES[request.param](ends)
        engine.start()
        yield engine


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with ExitStack() as ends:
        engine = RedisServer(ends)
        engine.start()
        yield engine


@pytest.fixture
def open_hall() -> Iterator[Callable[..., Hall]]:
    with ExitStack() as ends:

        def start(url: str, *options: str) -> Hall:
            (host,) = ends.enter_context(hosts("a", isolated=False))
            app = "tests.deploy.app:app"
            site = ends.enter_context(serving(host, url, app=app, options=OPTIONS + options))
            hall = Hall(site, host, ends)
            hall.wait_for(200)
            return hall

        yield start


Open = Callable[..., Hall]


# The engine.


def test_an_engine_that_is_killed_and_restarted(engine: Engine, open_hall: Open) -> None:
    hall = open_hall(engine.url)
    guests = hall.pair()
    talk(*guests)
    engine.kill()
    hall.wait_for(503)
    for guest in guests:
        guest.say("anybody?")
        assert guest.hear() == Unavailable()
    engine.start()
    hall.wait_for(200)
    for guest in guests:
        assert {guest.hear(), guest.hear()} == BOTH
    talk(*guests)


def test_an_engine_that_is_paused(engine: Engine, open_hall: Open) -> None:
    hall = open_hall(engine.url, "--broker-timeout", "2")
    guests = hall.pair()
    engine.pause()
    hall.wait_for(503)
    engine.resume()
    hall.wait_for(200)
    for guest in guests:
        assert {guest.hear(), guest.hear()} == BOTH
    talk(*guests)


async def test_a_connection_to_the_engine_that_is_cut(engine: Engine, open_hall: Open) -> None:
    hall = open_hall(engine.url)
    guests = hall.pair()
    await engine.cut()
    for guest in guests:
        assert {guest.hear(), guest.hear()} == BOTH
    hall.wait_for(200)
    talk(*guests)


async def test_a_redis_that_is_emptied(redis: RedisServer, open_hall: Open) -> None:
    hall = open_hall(redis.url)
    guests = hall.pair()
    talk(*guests)
    await redis.call("FLUSHALL")
    guests[0].say("who was I?")
    for guest in guests:
        assert guest.hear() == Gap("hall", None)
        assert guest.hear() == Said("who was I?")
    talk(*guests)


async def test_an_output_buffer_of_redis_that_is_too_small(
    redis: RedisServer, open_hall: Open
) -> None:
    hall = open_hall(redis.url)
    guests = hall.pair()
    await redis.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 64kb 32kb 1")
    guests[0].say("." * 1_000_000)
    for guest in guests:
        assert {guest.hear(), guest.hear()} == BOTH
    hall.wait_for(200)
    talk(*guests)


async def test_a_worker_that_nats_does_not_wait_for(tmp_path: Path, open_hall: Open) -> None:
    configuration = tmp_path / "nats.conf"
    configuration.write_text("max_pending: 2MB")
    with ExitStack() as ends:
        nats = NatsServer(ends, "-c", str(configuration))
        nats.start()
        hall = open_hall(nats.url)
        ada, bob = hall.pair()
        os.kill(bob.worker, signal.SIGSTOP)
        # What the kernel does not take, the server would have to keep. The other worker keeps up.
        for count in range(1, 41):
            await nats.put("hall", bytes(1_000_000))
            hall.wait_for_foreign(ada, count)
        os.kill(bob.worker, signal.SIGCONT)
        assert {bob.hear(), bob.hear()} == BOTH
        hall.wait_for(200)
        talk(ada, bob)


# A worker.


def test_a_worker_that_is_killed(redis: RedisServer, open_hall: Open) -> None:
    hall = open_hall(redis.url)
    ada, bob = hall.pair()
    hall.worker_of(ada).kill()
    with pytest.raises(ConnectionClosedError) as end:
        ada.hear()
    assert end.value.rcvd is None
    talk(bob)
    others = [hall.enter() for _ in range(4)]
    assert {other.worker for other in others} == {bob.worker}
    talk(bob, *others)


def test_workers_that_are_replaced_one_right_after_the_other(
    redis: RedisServer, open_hall: Open
) -> None:
    hall = open_hall(redis.url)
    first, second = hall.site.workers
    for gone, left in ((first, second), (second, first)):
        gone.kill()
        # Nginx finds out, and goes to the other, whatever has become of that one before.
        ada = hall.enter()
        assert ada.worker == left.pid
        gone.start()
        gone.wait_until_ready()
    bob = hall.enter()
    assert bob.worker == second.pid
    talk(ada, bob)


def test_a_worker_that_is_stopped(redis: RedisServer, open_hall: Open) -> None:
    """It takes connections, and says nothing: nginx waits for it as long as it was told to."""
    hall = open_hall(redis.url)
    old = hall.site.nginx.workers()
    hall.site.nginx.reload(hall.behind(*hall.site.workers).replace("60s", SILENCE))
    until(lambda: not set(old) & set(hall.site.nginx.workers()))
    ada, bob = hall.pair()
    stopped = hall.worker_of(ada)
    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        # It is the stopped one's turn; after some time the other one takes it over.
        cyd = hall.enter()
        assert cyd.worker == bob.worker
        with pytest.raises(ConnectionClosedError):
            ada.hear()
        talk(bob, cyd)
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    assert hall.enter().worker == stopped.pid


# Nginx.


def test_nginx_is_reloaded(redis: RedisServer, open_hall: Open) -> None:
    hall = open_hall(redis.url)
    ada, bob = hall.pair()
    old = hall.site.nginx.workers()
    # As before one of the workers is taken away.
    hall.site.nginx.reload(hall.behind(hall.worker_of(bob)))
    until(lambda: len(hall.site.nginx.workers()) == 2)
    # The old one may have taken some connections after the new one was there.
    until(lambda: hall.enter().worker == bob.worker == hall.enter().worker)
    talk(ada, bob)
    assert set(old) < set(hall.site.nginx.workers())
