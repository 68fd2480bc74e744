"""The performance gate: work that is really done, counts that are read right, and the verdict."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gate import baseline, proof, trees
from benchmarks.gate.baseline import Baseline
from benchmarks.gate.counting import ROOT, Count, parse
from benchmarks.gate.stage import Stage
from benchmarks.gate.verdict import compare, report
from benchmarks.gate.workloads import ECHO, WORKLOADS
from benchmarks.peers import echo

CALLGRIND = """\
positions: line
events: Ir
summary: 6010

ob=/lib/libc.so.6
fl=???
fn=malloc@@GLIBC_2.3.2
0 100
fn=_int_malloc'2
0 7

ob=/somewhere/fastws/wire/frames.cpython-311-x86_64-linux-gnu.so
fl=???
fn=__pyx_f_6fastws_4wire_6frames_parse_header
0 32
cob=/lib/libc.so.6
cfi=???
cfn=malloc@@GLIBC_2.3.2
calls=3 0
0 5000
0 8
fn=__Pyx_GetItemInt.constprop.0
0 9

ob=/lib/libz.so.1
fl=???
fn=0x0000000000004f10
0 20
fn=0x0000000000005f10
0 2

totals: 178
"""


def test_the_cost_of_functions_is_without_those_whom_they_call() -> None:
    assert parse(CALLGRIND.splitlines()) == {
        "malloc": 100,
        "_int_malloc": 7,
        "fastws.wire.frames.parse_header": 40,
        "__Pyx_GetItemInt.constprop.0 (frames)": 9,
        "(libz)": 22,
    }


def test_workloads_run_again_and_again() -> None:
    # In a process of its own, as they leave all as it is.
    code = (
        "import os; from benchmarks.gate.workloads import WORKLOADS\n"
        "for name, workload in WORKLOADS.items():\n"
        "    run = workload.prepare(); run(2); run(1); print(name, flush=True)\n"
        "os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.splitlines(), done.stderr) == (list(WORKLOADS), "")


def test_a_client_without_a_socket_gets_what_the_app_sends() -> None:
    stage = Stage(echo.app)
    (client,) = stage.connected(1)
    client.read(ECHO)
    stage.sink.settimeout(5)
    assert stage.sink.recv(1000) == b"\x81\x40" + b"x" * 64
    stage.leave(client)
    stage.turns(lambda: None)(2)
    for opened in (stage.loop, stage.sink, stage.hole):
        opened.close()


def counts(instructions: float, **functions: float) -> dict[str, Count]:
    return {"read fragments": Count(instructions, functions)}


@pytest.mark.parametrize(
    ("now", "worse", "better"),
    [(1000, False, False), (1029, False, False), (1031, True, False), (969, False, True)],
)
def test_three_percent_are_tolerated(now: float, worse: bool, better: bool) -> None:
    (verdict,) = compare(counts(1000), counts(now))
    assert (verdict.worse, verdict.better) == (worse, better)


def test_what_is_worse_is_shown_with_the_functions_that_grew() -> None:
    before = counts(1000, parse=100, deliver=500, push=400)
    text = list(report(compare(before, counts(1060, parse=130, deliver=500, push=390, new=40))))
    assert "| +6.00% | WORSE |" in text[1]
    assert "one fragment" in text[2]
    assert [line.split() for line in text[3:]] == [
        ["0.0", "->", "40.0", "new"],
        ["100.0", "->", "130.0", "parse"],
    ]


def test_what_is_not_worse_is_only_a_line() -> None:
    assert len(list(report(compare(counts(1000, parse=100), counts(1000, parse=900))))) == 2


def test_a_workload_that_the_baseline_does_not_have_is_not_judged() -> None:
    assert compare({}, counts(1000)) == []


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "baseline.json"
    monkeypatch.setattr(baseline, "FILE", path)
    monkeypatch.setattr(baseline, "toolchain", lambda: {"compiler": "13"})
    return path


def test_a_baseline_of_this_toolchain_is_what_counts_are_compared_with(file: Path) -> None:
    Baseline({"compiler": "13"}, counts(1000, parse=100, small=1)).write()
    assert baseline.counts_to_compare_with() == counts(1000, parse=100)
    assert json.loads(file.read_text())["counts"]["read fragments"]["instructions"] == 1000


def test_for_another_toolchain_the_commit_of_the_baseline_is_counted(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Baseline({"compiler": "12"}, counts(1000)).write()

    def of(what: Any) -> Any:
        return {file: "0123456789abcdef", "0123456789abcdef": Path("tree")}[what]

    monkeypatch.setattr(trees, "last_change", of)
    monkeypatch.setattr(trees, "at_commit", of)
    monkeypatch.setattr(baseline, "count_all", {Path("tree"): counts(900)}.get)
    assert baseline.counts_to_compare_with() == counts(900)
    assert "compiler: 13, in the baseline 12" in capsys.readouterr().out


def test_the_baseline_is_of_these_workloads() -> None:
    assert list(Baseline.read().counts) == list(WORKLOADS)


def test_there_is_a_place_to_plant_the_regression_of_the_proof() -> None:
    assert (ROOT / "fastws" / proof.FILE).read_text().count(proof.BEFORE) == 1
