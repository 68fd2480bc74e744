"""The sdist and the wheel, checked by tools and used as users do: `make dist-check`.

`DIST` is the folder with both. The wheel is installed in two environments of its own, one without
extras and one with all of them, so that a dependency that is not declared is missed.
"""

import os
import re
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DIST = Path(os.environ["DIST"])
(WHEEL,) = DIST.glob("*.whl")
(SDIST,) = DIST.glob("*.tar.gz")
EXTRAS = "env-file,jwt,metrics,redis,nats"
EXAMPLES = sorted(path.stem for path in (ROOT / "fastws/examples").glob("[a-z]*.py"))
PATIENCE = 30.0

# What only the work on the project needs, and so is not in the sdist.
NOT_IN_SDIST = re.compile(r"\.git|\.dockerignore$")
MADE_FOR_SDIST = re.compile(r"PKG-INFO$|setup\.cfg$|fastws_asgi\.egg-info/")
# Commands of the README that are not started here, and where they are.
RUN_ELSEWHERE = {
    "make test": "it is what `.ci/run` calls first",
    "make loadtest": "tests/loadtest",
    "make soak": "tests/loadtest",
    "pip install": "the two environments of this file",
}
# The apps that the README's commands name.
SHOP = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
"""

IMPORT_ALL = """
import importlib, pkgutil, fastws
for module in pkgutil.walk_packages(fastws.__path__, "fastws."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            print(module.name, type(error).__name__, error, sep="|")
"""


def tracked() -> set[str]:
    """Return the files that the repository has."""
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    return {name for name in listed.split("\0") if name and (ROOT / name).exists()}


def make_environment(path: Path, extras: str) -> Path:
    venv.create(path, with_pip=True)
    wheel = f"{WHEEL}[{extras}]" if extras else str(WHEEL)
    subprocess.run([path / "bin/pip", "install", "--quiet", wheel], check=True)
    return path / "bin"


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel without extras."""
    return make_environment(tmp_path_factory.mktemp("bare"), "")


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel with all extras."""
    return make_environment(tmp_path_factory.mktemp("full"), EXTRAS)


def tool(*command: str | Path) -> None:
    subprocess.run([Path(sys.executable).with_name(str(command[0])), *command[1:]], check=True)


def test_the_metadata_is_what_an_index_takes() -> None:
    tool("twine", "check", "--strict", WHEEL, SDIST)


def test_the_wheel_has_nothing_that_does_not_belong_there() -> None:
    tool("check-wheel-contents", WHEEL)


def test_the_wheel_has_what_the_tree_has() -> None:
    with zipfile.ZipFile(WHEEL) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    compiled = {name for name in names if name.endswith(".so")}
    tree = {name for name in tracked() if name.startswith("fastws/")}
    assert names - compiled == tree
    sources = sorted(name.removesuffix(".pyx") for name in tree if name.endswith(".pyx"))
    assert sorted(name.partition(".")[0] for name in compiled) == sources


def test_the_sdist_has_what_the_tree_has() -> None:
    with tarfile.open(SDIST) as file:
        members = [member.name for member in file if member.isfile()]
    names = {name.partition("/")[2] for name in members}
    made = {name for name in names if MADE_FOR_SDIST.search(name)}
    left_out = {name for name in tracked() if NOT_IN_SDIST.match(name)}
    assert names - made == tracked() - left_out


def test_the_compilers_had_nothing_to_say() -> None:
    log = (DIST.parent / "build.log").read_text()
    assert re.findall(r"^.*\bwarning: .*(?:\.pyx|\.c|\.h)\b.*$", log, re.MULTILINE) == []
    assert re.findall(r"^.*(?:\.pyx|\.c|\.h):.*\bwarning: .*$", log, re.MULTILINE) == []


@pytest.mark.skipif(sys.platform != "linux", reason="wheels of Linux are repaired")
def test_the_wheel_runs_on_other_linuxes(tmp_path: Path) -> None:
    tool("auditwheel", "repair", "--wheel-dir", tmp_path, WHEEL)
    (repaired,) = tmp_path.iterdir()
    with zipfile.ZipFile(repaired) as file:
        # Nothing has to be brought along: zlib is part of every manylinux.
        assert [name for name in file.namelist() if ".libs/" in name] == []


def test_without_extras_a_module_is_imported_or_says_what_it_needs(
    bare: Path, tmp_path: Path
) -> None:
    run = subprocess.run(
        [bare / "python", "-W", "error", "-c", IMPORT_ALL],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    refused = dict(line.split("|", 1) for line in run.stdout.splitlines())
    told = {name for name, text in refused.items() if "pip install" in text}
    assert told == {"fastws.app.auth", "fastws.app.keys", "fastws.examples.auth"}
    # These are imported by others only, once those have asked for the extra; or by pytest.
    inner = re.compile(r"fastws\.(rooms\.brokers\.(redis|nats)\w*|app\.prometheus|testing\.plugin)")
    assert [name for name in set(refused) - told if not inner.fullmatch(name)] == []


def test_with_all_extras_every_module_is_imported(full: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [full / "python", "-W", "error", "-c", IMPORT_ALL],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    # The test kit is for those who have pytest.
    assert [line.partition("|")[0] for line in run.stdout.splitlines()] == ["fastws.testing.plugin"]


def serves(command: list[str | Path], cwd: Path) -> str:
    """Start a server, end it as a terminal does, and return what it wrote."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    watchdog = threading.Timer(PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
    watchdog.start()
    lines = []
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.append(line)
            if "running on" in line:
                os.killpg(process.pid, signal.SIGINT)
    process.wait()
    watchdog.cancel()
    return "".join(lines)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_served(full: Path, tmp_path: Path, example: str) -> None:
    output = serves(
        [full / "fastws", "run", f"fastws.examples.{example}:app", "--port=0"], tmp_path
    )
    assert "running on http://" in output
    assert "Traceback" not in output


def test_an_app_without_fastws_is_served_without_extras(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    assert "running on http://" in serves(
        [bare / "fastws", "run", "shop:app", "--port=0"], tmp_path
    )


# The README.

BLOCKS = [
    textwrap.dedent(block)
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", (ROOT / "README.md").read_text(), re.M)
]
COMMAND = re.compile(r"^(make|pip|fastws|uvicorn|python\S*) (?:.*\\\n)*.*$", re.MULTILINE)


def commands() -> Iterator[str]:
    """Yield the commands of the README's blocks, without their comments."""
    for block in BLOCKS:
        for found in COMMAND.finditer(block):
            command = re.sub(r"\s+#.*", "", found[0]).replace("\\\n", " ")
            yield " ".join(command.split())


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with the apps that the README's commands name."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/main.py").write_text(SHOP)
    (talk,) = (block for block in BLOCKS if "async def chat(" in block)
    (tmp_path / "talk.py").write_text(talk)
    return tmp_path


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_a_command_of_the_readme(full: Path, shop: Path, command: str) -> None:
    if any(command.startswith(start) for start in RUN_ELSEWHERE):
        return
    if command.startswith("make"):
        # The Makefile is that of the checkout, which is where the README has it run.
        assert "running on http://" in serves([*command.split(), "PORT=0"], ROOT)
        return
    here = (
        command.replace("'", "").replace("/run/shop", str(shop)).replace("--port 8000", "--port 0")
    )
    program, *arguments = here.split()
    assert "running on" in serves([full / program, *arguments], shop)
