"""`make soak`: everything at once for a long time, and a verdict on what grows.

Users who come and go in any way, slow readers, broken frames, rooms, deflate on half of their
members. Meanwhile ``/metrics`` tells what the server has: memory, file descriptors, tasks, timers,
objects. The run fails if one of them grows by more than it may, if something is left when all users
have gone, if users had more failures than the budget allows, or if the server logged a warning.
"""

import argparse
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from loadtest.server import BUILD, Server, serve
from loadtest.slope import Line, fit

USERS = 400
# Latency is for `make loadtest` to judge: here it is enough that nobody waits for ever.
MAX_P99 = "5000"
INTERVAL = 2.0
# The part of the run in which all users are there, and the allocators know them.
STEADY = (0.25, 0.9)
LEAST_SAMPLES = 3
# Of a run that is too short for the interval.
MOST_SAMPLES = 60
# Seconds for the last connections to end when all users have gone.
PATIENCE = 60.0

MIB = 1 << 20
Vitals = Mapping[str, float]
# Each with its time, in seconds.
Samples = Sequence[tuple[float, Vitals]]


@dataclass(frozen=True)
class Vital:
    """One thing that may not grow.

    Attributes:
        metric: its name in ``/metrics``.
        allowed: by how much it may grow in an hour. The random number of users that are between two
            connections gives slopes of the same order, so much of it is chance.
        unit: what to divide the figures by for people.
    """

    metric: str
    allowed: float
    unit: float = 1


VITALS = {
    "memory, MiB": Vital("process_resident_memory_bytes", 6 * MIB, MIB),
    "descriptors": Vital("process_open_fds", 60),
    "tasks": Vital("loadtest_tasks", 60),
    "timers": Vital("loadtest_timers", 60),
    "objects": Vital("loadtest_objects", 6000),
}
# What has to be as it was before the first user came.
AT_REST = (
    "process_open_fds",
    "loadtest_tasks",
    "loadtest_timers",
    "fastws_connections",
    "fastws_rooms",
    "fastws_room_members",
    "fastws_buffered_bytes",
)


def vitals(server: Server) -> dict[str, float]:
    """Asks the server how it is; a metric with several labels is their sum."""
    found: dict[str, float] = {}
    with urllib.request.urlopen(server.url("http", "/metrics"), timeout=PATIENCE) as response:
        for family in text_string_to_metric_families(response.read().decode()):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def watch(
    server: Server, locust: "subprocess.Popen[bytes]", interval: float
) -> Iterator[tuple[float, Vitals]]:
    """Gives the vitals over and over, each with its time, until locust has ended."""
    while locust.poll() is None:
        yield time.monotonic(), vitals(server)
        time.sleep(interval)


def rest(server: Server, before: Vitals, patience: float = PATIENCE) -> list[str]:
    """Waits until nothing is left of the users; gives a line for all that stays."""
    deadline = time.monotonic() + patience
    while True:
        now = vitals(server)
        left = [
            f"{name} is {now[name]:g} when all have gone, and was {before[name]:g}"
            for name in AT_REST
            if now[name] > before[name]
        ]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(INTERVAL)


def steady(samples: Samples) -> Samples:
    """Gives the samples of the time in which the load was the same."""
    begin, end = samples[0][0], samples[-1][0]
    first, last = (begin + part * (end - begin) for part in STEADY)
    return [sample for sample in samples if first <= sample[0] <= last]


def growth(samples: Samples) -> Iterator[tuple[str, Vital, Line]]:
    """Fits a line for each vital."""
    times = [moment for moment, _ in samples]
    for name, vital in VITALS.items():
        yield name, vital, fit(times, [found[vital.metric] for _, found in samples])


def judge(samples: Samples) -> list[str]:
    """Prints a table of what grows how fast; gives a line for each that is too fast."""
    wrong = []
    print("| what | mean | growth in an hour | may be | |\n|---|---|---|---|---|")
    for name, vital, line in growth(samples):
        too_fast = line.exceeds(vital.allowed)
        slope, error = line.slope / vital.unit, line.error / vital.unit
        print(
            f"| {name} | {line.level / vital.unit:,.1f} | {slope:+,.1f} ± {error:,.1f} "
            f"| {vital.allowed / vital.unit:,.0f} | {'grows' if too_fast else 'steady'} |"
        )
        if too_fast:
            wrong.append(f"{name}: grows by {slope:,.1f} ± {error:,.1f} in an hour")
    return wrong


def describe(samples: Samples) -> None:
    """Prints what the run was."""
    (began, _), (ended, last) = samples[0], samples[-1]
    cpu = last["process_cpu_seconds_total"] - samples[0][1]["process_cpu_seconds_total"]
    print(
        f"\n{(ended - began) / 60:.1f} minutes, {last['fastws_handshakes_total']:,.0f} handshakes, "
        f"{last['fastws_sent_messages_total']:,.0f} messages to clients, "
        f"{cpu / (ended - began):.0%} of a core for the server\n"
    )


def soak(minutes: float, users: int) -> list[str]:
    """Runs it all; gives a line for each thing that is wrong."""
    argv = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py,loadtest/shapes/soak.py"]
    argv += ["--headless", "--only-summary", "--loglevel", "WARNING", "--users", str(users)]
    argv += ["--run-time", f"{round(60 * minutes)}s", "--max-p99", MAX_P99]
    argv += ["--html", str(BUILD / "soak.html"), "--csv", str(BUILD / "soak")]
    with serve() as server:
        before = vitals(server)
        with subprocess.Popen([*argv, "--host", server.url()]) as locust:
            try:
                # A short run is looked at more often, so that there is enough to judge.
                samples = list(watch(server, locust, min(INTERVAL, 60 * minutes / MOST_SAMPLES)))
            finally:
                locust.terminate()
        if len(steady(samples)) < LEAST_SAMPLES:
            return ["locust ended too early for a verdict"]
        describe(samples)
        wrong = judge(steady(samples)) + rest(server, before)
    if locust.returncode:
        wrong.append("the users' failures are above the budget")
    if said := server.log.read_text():
        wrong.append(f"the server said:\n{said[:2000]}")
    return wrong


def main() -> int:
    """Runs the command line; gives the exit code."""
    parser = argparse.ArgumentParser("python -m loadtest.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--users", type=int, default=USERS)
    options = parser.parse_args()
    wrong = soak(options.minutes, options.users)
    print("\n".join(["\nFAIL", *wrong] if wrong else ["\nPASS: nothing grows, nothing is left"]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
