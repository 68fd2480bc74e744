"""Autobahn's test suite as it is installed in $WSTEST: its cases, its runs, its reports."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.autobahn.verdict import Result, case_key

AGENT = "fastws"
# Where install.sh has put the suite; the reports go beside it.
WSTEST = Path(os.environ.get("WSTEST", "build/wstest")).resolve()
PYTHON = WSTEST / "bin" / "python"
SIZE = 517
# 9: up to 16 MiB; 12 and 13: thousands of compressed messages. They take nearly all the time.
LONG_GROUPS = frozenset({9, 12, 13})
# Runs that the long cases are dealt out to. The size of the messages in 12 and 13 has a period of
# 18 cases; 7 has no factor in common with it, so that each run gets some of all sizes.
LONG_RUNS = 7
# For a run that hangs; the suite's own limits end every single case long before.
RUN_TIMEOUT = 1200.0

_LIST_CASES = """
from autobahntestsuite.case import Cases
print(" ".join(case.__name__[4:].replace("_", ".") for case in Cases))
"""

# The program wstest, except that its server takes a socket that listens already: it would listen
# on all interfaces, and nobody would know when.
_RUN_WSTEST = """
import socket, sys
from autobahntestsuite import wstest
from twisted.internet import reactor
fd = sys.argv.pop(1)
if fd:
    reactor.listenTCP = lambda port, factory, *options: reactor.adoptStreamPort(
        int(fd), socket.AF_INET, factory)
wstest.run()
"""


class Trouble(Exception):
    """Something went wrong beside the cases, so the gate fails whatever these report."""


def installed() -> bool:
    """Tells whether there is a suite to run."""
    return PYTHON.with_name("wstest").exists()


def all_cases() -> list[str]:
    """Asks the installed suite for the ids of its cases."""
    command = [str(PYTHON), "-c", _LIST_CASES]
    env = {**os.environ, "LD_PRELOAD": ""}
    output = subprocess.check_output(command, cwd=WSTEST, env=env, text=True)
    cases = sorted(output.split(), key=case_key)
    if len(cases) != SIZE:
        raise RuntimeError(f"the suite has {len(cases)} cases, not {SIZE}: another version?")
    return cases


def select(selection: str, cases: Sequence[str]) -> list[str]:
    """Picks cases: ``all``, groups (``1-7,10``), or parts of groups (``9.1,7.1.6``)."""
    if selection == "all":
        return list(cases)
    picked: set[str] = set()
    for item in selection.split(","):
        first, dash, last = item.partition("-")
        prefixes = [str(n) for n in range(int(first), int(last) + 1)] if dash else [first]
        found = {case for case in cases for p in prefixes if f"{case}.".startswith(f"{p}.")}
        if not found:
            raise ValueError(f"no case matches {item!r}")
        picked |= found
    return sorted(picked, key=case_key)


def plan(cases: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Gives the cases that run alone, and lists of cases that may run side by side.

    Many of the short ones give the peer one second to react; they get the machine for
    themselves. The long ones wait for 10 s and more.
    """
    short = [case for case in cases if case_key(case)[0] not in LONG_GROUPS]
    long = [case for case in cases if case_key(case)[0] in LONG_GROUPS]
    # Dealt out like cards: neighbours, which take about as long, go apart.
    return short, [part for i in range(LONG_RUNS) if (part := long[i::LONG_RUNS])]


@contextmanager
def wstest(
    mode: str, spec: dict[str, Any], outdir: Path, listener: socket.socket | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs wstest with its spec, log and reports in a directory of its own.

    Args:
        mode: fuzzingclient or fuzzingserver.
        spec: what to run, but for the directory.
        outdir: the directory, which is created.
        listener: the socket that a fuzzing server accepts from.
    """
    outdir.mkdir()
    spec_file = outdir / "spec.json"
    spec_file.write_text(json.dumps({"outdir": str(outdir), **spec}, indent=1))
    fds = []
    if listener:
        listener.setblocking(False)  # which Twisted takes for granted
        fds.append(listener.fileno())
    command = [str(PYTHON), "-c", _RUN_WSTEST, ",".join(map(str, fds))]
    with open(outdir / "wstest.log", "wb") as log:
        process = subprocess.Popen(
            [*command, "--mode", mode, "--spec", spec_file, "--webport", "0"],
            cwd=outdir,  # an enum.py where it runs would break it
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A sanitizer's library is for the server, if for anyone.
            env={**os.environ, "PYTHONUNBUFFERED": "1", "LD_PRELOAD": ""},
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def read_results(outdir: Path) -> dict[str, Result]:
    """Reads the reports below a directory; a run that wrote none leaves its cases out."""
    results: dict[str, Result] = {}
    for index in outdir.glob("*/index.json"):
        for report in json.loads(index.read_bytes()).get(AGENT, {}).values():
            # Not msgspec's decoder: the wire logs of group 6 hold lone surrogates.
            raw = json.loads((index.parent / report["reportfile"]).read_bytes())
            result = msgspec.convert(raw, Result)
            results[result.id] = result
    return results
