"""Headers and cookies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastws.app.headers import Headers, parse_cookies

HEADERS = Headers(
    [(b"host", b"example.com"), (b"X-Twice", b"a"), (b"x-twice", b"b"), (b"x-latin", b"caf\xe9")]
)


def test_names_are_found_in_any_case() -> None:
    assert HEADERS["Host"] == HEADERS["HOST"] == "example.com"
    assert "hOsT" in HEADERS
    assert "x-TWICE" in HEADERS
    assert "cookie" not in HEADERS
    assert b"host" not in HEADERS  # type: ignore[comparison-overlap]


def test_of_several_values_the_first_is_given_and_all() -> None:
    assert HEADERS["x-twice"] == "a"
    assert HEADERS.get_all("X-Twice") == ["a", "b"]
    assert HEADERS.get_all("cookie") == []
    HEADERS.get_all("x-twice").append("c")
    assert HEADERS.get_all("x-twice") == ["a", "b"]


def test_what_is_not_there() -> None:
    assert HEADERS.get("cookie") is None
    assert HEADERS.get("cookie", "") == ""
    assert HEADERS.get("Host", "") == "example.com"
    with pytest.raises(KeyError):
        HEADERS["cookie"]


def test_headers_are_a_mapping() -> None:
    assert list(HEADERS) == ["host", "x-twice", "x-latin"]
    assert len(HEADERS) == 3
    assert dict(HEADERS) == {"host": "example.com", "x-twice": "a", "x-latin": "caf\u00e9"}


@pytest.mark.parametrize(
    "name",
    ["authorization", "Authorization", "cookie", "proxy-authorization", "sec-websocket-protocol"],
)
def test_secrets_are_not_shown(name: str) -> None:
    shown = repr(Headers([(name.encode(), b"quokka"), (b"host", b"example.com")]))
    assert "quokka" not in shown
    assert name.lower() in shown
    assert "example.com" in shown


def test_control_characters_are_not_shown() -> None:
    assert repr(Headers([(b"a\x1b", b"\x1b[31m\r\n\x85")])).isprintable()


@pytest.mark.parametrize(
    ("header", "cookies"),
    [
        (b"", {}),
        (b"a=1", {"a": "1"}),
        (b"a=1; b=2", {"a": "1", "b": "2"}),
        (b"a=1;b=2;", {"a": "1", "b": "2"}),
        (b" a =\t1 ;; ; b= ", {"a": "1", "b": ""}),
        (b"a=1=2", {"a": "1=2"}),
        (b'a="1 2"; b="; c="', {"a": "1 2", "b": '"', "c": '"'}),
        (b'a=""; b="x', {"a": "", "b": '"x'}),
        (b"a=%3D; b=\\073", {"a": "%3D", "b": "\\073"}),
        (b"a=\xe9", {"a": "\u00e9"}),
        # The first is that with the longest path.
        (b"a=1; a=2", {"a": "1"}),
        # A cookie without a name, or with another name, is not that of the server.
        (b"a", {}),
        (b"=a=1", {}),
        (b"=__Host-a=1; __Host-a=2", {"__Host-a": "2"}),
        (b"\x85__Host-a=1; __Host-a=2", {"\x85__Host-a": "1", "__Host-a": "2"}),
        (b"\xa0a=1; a=2", {"\xa0a": "1", "a": "2"}),
        (b"__%48ost-a=1; __Host-a=2", {"__%48ost-a": "1", "__Host-a": "2"}),
        (b'"a"=1; a=2', {'"a"': "1", "a": "2"}),
        # Quotes hide no semicolon, and there is no RFC 2965.
        (
            b'$Version=1; a="x; b=secret; c=y"',
            {"$Version": "1", "a": '"x', "b": "secret", "c": 'y"'},
        ),
        (b"a=1, b=2", {"a": "1, b=2"}),
    ],
)
def test_cookies(header: bytes, cookies: dict[str, str]) -> None:
    assert parse_cookies(Headers([(b"cookie", header)])) == cookies


def test_cookies_come_from_all_their_headers() -> None:
    headers = Headers([(b"cookie", b"a=1"), (b"host", b"x"), (b"Cookie", b"a=2; b=3")])
    assert parse_cookies(headers) == {"a": "1", "b": "3"}
    assert parse_cookies(Headers([])) == {}


TOKENS = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1)
OCTETS = st.text("abc019!#$%&'()*+-./:<=>?@[]^_`{|}~")


@given(st.dictionaries(TOKENS, OCTETS))
def test_cookies_of_the_grammar_are_read(cookies: dict[str, str]) -> None:
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    assert parse_cookies(Headers([(b"cookie", header.encode())])) == cookies
