"""A missing package is one line with its fix; a package that is broken is not called missing."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fastws.extras import MissingPackage, need

EXTRAS = ("env-file", "jwt", "metrics", "nats", "redis")
# What pip can install: the requirement, or, without metadata of fastws, its sources.
INSTALL = {
    "cryptography": r'"(PyJWT\[crypto\]>=[\d.]+"|\.\[jwt\]" in the sources of fastws)',
    "dotenv": r'"(python-dotenv>=[\d.]+"|\.\[env-file\]" in the sources of fastws)',
    "jwt": r'"(PyJWT\[crypto\]>=[\d.]+"|\.\[jwt\]" in the sources of fastws)',
    "nats": r'"(nats-py>=[\d.]+"|\.\[nats\]" in the sources of fastws)',
    "prometheus_client": r'"(prometheus-client>=[\d.]+"|\.\[metrics\]" in the sources of fastws)',
    "redis": r'"(redis\[hiredis\]>=[\d.]+"|\.\[redis\]" in the sources of fastws)',
}
# Two ways to be missing: the import system finds nothing, or may not look.
NOT_FOUND = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {module!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""
FORBIDDEN = "import sys; sys.modules[{module!r}] = None\n"


def without(module: str, how: str, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python that lacks a package."""
    argv = [sys.executable, "-c", how.format(module=module) + program]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def line(feature: str, module: str) -> str:
    return rf"{re.escape(feature)} needs the module {module}: pip install {INSTALL[module]}"


@pytest.mark.parametrize(
    ("module", "feature", "options"),
    [
        ("jwt", "fastws.app.auth", ["fastws.examples.auth:app"]),
        ("cryptography", "fastws.app.auth", ["fastws.examples.auth:app", "--workers", "2"]),
        ("dotenv", "--env-file", ["--env-file", "nowhere.env"]),
        ("nats", "tls://", ["--broker", "tls://localhost"]),
        ("redis", "redis://", ["--broker", "redis://localhost"]),
        ("redis", "redis+cluster://", ["--broker", "redis+cluster://localhost", "--reload"]),
    ],
)
def test_the_command_says_it_in_one_line(module: str, feature: str, options: list[str]) -> None:
    program = f"from fastws.cli import main; main({['run', *options]})"
    ran = without(module, NOT_FOUND, program)
    assert re.fullmatch(f"fastws: {line(feature, module)}\n", ran.stderr), ran.stderr
    assert (ran.returncode, ran.stdout) == (1, "")


@pytest.mark.parametrize(
    ("module", "feature", "program"),
    [
        ("jwt", "fastws.app.auth", "import fastws.app.auth; fastws.app.auth.JWT('x' * 32)"),
        ("cryptography", "fastws.app.auth", "from fastws.app.auth import JWT"),
        ("nats", "nats://", "from fastws import App; App(broker='nats://localhost')"),
        (
            "redis",
            "redis+sentinel://",
            "from fastws.rooms import broker_at; broker_at('redis+sentinel://localhost/main')",
        ),
        ("prometheus_client", "/metrics", "from fastws import App; App().metrics.registry"),
    ],
)
def test_an_app_gets_an_import_error_with_that_line(
    module: str, feature: str, program: str
) -> None:
    ran = without(module, FORBIDDEN, program)
    last = ran.stderr.splitlines()[-1]
    assert re.fullmatch(rf"fastws\.extras\.MissingPackage: {line(feature, module)}", last), last


def test_a_page_of_metrics_says_it() -> None:
    program = """
import asyncio
from fastws import App, testing
page = asyncio.run(testing.get(App(), "/metrics"))
print(page.status, page.body.decode(), end="")
"""
    ran = without("prometheus_client", FORBIDDEN, program)
    assert re.fullmatch(f"501 {line('/metrics', 'prometheus_client')}\n", ran.stdout), ran.stderr


# What is installed, and broken.

BROKEN = {
    "a module of another package": "import nowhere_at_all",
    "a module of its own": "import {module}.nowhere",
    "a name of its own": "from {module} import nowhere",
    "a library": "raise ImportError('libnowhere.so: cannot open shared object file')",
    "an old Python": "raise RuntimeError('needs Python 4')",
}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_package_is_not_called_missing(tmp_path: Path, fault: str) -> None:
    for module in INSTALL:
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text(fault.format(module=module))
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from fastws.extras import MissingPackage, need
for extra in {EXTRAS}:
    try:
        need(extra, "the test")
    except Exception as error:
        print(isinstance(error, MissingPackage), error)
"""
    argv = [sys.executable, "-c", program]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    lines = ran.stdout.splitlines()
    assert len(lines) == len(EXTRAS)
    assert all(re.match("False .*(nowhere|Python 4)", line) for line in lines), lines


# Where the requirement comes from.


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)


@pytest.mark.parametrize(
    ("requires", "said"),
    [
        (['redis[hiredis]>=6.2; extra == "redis"'], 'pip install "redis[hiredis]>=6.2"'),
        (["redis >=6.2 ; extra == 'redis'"], 'pip install "redis >=6.2"'),
        (
            ['hiredis; python_version < "4" and extra == "redis"', 'redis; extra == "redis"'],
            'pip install "hiredis" "redis"',
        ),
        (
            ["uvicorn>=1", 'redis<1; extra == "redis-old"', 'redis; extra == "test"'],
            'pip install ".[redis]" in the sources of fastws',
        ),
        (None, 'pip install ".[redis]" in the sources of fastws'),
    ],
)
@pytest.mark.usefixtures("forbidden")
def test_the_requirement_is_that_of_the_metadata(
    monkeypatch: pytest.MonkeyPatch, requires: list[str] | None, said: str
) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: requires)
    with pytest.raises(MissingPackage) as caught:
        need("redis", "a test")
    assert str(caught.value) == f"a test needs the module redis: {said}"
    assert caught.value.name == "redis"


@pytest.mark.usefixtures("forbidden")
def test_without_metadata_it_is_the_extra_of_the_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    with pytest.raises(MissingPackage, match=r'"\.\[redis\]" in the sources of fastws$'):
        need("redis", "a test")


def test_the_package_declares_each_extra() -> None:
    for installed in importlib.metadata.distributions(name="fastws-asgi"):
        assert set(EXTRAS) <= set(installed.metadata.get_all("Provides-Extra") or ())
