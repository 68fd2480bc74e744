"""How cases are picked, dealt out to several runs, and their reports put together again."""

from pathlib import Path

import msgspec
import pytest

from tests.autobahn.suite import plan, read_results, select
from tests.autobahn.test_verdict import made_up
from tests.autobahn.verdict import case_key

ALL = ["1.1.1", "2.1", "2.10", "7.1.6", "7.13.1", "9.1.1", "10.1.1", "12.1.1"]


@pytest.mark.parametrize(
    ("selection", "cases"),
    [
        ("all", ALL),
        ("1-7,10", ["1.1.1", "2.1", "2.10", "7.1.6", "7.13.1", "10.1.1"]),
        ("1", ["1.1.1"]),
        ("7.1", ["7.1.6"]),
        ("2.1", ["2.1"]),
        ("12,2", ["2.1", "2.10", "12.1.1"]),
    ],
)
def test_selection(selection: str, cases: list[str]) -> None:
    assert select(selection, ALL) == cases


@pytest.mark.parametrize("selection", ["8", "", "1,8", "x"])
def test_selection_of_no_case_is_refused(selection: str) -> None:
    with pytest.raises(ValueError, match="no case"):
        select(selection, ALL)


def test_short_cases_are_kept_from_the_long_ones() -> None:
    short, long = plan(ALL)
    assert short == ["1.1.1", "2.1", "2.10", "7.1.6", "7.13.1", "10.1.1"]
    assert long == [["9.1.1"], ["12.1.1"]]


def test_long_cases_are_dealt_out_completely() -> None:
    cases = [f"12.1.{number}" for number in range(1, 19)]
    short, long = plan(cases)
    assert short == []
    assert sorted((case for part in long for case in part), key=case_key) == cases


def test_results_of_several_runs_are_merged(tmp_path: Path) -> None:
    for name, case in (("short", "1.1.1"), ("long-1", "9.1.1")):
        index = {"fastws": {case: {"behavior": "OK", "reportfile": "case.json"}}}
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.json").write_bytes(msgspec.json.encode(index))
        (tmp_path / name / "case.json").write_bytes(msgspec.json.encode(made_up(case)))
    (tmp_path / "crashed").mkdir()
    assert read_results(tmp_path) == {"1.1.1": made_up("1.1.1"), "9.1.1": made_up("9.1.1")}


def test_wire_log_with_lone_surrogates_is_read(tmp_path: Path) -> None:
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "index.json").write_text('{"fastws": {"1": {"reportfile": "1.json"}}}')
    case = msgspec.json.encode(made_up()).decode()
    (tmp_path / "short" / "1.json").write_text(case[:-1] + r', "wirelog": ["\ud800"]}')
    assert read_results(tmp_path) == {"1.1.1": made_up()}


def test_server_that_refused_everything_gives_no_results(tmp_path: Path) -> None:
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "index.json").write_text("{}")
    assert read_results(tmp_path) == {}
