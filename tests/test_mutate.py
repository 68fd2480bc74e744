"""`tests.mutate` changes what runs, and nothing else."""

import os
from contextlib import suppress
from pathlib import Path
from select import select

import pytest

from tests.mutate import __main__ as program
from tests.mutate.__main__ import Copy, summary
from tests.mutate.mutants import Mutant, mutants


def changes(body: str, suffix: str = ".py") -> list[str]:
    """Return the changes of the body of a function."""
    source = "def function():\n" + "".join(f"    {line}\n" for line in body.splitlines())
    return [mutant.change for mutant in mutants(Path("module" + suffix), source)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("x = a < b", ["< -> <="]),
        ("x = a >= b", [">= -> >"]),
        ("x = a == b != c", ["== -> !=", "!= -> =="]),
        ("x = a + b - c", ["+ -> -", "- -> +"]),
        ("x = a and b or c", ["and -> or", "or -> and"]),
        ("x = a is not b", ["not -> nothing"]),
        ("x = True, False", ["True -> False", "False -> True"]),
        ("x = 0x10, 1_000, 0.5", ["0x10 -> 17", "1_000 -> 1001", "0.5 -> 1.5"]),
        ("x += y", ["x += y -> pass", "+= -> -="]),
        ("x |= y", ["x |= y -> pass"]),
        ("self.x = y", ["self.x = y -> pass"]),
        ("self.x: int = y", []),
        ("x[a] = y", ["x[a] = y -> pass"]),
        ("call(a, key=b)", ["call(a, key=b) -> pass"]),
        ("call(\n    a,\n)", ["call( a, ) -> pass"]),
        ("await call()", ["await call() -> pass"]),
        ("del x", ["del x -> pass"]),
        ("if a:\n    x = y", ["a -> False", "a -> True"]),
        ("while a:\n    break", ["a -> False", "break -> continue"]),
        ("return", ["return -> pass"]),
        ("return None", []),
    ],
)
def test_a_statement_has_these_changes(body: str, expected: list[str]) -> None:
    assert changes(body) == expected


def test_only_python_may_return_none() -> None:
    assert changes("return x") == ["x -> None"]
    assert changes("return x", ".pyx") == []


@pytest.mark.parametrize(
    "body",
    [
        '"""Return 1 if a < b."""',
        "# not x",
        "x = 'a and b'",
        "import a",
        "global a",
        "assert a < b",
        "logger.info('%d', a + 1)",
        "x: list[int]",
        "@decorate(1)\ndef inner(a=1):\n    x = y",
    ],
)
def test_what_does_not_run_is_left_alone(body: str) -> None:
    assert changes(body) == []


def test_a_type_of_cython_is_left_alone() -> None:
    assert changes("cdef char[20] x", ".pyx") == []
    assert changes("cdef char *x = <char *>y + 1", ".pyx") == ["+ -> -", "1 -> 2"]
    assert changes("x = call(<int>y < z)", ".pyx") == ["< -> <="]


def test_only_functions_are_changed() -> None:
    source = """\
cdef enum:
    SIZE = 4 * 1024
cdef int MOST = 3
cdef class Reader(Base):
    cdef int read(self, int most=1) except -1:
        return most + 1
    kind = 1
cdef extern from "a.h":
    int read(int) except -1
"""
    assert [str(mutant) for mutant in mutants(Path("reader.pyx"), source)] == [
        "reader.pyx:6: + -> -",
        "reader.pyx:6: 1 -> 2",
    ]


def test_a_mutant_differs_in_one_place() -> None:
    source = "def add(a, b):\n    # Zwölf\n    return (a +\n        b)\n"
    none, minus = mutants(Path("module.py"), source)
    assert none.source == "def add(a, b):\n    # Zwölf\n    return None\n"
    assert minus.source == source.replace("+", "-")


def test_the_score_counts_what_compiles() -> None:
    verdicts = ["killed", "survived", "killed", "invalid", "killed"]
    judged = [(Mutant(Path("a.pyx"), 3, "1 -> 2", ""), verdict) for verdict in verdicts]
    assert summary(judged).splitlines() == [
        "survived: a.pyx:3: 1 -> 2",
        "module                                      killed  survived   invalid",
        "a.pyx                                            3         1         1",
        "score: 3 of 4, 75%",
    ]


def test_nothing_scores_nothing() -> None:
    assert summary([]).endswith("score: 0 of 0, 0%")


MODULE = "def one():\n    return 1\n"


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """Return a copy of a checkout of one module, whose test and build are a line each."""
    (tmp_path / "module.py").write_text(MODULE)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setattr(program, "TEST", ("-c", "import module; assert module.one() == 1"))
    monkeypatch.setattr(program, "BUILD", ("-c", "pass"))
    return Copy(tmp_path, tests=[], options=[], limit=30)


def mutant_of(source: str, name: str = "module.py") -> Mutant:
    return Mutant(Path(name), 2, "", source)


def test_mutants_are_judged_and_the_module_restored(copy: Copy) -> None:
    assert copy.prepare() is None  # leaves bytecode, of a source of the same size
    assert copy.judge(mutant_of(MODULE.replace("1", "2"))) == "killed"
    assert copy.judge(mutant_of(MODULE.replace("1", "1 or 2"))) == "survived"
    assert (copy.root / "module.py").read_text() == MODULE


def test_a_mutant_that_takes_too_long_is_killed(copy: Copy) -> None:
    copy.limit = 0.2
    assert copy.judge(mutant_of("while True:\n    pass\n")) == "killed"
    assert copy.killer == "a crash or the time limit"


def test_the_killer_is_named(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    output = "FAILED tests/test_one.py::test_one - assert 2 == 1"
    monkeypatch.setattr(program, "TEST", ("-c", f"raise SystemExit({output!r})"))
    assert copy.judge(mutant_of(MODULE)) == "killed"
    assert copy.killer == "tests/test_one.py::test_one"


def test_a_mutant_that_does_not_compile_is_invalid(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "BUILD", ("-c", "raise SystemExit(1)"))
    (copy.root / "reader.pyx").write_text(MODULE)
    assert copy.judge(mutant_of(MODULE, "reader.pyx")) == "invalid"


def test_what_is_built_is_restored(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy.root / "build").mkdir()
    files = [
        copy.root / name
        for name in ("reader.pyx", "reader.x.so", "build/reader.c", "build/reader.x.so")
    ]
    for file in files:
        file.write_text(MODULE)
        os.utime(file, (1, 1))
    build = "import pathlib; [f.write_text('') for f in pathlib.Path().rglob('reader.*')]"
    monkeypatch.setattr(program, "BUILD", ("-c", build))
    copy.judge(mutant_of("", "reader.pyx"))
    assert [(file.read_text(), file.stat().st_mtime) for file in files] == [(MODULE, 1)] * 4


def test_the_output_is_returned_if_unchanged_code_fails(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "TEST", ("-c", "raise SystemExit('1 failed')"))
    assert copy.prepare() == "1 failed\n"


def test_processes_of_the_tests_are_ended(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    start = "subprocess.Popen(['sleep', '60'], start_new_session=True)"
    failing = f"import subprocess; print({start}.pid); raise SystemExit(1)"
    monkeypatch.setattr(program, "TEST", ("-c", failing))
    pid = int((copy.prepare() or "").split()[0])
    with suppress(ProcessLookupError), open(os.pidfd_open(pid)) as process:
        assert select([process], [], [], 10)[0]
