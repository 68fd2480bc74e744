"""`python -m benchmarks.profile`: a flame graph of a server under load, C and kernel included.

It needs Linux's perf, and permission to use it; else py-spy draws, without the kernel.
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks import flame, load
from benchmarks.contests import CONTESTS
from benchmarks.curves import CURVES
from benchmarks.runs import Entry
from benchmarks.servers import (
    BUILD,
    NotMeasuredError,
    Server,
    raise_file_limit,
    run_or_not_measured,
)

HERTZ = 1999
SETTLE_TRIES, SETTLE_SECONDS = 60, 0.5
STACK = 32768  # bytes of it that are kept: the loop's epoll_wait alone takes 12 KiB


def main() -> int:
    """Profile, and say where the graph is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument(
        "--load",
        default="echo-16",
        help=f"of {','.join(CONTESTS)}; or a point of a curve, as size:65536 (%(default)s)",
    )
    parser.add_argument("--server", default="fastws", help="as the tables call it (%(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="how long (%(default)s)")
    parser.add_argument("--output", type=Path, help="(build/benchmarks/profile-LOAD.svg)")
    options = parser.parse_args()
    raise_file_limit()
    try:
        title, entries = loads(options.load)
    except (KeyError, ValueError):
        parser.error(f"no such load: {options.load}")
    servers = {entry.peer.name: entry for entry in entries}
    if options.server not in servers:
        parser.error(f"servers with that load: {', '.join(servers)}")
    entry = servers[options.server]
    output = options.output or BUILD / f"profile-{options.load.replace(':', '-')}.svg"
    seconds = str(options.seconds + 2)  # longer than the profiler looks
    with entry.peer.run() as server, load.start(server, *entry.load, "-t", seconds) as process:
        wait_until_all_are_there(server)
        try:
            by_perf(server, options.seconds, f"{options.server}: {title}", output)
        except NotMeasuredError as reason:
            print(f"perf cannot be used here ({reason}): py-spy, without the kernel's part")
            by_py_spy(server, options.seconds, output)
        _, said = process.communicate()
    if process.returncode:
        print(said.strip(), file=sys.stderr)
    print(output)
    return process.returncode


def loads(name: str) -> tuple[str, list[Entry]]:
    """What a load is called in full, and the servers that have it."""
    curve, _, point = name.partition(":")
    if point:
        there = CURVES[curve].at(int(point))
        return f"{CURVES[curve].title}, {int(point):,} {CURVES[curve].axis}", there
    contest = CONTESTS[name]
    return contest.title, [Entry(peer, contest.load) for peer in contest.peers]


def wait_until_all_are_there(server: Server) -> None:
    """Return once the number of its open files stands still; opening 10,000 takes seconds."""
    before = -1
    for _ in range(SETTLE_TRIES):
        now = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in server.pids())
        if now == before:
            break
        before = now
        time.sleep(SETTLE_SECONDS)


def by_perf(server: Server, seconds: float, title: str, output: Path) -> None:
    """Draw what perf saw."""
    data = BUILD / "perf.data"
    pids = ",".join(map(str, server.pids()))
    record = ("perf", "record", "--freq", str(HERTZ), "--call-graph", f"dwarf,{STACK}")
    run_or_not_measured(*record, "-o", str(data), "-p", pids, "--", "sleep", str(seconds))
    script = run_or_not_measured("perf", "script", "-i", str(data), "--no-inline", "--force")
    data.unlink()
    output.write_text(flame.draw(flame.fold(script), title))


def by_py_spy(server: Server, seconds: float, output: Path) -> None:
    """Let py-spy draw."""
    command = ("py-spy", "record", "--native", "--pid", str(server.pid), "--duration")
    run_or_not_measured(*command, str(round(seconds)), "--output", str(output))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NotMeasuredError as reason:
        sys.exit(f"there is no profile: {reason}")
