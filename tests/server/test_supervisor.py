"""Several workers: who has which socket, who takes whose place, and the end of all."""

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.processes import PATIENCE, Process, Server
from tests.server.peer import Address, Peer, close, connected, request, tcp, upgrade

APP = "tests.server.crew:app"
# Of the peers; the workers have their own loops.
pytestmark = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)

Start = Callable[..., Process]


class Crew:
    """Two workers, each with a unix socket of its own.

    Attributes:
        process: the supervisor.
        paths: the sockets.
        obstacle: a file that keeps workers from starting, if it is there.
    """

    def __init__(self, serve: Callable[..., Server], directory: Path, *options: str) -> None:
        self.paths = [str(directory / f"{number}.sock") for number in (1, 2)]
        self.obstacle = directory / "obstacle"
        pattern = str(directory / "{worker}.sock")
        env = {"OBSTACLE": str(self.obstacle)}
        self.process = serve(APP, "--workers", "2", "--uds", pattern, *options, env=env)

    async def pids(self) -> list[int]:
        return [await pid_at(path) for path in self.paths]

    async def says(self, pattern: str) -> str:
        return (await asyncio.to_thread(self.process.wait_for, pattern))[0]

    def signal(self, signum: int) -> None:
        os.kill(self.process.pid, signum)

    async def end(self) -> int:
        return await asyncio.to_thread(self.process.wait)


@pytest.fixture
def crew(serve: Callable[..., Server], socket_path: Path) -> Callable[..., Crew]:
    def start(*options: str) -> Crew:
        return Crew(serve, socket_path.parent, *options)

    return start


async def pid_at(address: Address) -> int:
    """Asks who serves there."""
    async with tcp(address) as peer:
        await peer.send(request())
        assert (await peer.head()).status == 200
        return int(await peer.rest())


def is_there(path: str | Path) -> bool:
    return Path(path).exists()


def gone(pids: list[int]) -> bool:
    """Waits until processes have ended, be it that nobody has taken note yet."""
    for pid in pids:
        status = Path(f"/proc/{pid}/status")
        deadline = time.monotonic() + PATIENCE
        with suppress(FileNotFoundError, ProcessLookupError):
            while "State:\tZ" not in status.read_text():
                assert time.monotonic() < deadline
                time.sleep(0.01)
    return True


async def leave(peer: Peer) -> None:
    await peer.send(close(1012))
    assert await peer.rest() == b""


@asynccontextmanager
async def asking(path: str) -> AsyncIterator[list[int]]:
    """Asks again and again who serves there; each time somebody has to answer."""
    found: list[int] = []

    async def ask() -> None:
        while True:
            found.append(await pid_at(path))

    task = asyncio.create_task(ask())
    yield found
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# Sockets.


async def test_each_worker_has_a_unix_socket_of_its_own(crew: Callable[..., Crew]) -> None:
    workers = crew()
    first = await workers.pids()
    assert len(set(first)) == 2
    assert await workers.pids() == first
    workers.signal(signal.SIGTERM)
    assert await workers.end() == 0
    assert not any(map(is_there, workers.paths))


@pytest.mark.deep
async def test_workers_share_a_unix_socket_without_a_number(
    serve: Callable[..., Server], socket_path: Path
) -> None:
    serve(APP, "--workers", "2", "--uds", str(socket_path))
    await pid_at(str(socket_path))


@pytest.mark.deep
async def test_the_kernel_spreads_connections_over_the_sockets_of_a_port(
    serve: Callable[..., Server],
) -> None:
    server = serve(APP, "--workers", "2")
    found: set[int] = set()
    deadline = time.monotonic() + PATIENCE
    while len(found) < 2:
        assert time.monotonic() < deadline
        found.add(await pid_at((server.host, server.port)))


# SIGHUP.


async def test_sighup_replaces_all_and_refuses_nobody(crew: Callable[..., Crew]) -> None:
    workers = crew()
    before = await workers.pids()
    async with asking(workers.paths[0]) as first, asking(workers.paths[1]) as second:
        async with connected(workers.paths[0]) as one, connected(workers.paths[1]) as other:
            workers.signal(signal.SIGHUP)
            await one.restarted()
            # It has a successor already, and the other one not before it has gone.
            for _ in range(10):
                assert await pid_at(workers.paths[0]) != before[0]
            assert await pid_at(workers.paths[1]) == before[1]
            await leave(one)
            await other.restarted()
            await leave(other)
        await workers.says("Replaced all workers")
    after = await workers.pids()
    assert not set(before) & set(after)
    assert set(first) <= {before[0], after[0]}
    assert set(second) <= {before[1], after[1]}


async def test_sighup_refuses_no_upgrade(crew: Callable[..., Crew]) -> None:
    """The old worker leaves its socket before it drains, so an upgrade waits for the new one.

    The new worker is stopped meanwhile: nothing but the old one could answer, with 503.
    """
    workers = crew()
    path = workers.paths[0]
    before = await pid_at(path)
    async with connected(path) as old:
        workers.signal(signal.SIGHUP)
        await old.restarted()
        successor = await pid_at(path)
        assert successor != before
        os.kill(successor, signal.SIGSTOP)
        try:
            async with tcp(path) as peer:
                await peer.send(upgrade())
                await leave(old)
                assert await asyncio.to_thread(gone, [before])
                os.kill(successor, signal.SIGCONT)
                assert (await peer.head()).status == 101
        finally:
            os.kill(successor, signal.SIGCONT)


@pytest.mark.deep
async def test_a_hangup_of_a_terminal_goes_to_all(crew: Callable[..., Crew]) -> None:
    workers = crew()
    before = await workers.pids()
    os.killpg(workers.process.pid, signal.SIGHUP)
    await workers.says("Replaced all workers")
    assert "has died" not in workers.process.output
    assert not set(before) & set(await workers.pids())


@pytest.mark.deep
async def test_what_does_not_start_replaces_nobody(crew: Callable[..., Crew]) -> None:
    workers = crew()
    before = await workers.pids()
    workers.obstacle.touch()
    workers.signal(signal.SIGHUP)
    await workers.says(r"worker 1 \[\d+\] did not start, so worker 1 \[\d+\] and the rest stay")
    assert await workers.pids() == before
    workers.obstacle.unlink()
    workers.signal(signal.SIGHUP)
    await workers.says("Replaced all workers")
    assert not set(before) & set(await workers.pids())


# Deaths.


async def test_a_killed_worker_has_a_successor_who_has_its_backlog(
    crew: Callable[..., Crew],
) -> None:
    workers = crew()
    before = await workers.pids()
    os.kill(before[0], signal.SIGKILL)
    await workers.says(r"worker 1 \[\d+\] has died \(exit code -9\), the next one starts in 0 s")
    # The socket is there all the time; whoever comes between the two waits in it.
    assert await pid_at(workers.paths[0]) not in before
    assert await pid_at(workers.paths[1]) == before[1]


@pytest.mark.deep
async def test_one_that_dies_again_and_again_waits_longer_each_time(
    crew: Callable[..., Crew],
) -> None:
    workers = crew()
    for pause in ("0", "0.5", "1"):
        os.kill(await pid_at(workers.paths[1]), signal.SIGKILL)
        await workers.says(rf"worker 2 .* has died \(exit code -9\), .* in {pause} s")


@pytest.mark.deep
async def test_one_that_cannot_start_again_is_tried_again(crew: Callable[..., Crew]) -> None:
    workers = crew()
    before = await workers.pids()
    workers.obstacle.touch()
    os.kill(before[0], signal.SIGKILL)
    await workers.says(r"has died \(exit code 3\)")
    workers.obstacle.unlink()
    assert await pid_at(workers.paths[0]) not in before
    assert await pid_at(workers.paths[1]) == before[1]


@pytest.mark.deep
async def test_who_cannot_be_started_for_want_of_descriptors_ends_nobody(
    crew: Callable[..., Crew],
) -> None:
    workers = crew()
    before = await workers.pids()
    pid = workers.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    workers.signal(signal.SIGHUP)
    await workers.says("worker 1 cannot be started: .*Too many open files")
    assert await workers.pids() == before
    os.kill(before[1], signal.SIGKILL)
    await workers.says("worker 2 cannot be started: .*Too many open files")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    workers.signal(signal.SIGHUP)
    await workers.says("Replaced all workers")
    assert not set(before) & set(await workers.pids())


@pytest.mark.deep
async def test_one_that_stands_still_is_replaced(crew: Callable[..., Crew]) -> None:
    workers = crew("--timeout-worker-healthcheck", "3")
    before = await workers.pids()
    os.kill(before[0], signal.SIGSTOP)
    await workers.says(rf"worker 1 \[{before[0]}\] stands still for \d+ s, and is killed")
    assert await pid_at(workers.paths[0]) != before[0]


@pytest.mark.deep
async def test_nothing_starts_if_a_worker_does_not(
    spawn: Start, socket_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "obstacle").touch()
    command = ["-m", "fastws", "run", APP, "--workers", "2", "--uds", str(socket_path)]
    process = spawn(sys.executable, *command, env={"OBSTACLE": str(tmp_path / "obstacle")})
    assert await asyncio.to_thread(process.wait) == 3
    assert "did not start, so nothing does" in process.output
    assert "there is an obstacle" in process.output
    assert not is_there(socket_path)


# The end.


async def test_both_drain(crew: Callable[..., Crew]) -> None:
    workers = crew()
    async with connected(workers.paths[0]) as one, connected(workers.paths[1]) as other:
        workers.signal(signal.SIGTERM)
        for peer in (one, other):
            await peer.restarted()
        # They still listen, and say what they have to.
        async with tcp(workers.paths[0]) as late:
            await late.send(request())
            assert (await late.head()).get(b"connection") == b"close"
        for peer in (one, other):
            await leave(peer)
    assert await workers.end() == 0
    assert "Traceback" not in workers.process.output


@pytest.mark.deep
async def test_nobody_waits_for_a_worker_that_has_gone(crew: Callable[..., Crew]) -> None:
    workers = crew()
    async with connected(workers.paths[1]) as last:
        workers.signal(signal.SIGTERM)
        await last.restarted()
        await workers.says("Finished server process")
        with pytest.raises(ConnectionRefusedError):
            await pid_at(workers.paths[0])
        await leave(last)
    assert await workers.end() == 0


@pytest.mark.deep
async def test_an_interrupt_from_a_terminal_goes_to_all(crew: Callable[..., Crew]) -> None:
    workers = crew()
    async with connected(workers.paths[0]) as one, connected(workers.paths[1]) as other:
        os.killpg(workers.process.pid, signal.SIGINT)
        for peer in (one, other):
            await peer.restarted()
            await leave(peer)
    assert await workers.end() == 0
    assert "Traceback" not in workers.process.output


async def test_a_second_signal_ends_all_at_once(crew: Callable[..., Crew]) -> None:
    workers = crew("--close-timeout", "600")
    async with connected(workers.paths[0]) as one, connected(workers.paths[1]) as other:
        workers.signal(signal.SIGTERM)
        for peer in (one, other):
            await peer.restarted()
        workers.signal(signal.SIGTERM)
        assert await workers.end() == 0
        for peer in (one, other):
            assert await peer.gone() == b""


@pytest.mark.deep
async def test_the_end_does_not_wait_for_a_reload(crew: Callable[..., Crew]) -> None:
    workers = crew("--close-timeout", "600")
    before = await workers.pids()
    async with connected(workers.paths[0]) as one, connected(workers.paths[1]) as other:
        workers.signal(signal.SIGHUP)
        await one.restarted()
        workers.signal(signal.SIGTERM)
        # Else this would come only after the first one had gone.
        await other.restarted()
        await leave(one)
        await leave(other)
    assert await workers.end() == 0
    assert "Replaced all" not in workers.process.output
    assert await asyncio.to_thread(gone, before)


async def test_workers_do_not_outlive_their_supervisor(crew: Callable[..., Crew]) -> None:
    workers = crew()
    before = await workers.pids()
    async with connected(workers.paths[0]) as one:
        workers.signal(signal.SIGKILL)
        await one.restarted()
        await leave(one)
    assert await workers.end() == -signal.SIGKILL
    assert await asyncio.to_thread(gone, before)
    assert workers.process.output.count("The supervisor has gone") == 2
