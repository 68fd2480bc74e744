"""Who may import whom: the arrows between the layers, read from the sources."""

import ast
import re
from pathlib import Path

import pytest

import fastws

PACKAGE = Path(fastws.__file__).parent
SOURCES = [path for kind in ("*.py", "*.pyx", "*.pxd", "*.pyi") for path in PACKAGE.rglob(kind)]

BASE = {"closing", "errors", "limits"}
# What each layer may import besides itself.
ARROWS = {
    "closing": BASE,
    "errors": BASE,
    "extras": BASE,
    "limits": BASE,
    "wire": BASE,
    "aio": BASE | {"wire"},
    "server": BASE | {"wire", "aio"},
    "client": BASE | {"wire", "aio"},
    # They reach the server through scope["extensions"]["fastws"], and so run on any server.
    "rooms": BASE | {"extras"},
    "app": BASE | {"extras", "rooms"},
    "testing": BASE | {"wire", "server", "client", "rooms", "app"},
    "deployment": BASE,
    "cli": BASE | {"__init__", "extras", "server", "rooms", "deployment"},
    "__main__": {"cli"},
    "__init__": BASE | {"wire", "client", "rooms", "app"},
    # The package's own name is what users import, so the examples may, and nothing below.
    "examples": {"__init__", "app"},
}
# What a layer has to do without, so that it stays what it is.
FOREIGN = {
    "wire": {"asyncio", "datetime", "logging", "selectors", "socket", "time", "uvicorn", "uvloop"},
    "aio": {"uvicorn"},
    "client": {"uvicorn"},
    "rooms": {"uvicorn"},
}

IMPORT_LINE = re.compile(
    r"^\s*(?:from\s+([\w.]+)\s+c?import\b|c?import\s+([\w., ]+))", re.MULTILINE
)


def imports(path: Path, source: str) -> set[str]:
    """Gives the full names of the modules that a file imports or cimports."""
    if path.suffix in {".pyx", ".pxd"}:
        found = [single or several for single, several in IMPORT_LINE.findall(source)]
        return {name.split()[0] for names in found for name in names.split(",")}
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].partition(".")[0]


def wrong_arrows(path: Path, source: str) -> set[str]:
    layer = layer_of(path)
    wrong = set()
    for name in imports(path, source):
        top, _, rest = name.partition(".")
        if top != "fastws":
            refused = top in FOREIGN.get(layer, set()) or not top  # no top: a relative import
        else:
            target = rest.partition(".")[0] or "__init__"
            refused = target != layer and target not in ARROWS[layer]
        if refused:
            wrong.add(name)
    return wrong


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_its_layer_and_below(path: Path) -> None:
    assert wrong_arrows(path, path.read_text()) == set()


@pytest.mark.parametrize(
    ("file", "source", "wrong"),
    [
        ("wire/frames.pyx", "from fastws.aio.hub cimport Hub", {"fastws.aio.hub"}),
        (
            "wire/frames.pxd",
            "cimport fastws.wire.deflate, fastws.server.x as y",
            {"fastws.server.x"},
        ),
        ("wire/frames.pyx", "def f():\n    import asyncio", {"asyncio"}),
        ("wire/frames.pyx", "from time cimport time", {"time"}),
        ("wire/deflate.pyi", "from fastws.limits import Limits", set()),
        ("limits.py", "import fastws", {"fastws"}),
        ("closing.py", "from .errors import Disconnected", {".errors"}),
        ("client.py", "if TYPE_CHECKING:\n    from fastws.server import Config", {"fastws.server"}),
        ("server/http.py", "import uvicorn, fastws.aio.hub", set()),
        ("rooms/member.py", "from fastws.app import App", {"fastws.app"}),
        ("app/app.py", "from fastws.server import Config", {"fastws.server"}),
        ("app/app.py", "from fastws.rooms import Rooms", set()),
        ("examples/echo.py", "from fastws import connect", set()),
    ],
)
def test_the_guard_sees_an_arrow_that_points_up(file: str, source: str, wrong: set[str]) -> None:
    assert wrong_arrows(PACKAGE / file, source) == wrong
