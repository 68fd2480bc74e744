"""Where tokens are found, and where not."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from fastws.app import bearer
from fastws.app.auth import JWT
from fastws.errors import HandshakeError
from tests.app.tokens import NOW, SECRET, Claims, scope, signed

COOKIE = bearer.cookie("__Host-session")
QUERY = bearer.query()


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], []),
        (["Bearer a.b.c"], ["a.b.c"]),
        (["bearer a.b.c"], ["a.b.c"]),
        (["BEARER   a.b.c "], ["a.b.c"]),
        (["Bearer"], [""]),
        (["Bearer "], [""]),
        (["Bearer a.b.c, Bearer d.e.f"], ["a.b.c, Bearer d.e.f"]),
        (["Bearer a.b.c", "Bearer d.e.f"], ["a.b.c", "d.e.f"]),
        (["Basic YTpi"], []),
        (["Basic YTpi", "Bearer a.b.c"], ["a.b.c"]),
        (["Bearer\ta.b.c"], []),
        (["Bearera.b.c"], []),
        (["a.b.c"], []),
        (["Token a.b.c"], []),
        (["Bearer \xff\xfe"], ["\xff\xfe"]),
        (["Bearer" + " " * 60_000 + "a"], ["a"]),
    ],
)
def test_the_header(values: list[str], found: list[str]) -> None:
    assert bearer.header(scope(*[("authorization", value) for value in values])) == found


@pytest.mark.parametrize(
    ("offered", "found", "accepted"),
    [
        ([], [], None),
        (["bearer", "a.b.c"], ["a.b.c"], "bearer"),
        (["Bearer", "a.b.c"], ["a.b.c"], "Bearer"),
        (["chat.v2", "bearer", "a.b.c", "chat.v1"], ["a.b.c"], "bearer"),
        (["a.b.c", "bearer"], [""], "bearer"),
        (["bearer"], [""], "bearer"),
        (["bearer", "a.b.c", "bearer", "d.e.f"], ["a.b.c", "d.e.f"], "bearer"),
        (["bearer", "bearer", "a.b.c"], ["bearer", "a.b.c"], "bearer"),
        (["chat.v2"], [], None),
        (["bearer.a.b.c"], [], None),
    ],
)
def test_the_subprotocol(offered: list[str], found: list[str], accepted: str | None) -> None:
    handshake = scope(subprotocols=offered)
    assert bearer.subprotocol(handshake) == found
    assert bearer.accepted_subprotocol(handshake) == accepted


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], []),
        (["__Host-session=a.b.c"], ["a.b.c"]),
        (["theme=dark; __Host-session=a.b.c; lang=de"], ["a.b.c"]),
        (["theme=dark", "__Host-session=a.b.c"], ["a.b.c"]),
        (['__Host-session="a.b.c"'], ["a.b.c"]),
        (["__Host-session="], [""]),
        (["__Host-session"], []),
        (["__Host-session=a; __Host-session=b"], ["a", "b"]),
        (["__host-session=a"], []),
        (["x__Host-session=a"], []),
        (["__Host-session2=a"], []),
        (["theme=__Host-session=a"], []),
        ([";;;=;=="], []),
        (["__Host-session=a=b"], ["a=b"]),
    ],
)
def test_a_cookie(values: list[str], found: list[str]) -> None:
    assert COOKIE(scope(*[("cookie", value) for value in values])) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", []),
        (b"access_token=a.b.c", ["a.b.c"]),
        (b"x=1&access_token=a.b.c&y=2", ["a.b.c"]),
        (b"access_token=a.b.c&access%5Ftoken=d.e.f", ["a.b.c", "d.e.f"]),
        (b"access_token=", [""]),
        (b"access_token", [""]),
        (b"ACCESS_TOKEN=a", []),
        (b"token=a", []),
        (b"x=%26access_token=a", []),
        (b"access_token=%ff%00", ["\ufffd\0"]),
        (b"\xff=1&access_token=a", ["a"]),
    ],
)
def test_the_query(text: bytes, found: list[str]) -> None:
    assert QUERY(scope(query_string=text)) == found


def test_a_scope_of_http_has_less_in_it() -> None:
    assert bearer.subprotocol({"type": "http", "headers": []}) == []
    assert bearer.accepted_subprotocol({"type": "http", "headers": []}) is None
    assert QUERY({"type": "http"}) == []


def passes(reason: str | None) -> AbstractContextManager[object]:
    return pytest.raises(HandshakeError, match=reason) if reason else nullcontext()


GOOD, OTHER, BAD = signed(), signed(sub="eve"), signed(exp=NOW - 1)
MISSING = "a bearer token is required"
TWO = "there is more than one token"
EXPIRED = "the token has expired"
EVERYWHERE = (bearer.header, bearer.subprotocol, QUERY, COOKIE)
IN_COOKIE = [("cookie", f"__Host-session={GOOD}")]


@pytest.mark.parametrize(
    ("sources", "headers", "others", "reason"),
    [
        # By default what a browser sends unasked, and what is logged, is not looked at.
        (None, IN_COOKIE, {"query_string": f"access_token={GOOD}".encode()}, MISSING),
        (None, [("authorization", f"Bearer {GOOD}")], {}, None),
        (None, [], {"subprotocols": ["bearer", GOOD]}, None),
        (EVERYWHERE, IN_COOKIE, {}, None),
        (EVERYWHERE, [], {"query_string": f"access_token={GOOD}".encode()}, None),
        # The first source that finds one decides: a bad one is not made good by another.
        (EVERYWHERE, [("authorization", f"Bearer {BAD}"), *IN_COOKIE], {}, EXPIRED),
        (EVERYWHERE, [("authorization", "Bearer"), *IN_COOKIE], {}, "malformed"),
        (EVERYWHERE, IN_COOKIE, {"subprotocols": ["bearer"]}, "malformed"),
        (EVERYWHERE, [("authorization", "Basic YTpi"), *IN_COOKIE], {}, None),
        (EVERYWHERE, [("authorization", f"Bearer {GOOD}")], {"subprotocols": ["chat"]}, None),
        # Which of two is meant is not ours to guess: a proxy may have guessed otherwise.
        (None, [("authorization", f"Bearer {GOOD}")] * 2, {}, TWO),
        (None, [], {"subprotocols": ["bearer", GOOD, "bearer", OTHER]}, TWO),
        (EVERYWHERE, [("cookie", f"__Host-session={OTHER}"), *IN_COOKIE], {}, TWO),
        (EVERYWHERE, [], {"query_string": f"access_token={GOOD}&access_token=".encode()}, TWO),
    ],
)
def test_which_token_counts(
    sources: tuple[bearer.Source, ...] | None,
    headers: list[tuple[str, str]],
    others: dict[str, object],
    reason: str | None,
) -> None:
    options: dict[str, Any] = {} if sources is None else {"sources": sources}
    auth = JWT(SECRET, algorithms=["HS256"], clock=lambda: NOW, **options)
    with passes(reason):
        assert auth.authenticate(scope(*headers, **others), Claims).subject == "ada"


def test_a_source_of_one_s_own() -> None:
    def own(handshake: bearer.Scope) -> list[str]:
        return [value.decode() for key, value in handshake["headers"] if key == b"x-token"]

    auth = JWT(SECRET, algorithms=["HS256"], clock=lambda: NOW, sources=[own])
    assert auth.authenticate(scope(("x-token", GOOD)), Claims).subject == "ada"
