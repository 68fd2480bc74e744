"""Cross-site hijacking: which pages may use a browser's credentials."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastws.app.headers import Headers
from fastws.app.origin import OriginCheck
from fastws.errors import HandshakeError

COOKIE = (b"cookie", b"session=1")
OWN = OriginCheck()


def passes(
    check: OriginCheck,
    *origins: str | bytes,
    host: str = "example.com",
    scheme: str = "wss",
    credentials: tuple[bytes, bytes] | None = COOKIE,
) -> bool:
    raw = [(b"host", host.encode("latin-1")), *([credentials] if credentials else [])]
    for origin in origins:
        raw.append((b"origin", origin if isinstance(origin, bytes) else origin.encode()))
    try:
        check.check(Headers(raw), scheme)
    except HandshakeError as error:
        refusal = error
    else:
        return True
    assert refusal.status == 403
    assert refusal.reason.isascii()
    assert refusal.reason.isprintable()
    assert "evil" not in str(refusal)
    return False


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("https://example.com", "example.com", "wss"),
        ("http://example.com", "example.com", "ws"),
        ("https://example.com:443", "example.com", "wss"),
        ("https://example.com", "example.com:443", "wss"),
        ("http://example.com:80", "example.com", "ws"),
        ("http://localhost:8000", "localhost:8000", "ws"),
        ("https://example.com", "example.com", "https"),
        ("HTTPS://Example.COM", "eXample.com", "wss"),
        ("https://xn--bcher-kva.example", "xn--bcher-kva.example", "wss"),
        ("https://example.com.", "example.com.", "wss"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", "ws"),
        ("http://[::1]:8000", "[::1]:8000", "ws"),
        ("http://[0:0::1]", "[::1]", "ws"),
        ("http://localhost:65535", "localhost:65535", "ws"),
        ("http://web_1:8000", "web_1:8000", "ws"),
    ],
)
def test_pages_of_the_own_origin_pass(origin: str, host: str, scheme: str) -> None:
    assert passes(OWN, origin, host=host, scheme=scheme)


FOREIGN = [
    "https://evil.com",
    "https://example.com.evil.com",
    "https://evilexample.com",
    "https://evil-example.com",
    "https://sub.example.com",
    "https://com",
    "https://example",
    "https://example.com.",
    "https://.example.com",
    "https://example..com",
    "https://examp1e.com",
    "https://ex\u0430mple.com",
    "https://xn--exmple-4nf.com",
    "https://\uff45xample.com",
    "https://EXAMPLE.COM\u212a",
    "https://127.0.0.1",
    "http://example.com",
    "http://example.com:443",
    "https://example.com:80",
    "https://example.com:8443",
    "https://example.com:",
    "https://example.com:443:443",
    "https://example.com:65979",
    "https://example.com:000443",
    "https://example.com:\u0664\u0664\u0663",
    "https://example.com:+443",
    "https://example.com:443@evil.com",
    "https://example.com@evil.com",
    "https://evil.com@example.com",
    "https://user:password@example.com",
    "https://evil.com#example.com",
    "https://evil.com?example.com",
    "https://evil.com/example.com",
    "https://evil.com\\example.com",
    "https://evil.com\\@example.com",
    "https://evil.com%00example.com",
    "https://example.com%2eevil.com",
    "https://example.com/",
    "https://example.com/path",
    "https://example.com?",
    "https://example.com#",
    "https:/example.com",
    "https:example.com",
    "https//example.com",
    "//example.com",
    "example.com",
    "https://",
    "://example.com",
    "wss://example.com",
    "ws://example.com",
    "ftp://example.com",
    "file://",
    "file://example.com",
    "javascript://example.com",
    "data://example.com",
    "blob:https://example.com",
    "chrome-extension://example.com",
    "null",
    "NULL",
    "undefined",
    "",
    " ",
    "*",
    "https://*",
    "https://*.example.com",
    "https://evil.com https://example.com",
    "https://example.com https://evil.com",
    "https://example.com, https://evil.com",
    "https://example.com,https://example.com",
    "https://example.com;https://evil.com",
    " https://example.com",
    "https://example.com ",
    "https://example.com\t",
    "https://exa\tmple.com",
    "https://example.com\n",
    "https://example.com\r\nx: y",
    "https://example.com\x00",
    "https://example.com\x00.evil.com",
    "\x1b[31mhttps://example.com",
    "https://example.com\x7f",
    "https://example.com\u2028",
    "https://[::1]",
    "https://[example.com]",
    "https://[::1",
    "https://[::1]example.com",
    "https://[]",
    "https://[::ffff:1.2.3.4.5]",
    "https://[::1%25eth0]",
    "https://" + "a" * 100_000,
    "https://" + "a." * 50_000 + "example.com",
    "https://" + "[" * 100_000,
]


@pytest.mark.parametrize("origin", FOREIGN, ids=lambda origin: ascii(origin)[:50])
def test_other_pages_do_not(origin: str) -> None:
    """Neither for the own origin nor for one that is listed in the same words."""
    assert not passes(OWN, origin)
    listed = OriginCheck(["https://example.com"])
    assert not passes(listed, origin, host="other.com")
    assert not passes(listed, origin, host="other.com", credentials=None)
    assert passes(listed, "https://example.com", host="other.com")


def test_several_origins_do_not_pass_whatever_they_are() -> None:
    own = "https://example.com"
    assert not passes(OWN, own, own)
    assert not passes(OWN, own, "https://evil.com")
    assert not passes(OWN, "https://evil.com", own)
    assert not passes(OriginCheck([own]), own, own)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.com:",
        "example.com@evil.com",
        "evil.com/example.com",
        "a b",
        "example.com\t",
        "[::1",
        "[1:2]",
        "example.com:65536",
    ],
)
def test_a_host_that_is_none_is_nobodys_origin(host: str) -> None:
    assert not passes(OWN, "https://example.com", host=host)
    assert not passes(OWN, f"https://{host}", host=host)


def test_without_exactly_one_host_there_is_no_own_origin() -> None:
    origin = (b"origin", b"https://example.com")
    host = (b"host", b"example.com")
    OWN.check(Headers([origin, COOKIE, host]), "wss")
    for hosts in ([], [host, host]):
        with pytest.raises(HandshakeError):
            OWN.check(Headers([origin, COOKIE, *hosts]), "wss")


def test_addresses_that_differ_at_the_end_are_different() -> None:
    assert not passes(OWN, "https://[::2]", host="[::1]")


def test_that_the_origin_is_missing_is_said() -> None:
    with pytest.raises(HandshakeError) as caught:
        OWN.check(Headers([(b"host", b"example.com"), COOKIE]), "wss")
    assert caught.value.reason == "the Origin header is missing"


def test_a_missing_origin_with_cookies_is_refused_unless_allowed() -> None:
    assert not passes(OWN)
    assert not passes(OriginCheck(["https://example.com"]))
    lenient = OriginCheck(allow_missing=True)
    assert passes(lenient)
    assert not passes(lenient, "")
    assert not passes(lenient, "null")
    assert not passes(lenient, "https://evil.com")


@pytest.mark.parametrize(
    "credentials",
    [
        (b"cookie", b"a=1"),
        (b"Cookie", b""),
        (b"authorization", b"Basic dXNlcjpwYXNz"),
        (b"authorization", b"Digest username=x"),
        (b"authorization", b"Negotiate x"),
        (b"authorization", b"bearer"),
    ],
)
def test_what_browsers_add_is_checked(credentials: tuple[bytes, bytes]) -> None:
    assert not passes(OWN, "https://evil.com", credentials=credentials)
    assert not passes(OWN, credentials=credentials)
    assert passes(OWN, "https://example.com", credentials=credentials)


@pytest.mark.parametrize(
    "credentials", [None, (b"authorization", b"Bearer x.y.z"), (b"authorization", b"bearer x")]
)
def test_without_it_nothing_is_unless_origins_are_given(
    credentials: tuple[bytes, bytes] | None,
) -> None:
    for origin in ("https://evil.com", "null", ""):
        assert passes(OWN, origin, credentials=credentials)
        assert not passes(OriginCheck([]), origin, credentials=credentials)
    for check in (OWN, OriginCheck([])):
        assert passes(check, credentials=credentials)
        assert passes(check, "https://example.com", credentials=credentials)


def test_a_proxy_that_hides_tls_is_named_in_the_reason() -> None:
    headers = Headers([(b"host", b"example.com"), (b"origin", b"https://example.com"), COOKIE])
    with pytest.raises(HandshakeError, match="X-Forwarded-Proto") as caught:
        OWN.check(headers, "ws")
    assert caught.value.status == 403
    headers = Headers([(b"host", b"example.com"), (b"origin", b"https://evil.com"), COOKIE])
    for scheme in ("ws", "wss"):
        with pytest.raises(HandshakeError, match="of this origin are not allowed"):
            OWN.check(headers, scheme)


@pytest.mark.parametrize(
    ("allowed", "origin"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("HTTPS://App.Example.com:443", "https://app.example.com"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[0::1]:3000"),
        ("https://*.1.example", "https://app.1.example"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("https://*.example.com", "https://a.example.com"),
        ("https://*.example.com", "https://a.b.example.com:443"),
        ("https://*.Example.com:8443", "https://A.example.com:8443"),
    ],
)
def test_allowed_pages_pass(allowed: str, origin: str) -> None:
    check = OriginCheck(["https://first.example", allowed])
    assert passes(check, origin, host="api.example.org")
    assert passes(check, origin, host="api.example.org", credentials=None)
    assert passes(check, "https://api.example.org", host="api.example.org")


@pytest.mark.parametrize(
    ("allowed", "origin"),
    [
        ("https://app.example.com", "https://example.com"),
        ("https://app.example.com", "http://app.example.com"),
        ("https://app.example.com", "https://app.example.com:8443"),
        ("https://app.example.com", "https://x.app.example.com"),
        ("capacitor://localhost", "http://localhost"),
        ("capacitor://localhost", "capacitor://localhost:80"),
        ("https://*.example.com", "https://example.com"),
        ("https://*.example.com", "https://.example.com"),
        ("https://*.example.com", "https://*.example.com"),
        ("https://*.example.com", "http://a.example.com"),
        ("https://*.example.com", "https://a.example.com:8443"),
        ("https://*.example.com", "https://a.example.com."),
        ("https://*.example.com", "https://evilexample.com"),
        ("https://*.example.com", "https://a.example.com.evil.com"),
        ("https://*.example.com", "https://evil.com/a.example.com"),
        ("https://*.example.com", "https://evil.com#.example.com"),
        ("https://*.example.com", "https://evil.com\\.example.com"),
        ("https://*.example.com", "https://evil.com:443.example.com"),
        ("https://*.example.com", "https://user@a.example.com"),
        ("https://*.example.com", "https://" + "a." * 250 + "example.com"),
        ("https://*.example.com", "null"),
    ],
)
def test_what_only_looks_allowed_does_not(allowed: str, origin: str) -> None:
    assert not passes(OriginCheck([allowed]), origin, host="api.example.org")
    assert not passes(OriginCheck([allowed]), origin, host="api.example.org", credentials=None)


@pytest.mark.parametrize(
    "allowed",
    [
        "",
        "*",
        "null",
        "example.com",
        "https://*",
        "https://*.",
        "https://*.com",
        "https://*.com.",
        "https://*.com:443",
        "https://*.0.0.1",
        "https://*.[::1]",
        "https://a.*.example.com",
        "https://*.*.example.com",
        "https://*example.com",
        "*://example.com",
        "*://*.example.com",
        "https://example.com/",
        "https://example.com/path",
        "https://user@example.com",
        "https://example.com:99999",
        "https://b\u00fccher.example",
        "wss://example.com",
        "file://",
        "https://example.com https://example.org",
    ],
)
def test_what_would_allow_nobody_or_everybody_is_an_error(allowed: str) -> None:
    with pytest.raises(ValueError, match=r"origin|others"):
        OriginCheck([allowed])


def test_one_origin_is_no_list() -> None:
    with pytest.raises(TypeError):
        OriginCheck("https://example.com")


PIECES = st.sampled_from(
    ["https", "http", "://", "example", "com", "evil", "443", "80", "%2e", "a"]
) | st.sampled_from(":/.@#?\\*-[], \t\n\x00\u00e9\u3002")
ORIGINS = st.lists(PIECES, max_size=12).map("".join)
ALMOST = st.tuples(PIECES, st.integers(0, 23), st.booleans()).map(
    lambda t: "https://sub.example.com"[: t[1]] + t[0] + "https://sub.example.com"[t[1] + t[2] :]
)


@given(ORIGINS | ALMOST)
def test_what_passes_is_the_same_host_to_another_parser(origin: str) -> None:
    check = OriginCheck(["https://*.example.com"])
    if passes(check, origin) or passes(check, origin, credentials=None):
        parts = urlsplit(origin)
        assert (parts.scheme, parts.port or 443, parts.username) == ("https", 443, None)
        assert parts.hostname is not None
        assert f".{parts.hostname}".endswith(".example.com")
        assert origin.lower() == f"https://{parts.netloc}".lower()
