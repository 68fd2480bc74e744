"""Counting the instructions of a workload, by function, with valgrind's callgrind.

They are the same in each run, on every machine and at any load, if all else is: so the process has
fixed addresses, hashes, surroundings and time.
"""

import os
import re
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import flame
from benchmarks.gate.workloads import WORKLOADS

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "gate"

VALGRIND = (
    "valgrind",
    "--tool=callgrind",
    "--instr-atstart=no",
    "--dump-line=no",
    "--compress-strings=no",
    "--compress-pos=no",
)
# All paths that the process sees are below this, so that they are as long in each folder.
SEEN_AS = "/proc/self/cwd"
# Without site, which would add paths; -P, since the current folder is the first of ours.
PYTHON = (os.path.realpath(sys.executable), "-S", "-P")
# Others may be installed or not.
PACKAGES = ("click", "h11", "httptools", "msgspec", "orjson", "uvicorn", "uvloop")
# Not `rep movsb`, of which valgrind counts each byte, but the loops that smaller copies take.
TUNABLES = ("x86_rep_movsb_threshold", "x86_rep_stosb_threshold")
ENVIRONMENT = {
    "PATH": os.defpath,
    "PYTHONPATH": f"{SEEN_AS}:{SEEN_AS}/packages",
    "PYTHONHASHSEED": "0",
    "LD_BIND_NOW": "1",
    "GLIBC_TUNABLES": ":".join(f"glibc.cpu.{name}={1 << 30}" for name in TUNABLES),
}


class CannotCountError(Exception):
    """Something that counting needs is not to be had here."""


@dataclass(frozen=True)
class Count:
    """What one message takes.

    Attributes:
        instructions: how many.
        functions: how many of these in which function itself.
    """

    instructions: float
    functions: dict[str, float]


def count_all(package: Path) -> dict[str, Count]:
    """Counts all workloads with a folder `fastws` in which it is built."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=BUILD) as seen, TemporaryDirectory(dir=BUILD) as unseen:
        furnish(Path(seen), package)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            counts = pool.map(lambda name: count(name, Path(seen), Path(unseen, name)), WORKLOADS)
            return dict(zip(WORKLOADS, counts, strict=True))


def furnish(folder: Path, package: Path) -> None:
    """Puts into a folder what its processes need, and nothing else."""
    (folder / "fastws").symlink_to(package)
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    (folder / "packages").mkdir()
    for name in PACKAGES:
        (folder / "packages" / name).symlink_to(Path(sysconfig.get_path("platlib"), name))
    compiler = os.environ.get("CC", "cc").split()
    run([*compiler, "-shared", "-fPIC", "-o", "measured.so", str(HERE / "measured.c")], folder)
    # What is compiled on first use is not compiled while it is counted: that moves all objects.
    run([*PYTHON, "-m", "benchmarks.gate.workloads"], folder, ENVIRONMENT)


def count(name: str, folder: Path, output: Path) -> Count:
    """Counts one workload in a process of its own."""
    workload = WORKLOADS[name]
    command = [*fixed_addresses(), *VALGRIND, f"--callgrind-out-file={output}", *PYTHON]
    run([*command, "-m", "benchmarks.gate.workloads", name], folder, ENVIRONMENT)
    # The first part is what was dumped on request.
    costs = parse(Path(f"{output}.1").read_text().splitlines())
    messages = workload.times * workload.each
    functions = {function: cost / messages for function, cost in costs.items()}
    return Count(costs.total() / messages, functions)


def fixed_addresses() -> list[str]:
    """The command in front of one that is to have the same addresses in each run."""
    command = ["setarch", "-R"]
    try:
        run([*command, "true"], ROOT)
    except CannotCountError:
        # Some containers forbid it; then counts differ by some thousandths.
        return []
    return command


def run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    """Runs a program; what it printed, or `CannotCountError` with what it said."""
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise CannotCountError(f"{error.filename} is not installed") from None
    if done.returncode:
        raise CannotCountError(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
    return done.stdout


def parse(lines: Iterable[str]) -> Counter[str]:
    """The cost of each function itself, in what callgrind wrote."""
    costs: Counter[str] = Counter()
    library = function = ""
    inclusive = False
    for line in lines:
        key, _, value = line.partition("=")
        if key == "ob":
            library = value
        elif key == "fn":
            function = readable(value, library)
        elif key == "calls":
            inclusive = True  # the next line has the cost of who is called
        elif line[:1].isdigit():
            if not inclusive:
                costs[function] += int(line.split()[1])
            inclusive = False
    return costs


def readable(symbol: str, library: str) -> str:
    """What the symbol of a function in a library stands for."""
    home = Path(library).name.partition(".")[0]
    if not re.match(r"[A-Za-z_]", symbol):
        return f"({home})"  # a library without symbols: all of it
    name = flame.readable(re.sub(r"(@@?.*|'\d+)$", "", symbol))  # versions, depths of recursion
    return f"{name} ({home})" if name.startswith("__Pyx") else name
