"""A virtual environment that has the packages of constraints.txt, and nothing else."""

import os
import shutil
import sys
import venv
from pathlib import Path
from typing import NoReturn
from zlib import crc32

from benchmarks.gate import trees
from benchmarks.gate.commands import BUILD, ROOT, run
from benchmarks.gate.toolchain import CONSTRAINTS


def enter(module: str, arguments: list[str]) -> NoReturn:
    """Go on as a module in the environment, where fastws is what the sources here say."""
    folder = environment()
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    # The compiled copy comes first: in ROOT nothing may be compiled.
    (packages / "gate.pth").write_text(f"{trees.here(python)}\n{ROOT}\n")
    # -P: the current folder may have a fastws, too.
    os.execv(python, [str(python), "-P", "-m", module, *arguments])


def environment() -> Path:
    """Return the folder of the environment, which is made if it is not there."""
    made_of = f"{os.path.realpath(sys.executable)} {sys.version} {CONSTRAINTS.read_text()}"
    folder = BUILD / f"environment-{crc32(made_of.encode()):08x}"
    if not (folder / ".complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        print(f"Installing {CONSTRAINTS.relative_to(ROOT)}.", flush=True)
        venv.create(folder, symlinks=True, with_pip=True)
        python = str(folder / "bin" / "python")
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*install, "--no-deps", "--requirement", str(CONSTRAINTS)], ROOT)
        (folder / ".complete").touch()
    return folder
