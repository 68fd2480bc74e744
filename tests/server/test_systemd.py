"""Sockets from systemd, and what it is told; as it would do it, and without it."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fastws.server.systemd import Notifier, take_sockets
from tests.processes import PATIENCE, Process
from tests.server.peer import connected
from tests.server.test_supervisor import leave, pid_at

APP = "tests.server.crew:app"
# What systemd does with the sockets of a unit, in the process that becomes the service.
ACTIVATE = """
import os, sys
count = int(sys.argv[1])
fds = list(map(int, sys.argv[2:2 + count]))
for i, fd in enumerate(fds):
    os.dup2(fd, 100 + i)
for i in range(count):
    os.dup2(100 + i, 3 + i)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count))
os.execv(sys.executable, [sys.executable, *sys.argv[2 + count:]])
"""

ONE_LOOP = pytest.mark.parametrize("anyio_backend", ["uvloop"], indirect=True)


class Manager:
    """Hears what a service tells."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        self.socket.bind(address.replace("@", "\0"))

    def hears(self) -> list[str]:
        return self.socket.recv(4096).decode().splitlines()


@pytest.fixture
def manager(socket_path: Path) -> Iterator[Manager]:
    found = Manager(str(socket_path))
    with found.socket:
        yield found


@ONE_LOOP
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_it_hears_of_start_and_end(
    spawn: Callable[..., Process], manager: Manager, socket_path: Path, workers: str
) -> None:
    command = ["-m", "fastws", "run", APP, "--port", "0", "--workers", workers]
    process = spawn(sys.executable, *command, env={"NOTIFY_SOCKET": str(socket_path)})
    assert (await asyncio.to_thread(manager.hears))[0] == "READY=1"
    if workers == "2":
        os.kill(process.pid, signal.SIGHUP)
        first, since, _ = await asyncio.to_thread(manager.hears)
        assert first == "RELOADING=1"
        assert re.fullmatch(r"MONOTONIC_USEC=\d+", since)
        assert await asyncio.to_thread(manager.hears) == [
            "READY=1",
            "STATUS=serving with 2 workers",
        ]
    os.kill(process.pid, signal.SIGTERM)
    assert await asyncio.to_thread(manager.hears) == ["STOPPING=1", "STATUS=draining"]
    await asyncio.to_thread(process.wait)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_signs_of_life(
    spawn: Callable[..., Process], manager: Manager, socket_path: Path, workers: str
) -> None:
    command = ["-m", "fastws", "run", APP, "--port", "0", "--workers", workers]
    env = {"NOTIFY_SOCKET": str(socket_path), "WATCHDOG_USEC": "300000"}
    process = spawn(sys.executable, *command, env=env)
    assert manager.hears()[0] == "READY=1"
    for _ in range(3):
        assert manager.hears() == ["WATCHDOG=1"]
    os.kill(process.pid, signal.SIGSTOP)
    # It may have said something before.
    manager.socket.settimeout(2)
    with pytest.raises(TimeoutError):
        list(iter(manager.hears, None))


def test_signs_of_life_of_somebody_else(manager: Manager, socket_path: Path) -> None:
    environ = {"NOTIFY_SOCKET": str(socket_path), "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}
    notifier = Notifier.take(environ)
    assert environ == {}
    notifier.alive()
    notifier.ready("well")
    assert manager.hears()[0] == "READY=1"


def test_an_abstract_address() -> None:
    manager = Manager(f"@fastws-{os.getpid()}")
    with manager.socket:
        Notifier(f"@fastws-{os.getpid()}").ready("well")
        assert manager.hears() == ["READY=1", "STATUS=well"]


def test_children_do_not_speak_for_the_service(manager: Manager, socket_path: Path) -> None:
    environ = {"NOTIFY_SOCKET": str(socket_path)}
    Notifier.take(environ).ready("well")
    assert environ == {}
    assert manager.hears()


def test_a_manager_that_has_gone_is_no_fault(
    socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier(str(socket_path)).ready("well")
    assert "the service manager was not told READY=1" in caplog.text


@pytest.fixture
def activate(spawn: Callable[..., Process], socket_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts a service with so many sockets, which are `socket_path` with a number."""
    with ExitStack() as stack:

        def start(count: int, *options: str) -> Process:
            fds = []
            for number in range(count):
                sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                sock.bind(f"{socket_path}{number}")
                sock.listen()
                sock.set_inheritable(True)
                fds.append(str(sock.fileno()))
            command = ["-m", "fastws", "run", APP, *options]
            return spawn(
                sys.executable, "-c", ACTIVATE, str(count), *fds, *command, pass_fds=map(int, fds)
            )

        yield start


@ONE_LOOP
@pytest.mark.parametrize("workers", [1, 2])
async def test_one_socket_serves_before_there_is_a_process(
    activate: Callable[..., Process], socket_path: Path, workers: int
) -> None:
    process = activate(1, "--workers", str(workers))
    async with connected(f"{socket_path}0") as peer:
        os.kill(process.pid, signal.SIGTERM)
        await peer.restarted()
        await leave(peer)
    await asyncio.to_thread(process.wait)
    # It is systemd's; whoever comes now waits for the next process.
    assert exists(f"{socket_path}0")


@ONE_LOOP
async def test_a_socket_for_each_worker(
    activate: Callable[..., Process], socket_path: Path
) -> None:
    activate(2, "--workers", "2")
    first, second = await pid_at(f"{socket_path}0"), await pid_at(f"{socket_path}1")
    assert first != second


def test_sockets_that_cannot_be_dealt(activate: Callable[..., Process]) -> None:
    process = activate(3, "--workers", "2")
    assert process.wait() == 1
    assert process.output == "fastws: there are 3 sockets for 2 workers\n"


def test_sockets_of_another_process_are_not_taken() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "HOME": "/"}
    assert take_sockets(environ) == []
    assert environ == {"HOME": "/"}


def exists(path: str) -> bool:
    return Path(path).exists()
