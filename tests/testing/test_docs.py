"""docs/testing.md: its samples run as they stand there."""

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFTEST = "import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n"
IMPORTS = "from fastws import Limits\nfrom fastws.testing import PING\n"


def samples() -> list[str]:
    """Gives the blocks of code, which are indented."""
    blocks: list[list[str]] = [[]]
    for line in (ROOT / "docs/testing.md").read_text().splitlines():
        if line.startswith("    ") or (not line and blocks[-1]):
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return [textwrap.dedent("\n".join(block)).strip() for block in blocks if block]


def test_the_page_holds_what_it_promises(tmp_path: Path) -> None:
    chat, heartbeat = samples()
    assert len([line for line in chat.splitlines() if line]) <= 30
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_chat.py").write_text(f"{chat}\n{IMPORTS}\n{heartbeat}\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "--color=no"],
        check=False,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert "\n3 passed in" in run.stdout, run.stdout
