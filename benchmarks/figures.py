"""What is measured: each section runs the servers in turn and yields rows of the table."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from statistics import median

from benchmarks import load, measures
from benchmarks.servers import (
    BROADCAST,
    BUILD,
    BUN,
    BUN_PUBLISH,
    FANOUT_PEERS,
    FLOOR,
    UVICORN,
    UVICORN_LOOP,
    UVICORN_ROOMS,
    NotMeasuredError,
    Peer,
    Server,
)
from benchmarks.table import Ratios, Row, holds, short

KIB = 1024
BUSY = 0.9  # of a core: from here on, that core is what bounds the rate
IDLE_CONNECTIONS = 5000
LEAVING_ROUNDS, LEAVING_CONNECTIONS = 20, 1000
BURST = 20


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        subject: the server that all others are compared with.
        rounds: how often each of them runs, in turn.
        seconds: how long each run is measured.
    """

    subject: Peer
    rounds: int
    seconds: float


@dataclass(frozen=True)
class Race:
    """A figure with a rate: what the load generator does, and which ratio is wanted of whom."""

    figure: str
    load: tuple[str, ...]
    wanted: tuple[tuple[Peer, str], ...]
    per_cpu_second: bool = False


ECHOES = (
    Race(
        "echo, 64 B, 100 connections, 1 in flight",
        ("echo", "-c", "100", "-d", "1", "-s", "64"),
        ((UVICORN, ">= 3"), (BUN, ">= 0.75"), (FLOOR, "")),
    ),
    Race(
        "echo, 64 B, 100 connections, 16 in flight",
        ("echo", "-c", "100", "-d", "16", "-s", "64"),
        ((UVICORN, ">= 12"), (BUN, ">= 0.7"), (FLOOR, "")),
    ),
    Race(
        "echo, 16 KiB, 50 connections, 1 in flight",
        ("echo", "-c", "50", "-d", "1", "-s", "16384"),
        ((UVICORN, ">= 1.8"), (BUN, "")),
    ),
)
FANOUT = Race(
    "fan-out, 128 B, to 500 subscribers, 4 in flight",
    ("fanout", "-c", "500", "-d", "4", "-s", "128"),
    ((UVICORN_LOOP, ">= 4"), (BROADCAST, ">= 2"), (BUN_PUBLISH, ""), (UVICORN_ROOMS, "")),
)
HANDSHAKES = Race(
    "handshakes, 64 at a time",
    ("handshake", "-c", "64"),
    ((UVICORN, ">= 4 per CPU second"),),
    per_cpu_second=True,
)
HTTP = Race(
    "plain HTTP, GET, keep-alive, 100 connections",
    ("http", "-c", "100"),
    ((UVICORN, ">= 0.95"),),
)


def race(plan: Plan, figure: Race) -> Iterator[Row]:
    """All servers run; the load goes to one after the other, round after round."""
    with ExitStack() as stack:
        servers = {plan.subject.name: stack.enter_context(plan.subject.run())}
        rivals = {}
        for peer, wanted in figure.wanted:
            try:
                # The subject may be its own rival: a control that shows the noise.
                servers[f"{peer.name} "] = stack.enter_context(peer.run())
                rivals[f"{peer.name} "] = wanted
            except NotMeasuredError as reason:
                yield not_measured(figure.figure, reason, peer.name)
        seconds = ("-t", str(plan.seconds))
        results: dict[str, list[load.Result]] = {name: [] for name in servers}
        for _ in range(plan.rounds):
            for name, server in servers.items():
                results[name].append(load.measure(server, *figure.load, *seconds))
    ours = results[plan.subject.name]
    for name, wanted in rivals.items():
        yield compared(figure, ours, name, results[name], wanted)


def compared(
    figure: Race, ours: list[load.Result], name: str, theirs: list[load.Result], wanted: str
) -> Row:
    """The row of two servers' results."""
    rate = Ratios.of([r.rate for r in ours], [r.rate for r in theirs])
    cpu = Ratios.of([1 / r.cpu for r in ours], [1 / r.cpu for r in theirs])
    return Row(
        figure.figure,
        ours=rate_and_cpu(ours),
        theirs=f"{name.strip()}: {rate_and_cpu(theirs)}",
        ratio=str(rate),
        cpu=str(cpu),
        wanted=wanted,
        met=holds((cpu if figure.per_cpu_second else rate).median, wanted),
        raw={"ours": [asdict(r) for r in ours], "theirs": [asdict(r) for r in theirs]},
    )


def rate_and_cpu(results: list[load.Result]) -> str:
    """How many a second, at which CPU time each; and what was the limit, if not the server."""
    text = f"{short(median(r.rate for r in results))}/s, "
    text += f"{median(r.cpu for r in results) * 1e6:.3g} µs"
    if median(r.load_cpu / r.seconds for r in results) > BUSY:
        return f"{text} (load generator at its limit)"
    share = median(r.server_cpu / r.seconds for r in results)
    return text if share > BUSY else f"{text}, {share:.0%} of a core"


def not_measured(figure: str, reason: Exception, whose: str = "") -> Row:
    """The row of a figure that is not to be had."""
    return Row(figure, theirs=whose, wanted=f"not measured: {reason}")


def echo(plan: Plan) -> Iterator[Row]:
    """Messages per second."""
    for figure in ECHOES:
        yield from race(plan, figure)


def fanout(plan: Plan) -> Iterator[Row]:
    """Deliveries per second: a message that arrives at one subscriber is one."""
    yield from race(replace(plan, subject=FANOUT_PEERS[plan.subject.name.lower()]), FANOUT)


def handshake(plan: Plan) -> Iterator[Row]:
    """Connect, upgrade, close."""
    yield from race(plan, HANDSHAKES)


def http(plan: Plan) -> Iterator[Row]:
    """Requests per second."""
    yield from race(plan, HTTP)


def warm_up(server: Server) -> None:
    """Let it load what it loads for its first connections."""
    load.measure(server, "handshake", "-c", "64", "-t", "0.3")


def per_idle_connection(peer: Peer) -> float:
    """KiB that a fresh server's RSS grows by for each connection that is open and silent."""
    with peer.run() as server:
        warm_up(server)
        before = measures.rss(server.pid)
        with load.idle(server, IDLE_CONNECTIONS):
            return (measures.rss(server.pid) - before) / IDLE_CONNECTIONS / KIB


def left_behind(peer: Peer) -> list[int]:
    """RSS in KiB of one server after each of the rounds of connecting and leaving."""
    sizes = []
    with peer.run() as server:
        warm_up(server)
        for _ in range(LEAVING_ROUNDS):
            with load.idle(server, LEAVING_CONNECTIONS):
                pass
            sizes.append(measures.rss(server.pid) // KIB)
    return sizes


def memory(plan: Plan) -> Iterator[Row]:
    """RSS of idle connections, and what connections leave behind."""
    ours, theirs = [], []
    for _ in range(plan.rounds):
        ours.append(per_idle_connection(plan.subject))
        theirs.append(per_idle_connection(UVICORN))
    wanted = "<= 6 KiB"
    yield Row(
        f"memory per idle connection, {IDLE_CONNECTIONS:,} open",
        ours=f"{median(ours):.2f} KiB",
        theirs=f"uvicorn: {median(theirs):.2f} KiB",
        ratio=str(Ratios.of(ours, theirs)),
        wanted=wanted,
        met=holds(median(ours), wanted),
        raw={"ours": ours, "theirs": theirs},
    )
    our_sizes, their_sizes = left_behind(plan.subject), left_behind(UVICORN)
    # 29 bytes for each connection after the second round: a leak of any object shows. Much less
    # would measure the allocator: two runs of one server differ by 300 KiB.
    wanted = "<= 512 KiB"
    yield Row(
        f"growth, round 2 to {LEAVING_ROUNDS} of {LEAVING_CONNECTIONS:,} that come and leave",
        ours=f"{our_sizes[-1] - our_sizes[1]:+d} KiB",
        theirs=f"uvicorn: {their_sizes[-1] - their_sizes[1]:+d} KiB",
        wanted=wanted,
        met=holds(our_sizes[-1] - our_sizes[1], wanted),
        raw={"ours": our_sizes, "theirs": their_sizes},
    )


def calls_per_message(peer: Peer, seconds: float) -> tuple[float, dict[str, int]]:
    """System calls for each echo on one connection that speaks in bursts."""
    options = ("-b", "-c", "1", "-d", str(BURST), "-w", "0", "-t", str(seconds))
    with peer.run() as server:
        warm_up(server)
        with measures.counted(server.pid, BUILD / "strace.txt") as calls:
            result = load.measure(server, "echo", *options)
    return calls.total / result.total, calls.by_name


def syscalls(plan: Plan) -> Iterator[Row]:
    """How often the kernel is called."""
    (ours, our_calls), (theirs, their_calls) = (
        calls_per_message(peer, plan.seconds) for peer in (plan.subject, UVICORN)
    )
    wanted = "<= 0.2"
    yield Row(
        f"system calls per echo, 1 connection, bursts of {BURST}",
        ours=f"{ours:.3f}",
        theirs=f"uvicorn: {theirs:.3f}",
        ratio=f"{ours / theirs:.2f}",
        wanted=wanted,
        met=holds(ours, wanted),
        raw={"ours": our_calls, "theirs": their_calls},
    )


SECTIONS: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "echo": echo,
    "fanout": fanout,
    "handshake": handshake,
    "memory": memory,
    "syscalls": syscalls,
    "http": http,
}
