"""The inputs of the fuzzers, without a fuzzer: seeds, and whatever once broke a rule."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.harness import check_connection, check_extensions, check_handshake
from tests.fuzz.seeds import CORPUS, MAX, corpus
from tests.wire.streams import PROFILE, damaged

CHECKS: dict[str, list[Callable[[bytes], None]]] = {
    "connection": [check_connection],
    "handshake": [check_handshake, check_extensions],
}
FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_input_breaks_no_rule(path: Path) -> None:
    data = path.read_bytes()
    for check in CHECKS[path.parent.name]:
        check(data)
        for size in range(len(data)):
            check(data[:size])


def test_the_corpus_is_small_and_has_every_seed() -> None:
    assert all(path.stat().st_size < MAX for path in FILES)
    stale = {str(path) for path, data in corpus() if (CORPUS / path).read_bytes() != data}
    assert stale == set(), "run python -m tests.fuzz.seeds"


@PROFILE
@given(st.binary(min_size=2, max_size=2), damaged(), damaged(takeover=True))
def test_generated_streams_break_no_rule(how: bytes, plain: bytes, compressed: bytes) -> None:
    """Every setting of the harness, which `tests/wire/test_differential.py` does not have."""
    check_connection(how + plain)
    check_connection(how + compressed)


@PROFILE
@given(st.lists(st.sampled_from(FILES), min_size=1, max_size=3), st.data())
def test_mixed_requests_break_no_rule(paths: list[Path], draw: st.DataObject) -> None:
    """Lines of several requests, in any order."""
    lines = [line for path in paths for line in path.read_bytes().splitlines(keepends=True)]
    data = b"".join(draw.draw(st.permutations(lines)))
    check_handshake(data)
    check_extensions(data)
