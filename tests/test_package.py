"""The package as it is installed: all that the tree has is there, and can be imported."""

import importlib
import pkgutil
from pathlib import Path

import pytest

import fastws
from tests import ROOT

PACKAGE = Path(fastws.__file__).parent
# The list that `.ci/suite` makes of the tree; what is tested has no other way to the tree.
TREE = ROOT / "fastws.txt"
# Programs, which run when they are imported, are left out.
MODULES = [
    module.name
    for module in pkgutil.walk_packages([str(PACKAGE)], "fastws.")
    if not module.name.endswith("__main__")
]


def files() -> set[str]:
    """Return the installed files, by their paths from the package's parent."""
    found = (path for path in PACKAGE.rglob("*") if path.is_file())
    return {str(path.relative_to(PACKAGE.parent)) for path in found if path.suffix != ".pyc"}


@pytest.mark.skipif(not TREE.exists(), reason="no list of the tree; `.ci/suite` makes one")
def test_each_file_of_the_tree_is_installed_and_one_module_for_each_source() -> None:
    tree = set(TREE.read_text().split())
    compiled = {name for name in files() if name.endswith(".so")}
    assert files() - compiled == tree
    sources = sorted(name.removesuffix(".pyx") for name in tree if name.endswith(".pyx"))
    assert sorted(name.partition(".")[0] for name in compiled) == sources


def test_each_compiled_module_has_its_stub() -> None:
    sources = {path.with_suffix("") for path in PACKAGE.rglob("*.pyx")}
    assert sources
    assert sources == {path.with_suffix("") for path in PACKAGE.rglob("*.pyi")}


def test_each_folder_is_a_package() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("name", MODULES)
def test_each_module_is_imported(name: str) -> None:
    importlib.import_module(name)
