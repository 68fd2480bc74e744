"""The soak's verdict: on made-up series, and on a real server with something left."""

import re
import sys
from collections.abc import Callable

import pytest

from loadtest import soak
from loadtest.client import connect
from loadtest.server import serve
from tests.processes import Process


def series(**growth: float) -> soak.Samples:
    """Makes up ten minutes of vitals, of which some grow by so much in an hour."""
    metrics = [vital.metric for vital in soak.VITALS.values()]
    return [
        (2.0 * n, {metric: 1e6 + growth.get(metric, 0) * n / 1800 for metric in metrics})
        for n in range(300)
    ]


def test_nothing_grows(capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.judge(series()) == []
    assert capsys.readouterr().out.count("| steady |") == len(soak.VITALS)


@pytest.mark.parametrize("name", soak.VITALS)
def test_whatever_grows_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    vital = soak.VITALS[name]
    assert soak.judge(series(**{vital.metric: 0.9 * vital.allowed})) == []
    (line,) = soak.judge(series(**{vital.metric: 1.1 * vital.allowed}))
    assert line.startswith(f"{name}: grows by ")
    assert capsys.readouterr().out.count("| grows |") == 1


def test_the_beginning_and_the_end_do_not_count() -> None:
    samples: soak.Samples = [(float(n), {}) for n in range(101)]
    assert [moment for moment, _ in soak.steady(samples)] == [float(n) for n in range(25, 91)]


def test_what_is_left_is_told() -> None:
    with serve() as server:
        before = soak.vitals(server)
        assert before["fastws_connections"] == 0
        assert soak.rest(server, before) == []
        ws = connect(server.url(path="/rooms/tea"))
        left = soak.rest(server, before, patience=0)
        assert "fastws_connections is 1 when all have gone, and was 0" in left
        assert {line.split()[0] for line in left} >= {
            "process_open_fds",
            "loadtest_tasks",
            "fastws_rooms",
            "fastws_room_members",
        }
        ws.close()
        assert soak.rest(server, before) == []
        assert server.log.read_text() == ""


@pytest.mark.deep
def test_from_one_end_to_the_other(spawn: Callable[..., Process]) -> None:
    process = spawn(sys.executable, "-m", "loadtest.soak", "--minutes", "0.15", "--users", "40")
    process.wait()
    # Whether it has grown cannot be said after so short a time; all else can.
    wrong = process.output.partition("\nFAIL\n")[2].splitlines()
    assert all(": grows by " in line for line in wrong), process.output
    for name in soak.VITALS:
        assert re.search(rf"^\| {name} \| [\d.,]+ \|", process.output, re.MULTILINE)
