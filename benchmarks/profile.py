"""`python -m benchmarks.profile`: a flame graph of a server under load, C and kernel included.

It needs Linux's perf, and permission to use it; else py-spy draws, without the kernel.
"""

import argparse
import shutil
import sys
from pathlib import Path

from benchmarks import flame, load
from benchmarks.contests import CONTESTS
from benchmarks.servers import BUILD, NotMeasuredError, Server, run_or_not_measured

HERTZ = 1999
STACK = 32768  # bytes of it that are kept: the loop's epoll_wait alone takes 12 KiB


def main() -> int:
    """Profile, and say where the graph is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--load", choices=CONTESTS, default="echo-16", help="(%(default)s)")
    parser.add_argument("--server", default="fastws", help="as the table calls it (%(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="how long (%(default)s)")
    parser.add_argument("--output", type=Path, help="(build/benchmarks/profile-LOAD.svg)")
    options = parser.parse_args()
    contest = CONTESTS[options.load]
    peers = {peer.name: peer for peer in contest.peers}
    if options.server not in peers:
        parser.error(f"servers with that load: {', '.join(peers)}")
    output = options.output or BUILD / f"profile-{options.load}.svg"
    title = f"{options.server}: {contest.title}"
    with peers[options.server].run() as server:
        # The load goes on for a bit longer than the profiler looks.
        running = load.start(server, *contest.load, "-t", str(options.seconds + 2))
        with running as process:
            try:
                by_perf(server, options.seconds, title, output)
            except NotMeasuredError as reason:
                print(f"perf cannot be used here ({reason}): py-spy, without the kernel's part")
                by_py_spy(server, options.seconds, output)
            _, said = process.communicate()
    if process.returncode:
        print(said.strip(), file=sys.stderr)
    print(output)
    return process.returncode


def by_perf(server: Server, seconds: float, title: str, output: Path) -> None:
    """Draw what perf saw."""
    if shutil.which("perf") is None:
        raise NotMeasuredError("it is not installed; Debian: linux-perf")
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
    sys.exit(main())
