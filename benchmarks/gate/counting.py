"""Counting what the workloads take: instructions, by function, and bytes, by type.

Instructions come from valgrind's callgrind. They are the same in each run, on every machine and at
any load, if all else is: so the process has fixed addresses, hashes, surroundings and time.
"""

import json
import os
import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import flame
from benchmarks.gate.commands import BUILD, HERE, ROOT, CannotCountError, run
from benchmarks.gate.work import Idle, Workload
from benchmarks.gate.workloads import WORKLOADS

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
# Those of constraints.txt that a workload loads.
PACKAGES = ("click", "h11", "httptools", "msgspec", "orjson", "uvicorn", "uvloop")
WORKING = (*PYTHON, "-m", "benchmarks.gate.workloads")
# Not `rep movsb`, of which valgrind counts each byte, but the loops that smaller copies take.
TUNABLES = ("x86_rep_movsb_threshold", "x86_rep_stosb_threshold")
ENVIRONMENT = {
    "PATH": os.defpath,
    "PYTHONPATH": f"{SEEN_AS}:{SEEN_AS}/packages",
    "PYTHONHASHSEED": "0",
    "LD_BIND_NOW": "1",
    "GLIBC_TUNABLES": ":".join(f"glibc.cpu.{name}={1 << 30}" for name in TUNABLES),
}
# All memory is malloc's, and what is free does not count as given out.
FOR_BYTES = {"PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}


@dataclass(frozen=True)
class Count:
    """What one message takes, or one connection.

    Attributes:
        amount: instructions, or bytes.
        parts: instructions of each function itself, or bytes of each type.
    """

    amount: float
    parts: dict[str, float]


def count_all(package: Path, names: Iterable[str] = WORKLOADS) -> dict[str, Count]:
    """Count workloads with a folder `fastws` in which it is compiled."""
    names = list(names)
    BUILD.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=BUILD) as seen, TemporaryDirectory(dir=BUILD) as unseen:
        furnish(Path(seen), package)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            counts = pool.map(lambda name: count(name, Path(seen), Path(unseen, name)), names)
            return dict(zip(names, counts, strict=True))


def furnish(folder: Path, package: Path) -> None:
    """Put what the processes need into a folder, and nothing else."""
    (folder / "fastws").symlink_to(package)
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    (folder / "packages").mkdir()
    for name in PACKAGES:
        (folder / "packages" / name).symlink_to(Path(sysconfig.get_path("platlib"), name))
    compiler = os.environ.get("CC", "cc").split()
    run([*compiler, "-shared", "-fPIC", "-o", "measured.so", str(HERE / "measured.c")], folder)
    # What is compiled on first use is not compiled while it is counted: that moves all objects.
    run([*WORKING], folder, ENVIRONMENT)


def count(name: str, folder: Path, output: Path) -> Count:
    """Count one workload in a process of its own."""
    match WORKLOADS[name]:
        case Workload() as workload:
            return count_instructions(name, workload, folder, output)
        case Idle():
            command = [*fixed_addresses(), *WORKING, name]
            return Count(**json.loads(run(command, folder, ENVIRONMENT | FOR_BYTES)))


def count_instructions(name: str, workload: Workload, folder: Path, output: Path) -> Count:
    """Count the instructions of one workload."""
    command = [*fixed_addresses(), *VALGRIND, f"--callgrind-out-file={output}", *WORKING, name]
    run(command, folder, ENVIRONMENT)
    # The first part is what was dumped on request.
    costs = parse(Path(f"{output}.1").read_text().splitlines())
    messages = workload.times * workload.each
    functions = {function: cost / messages for function, cost in costs.items()}
    return Count(costs.total() / messages, functions)


def fixed_addresses() -> list[str]:
    """Return the command in front of one that is to have the same addresses in each run."""
    command = ["setarch", "-R"]
    try:
        run([*command, "true"], ROOT)
    except CannotCountError:
        # Some containers forbid it; then counts differ by some thousandths.
        return []
    return command


def parse(lines: Iterable[str]) -> Counter[str]:
    """Sum up the cost of each function itself, in what callgrind wrote."""
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
            inclusive = True  # the next line has the cost of the called function
        elif line[:1].isdigit():
            if not inclusive:
                costs[function] += int(line.split()[1])
            inclusive = False
    return costs


def readable(symbol: str, library: str) -> str:
    """Return what the symbol of a function in a library stands for."""
    home = Path(library).name.partition(".")[0]
    if not re.match(r"[A-Za-z_]", symbol):
        return f"({home})"  # a library without symbols: all of it
    name = flame.readable(re.sub(r"(@@?.*|'\d+)$", "", symbol))  # versions, depths of recursion
    return f"{name} ({home})" if name.startswith("__Pyx") else name
