"""Runs Autobahn's test suite against fastws and judges what it reports.

tests/autobahn/install.sh puts the suite into $WSTEST. Where that was not possible, for want of
CPython 2.7, this says so; with CI=true that is a failure.
"""

import argparse
import os
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from tests.autobahn import client, server, suite
from tests.autobahn.verdict import judge
from tests.nginx import NGINX


def main() -> int:
    """Runs what the command line asks for; gives the exit code."""
    options = _parse_options()
    if not suite.installed():
        print(f"autobahn: skipped: no suite in {suite.WSTEST}; tests/autobahn/install.sh puts it")
        print("    there, given a CPython 2.7 ($PYTHON27, pyenv's, or python2.7 on PATH)")
        return int(os.environ.get("CI") == "true")
    try:
        cases = suite.select(options.cases, suite.all_cases())
    except ValueError as error:
        print(f"autobahn: --cases: {error}", file=sys.stderr)
        return 2
    passed = [_run(role, loop, cases, options) for role in options.role for loop in options.loop]
    return 0 if all(passed) else 1


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.autobahn", description=__doc__)
    parser.add_argument(
        "--role",
        nargs="+",
        choices=["server", "client"],
        default=["server"],
        help="what fastws is (%(default)s)",
    )
    parser.add_argument(
        "--loop",
        nargs="+",
        choices=["uvloop", "asyncio"],
        default=["uvloop"],
        help="the event loop that it runs on (%(default)s)",
    )
    parser.add_argument("--cases", default="all", help="all, or groups and cases: 1-7,10,12.1")
    parser.add_argument(
        "--control", action="store_true", help="test uvicorn's own WebSocket server instead"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="runs side by side (%(default)s)"
    )
    parser.add_argument("--nginx", action="store_true", help="put nginx in front of the server")
    options = parser.parse_args()
    if (options.control or options.nginx) and options.role != ["server"]:
        parser.error("--control and --nginx take --role server")
    if options.nginx and NGINX is None:
        parser.error("--nginx: there is none")
    return options


def _run(role: str, loop: str, cases: list[str], options: argparse.Namespace) -> bool:
    protocols = "control" if options.control else "fastws"
    name = f"{protocols} {role} on {loop}{' behind nginx' if options.nginx else ''}"
    outdir = suite.WSTEST.parent / "autobahn" / name.replace(" ", "-")
    shutil.rmtree(outdir, ignore_errors=True)
    outdir.mkdir(parents=True)
    print(f"autobahn: {name}: {len(cases)} cases, reports below {outdir}", flush=True)
    started = time.monotonic()
    trouble = ""
    try:
        if role == "server":
            server.run(protocols, loop, cases, options.jobs, outdir, proxied=options.nginx)
        else:
            client.run(loop, cases, options.jobs, outdir)
    except suite.Trouble as error:
        trouble = str(error)
    return _report(name, cases, outdir, trouble, time.monotonic() - started)


def _report(name: str, cases: list[str], outdir: Path, trouble: str, seconds: float) -> bool:
    results = suite.read_results(outdir)
    violations = judge(results, cases)
    for violation in violations:
        print(violation)
    if trouble:
        print(trouble)
    outcomes = Counter(result.behavior for result in results.values())
    counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    passed = not violations and not trouble
    verdict = "passed" if passed else f"FAILED, {len(violations)} violations"
    print(
        f"autobahn: {name}: {verdict}: {len(cases)} cases,"
        f" {counts or 'no results'}, {seconds:.0f} s",
        flush=True,
    )
    return passed


if __name__ == "__main__":
    sys.exit(main())
