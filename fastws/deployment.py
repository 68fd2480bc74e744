"""`fastws check-deploy`: the limits of a machine, by the connections that each allows."""

import re
import resource
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fastws.limits import KIB, Limits

# Open files of a process that are no connections: logs, the loop's own, a broker's.
OTHER_FILES = 64
# An idle connection: an App takes 8 KiB for it, a bare ASGI app 6 (make bench, memory); the kernel
# in its slabs: TCP sock 2,368 bytes, inode 832, dentry and file 192 each, epoll 128.
SERVER_MEMORY, KERNEL_MEMORY = 8 * KIB, 4 * KIB
# nginx takes 18 KiB and two sockets for each, and the server the second one's other end.
PROXIED_MEMORY = SERVER_MEMORY + 18 * KIB + 3 * KERNEL_MEMORY
PROXIED_FILES = 3
NGINX_DEFAULT = 512


class Bound(NamedTuple):
    """A limit of the machine.

    Attributes:
        connections: how many WebSockets it allows.
        limit: which, and its value.
        remedy: how to raise it.
    """

    connections: int
    limit: str
    remedy: str


def report(found: Sequence[Bound]) -> str:
    """Writes limits as a table, as they come; the first one is the lowest."""
    width = max(len(bound.limit) for bound in found)
    lines = [f"connections  {'limit':{width}}  to raise it"]
    lines += [f"{bound.connections:11,}  {bound.limit:{width}}  {bound.remedy}" for bound in found]
    first = found[0]
    end = f"\n{first.connections:,} connections: the first to stop them is {first.limit}.\n"
    return "\n".join([*lines, end])


def bounds(limits: Limits, proc: Path = Path("/proc")) -> Iterator[Bound]:
    """Gives the limits that there are.

    Args:
        limits: those of the server.
        proc: where the kernel tells of itself.
    """
    servers, proxies = list(processes(proc, "fastws")), list(processes(proc, "nginx"))
    yield from _files_of_servers(servers)
    yield from _of_nginx(proxies)
    if limits.max_connections is not None:
        count = max(1, len(servers))
        text = f"max_connections {limits.max_connections:,}, {count} of fastws"
        yield Bound(count * limits.max_connections, text, "--max-connections N")
    yield from _of_kernel(proc, proxied=bool(proxies))


def processes(proc: Path, name: str) -> Iterator[Path]:
    """Finds the processes that have connections: nginx's workers, and those of `fastws run`."""
    for process in proc.glob("[0-9]*"):
        if _is(name, process):
            yield from _workers_of(process) or [process]


def is_server(process: Path) -> bool:
    """Tells whether a process, such as ``/proc/17``, is a `fastws run`."""
    return _is("fastws", process)


def _is(name: str, process: Path) -> bool:
    pattern = {"fastws": rb"fastws[^\0]*\0run\0", "nginx": rb"^nginx: worker process"}[name]
    return re.search(pattern, _command_line(process)) is not None


def _workers_of(process: Path) -> list[Path]:
    """Gives those that `--workers` has started, which are all called the same."""
    ids = " ".join(path.read_text() for path in process.glob("task/*/children")).split()
    children = [process.parent / child for child in ids]
    return [child for child in children if b"spawn_main" in _command_line(child)]


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""  # it has ended meanwhile


def _open_files(process: Path) -> int:
    found = re.search(r"^Max open files +(\d+)", (process / "limits").read_text(), re.MULTILINE)
    return int(found[1]) if found else OTHER_FILES


def _files_of_servers(servers: list[Path]) -> Iterator[Bound]:
    remedy = "systemd: LimitNOFILE=N; in a shell: ulimit -n N"
    if not servers:
        own = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        text = f"open files {own:,} of a process from here (fastws is not running)"
        yield Bound(max(0, own - OTHER_FILES), text, remedy)
        return
    files = [_open_files(process) for process in servers]
    text = f"open files {min(files):,}, {len(files)} of fastws"
    yield Bound(sum(max(0, n - OTHER_FILES) for n in files), text, remedy)


def _of_nginx(workers: list[Path]) -> Iterator[Bound]:
    if not workers:
        return
    files = [_open_files(process) for process in workers]
    text = f"open files {min(files):,}, {len(files)} of nginx, two for each"
    allowed = sum(max(0, n - OTHER_FILES) for n in files) // 2
    yield Bound(allowed, text, "nginx.conf: worker_rlimit_nofile N;")
    each = worker_connections()
    text = f"worker_connections {each:,}, {len(files)} of nginx, two for each"
    yield Bound(each * len(files) // 2, text, "nginx.conf: events { worker_connections N; }")


def worker_connections() -> int:
    """Asks nginx for its configuration; its default if it does not say."""
    # Debian's place for it is not on everybody's path.
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    try:
        done = subprocess.run(  # noqa: S603 (nothing in it is anybody's input)
            [program, "-T"], capture_output=True, text=True, check=False
        )
    except OSError:
        return NGINX_DEFAULT
    found = re.search(r"^\s*(?:events\s*\{\s*)?worker_connections\s+(\d+)", done.stdout, re.M)
    return int(found[1]) if found else NGINX_DEFAULT


def _of_kernel(proc: Path, *, proxied: bool) -> Iterator[Bound]:
    allocated, _, most = map(int, (proc / "sys/fs/file-nr").read_text().split())
    files = PROXIED_FILES if proxied else 1
    text = f"fs.file-max {most:,}, {allocated:,} in use, {files} for each"
    yield Bound(max(0, most - allocated) // files, text, "sysctl fs.file-max=N")
    found = re.search(r"^MemAvailable: +(\d+) kB", (proc / "meminfo").read_text(), re.MULTILINE)
    if found:
        each = PROXIED_MEMORY if proxied else SERVER_MEMORY + KERNEL_MEMORY
        memory = int(found[1]) * KIB
        text = f"memory {memory // KIB**2:,} MiB, {each // KIB} KiB for each that is idle"
        yield Bound(memory // each, text, "more memory, or fewer bytes: docs/deployment.md")
    tracked = proc / "sys/net/netfilter/nf_conntrack_max"
    if tracked.exists():
        most = int(tracked.read_text())
        text = f"nf_conntrack_max {most:,}"
        yield Bound(most, text, "sysctl net.netfilter.nf_conntrack_max=N, or no tracking")
