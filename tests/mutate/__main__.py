"""Change one place of fastws at a time, and count how often the tests notice.

``python -m tests.mutate aio --sample 20`` does this 20 times in a copy of the checkout: change a
place in fastws/aio, compile the module if it is a .pyx, run tests/aio, restore the module.
"""

import argparse
import importlib.util
import os
import random
import re
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from resource import RLIMIT_DATA, getrlimit, setrlimit
from signal import SIGKILL
from subprocess import DEVNULL, STDOUT, Popen, TimeoutExpired
from time import monotonic

from tests.mutate.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
BUILD = ("setup.py", "--quiet", "build_ext", "--inplace")
TEST = ("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "fastws.testing.plugin")
MEMORY = 4 << 30  # bytes for one process: some mutants allocate in a loop
# Files of tests for folders whose tests are not in a folder of the same name alone.
TESTS = {
    "aio": ("aio/test_*.py", "server/test_*.py", "rooms/test_*.py"),
    "cli": ("test_cli*.py", "test_deployment.py"),
}
VERDICTS = ("killed", "survived", "invalid")


@dataclass
class Copy:
    """A copy of the checkout, in which mutants are tested one after the other."""

    root: Path
    tests: list[str]
    options: list[str]
    limit: float | None = None  # seconds
    killer: str = ""  # of the last mutant

    def prepare(self) -> str | None:
        """Compile and test the unchanged code; return the output if it fails."""
        if (output := self._run(*BUILD)) is None:
            start = monotonic()
            output = self._test()
            self.limit = 5 * (monotonic() - start)
        return output

    def judge(self, mutant: Mutant) -> str:
        """Return the verdict of the tests; a mutant that does not compile is invalid."""
        path = self.root / mutant.path
        kept = [(file, file.read_bytes(), file.stat()) for file in self._files(path)]
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
        path.write_text(mutant.source)
        try:
            if path.suffix == ".pyx" and self._run(*BUILD) is not None:
                return "invalid"
            if (output := self._test(path.stem)) is None:
                return "survived"
            failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
            self.killer = failed[1] if failed else "a crash or the time limit"
            return "killed"
        finally:
            for file, content, stat in kept:
                file.write_bytes(content)
                os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def _files(self, path: Path) -> list[Path]:
        """Return a module and what is built from it; a build copies from build/ what is newer."""
        built = self.root.glob(f"build/**/{path.stem}.*")
        return [path, *path.parent.glob(f"{path.stem}.*.so"), *built]

    def _test(self, module: str = "") -> str | None:
        # The tests named like the module are the likeliest to fail.
        tests = sorted(self.tests, key=lambda test: module not in Path(test).stem)
        return self._run(*TEST, "-m", "not deep", *self.options, *tests)

    def _run(self, *argv: str) -> str | None:
        """Run Python and end its children; return the output if it fails or takes too long."""
        # Optimising would take longer than most tests.
        env = {**os.environ, "PYTHONPATH": str(self.root), "CFLAGS": "-O0 -g0"}
        env["FASTWS_IN_PLACE"] = "1"
        command = [sys.executable, *argv]
        with tempfile.TemporaryFile("w+") as output:
            process = Popen(
                command, cwd=self.root, env=env, stdin=DEVNULL, stdout=output, stderr=STDOUT
            )
            try:
                failed = process.wait(self.limit) != 0
            except TimeoutExpired:
                failed = True
            finally:
                self._end_processes()
                process.wait()
            output.seek(0)
            return output.read() if failed else None

    def _end_processes(self) -> None:
        """End all processes of this copy, among them servers in a session of their own."""
        mark = f"PYTHONPATH={self.root}\0".encode()
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if mark in environ.read_bytes():
                    os.kill(int(environ.parent.name), SIGKILL)


def summary(verdicts: Iterable[tuple[Mutant, str]]) -> str:
    """Return the survivors, a table of the modules, and the score."""
    verdicts = list(verdicts)
    lines = [f"survived: {mutant}" for mutant, verdict in verdicts if verdict == "survived"]
    lines.append(f"{'module':40}" + "".join(f"{verdict:>10}" for verdict in VERDICTS))
    for path in sorted({mutant.path for mutant, _ in verdicts}):
        counts = Counter(verdict for mutant, verdict in verdicts if mutant.path == path)
        lines.append(f"{path!s:40}" + "".join(f"{counts[verdict]:10}" for verdict in VERDICTS))
    counts = Counter(verdict for _, verdict in verdicts)
    valid = counts["killed"] + counts["survived"]
    lines.append(f"score: {counts['killed']} of {valid}, {counts['killed'] / max(valid, 1):.0%}")
    return "\n".join(lines)


def choose(args: argparse.Namespace) -> list[Mutant]:
    """Return the mutants that were asked for."""
    sources = sorted(ROOT.glob(f"fastws/{args.folder}/*.py*"))
    found = [
        mutant
        for path in sources
        if path.suffix in (".py", ".pyx")
        for mutant in mutants(path.relative_to(ROOT), path.read_text())
        if not args.lines or f"{path.name}:{mutant.line}" in args.lines
    ]
    random.Random(args.seed).shuffle(found)
    return found[: args.sample]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    add = parser.add_argument
    add("folder", help="of fastws: aio, rooms/brokers")
    add("--tests", nargs="+", help="files and folders; by default the tests of the folder")
    add("--sample", type=int, metavar="N", help="try so many mutants, chosen at random")
    add("--seed", type=int, default=0)
    add("--lines", nargs="+", metavar="FILE:LINE", help="try the mutants of these lines only")
    add("--jobs", type=int, default=1, metavar="N", help="how many copies work at a time")
    add("--pytest", default="", metavar="OPTIONS", help="more options for pytest, in one word")
    args = parser.parse_args()
    if args.tests is None:
        places = TESTS.get(args.folder, (f"{args.folder}/test_*.py",))
        found = [path for place in places for path in sorted((ROOT / "tests").glob(place))]
        args.tests = [str(path.relative_to(ROOT)) for path in found]
    return args


def main() -> None:
    args = arguments()
    chosen = choose(args)
    if not chosen:
        sys.exit(f"nothing to change in fastws/{args.folder}: name another folder or line")
    setrlimit(RLIMIT_DATA, (MEMORY, getrlimit(RLIMIT_DATA)[1]))
    copies: SimpleQueue[Copy] = SimpleQueue()

    def judge(mutant: Mutant) -> tuple[Mutant, str]:
        copy = copies.get()
        try:
            verdict = copy.judge(mutant)
            killer = f" by {copy.killer}" if verdict == "killed" else ""
        finally:
            copies.put(copy)
        print(f"{verdict:9}{mutant}{killer}", flush=True)
        return mutant, verdict

    with tempfile.TemporaryDirectory(prefix="mutate") as place:
        first = Copy(Path(place, "0"), args.tests, shlex.split(args.pytest))
        left_out = (".git", ".*_cache", "asan", "node", Path(sys.prefix).name)
        shutil.copytree(ROOT, first.root, ignore=shutil.ignore_patterns(*left_out))
        if (output := first.prepare()) is not None:
            print(output, "the tests fail before anything is changed", sep="\n", file=sys.stderr)
            sys.exit(2)
        copies.put(first)
        for number in range(1, args.jobs):
            other = replace(first, root=Path(place, str(number)))
            shutil.copytree(first.root, other.root)
            copies.put(other)
        pool = ThreadPoolExecutor(args.jobs)
        verdicts: list[tuple[Mutant, str]] = []
        with suppress(KeyboardInterrupt):
            for verdict in pool.map(judge, chosen):
                verdicts.append(verdict)
        print(summary(verdicts))
        pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    main()
