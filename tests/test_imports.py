"""What an import loads: the part that is asked for, and no package that only others need."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

import fastws
from tests.processes import Process, Server

EXTRAS = {"cryptography", "dotenv", "jwt", "nats", "prometheus_client", "redis"}
FOREIGN = EXTRAS | {"orjson", "pytest", "uvicorn"}
BASE = {"closing", "errors", "limits"}  # what all parts stand on
APP = {"app", "extras", "rooms"}


def parts(modules: str) -> set[str]:
    """Return the parts of fastws, such as "rooms", and the packages of others among modules."""
    names = [module.split(".") for module in modules.split()]
    own = {name[1] for name in names if name[0] == "fastws" and len(name) > 1}
    return (own - BASE) | ({name[0] for name in names} & FOREIGN)


def loaded(program: str) -> set[str]:
    """Return what a program loads."""
    code = f"import sys; before = {{*sys.modules}}\n{program}\nprint(*({{*sys.modules}} - before))"
    argv = [sys.executable, "-c", code]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return parts(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import fastws; dir(fastws)", set()),
        ("from fastws import Limits, HandshakeError", set()),
        ("import fastws.server", {"aio", "server", "uvicorn", "wire"}),
        ("from fastws import connect", {"aio", "client", "wire"}),
        ("from fastws import Gap", {"extras", "rooms"}),
        ("import fastws.app", APP),
        ("import fastws; fastws.App(broker='memory://')", APP),
        ("from fastws.app.auth import JWT", APP | {"cryptography", "jwt"}),
        ("from fastws import App; App().metrics.registry", APP | {"prometheus_client"}),
        ("import fastws; fastws.App(broker='nats://localhost')", APP | {"nats"}),
        ("from fastws.cli import main", {"cli", "extras"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_import_loads_what_is_asked_for(program: str, expected: set[str]) -> None:
    assert loaded(program) == expected


def test_orjson_is_loaded_when_it_writes() -> None:
    program = "from fastws.app.answer import denial; denial(403, 'no', (), {})"
    assert loaded(program) == APP | {"orjson"}


def test_a_command_loads_what_it_needs() -> None:
    ends = "from fastws.cli import main\ntry: main({})\nexcept SystemExit: pass"
    for argv in (["--version"], ["drain", "0"], ["check-deploy"]):
        assert loaded(ends.format(argv)) <= {"cli", "deployment", "extras"}


PROBE = """
import sys

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": " ".join(sys.modules)})
        await send({"type": "websocket.close"})
"""


def test_a_server_of_a_bare_app_loads_no_extra_and_no_app_layer(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    server = serve("probe:app", "--app-dir", str(tmp_path))
    with connect(server.url()) as ws:
        found = parts(str(ws.recv()))
    assert found == {"aio", "cli", "extras", "server", "uvicorn", "wire"}


# The public names.


def type_checking_block() -> dict[str, str]:
    """Return what type checkers see: each public name, and the module that has it."""
    tree = ast.parse(Path(fastws.__file__).read_text())
    block = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    return {
        alias.name: str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_see_the_names_that_there_are() -> None:
    homes = type_checking_block()
    assert sorted(homes) == sorted(fastws.__all__)
    for name, home in homes.items():
        assert getattr(fastws, name) is getattr(importlib.import_module(home), name)


def test_a_star_brings_all_of_them() -> None:
    names: dict[str, Any] = {}
    exec("from fastws import *", names)
    assert names.keys() - {"__builtins__"} == {*fastws.__all__}


def test_dir_has_names_that_nobody_has_used_yet() -> None:
    program = """
import fastws
assert {*fastws.__all__, "__version__"} <= {*dir(fastws)}
assert not [name for name in sys.modules if name.startswith("fastws.")]
"""
    assert loaded(program) == set()


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'fastws' has no attribute 'Limit'") as caught:
        fastws.Limit  # type: ignore[attr-defined]  # noqa: B018
    # From these Python suggests Limits.
    assert (caught.value.name, caught.value.obj) == ("Limit", fastws)
    assert not hasattr(fastws, "app_")


# The version.


def test_the_version_is_a_literal_and_that_of_the_package() -> None:
    """The build reads it without importing fastws, which is not compiled by then."""
    tree = ast.parse(Path(fastws.__file__).read_text())
    values = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    ]
    assert [ast.literal_eval(value) for value in values] == [fastws.__version__]
    for installed in distributions(name="fastws-asgi"):
        assert installed.version == fastws.__version__


def test_the_command_says_the_versions_in_one_line(spawn: Callable[..., Process]) -> None:
    process = spawn(sys.executable, "-m", "fastws", "--version")
    assert process.wait() == 0
    python, fast = ".".join(map(str, sys.version_info[:3])), fastws.__version__
    assert process.output.startswith(f"fastws {fast} (CPython {python}")
    assert ", uvicorn " in process.output
    assert process.output.count("\n") == 1


def test_without_a_command_it_says_which_there_are(spawn: Callable[..., Process]) -> None:
    process = spawn(sys.executable, "-m", "fastws")
    assert process.wait() == 2
    assert process.output.startswith("usage: fastws [-h] [--version] {run,drain,check-deploy}")


def test_importing_the_command_runs_nothing() -> None:
    assert loaded("import fastws.__main__") == {"__main__", "cli", "extras"}
