"""Copies of fastws, each compiled with the packages of constraints.txt."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from zlib import crc32

from benchmarks.gate.commands import BUILD, ROOT, CannotCountError, run
from benchmarks.gate.toolchain import toolchain

TREES = BUILD / "trees"


def here(python: Path) -> Path:
    """Compile the sources as they are now, as far as they changed; return their folder."""
    # Nothing recompiles a module whose sources are older than it: so what compiles has a part.
    compiled_by = repr(toolchain()) + (ROOT / "setup.py").read_text()
    tree = TREES / f"here-{crc32(compiled_by.encode()):08x}"
    if not tree.exists():
        print("Compiling fastws with these packages, which takes minutes once.", flush=True)
    mirror(ROOT, tree)
    build(tree, python)
    return tree


def mirror(root: Path, tree: Path) -> None:
    """Make a folder have the sources of fastws, and touch only files that differ.

    Compiled modules stay, unless their source is gone.
    """
    wanted = sources(root)
    for path in wanted:
        copy, content = tree / path, (root / path).read_bytes()
        if not copy.exists() or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
    for path in sources(tree) - wanted:
        (tree / path).unlink()
    for module in (tree / "fastws").rglob("*.so"):
        if not module.with_name(f"{module.name.partition('.')[0]}.pyx").exists():
            module.unlink()


def sources(root: Path) -> set[Path]:
    """List the files of the package, and those beside it, which setup.py may want."""
    package = {
        path
        for path in (root / "fastws").rglob("*")
        if path.suffix not in {".so", ".pyc"} and path.is_file()
    }
    beside = {path for path in root.iterdir() if path.is_file() and path.name[0] != "."}
    return {path.relative_to(root) for path in package | beside}


def last_change(path: Path) -> str:
    """Return the commit that changed a file last."""
    if run(["git", "rev-parse", "--is-shallow-repository"], ROOT).strip() != "false":
        raise CannotCountError("this clone has no history: git fetch --unshallow")
    commit = run(["git", "log", "-1", "--format=%H", "--", str(path)], ROOT).strip()
    if not commit:
        raise CannotCountError(f"no commit has {path.relative_to(ROOT)}: commit it first")
    return commit


def at_commit(commit: str, python: Path) -> Path:
    """Return a folder with the sources of a commit, compiled."""
    tree = TREES / f"{commit[:12]}-{crc32(repr(toolchain()).encode()):08x}"
    if not (tree / ".built").exists():
        shutil.rmtree(tree, ignore_errors=True)
        archive = subprocess.run(
            ["git", "archive", "--format=tar", commit], cwd=ROOT, capture_output=True, check=True
        )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(tree, filter="data")
        build(tree, python)
        (tree / ".built").touch()
    return tree


def with_change(name: str, file: str, before: str, after: str, python: Path) -> Path:
    """Return a folder with the sources as they are now, but for one change, compiled."""
    tree = TREES / name
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(here(python), tree)
    source = tree / "fastws" / file
    text = source.read_text()
    if text.count(before) != 1:
        raise CannotCountError(f"{file} has {text.count(before)} places like this: {before}")
    source.write_text(text.replace(before, after))
    build(tree, python)
    return tree


def build(tree: Path, python: Path) -> None:
    """Compile what is not compiled yet."""
    run([str(python), "setup.py", "--quiet", "build_ext", "--inplace"], tree)
