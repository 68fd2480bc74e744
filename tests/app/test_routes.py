from typing import Any

import pytest

from fastws.app.routes import Routes


def scope(path: bytes, root_path: str = "") -> dict[str, Any]:
    from urllib.parse import unquote

    raw = root_path.encode() + path
    return {"path": unquote(raw.decode()), "raw_path": raw, "root_path": root_path}


def routes(*paths: str) -> Routes[str]:
    found: Routes[str] = Routes()
    for path in paths:
        found.add(path, path)
    return found


@pytest.mark.parametrize(
    ("template", "path", "params"),
    [
        ("/", b"/", {}),
        ("/ws", b"/ws", {}),
        ("/café", b"/caf%C3%A9", {}),
        ("/rooms/{room}", b"/rooms/a", {"room": "a"}),
        ("/rooms/{room}", b"/rooms/a%2Fb%20%C3%A9", {"room": "a/b é"}),
        ("/{a}/x/{b}", b"/1/x/2", {"a": "1", "b": "2"}),
        ("/v{major}.{minor}", b"/v1.2", {"major": "1", "minor": "2"}),
        ("/a+b/{c}", b"/a%2Bb/c", {"c": "c"}),
    ],
)
def test_matches(template: str, path: bytes, params: dict[str, str]) -> None:
    assert routes(template).match(scope(path)) == (template, params)


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/ws", b"/"),
        ("/ws", b"/ws/"),
        ("/ws", b"/WS"),
        ("/rooms/{room}", b"/rooms/"),
        ("/rooms/{room}", b"/rooms/a/b"),
        ("/rooms/{room}", b"/rooms/a/"),
        ("/a.b/{c}", b"/aXb/c"),
    ],
)
def test_does_not_match(template: str, path: bytes) -> None:
    assert routes(template).match(scope(path)) is None


def test_plain_paths_come_first_then_their_order() -> None:
    found = routes("/{a}", "/{b}", "/x")
    assert found.match(scope(b"/x")) == ("/x", {})
    assert found.match(scope(b"/y")) == ("/{a}", {"a": "y"})


def test_below_a_root_path() -> None:
    assert routes("/ws").match(scope(b"/ws", "/mounted")) == ("/ws", {})
    assert routes("/").match(scope(b"", "/mounted")) == ("/", {})
    assert routes("/mountedx").match({"path": "/mountedx", "root_path": "/mounted"}) is not None


def test_without_a_raw_path() -> None:
    assert routes("/é/{a}").match({"path": "/é/%41"}) == ("/é/{a}", {"a": "%41"})


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (["ws"], "begin with '/'"),
        (["/a", "/a"], "there already"),
        (["/{a}", "/{a}"], "there already"),
        (["/{a}/{a}"], "twice"),
        (["/{a"], "brace"),
        (["/{a-b}"], "brace"),
    ],
)
def test_templates_that_make_no_sense(paths: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        routes(*paths)
