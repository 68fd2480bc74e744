"""Other versions of fastws, built with the toolchain that is here."""

import io
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zlib import crc32

from benchmarks.gate.counting import BUILD, ROOT, CannotCountError, run
from benchmarks.gate.toolchain import toolchain

TREES = BUILD / "trees"


def last_change(path: Path) -> str:
    """The commit that changed a file last."""
    if run(["git", "rev-parse", "--is-shallow-repository"], ROOT).strip() != "false":
        raise CannotCountError("this clone has no history: git fetch --unshallow")
    commit = run(["git", "log", "-1", "--format=%H", "--", str(path)], ROOT).strip()
    if not commit:
        raise CannotCountError(f"no commit has {path.relative_to(ROOT)}")
    return commit


def at_commit(commit: str) -> Path:
    """The package as a commit has it."""
    tree = TREES / f"{commit[:12]}-{crc32(repr(toolchain()).encode()):08x}"
    if not (tree / ".built").exists():
        shutil.rmtree(tree, ignore_errors=True)
        archive = subprocess.run(
            ["git", "archive", "--format=tar", commit], cwd=ROOT, capture_output=True, check=True
        )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(tree, filter="data")
        build(tree)
        (tree / ".built").touch()
    return tree / "fastws"


def with_change(name: str, file: str, before: str, after: str) -> Path:
    """The package as it is here, but for a change in one file."""
    tree = TREES / name
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(ROOT / "fastws", tree / "fastws", ignore=shutil.ignore_patterns("__pycache__"))
    for path in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / path, tree)
    source = tree / "fastws" / file
    text, changes = re.subn(re.escape(before), lambda _: after, source.read_text())
    if changes != 1:
        raise CannotCountError(f"{file} has {changes} places like this: {before}")
    source.write_text(text)
    build(tree)
    return tree / "fastws"


def build(tree: Path) -> None:
    """Compiles what is not compiled yet."""
    run([sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"], tree)
