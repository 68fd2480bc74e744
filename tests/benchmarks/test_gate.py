"""The performance gate: work that is really done, counts that are read right, and the verdict."""

import json
import os
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import fastws
from benchmarks.gate import baseline, environment, proof, trees
from benchmarks.gate.baseline import Baseline
from benchmarks.gate.commands import ROOT
from benchmarks.gate.counting import PACKAGES, Count, parse
from benchmarks.gate.stage import Client, Server, Stage
from benchmarks.gate.toolchain import pins, toolchain
from benchmarks.gate.verdict import compare, report
from benchmarks.gate.work import client
from benchmarks.gate.work.server import ECHO, GET
from benchmarks.gate.workloads import WORKLOADS
from benchmarks.peers import echo
from fastws.testing.frames import TEXT, frame

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


# In a process of its own, as workloads leave all as it is.
DOING_ALL = """
import json, os
from dataclasses import replace
from benchmarks.gate import memory
from benchmarks.gate.work import Idle
from benchmarks.gate.workloads import WORKLOADS

for name, workload in WORKLOADS.items():
    if isinstance(workload, Idle):
        done = memory.count_bytes(replace(workload, connections=20))
    else:
        run = workload.prepare()
        done = [run(2), run(1)]
    print(json.dumps([name, done]), flush=True)
os._exit(0)
"""


@pytest.fixture(scope="module")
def done() -> dict[str, Any]:
    process = subprocess.run(
        [sys.executable, "-c", DOING_ALL],
        cwd=ROOT,
        env={**os.environ, "PYTHONMALLOC": "malloc"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.stderr == ""
    return dict(map(json.loads, process.stdout.splitlines()))


def test_workloads_run_again_and_again(done: dict[str, Any]) -> None:
    assert list(done) == list(WORKLOADS)


@pytest.mark.parametrize("name", ["idle, ASGI echo", "idle, App echo"])
def test_the_bytes_of_a_connection_are_those_of_its_objects_and_all_else(
    done: dict[str, Any], name: str
) -> None:
    count = Count(**done[name])
    assert 3_000 < count.amount < 30_000
    assert count.amount == pytest.approx(sum(count.parts.values()))
    assert count.parts["HttpProtocol"] > 100
    assert count.parts["(all else)"] > 0


@contextmanager
def ended(stage: Stage) -> Iterator[None]:
    yield
    stage.turns(lambda: None)(2)
    for opened in (stage.loop, stage.sink, stage.hole):
        opened.close()


def test_a_client_without_a_socket_gets_what_the_app_sends() -> None:
    server = Server(echo.app)
    with ended(server):
        (connection,) = server.connected(1)
        connection.read(ECHO)
        server.sink.settimeout(5)
        assert server.sink.recv(1000) == b"\x81\x40" + b"x" * 64
        server.leave(connection)


def test_a_request_without_a_socket_is_answered_again_and_again() -> None:
    server = Server(echo.app)
    with ended(server):
        connection = server.connect(GET)
        for _ in range(2):
            server.turns(lambda: None)(2)
            assert connection.written.endswith(echo.BODY)
            connection.written = b""
            connection.read(GET)
        server.turns(lambda: None)(2)
        connection.close()


def test_a_client_connects_to_a_server_that_is_acted() -> None:
    stage = Client()
    with ended(stage):
        stage.start(client.echo, 1)
        stage.turns(lambda: None)(4)
        (connection,) = stage.opened
        connection.read(frame(TEXT, b"x" * 64, mask=None))
        stage.turns(lambda: None)(2)
        stage.sink.settimeout(5)
        assert stage.sink.recv(1000)[:2] == b"\x81\xc0"
        connection.close()


def test_a_step_that_fails_ends_the_workload() -> None:
    stage = Stage()

    def step() -> None:
        raise ValueError("a mistake")

    with pytest.raises(RuntimeError) as caught, ended(stage):
        stage.turns(step)(2)
    assert str(caught.value.__cause__) == "a mistake"
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
    assert "| +6.00% | 3% | WORSE |" in text[1]
    assert "instructions of a fragment that grew most" in text[2]
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
    assert json.loads(file.read_text())["counts"]["read fragments"]["amount"] == 1000


def test_for_another_toolchain_the_commit_of_the_baseline_is_counted(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of an old commit only those workloads are counted that it had.
    Baseline({"compiler": "12"}, {**counts(1000), "forgotten": Count(1, {})}).write()
    counted = []

    def count_all(package: Path, names: list[str]) -> dict[str, Count]:
        counted.append((package, names))
        return counts(900)

    monkeypatch.setattr(trees, "last_change", {file: "0123456789abcdef"}.get)
    monkeypatch.setattr(trees, "at_commit", lambda commit, python: Path(commit))
    monkeypatch.setattr(baseline, "count_all", count_all)
    assert baseline.counts_to_compare_with() == counts(900)
    assert counted == [(Path("0123456789abcdef/fastws"), ["read fragments"])]
    assert "compiler: 13, in the baseline 12" in capsys.readouterr().out


def test_the_baseline_is_of_these_workloads() -> None:
    assert list(Baseline.read().counts) == list(WORKLOADS)


def test_there_is_a_place_to_plant_the_regression_of_the_proof() -> None:
    source = Path(fastws.__file__).parent / proof.FILE
    assert source.read_text().count(proof.BEFORE) == 1


def test_the_versions_of_all_that_counts_depend_on_are_pinned() -> None:
    assert set(pins()) == {*PACKAGES, "Cython", "setuptools", "websockets"}
    assert toolchain().items() >= pins().items()


def test_the_pinned_versions_are_those_that_fastws_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = project["build-system"]["requires"] + project["project"]["dependencies"]
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(pins()[requirement.name]), requirement


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "fastws" / "wire").mkdir(parents=True)
    (root / "setup.py").write_text("setup()")
    (root / ".hidden").write_text("")
    for name in ("a.pyx", "b.pyx", "a.cpython-311.so"):
        (root / "fastws" / "wire" / name).write_text(name)
    return root


def files(tree: Path) -> set[str]:
    return {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}


def test_a_copy_has_the_sources_but_nothing_that_is_compiled(root: Path, tmp_path: Path) -> None:
    trees.mirror(root, tmp_path / "tree")
    assert files(tmp_path / "tree") == {"setup.py", "fastws/wire/a.pyx", "fastws/wire/b.pyx"}


def test_only_what_differs_is_copied_again(root: Path, tmp_path: Path) -> None:
    wire = tmp_path / "tree" / "fastws" / "wire"
    trees.mirror(root, tmp_path / "tree")
    for path in wire.iterdir():
        os.utime(path, (0, 0))
    # However old it is, another content is copied, and newer than what was compiled of it.
    (root / "fastws" / "wire" / "a.pyx").write_text("else")
    os.utime(root / "fastws" / "wire" / "a.pyx", (0, 0))
    trees.mirror(root, tmp_path / "tree")
    assert (wire / "a.pyx").read_text() == "else"
    assert (wire / "a.pyx").stat().st_mtime > 0
    assert (wire / "b.pyx").stat().st_mtime == 0


def test_what_is_no_source_any_more_goes_and_what_was_compiled_of_it(
    root: Path, tmp_path: Path
) -> None:
    wire = tmp_path / "tree" / "fastws" / "wire"
    trees.mirror(root, tmp_path / "tree")
    for name in ("a.cpython-311.so", "b.cpython-311.so"):
        (wire / name).touch()
    (root / "fastws" / "wire" / "b.pyx").unlink()
    trees.mirror(root, tmp_path / "tree")
    assert files(wire) == {"a.pyx", "a.cpython-311.so"}


@pytest.fixture
def constraints(tmp_path: Path) -> Path:
    file = tmp_path / "constraints.txt"
    file.write_text("msgspec==1")
    return file


@pytest.fixture
def made(constraints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that make an environment, which are not run."""
    commands: list[str] = []
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "BUILD", tmp_path / "build")
    monkeypatch.setattr(environment, "CONSTRAINTS", constraints)
    monkeypatch.setattr(venv, "create", lambda folder, **_: folder.mkdir(parents=True))
    monkeypatch.setattr(environment, "run", lambda command, _: commands.append(" ".join(command)))
    return commands


def test_an_environment_is_made_once_for_each_content_of_the_file(
    made: list[str], constraints: Path
) -> None:
    first = environment.environment()
    assert environment.environment() == first
    assert len(made) == 1
    assert made[0].endswith(f"--no-deps --requirement {constraints}")
    constraints.write_text("msgspec==2")
    assert environment.environment() != first
    assert len(made) == 2


def test_an_environment_that_was_not_completed_is_made_again(
    made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(command: list[str], folder: Path) -> None:
        (Path(command[0]).parent.parent / "half").touch()
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(environment, "run", fail)
        with pytest.raises(InterruptedError):
            environment.environment()
    assert files(environment.environment()) == {".complete"}
    assert len(made) == 1


def test_the_environment_has_the_compiled_copy_before_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    started: list[list[str]] = []
    monkeypatch.setattr(environment, "environment", lambda: tmp_path)
    monkeypatch.setattr(trees, "here", lambda python: Path("/compiled"))
    monkeypatch.setattr(os, "execv", lambda python, command: started.append(command))
    environment.enter("module", ["check"])
    assert (packages / "gate.pth").read_text().splitlines() == ["/compiled", str(ROOT)]
    assert started == [[str(tmp_path / "bin" / "python"), "-P", "-m", "module", "check"]]
