"""`make loadtest` from one end to the other, and its exit code; locust in a process of its own."""

import csv
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import Process, Server

Spawn = Callable[..., Process]
# No test fails for what the machine is busy with.
PATIENT = ("--max-p99", "60000")
USERS = ["Echo", "Typed", "Chat", "Reader", "SlowReader", "Storm", "Reconnect", "Churn", "Vandal"]


def run(spawn: Spawn, *arguments: str, directory: Path) -> tuple[int, str]:
    """Runs it; gives its exit code, and what it has printed."""
    results = ["--html", str(directory / "report.html"), "--csv", str(directory / "stats")]
    process = spawn(sys.executable, "-m", "loadtest", *arguments, *results)
    return process.wait(), process.output


@pytest.mark.deep
def test_all_users_for_five_seconds(spawn: Spawn, tmp_path: Path) -> None:
    options = ("--users", "36", "--spawn-rate", "36", "--run-time", "5s", *PATIENT)
    code, output = run(spawn, *options, *USERS, directory=tmp_path)
    assert (code, "within the budget" in output) == (0, True), output
    assert "<html" in (tmp_path / "report.html").read_text()
    with (tmp_path / "stats_stats.csv").open() as file:
        rows = {row["Name"]: row for row in csv.DictReader(file)}
    assert set(rows) >= {"connect", "echo", "typed", "chat delivery", "feed delivery", "restart"}
    assert set(rows) >= {"reconnect", "churn", "offence"}
    assert all(int(row["Failure Count"]) == 0 for row in rows.values())


def test_any_echo_by_its_url_and_a_budget_that_is_broken(
    spawn: Spawn, server: Server, tmp_path: Path
) -> None:
    url = ("--url", server.url("/echo"), "--users", "2", "--run-time", "3s")
    code, output = run(spawn, *url, "--max-p99", "-1", directory=tmp_path)
    assert code == 1, output
    assert re.search(r"^over budget:$", output, re.MULTILINE)
    assert re.search(r"^echo: p99 is \d+ ms, above -1 ms$", output, re.MULTILINE)


@pytest.mark.deep
def test_nobody_is_there(spawn: Spawn, free_port: int, tmp_path: Path) -> None:
    url = ("--url", f"ws://127.0.0.1:{free_port}/", "--users", "1", "--run-time", "3s")
    code, output = run(spawn, *url, "Echo", directory=tmp_path)
    assert code == 1, output
    assert re.search(r"^connect: (\d) of \1 failed", output, re.MULTILINE)


@pytest.mark.deep
def test_a_shape_and_several_processes(spawn: Spawn, tmp_path: Path) -> None:
    options = ("--shape", "spike", "--users", "20", "--run-time", "2s", "--processes", "2")
    code, output = run(spawn, *options, *PATIENT, "Echo", directory=tmp_path)
    assert (code, "within the budget" in output) == (0, True), output
    assert re.search(r"updating to 20 users", output)
