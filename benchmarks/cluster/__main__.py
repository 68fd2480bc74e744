"""`python -m benchmarks.cluster [PROOF ...]`: several workers and hosts, an engine, nginx."""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from benchmarks import machine, report
from benchmarks.cluster import delivery, findings, flood, idle, restarts, shutdown
from benchmarks.cluster.findings import Finding
from benchmarks.cluster.hosts import hosts, namespaces_allowed
from benchmarks.cluster.stage import Engine, Stage
from benchmarks.servers import RESULTS, NotMeasuredError
from tests.nginx import NGINX

PACKAGES = {
    "uvicorn": "uvicorn",
    "uvloop": "uvloop",
    "msgspec": "msgspec",
    "redis-py": "redis",
    "nats-py": "nats-py",
}
HEAD = "# Several workers and hosts"
HOW = """What each proof does is in the [README](../README.md). The engine, the hosts with
their workers and their nginx, and all clients share the cores of one machine."""
Proof = Callable[[Stage], list[Finding]]
# By name: the heading, what it does, and the same in less time, of which no figure is kept.
PROOFS: dict[str, tuple[str, Proof, Proof]] = {
    "delivery": (
        "2,000 clients in 100 rooms, two workers on each of two hosts",
        partial(delivery.prove, clients=2000, rooms=100, messages=5, rate=500),
        partial(delivery.prove, clients=200, rooms=10, messages=5, rate=200),
    ),
    "room": (
        "One room of 400, two workers on each of two hosts",
        partial(delivery.prove, clients=400, rooms=1, messages=1, rate=20),
        partial(delivery.prove, clients=40, rooms=1, messages=2, rate=20),
    ),
    "flood": (
        "Through the broker into one worker",
        partial(flood.prove, seconds=10),
        partial(flood.prove, seconds=2),
    ),
    "idle": (
        "10,000 idle connections through nginx to two workers",
        partial(idle.prove, clients=10_000, seconds=180),
        partial(idle.prove, clients=500, seconds=45),
    ),
    "shutdown": (
        "The end of a worker with 1,000 clients, of whom 20 never read and 20 never answer",
        partial(shutdown.prove, clients=1000, stubborn=20),
        partial(shutdown.prove, clients=100, stubborn=5),
    ),
    "restarts": (
        "20 rolling restarts of two workers under load, by SIGTERM and start",
        partial(restarts.prove, manner="SIGTERM", clients=200, rooms=20, pause=2, rounds=20),
        partial(restarts.prove, manner="SIGTERM", clients=40, rooms=4, pause=0.5, rounds=2),
    ),
    "sigkill": (
        "20 times two workers are killed and started under load",
        partial(restarts.prove, manner="SIGKILL", clients=200, rooms=20, pause=2, rounds=20),
        partial(restarts.prove, manner="SIGKILL", clients=40, rooms=4, pause=0.5, rounds=2),
    ),
    "sighup": (
        "20 rolling restarts of two workers under load, by SIGHUP",
        partial(restarts.prove, manner="SIGHUP", clients=200, rooms=20, pause=2, rounds=20),
        partial(restarts.prove, manner="SIGHUP", clients=40, rooms=4, pause=0.5, rounds=2),
    ),
}


def main() -> int:
    """Runs what is asked for, or all; gives 1 if something is not as it has to be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("proofs", nargs="*", metavar="PROOF", help=f"of {', '.join(PROOFS)}")
    parser.add_argument("--engines", default="redis,nats", help="of redis,nats")
    parser.add_argument("--short", action="store_true", help="fewer clients, less time")
    parser.add_argument("--loopback", action="store_true", help="no network namespaces")
    parser.add_argument("--write", action="store_true", help="into results/cluster.md")
    options = parser.parse_args()
    if unknown := set(options.proofs) - set(PROOFS):
        parser.error(f"no such proof: {', '.join(sorted(unknown))}")
    isolated = not options.loopback and namespaces_allowed()
    print(f"hosts are {'network namespaces' if isolated else 'addresses of the loopback'}")
    sections = {}
    met = True
    for name in options.proofs or PROOFS:
        for engine in options.engines.split(","):
            title, whole, short = PROOFS[name]
            found = run(engine, short if options.short else whole, isolated=isolated)
            text = f"{machine.occasion()}\n\n{findings.report(found)}"
            print(f"\n{title}, on {engine}\n\n{text}", flush=True)
            sections[f"{title}, on {engine}"] = text
            met &= all(one.met for one in found)
    if options.write:
        head = f"{HEAD}\n\n{setting()}\n\n{HOW}"
        order = [f"{title}, on {e}" for title, *_ in PROOFS.values() for e in ("redis", "nats")]
        report.write(RESULTS / "cluster.md", head, sections, order)
    return 0 if met else 1


def setting() -> str:
    """Say on what, and with what, as a Markdown list; the engine says itself what it is."""
    assert NGINX is not None
    said = subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=True).stderr
    versions = [f"{name} {machine.installed(package)}" for name, package in PACKAGES.items()]
    versions.append(said.strip().removeprefix("nginx version: ").replace("/", " "))
    return (
        f"- {machine.processor()}, {os.cpu_count()} cores, {machine.memory():.0f} GiB, "
        f"Linux {platform.release()}\n"
        f"- CPython {platform.python_version()}, {', '.join(versions)}"
    )


def run(name: str, proof: Proof, *, isolated: bool) -> list[Finding]:
    """Runs a proof on an engine and two hosts of its own."""
    with ExitStack() as stack:
        first, *others = stack.enter_context(hosts(name, "a", "b", isolated=isolated))
        engine = Engine(name, first, stack)
        what = "network namespaces" if isolated else "addresses of the loopback"
        try:
            found = proof(Stage(engine, others))
        except NotMeasuredError as error:
            return [Finding("not measured", str(error), "", met=False)]
        return [Finding("on", f"{engine.version}; hosts are {what}"), *found]


if __name__ == "__main__":
    sys.exit(main())
