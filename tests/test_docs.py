"""What README.md and docs/*.md say of tests: they are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# In a table, in code: a file, as from the root, from tests/ or from beside the one before it, with
# a function behind it or without.
NAMED = re.compile(r"`((?:[\w*]+/)*test_[\w*]+\.py)(?:::(\w+))?`")


def named(row: str) -> list[tuple[Path, str]]:
    """Gives the tests of a row of a table: patterns of files, and functions or nothing."""
    found: list[tuple[Path, str]] = []
    for file, function in NAMED.findall(row):
        path = Path(file)
        if path.parent == Path():
            path = found[-1][0].with_name(file)
        elif path.parts[0] == "tests":
            path = path.relative_to("tests")
        found.append((path, function))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tests_that_a_table_names_are_there(page: Path) -> None:
    missing = []
    for line in page.read_text().splitlines():
        for path, function in named(line) if line.startswith(("|", "Tests:")) else ():
            definition = f"def {function}(" if function else ""
            files = (ROOT / "tests").glob(str(path))
            if not any(definition in file.read_text() for file in files):
                missing.append(f"{path}::{function}")
    assert missing == []
