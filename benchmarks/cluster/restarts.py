"""Rolling restarts under load: what was acknowledged comes to everybody, once, in order."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from statistics import median

from benchmarks.cluster.clients import PATIENCE, parts, shares
from benchmarks.cluster.findings import Finding
from benchmarks.cluster.stage import Stage, Worker, serving, supervising
from benchmarks.cluster.travellers import Story, travel

APP = "benchmarks.cluster.chat:app"
PROCESSES = 2
# So that a round takes a few seconds.
OPTIONS = ("--drain-window", "1", "--close-timeout", "1")


Replace = Callable[[], None]


@contextmanager
def one_by_one(
    stage: Stage, connections: int, end: Callable[[Worker], object]
) -> Iterator[tuple[str, Replace]]:
    """Serves by workers of which one after the other ends and is started, as by systemd."""
    host, url = stage.hosts[0], stage.engine.url
    with serving(host, url, app=APP, options=OPTIONS, connections=connections) as site:

        def replace() -> None:
            for worker in site.workers:
                end(worker)
                worker.start()
                worker.wait_until_ready()

        yield site.url, replace


@contextmanager
def all_by_parent(stage: Stage, connections: int) -> Iterator[tuple[str, Replace]]:
    """Serves by workers whose parent replaces them."""
    host, url = stage.hosts[0], stage.engine.url
    replaced = 0
    with supervising(host, url, app=APP, options=OPTIONS, connections=connections) as (
        address,
        parent,
    ):

        def replace() -> None:
            nonlocal replaced
            replaced += 1
            os.kill(parent.pid, signal.SIGHUP)
            deadline = time.monotonic() + PATIENCE
            while parent.output.count("Replaced all workers") < replaced:
                if time.monotonic() > deadline:
                    raise TimeoutError("the workers are not replaced")
                time.sleep(0.05)

        yield address, replace


MANNERS: dict[str, Callable[[Stage, int], AbstractContextManager[tuple[str, Replace]]]] = {
    "SIGTERM": partial(one_by_one, end=Worker.stop),
    "SIGKILL": partial(one_by_one, end=Worker.kill),
    "SIGHUP": all_by_parent,
}


def prove(
    stage: Stage, *, manner: str, clients: int, rooms: int, pause: float, rounds: int
) -> list[Finding]:
    """Restarts the workers again and again while clients talk.

    Args:
        stage: where.
        manner: how workers are replaced, of `MANNERS`.
        clients: how many there are.
        rooms: into which they are dealt out.
        pause: seconds between two messages of one client, on average.
        rounds: how often each worker is replaced.
    """
    with MANNERS[manner](stage, 8 * clients) as (url, replace):
        seats = [(i, f"{url}/chat", f"kept/{i % rooms}") for i in range(clients)]
        work = [(share, pause) for share in shares(seats, PROCESSES)]
        with parts(travel, work) as processes:
            processes.hear()
            processes.tell()
            start = time.monotonic()
            for _ in range(rounds):
                replace()
            spent = time.monotonic() - start
            # No more is said; when all of it is taken, it has to come to everybody.
            processes.tell()
            processes.hear()
            processes.tell()
            stories = [story for some in processes.hear() for story in some]
    return [
        Finding("clients, rooms", f"{clients:,}, {rooms:,}"),
        Finding("rounds", f"{rounds} of 2 workers, by {manner}, in {spent:.0f} s"),
        *judge(stories),
    ]


def judge(stories: Sequence[Story]) -> list[Finding]:
    """Compares what was acknowledged with what has come."""
    taken: dict[str, set[str]] = {}
    for story in stories:
        taken.setdefault(story.room, set()).update(story.taken)
    missing = sum(len(taken[s.room] - {name for _, _, name in s.heard}) for s in stories)
    twice = sum(len(s.heard) - len({name for _, _, name in s.heard}) for s in stories)
    wrong = [what for story in stories for what in story.wrong]
    disorder = sum(disordered(story) for story in stories)
    orders = {(s.room, tuple(s.heard)) for s in stories}
    events: Counter[str] = sum((story.events for story in stories), Counter())
    absences = sorted(one for story in stories for one in story.absences)
    return [
        Finding("acknowledged", f"{sum(map(len, taken.values())):,}"),
        Finding("of these said again, and known by their id", f"{sum(s.again for s in stories):,}"),
        Finding("received", f"{sum(len(s.heard) for s in stories):,}"),
        Finding("acknowledged, but not received", f"{missing}", "0", missing == 0),
        Finding("received twice", f"{twice}", "0", twice == 0),
        Finding("not recovered, or not after its last position", f"{len(wrong)}", "0", not wrong),
        Finding("of one sender, out of order", f"{disorder}", "0", disorder == 0),
        Finding(
            "orders in a room", f"{len(orders) / len(taken):g}", "1", len(orders) == len(taken)
        ),
        Finding("what clients were told", ", ".join(f"{n} {c:,}" for n, c in events.most_common())),
        Finding("away", away(absences)),
        *(Finding("wrong", what, "", met=False) for what in wrong[:5]),
    ]


def away(absences: Sequence[float]) -> str:
    """Tells for how long clients were not in their room."""
    if not absences:
        return "never"
    p99 = absences[int(0.99 * (len(absences) - 1))]
    return (
        f"{len(absences):,} times, median {median(absences):.2f} s, p99 {p99:.2f} s, "
        f"at most {absences[-1]:.2f} s"
    )


def disordered(story: Story) -> int:
    """Counts messages that came after a later one of the same sender."""
    last: Counter[str] = Counter()
    count = 0
    for _, _, name in story.heard:
        sender, _, number = name.partition("-")
        count += int(number) <= last[sender]
        last[sender] = int(number)
    return count
