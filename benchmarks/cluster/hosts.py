"""Hosts: network namespaces where this machine allows, else addresses of the loopback."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

OURS = Path("/proc/self/ns/net")
TRIES, PAUSE = 1000, 0.01


class Host(NamedTuple):
    """A machine, as far as the network can tell.

    Attributes:
        name: what reports call it.
        address: where the others, and this process, find it.
        within: what comes before a command that is to run there.
    """

    name: str
    address: str
    within: tuple[str, ...] = ()


@contextmanager
def hosts(*names: str, isolated: bool) -> Iterator[list[Host]]:
    """Makes hosts, and a network that connects them and this process.

    Args:
        names: theirs.
        isolated: each in a network namespace; else each has only an address of its own.
    """
    # Runs that go on at the same time are not to meet.
    own = f"{os.getpid() // 250 % 250 + 1}.{os.getpid() % 250 + 1}"
    if not isolated:
        yield [Host(name, f"127.{own}.{i}") for i, name in enumerate(names, 2)]
        return
    with ExitStack() as stack:
        bridge = f"fws{os.getpid()}"
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", bridge)
        _ip("address", "add", f"10.{own}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        yield [
            stack.enter_context(_namespace(name, f"10.{own}.{i}", bridge, f"{bridge}-{i}"))
            for i, name in enumerate(names, 2)
        ]


@contextmanager
def _namespace(name: str, address: str, bridge: str, cable: str) -> Iterator[Host]:
    """Makes a host that is there for as long as this process holds the pipe."""
    with (
        subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE) as holder,
        ExitStack() as stack,
    ):
        theirs = Path(f"/proc/{holder.pid}/ns/net")
        for _ in range(TRIES):
            if theirs.readlink() != OURS.readlink():
                break
            time.sleep(PAUSE)
        within = ("nsenter", f"--net={theirs}")
        _ip("link", "add", cable, "type", "veth", "peer", "eth0", "netns", str(holder.pid))
        # The kernel would do it as well, but later than the next one of this name may come.
        stack.callback(_ip, "link", "del", cable)
        _ip("link", "set", cable, "master", bridge, "up")
        _ip("address", "add", f"{address}/24", "dev", "eth0", within=within)
        for device in ("lo", "eth0"):
            _ip("link", "set", device, "up", within=within)
        yield Host(name, address, within)


def namespaces_allowed() -> bool:
    """Tries whether there can be network namespaces here."""
    try:
        with hosts("probe", isolated=True):
            return True
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no network namespaces: {error}", file=sys.stderr)
        return False


def _ip(*words: str, within: tuple[str, ...] = ()) -> None:
    subprocess.run([*within, "ip", *words], check=True)
