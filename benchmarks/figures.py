"""What is measured: each section runs the servers in turn and yields rows of the table."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from statistics import median

from benchmarks import load, measures
from benchmarks.roster import (
    BROADCAST,
    BUN,
    BUN_PUBLISH,
    BUN_TYPED,
    FANOUT_SUBJECTS,
    FASTAPI_TYPED,
    FASTWS_APP,
    FASTWS_TYPED,
    FLOOR,
    UVICORN,
    UVICORN_LOOP,
    UVICORN_ROOMS,
)
from benchmarks.runs import Entry, interleave, weight
from benchmarks.servers import BUILD, Peer, Server
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
class Rival:
    """Who is compared with the subject.

    Attributes:
        peer: the server.
        wanted: the ratio that is wanted, of rates or, if it says so, per CPU second.
        load: what the load generator does, if it is not the same as for the subject.
    """

    peer: Peer
    wanted: str = ""
    load: tuple[str, ...] = ()


@dataclass(frozen=True)
class Race:
    """A figure with a rate: what the load generator does, and who runs."""

    figure: str
    load: tuple[str, ...]
    rivals: tuple[Rival, ...]


ECHOES = (
    Race(
        "echo, 64 B, 100 connections, 1 in flight",
        ("echo", "-c", "100", "-d", "1", "-s", "64"),
        (Rival(UVICORN, ">= 3"), Rival(BUN, ">= 0.85"), Rival(FLOOR)),
    ),
    Race(
        "echo, 64 B, 100 connections, 16 in flight",
        ("echo", "-c", "100", "-d", "16", "-s", "64"),
        (Rival(UVICORN, ">= 12"), Rival(BUN, ">= 0.9"), Rival(FLOOR)),
    ),
    Race(
        "echo, 16 KiB, 50 connections, 1 in flight",
        ("echo", "-c", "50", "-d", "1", "-s", "16384"),
        (Rival(UVICORN, ">= 1.8"), Rival(BUN)),
    ),
)
# The same by our own layer: what it costs to write an app with it.
APP_ECHOES = (
    Race("echo by an App, 64 B, 1 in flight", ECHOES[0].load, (Rival(BUN, ">= 0.85"),)),
    Race("echo by an App, 64 B, 16 in flight", ECHOES[1].load, (Rival(BUN, ">= 0.9"),)),
)
CHAT = '{"type":"Chat","content":"hello to all, number ####"}'
SAID = '{"type":"Said","user":"ada","content":"hello to all, number ####"}'
TYPED_ECHO = ("echo", "-c", "100", "-d", "16", "-m", CHAT)
TYPED_LOAD = (*TYPED_ECHO, "-r", SAID)
FANOUT = Race(
    "fan-out, 128 B, to 500 subscribers, 4 in flight",
    ("fanout", "-c", "500", "-d", "4", "-s", "128"),
    (
        Rival(UVICORN_LOOP, ">= 4"),
        Rival(BROADCAST, ">= 2"),
        Rival(BUN_PUBLISH, ">= 0.8"),
        Rival(UVICORN_ROOMS),
    ),
)
HANDSHAKES = Race(
    "handshakes, 64 at a time",
    ("handshake", "-c", "64"),
    (Rival(UVICORN, ">= 4 per CPU second"),),
)
HTTP = Race(
    "plain HTTP, GET, keep-alive, 100 connections",
    ("http", "-c", "100"),
    (Rival(UVICORN, ">= 0.95"),),
)


def race(plan: Plan, figure: Race) -> Iterator[Row]:
    """The subject, which may be its own rival as a control that shows the noise, and the others."""
    entries = [Entry(plan.subject, figure.load)]
    entries += [Entry(rival.peer, rival.load or figure.load) for rival in figure.rivals]
    subject, *others = interleave(entries, plan.rounds, "-t", str(plan.seconds))
    for rival, entry in zip(figure.rivals, others, strict=True):
        if missing := subject.missing or entry.missing:
            failed = subject.failed or entry.failed
            yield not_measured(figure.figure, missing, rival.peer.name, failed)
        else:
            yield compared(figure.figure, rival, subject.results, entry.results)


def compared(figure: str, rival: Rival, ours: list[load.Result], theirs: list[load.Result]) -> Row:
    """The row of two servers' results."""
    rate = Ratios.of([r.rate for r in ours], [r.rate for r in theirs])
    cpu = Ratios.of([1 / r.cpu for r in ours], [1 / r.cpu for r in theirs])
    decisive = cpu if "per CPU second" in rival.wanted else rate
    return Row(
        figure,
        ours=rate_and_cpu(ours),
        theirs=f"{rival.peer.name}: {rate_and_cpu(theirs)}",
        ratio=str(rate),
        cpu=str(cpu),
        wanted=rival.wanted,
        met=holds(decisive.median, rival.wanted),
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


def not_measured(figure: str, reason: object, whose: str = "", failed: bool = False) -> Row:
    """The row of a figure that is not to be had; `failed` if a server did something wrong."""
    return Row(figure, theirs=whose, wanted=f"not measured: {reason}", failed=failed)


def echo(plan: Plan) -> Iterator[Row]:
    """Messages per second."""
    for figure in ECHOES:
        yield from race(plan, figure)
    for figure in APP_ECHOES:
        yield from race(replace(plan, subject=FASTWS_APP), figure)


def typed(plan: Plan) -> Iterator[Row]:
    """A round trip: decode one of a tagged union, validate it, answer with another struct."""
    rivals = [Rival(FASTAPI_TYPED, ">= 10"), Rival(BUN_TYPED)]
    if plan.subject.name in FASTWS_TYPED.name:
        # Not more than 1.5 times the CPU time of a message that is only sent back.
        rivals.append(Rival(plan.subject, ">= 0.667 per CPU second", TYPED_ECHO))
    title = "typed round trip, 53 B, 100 connections, 16 in flight"
    yield from race(replace(plan, subject=FASTWS_TYPED), Race(title, TYPED_LOAD, tuple(rivals)))


def fanout(plan: Plan) -> Iterator[Row]:
    """Deliveries per second: a message that arrives at one subscriber is one."""
    yield from race(replace(plan, subject=FANOUT_SUBJECTS[plan.subject.name.lower()]), FANOUT)


def handshake(plan: Plan) -> Iterator[Row]:
    """Connect, upgrade, close."""
    yield from race(plan, HANDSHAKES)


def http(plan: Plan) -> Iterator[Row]:
    """Requests per second."""
    yield from race(plan, HTTP)


def warm_up(server: Server) -> None:
    """Let it load what it loads for its first connections."""
    load.measure(server, "handshake", "-c", "64", "-t", "0.3")


def left_behind(peer: Peer) -> list[int]:
    """RSS in KiB of one server after each of the rounds of connecting and leaving."""
    sizes = []
    with peer.run() as server:
        warm_up(server)
        for _ in range(LEAVING_ROUNDS):
            with load.idle(server, LEAVING_CONNECTIONS):
                pass
            sizes.append(measures.rss(server) // KIB)
    return sizes


def memory(plan: Plan) -> Iterator[Row]:
    """RSS of idle connections, and what connections leave behind."""
    ours, theirs = [], []
    for _ in range(plan.rounds):
        ours.append(weight(plan.subject, IDLE_CONNECTIONS) / KIB)
        theirs.append(weight(UVICORN, IDLE_CONNECTIONS) / KIB)
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


# Those of `make bench`; the others take minutes, or strace.
QUICK = ("echo", "typed", "fanout", "handshake", "http")
SECTIONS: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "echo": echo,
    "typed": typed,
    "fanout": fanout,
    "handshake": handshake,
    "memory": memory,
    "syscalls": syscalls,
    "http": http,
}
