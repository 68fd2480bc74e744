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
        ("/v{a}.{b}", b"/v1.2.3", {"a": "1", "b": "2.3"}),
        ("/{a}.json", b"/x.json", {"a": "x"}),
        ("/a+b/{c}", b"/a%2Bb/c", {"c": "c"}),
        ("/a+b/{c}", b"/a+b/c", {"c": "c"}),
        ("/a:b@c/{d}", b"/a:b@c/d", {"d": "d"}),
        ("/caf\u00e9/{a}", b"/caf%c3%a9/1", {"a": "1"}),
        ("/ws", b"/%77s", {}),
        ("/a b", b"/a%20b", {}),
        ("/100%", b"/100%25", {}),
        ("/{a}", b"/%FF%fe", {"a": "\ufffd\ufffd"}),
        ("/{a}", b"/..", {"a": ".."}),
        ("/{a}", b"/%2e%2E%2F", {"a": "../"}),
        ("/{a}", b"/%00%0D%0A", {"a": "\0\r\n"}),
        ("/{a}/", b"/x/", {"a": "x"}),
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
        ("/a/b", b"/a%2Fb"),
        ("/a/b", b"/a%2fb"),
        ("/a/b", b"//a/b"),
        ("/a/b", b"/a//b"),
        ("/a/b", b"/a/./b"),
        ("/a/b", b"/x/../a/b"),
        ("/a/{b}", b"/a%2F1"),
        ("/{a}/b", b"/x%2Fb"),
        ("/{a}/b", b"//b"),
        ("/%2F", b"/%2F"),
        ("/a+b", b"/a%20b"),
        ("/ws", b"/ws%00"),
        ("/ws", b"/ws%0A"),
        ("/{a}", b"/"),
        ("/{a}.{b}", b"/1."),
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


def test_below_a_root_path_that_is_escaped() -> None:
    asked = {"path": "/\u00e9/ws", "raw_path": b"/%c3%a9/ws", "root_path": "/\u00e9"}
    assert routes("/ws").match(asked) == ("/ws", {})


def test_a_path_that_middleware_has_changed_counts() -> None:
    asked = {"path": "/ws", "raw_path": b"/prefix/ws", "root_path": ""}
    assert routes("/ws", "/prefix/ws").match(asked) == ("/ws", {})


@pytest.mark.parametrize("template", ["/{a}-{b}-{c}-{d}x", "/{a}--{b}--{c}", "/x{a}%25{b}"])
def test_a_long_path_takes_no_time(template: str) -> None:
    # With backtracking, longer than anybody waits.
    for path in (b"/" + b"-" * 60_000, b"/x" + b"%25" * 20_000, b"/" + b"a-" * 30_000 + b"/"):
        assert routes(template).match(scope(path)) is None or b"x" in path


def test_without_a_raw_path() -> None:
    assert routes("/x/y").match({"path": "/x/y", "raw_path": None}) == ("/x/y", {})
    assert routes("/x/y").match({"path": "/x\ud800"}) is None
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
        (["/{1a}"], "proper name"),
        (["/{a}{b}"], "right behind"),
        (["/caf\u00e9", "/caf\u00e9"], "there already"),
        (["/%2F", "/%2F"], "there already"),
    ],
)
def test_templates_that_make_no_sense(paths: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        routes(*paths)
