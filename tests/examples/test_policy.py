"""The content security policies of the pages."""

import base64
import hashlib
import re
from pathlib import Path

import pytest

from fastws import examples

PAGES = sorted(Path(examples.__path__[0]).glob("*.html"))


def hashed(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


@pytest.fixture(params=PAGES, ids=lambda path: path.name)
def page(request: pytest.FixtureRequest) -> str:
    path: Path = request.param
    return path.read_text()


@pytest.fixture
def policy(page: str) -> dict[str, list[str]]:
    found = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert found is not None
    # It governs what comes after it.
    assert not re.search(r"<(?!!|html|meta charset)", page[: found.start()])
    words = [directive.split() for directive in found[1].split(";")]
    return {name: values for name, *values in words}


@pytest.mark.parametrize("kind", ["style", "script"])
def test_the_hash_is_that_of_what_is_in_the_page(
    page: str, policy: dict[str, list[str]], kind: str
) -> None:
    (source,) = re.findall(rf"<{kind}[^>]*>(.*?)</{kind}>", page, re.DOTALL)
    assert policy[f"{kind}-src"] == [hashed(source)]


def test_nothing_else_is_allowed(policy: dict[str, list[str]]) -> None:
    for name in "style-src", "script-src":
        del policy[name]
    assert policy == {
        "default-src": ["'none'"],
        "connect-src": ["'self'"],
        "img-src": ["data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["'none'"],
    }


def test_nothing_is_needed_from_elsewhere(page: str) -> None:
    assert re.findall(r'(?:src|href)="(?!data:)|url\(|@import|\bimport\b', page) == []
