"""`make loadtest-ceiling`: what one process of the load generator can do.

Echoes of 64 bytes on 200 connections, one in flight on each: in turns (A B A B) by users on our
client and on the package websocket-client, the generator on one core and the server on another.
The exit code is 1 if ours sends fewer than 6,000 messages a second, or takes more than half of the
other's CPU time for one. (The ratio of the rates is the same where nothing else runs.)
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from statistics import median

from loadtest.server import Server, serve

OURS, THEIRS = "OnFastws", "OnWebSocketClient"
USERS = 200
LEAST_RATE, LEAST_RATIO = 6000, 2.0
CORES = sorted(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Figures:
    """One run.

    Attributes:
        rate: messages a second.
        cpu: microseconds of the generator's CPU time for one message.
        server_cpu: the same of the server.
    """

    rate: float
    cpu: float
    server_cpu: float


def run(server: Server, user: str, seconds: int) -> Figures:
    """Has users of one kind send for a while."""
    argv = [sys.executable, "-m", "locust", "-f", "loadtest/flat_out.py", "--headless"]
    argv += ["--host", server.url(), "--users", str(USERS), "--spawn-rate", str(USERS)]
    argv += ["--run-time", f"{seconds}s", "--reset-stats", "--only-summary", "--loglevel", "ERROR"]
    before = server.cpu_seconds()
    done = subprocess.run(
        [*argv, user],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, {CORES[0]}),
    )
    used = server.cpu_seconds() - before
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise RuntimeError(f"locust ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    found = json.loads(lines[0])
    messages = found["messages"]
    return Figures(
        messages / found["seconds"], found["cpu"] / messages * 1e6, used / messages * 1e6
    )


def main() -> int:
    """Prints a table; gives the exit code."""
    parser = argparse.ArgumentParser("python -m loadtest.ceiling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    options = parser.parse_args()
    runs: dict[str, list[Figures]] = {OURS: [], THEIRS: []}
    with serve(core=CORES[-1]) as server:
        for _ in range(options.rounds):
            for user, figures in runs.items():
                figures.append(run(server, user, options.seconds))
    print("| user | messages/s | generator, µs of CPU | server, µs of CPU |\n|---|---|---|---|")
    for user, figures in runs.items():
        rates = [each.rate for each in figures]
        print(
            f"| {user} | {median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}) "
            f"| {median(each.cpu for each in figures):.1f} "
            f"| {median(each.server_cpu for each in figures):.1f} |"
        )
    pairs = list(zip(runs[OURS], runs[THEIRS], strict=True))
    ratios = [ours.rate / theirs.rate for ours, theirs in pairs]
    by_cpu = [theirs.cpu / ours.cpu for ours, theirs in pairs]
    needed = [ours.cpu / ours.server_cpu for ours in runs[OURS]]
    print(
        f"\nours by theirs: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) by rate, "
        f"{median(by_cpu):.2f} ({min(by_cpu):.2f} to {max(by_cpu):.2f}) by CPU time\n"
        f"processes of ours that saturate one core of the server: {median(needed):.1f}"
    )
    enough = median(each.rate for each in runs[OURS]) >= LEAST_RATE
    return int(not enough or median(by_cpu) < LEAST_RATIO)


if __name__ == "__main__":
    sys.exit(main())
