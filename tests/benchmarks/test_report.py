"""What becomes of figures: tables that name who is ahead and who is missing, flame graphs."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import flame
from benchmarks.contests import Contest
from benchmarks.load import Result
from benchmarks.report import section, write
from benchmarks.runs import Entry, interleave
from benchmarks.servers import NotMeasuredError, Peer


def peer(name: str) -> Peer:
    def command(_port: int) -> list[str]:
        raise NotMeasuredError("it is not installed")

    return Peer(name, command)


def entry(name: str, rate: int, cpu: float) -> Entry:
    return Entry(peer(name), (), [Result(rate, 1.0, cpu * rate, 0.5, rate)])


def test_a_table_names_who_is_ahead_and_who_is_missing() -> None:
    entries = [entry("fastws", 100, 1e-3), entry("fast", 200, 2e-3), entry("cheap", 50, 5e-4)]
    entries += interleave([Entry(peer("gone"), ())], rounds=1)
    contest = Contest("Echo", "rate", (), tuple(entry.peer for entry in entries))
    text = section(contest, entries)
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:6]] == [
        "fast", "**fastws**", "cheap", "gone",
    ]  # fmt: skip
    assert "missing: it is not installed" in text
    assert text.endswith("Ahead of fastws: fast. Less CPU for one: cheap.")


def test_sections_that_were_not_measured_stay(tmp_path: Path) -> None:
    path = tmp_path / "results" / "peers.md"
    write(path, "# Old", {"B": "old b", "A": "old a"}, ["A", "B", "C"])
    write(path, "# New", {"A": "new a"}, ["A", "B", "C"])
    assert path.read_text() == "# New\n\n## A\n\nnew a\n\n## B\n\nold b\n"


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("__pyx_f_6fastws_3aio_6writer_6Writer__send", "fastws.aio.writer.Writer._send"),
        ("__pyx_pw_6fastws_3aio_8endpoint_8Endpoint_5buffer_updated",
         "fastws.aio.endpoint.Endpoint.buffer_updated"),
        ("_PyEval_EvalFrameDefault", "_PyEval_EvalFrameDefault"),
    ],
)  # fmt: skip
def test_names_without_mangling(symbol: str, name: str) -> None:
    assert flame.readable(symbol) == name


SAMPLES = """python 1 2.0:    1 cpu-clock:
                    10 {0}+0x4 (/usr/lib/libc.so.6)
                    11 both+0x1b1 (/x/fastws/aio/writer.so)
                    12 main (/usr/bin/python3)

"""


def test_samples_become_a_picture() -> None:
    root = flame.fold("".join(SAMPLES.format(name) for name in ("recv", "recv", "std::<send>")))
    assert (root.name, root.count) == ("both", 3)
    assert {node.name: node.count for node in root.callees.values()} == {
        "recv": 2,
        "std::<send>": 1,
    }
    svg = ET.fromstring(flame.draw(root, "a < b"))
    titles = [node.text for node in svg.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["both: 100.0%", "recv: 66.7%", "std::<send>: 33.3%"]
