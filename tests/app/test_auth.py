"""`JWT`: what it takes, what it refuses and how, and the renewal in band."""

import time
from contextlib import suppress
from typing import Annotated, Any, Literal

import msgspec
import pytest

from fastws.app import bearer
from fastws.app.auth import JWT, MAX_TOKEN_SIZE, Verified
from fastws.errors import HandshakeError, ProtocolError
from tests.app.tokens import (
    KEY_OF,
    NOW,
    PRIVATE,
    SECRET,
    Claims,
    assert_silent,
    claims,
    forged,
    pem,
    scope,
    signed,
)


def make(key: Any = SECRET, *algorithms: str, **options: Any) -> JWT:
    """Gives a `JWT` whose clock stands still."""
    return JWT(key, algorithms=algorithms or ["HS256"], **{"clock": lambda: NOW, **options})


def refused(auth: JWT, token: str, kind: type = Claims, **options: Any) -> HandshakeError:
    """Asserts that a token is refused, and that nothing tells what it is."""
    with pytest.raises(HandshakeError) as caught:
        auth.verify(token, kind, **options)
    assert_silent(caught.value, token)
    return caught.value


class Socket:
    """A connection as `JWT` sees it."""

    def __init__(self, *headers: tuple[str, str], **others: Any) -> None:
        self.scope = scope(*headers, **others)
        self.verified: Verified[Any] | None = None
        self.ends: list[float | None] = []

    def expire_at(self, when: float | None) -> None:
        """Keeps the time."""
        self.ends.append(when)


def authorized(token: str) -> Socket:
    return Socket(("authorization", f"Bearer {token}"))


# What it takes


@pytest.mark.parametrize("algorithm", sorted(KEY_OF))
def test_a_token_of_every_public_key_algorithm(algorithm: str) -> None:
    name = KEY_OF[algorithm]
    token = signed(PRIVATE[name], algorithm)
    for key in pem(name), pem(name).decode(), PRIVATE[name].public_key(), PRIVATE[name]:
        assert make(key, algorithm).verify(token, Claims).claims == Claims("ada")


def test_ed448_is_eddsa_too() -> None:
    token = signed(PRIVATE["Ed448"], "EdDSA")
    assert make(pem("Ed448"), "EdDSA").verify(token, Claims).subject == "ada"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_token_of_every_secret_algorithm(algorithm: str) -> None:
    secret = "käse" * 16
    assert make(secret, algorithm).verify(signed(secret, algorithm), dict).claims == claims()


def test_what_a_token_says() -> None:
    token = signed(iss="https://us", role="admin", exp=NOW + 9, iat=NOW + 1000)
    verified = make(leeway=2.5).verify(token, Claims)
    assert verified == Verified(Claims("ada", "admin"), NOW + 11.5, "https://us", "ada")


def test_a_signature_with_one_of_several_algorithms() -> None:
    auth = make(pem("RSA"), "RS256", "PS256")
    for algorithm in "RS256", "PS256":
        assert auth.verify(signed(PRIVATE["RSA"], algorithm), Claims).claims.sub == "ada"
    assert refused(auth, signed(PRIVATE["RSA"], "RS384")).status == 401


def test_the_time_is_the_system_s_by_default() -> None:
    auth = JWT(SECRET, algorithms=["HS256"])
    assert auth.verify(signed(exp=time.time() + 60), Claims).claims.sub == "ada"
    assert refused(auth, signed(exp=time.time() - 60)).status == 401


@pytest.mark.parametrize(
    ("leeway", "claim", "offset", "good"),
    [
        (0.0, "exp", 1, True),
        (0.0, "exp", 0.25, True),
        (0.0, "exp", 0, False),  # RFC 7519 section 4.1.4: on or after it, no longer
        (0.0, "exp", -1, False),
        (10.0, "exp", -9, True),
        (10.0, "exp", -10, False),
        (10.0, "exp", -11, False),
        (0.0, "nbf", 0, True),
        (0.0, "nbf", 1, False),
        (10.0, "nbf", 10, True),
        (10.0, "nbf", 11, False),
    ],
)
def test_the_bounds_of_time(leeway: float, claim: str, offset: float, good: bool) -> None:
    auth = make(leeway=leeway)
    changes: dict[str, Any] = {claim: NOW + offset}
    token = signed(**changes)
    if good:
        assert auth.verify(token, Claims).claims.sub == "ada"
    else:
        text = {"exp": "the token has expired", "nbf": "the token is not valid yet"}[claim]
        assert refused(auth, token).reason == text


@pytest.mark.parametrize(
    ("audience", "aud", "good"),
    [
        (None, None, True),
        (None, "chat", False),  # for somebody, and we do not know to be that
        (None, [], False),
        ("chat", None, False),
        ("chat", "chat", True),
        ("chat", ["shop", "chat"], True),
        (["chat", "talk"], ["shop", "talk"], True),
        ("chat", "chat2", False),
        ("chat", "Chat", False),
        ("chat", "cha", False),
        ("chat", ["shop"], False),
        ("chat", [], False),
        ("chat", ["chat", 7], False),
        ("chat", {"chat": 1}, False),
        ("chat", "chat,shop", False),
    ],
)
def test_the_audience(audience: Any, aud: Any, good: bool) -> None:
    auth = make(audience=audience)
    token = forged({"alg": "HS256"}, claims(aud=aud))
    if good:
        assert auth.verify(token, Claims).claims.sub == "ada"
    else:
        assert refused(auth, token).status == 401


@pytest.mark.parametrize(
    ("issuer", "iss", "good"),
    [
        (None, "https://anybody", True),
        ("https://us", "https://us", True),
        (["https://us", "https://them"], "https://them", True),
        ("https://us", None, False),
        ("https://us", "https://u", False),  # PyJWT's GHSA-75c5-xw7c-p5pm: a part of it passed
        ("https://us", "", False),
        ("https://us", "https://us/", False),
        ("https://us", ["https://us"], False),
    ],
)
def test_the_issuer(issuer: Any, iss: Any, good: bool) -> None:
    auth = make(issuer=issuer)
    token = forged({"alg": "HS256"}, claims(iss=iss))
    if good:
        assert auth.verify(token, Claims).claims.sub == "ada"
    else:
        assert refused(auth, token).status == 401


def test_claims_that_must_be_there() -> None:
    auth = make(require=("exp", "nbf", "iss", "sub"))
    everything: dict[str, Any] = {"nbf": NOW, "iss": "https://us"}
    assert auth.verify(signed(**everything), Claims).claims.sub == "ada"
    for name in "exp", "nbf", "iss", "sub":
        token = signed(**everything | {name: None})
        assert refused(auth, token).reason == f"the token has no {name}"


def test_exp_can_be_left_out_only_by_choice() -> None:
    assert refused(make(), signed(exp=None)).reason == "the token has no exp"
    assert make(require=()).verify(signed(exp=None), Claims).expires_at is None


def test_a_token_at_the_limit_of_size() -> None:
    auth = make()
    short = signed(sub="")
    room = (MAX_TOKEN_SIZE - len(short)) * 3 // 4
    token = signed(sub="x" * room)
    longer = signed(sub="x" * (room + 2))
    assert len(token) <= MAX_TOKEN_SIZE < len(longer)
    assert auth.verify(token, Claims).claims.sub == "x" * room
    assert refused(auth, longer).reason == "the token is too large, or none"


# What is refused with 403


class Precise(msgspec.Struct, forbid_unknown_fields=True):
    """Claims with everything about which msgspec would repeat a value."""

    sub: str
    exp: float
    role: Literal["member", "admin"] = "member"
    age: Annotated[int, msgspec.Meta(ge=18)] = 18
    groups: list[int] = msgspec.field(default_factory=list)
    limits: dict[str, int] = msgspec.field(default_factory=dict)


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"sub": None}, "missing_field", "$.sub"),
        ({"role": "classified"}, "invalid_value", "$.role"),
        ({"age": 17}, "invalid_value", "$.age"),
        ({"groups": [1, "classified"]}, "wrong_type", "$.groups[1]"),
        ({"limits": {"classified": "a"}}, "wrong_type", "$.limits[...]"),
        ({"classified": 1}, "unknown_field", "$"),
    ],
)
def test_claims_that_do_not_fit(changes: dict[str, Any], code: str, path: str) -> None:
    error = refused(make(), signed(**changes), Precise)
    assert (error.status, error.reason) == (403, "the token's claims do not fit")
    assert error.fields == {"code": code, "path": path}
    assert error.headers == (
        (
            b"www-authenticate",
            b'Bearer realm="websocket", error="insufficient_scope", '
            b'error_description="the token\'s claims do not fit"',
        ),
    )
    assert "classified" not in repr(vars(error))


def test_claims_that_are_not_unicode() -> None:
    token = forged({"alg": "HS256"}, b'{"sub":"ada","exp":1800000000,"role":"\xff"}')
    assert refused(make(), token).status in {401, 403}


@pytest.mark.parametrize(
    ("granted", "good"),
    [
        ("chat:read chat:write", True),
        (["chat:write", "chat:read"], True),
        ("chat:read", False),
        ("chat:read chat:writer", False),
        ("", False),
        (None, False),
        ({"chat:read": 1, "chat:write": 1}, False),
        (["chat:read", ["chat:write"]], False),
        (7, False),
    ],
)
def test_scopes(granted: Any, good: bool) -> None:
    needed = ("chat:read", "chat:write")
    token = signed(scope=granted)
    if good:
        assert make().verify(token, Claims, scopes=needed).claims.sub == "ada"
        return
    error = refused(make(), token, scopes=needed)
    assert error.status == 403
    assert error.headers[0][1].endswith(
        b'error="insufficient_scope", error_description="the token lacks a scope", '
        b'scope="chat:read chat:write"'
    )


# How it is refused


def test_the_challenges() -> None:
    """RFC 6750 section 3: always a parameter, and no error for who brought no token."""
    auth = make()
    cases: list[tuple[bearer.Scope, int, bytes]] = [
        (scope(), 401, b'Bearer realm="websocket"'),
        (
            scope(("authorization", f"Bearer {signed(exp=NOW)}")),
            401,
            b'Bearer realm="websocket", error="invalid_token", '
            b'error_description="the token has expired"',
        ),
        (
            scope(*[("authorization", f"Bearer {signed()}")] * 2),
            400,
            b'Bearer realm="websocket", error="invalid_request", '
            b'error_description="there is more than one token"',
        ),
    ]
    for request, status, challenge in cases:
        with pytest.raises(HandshakeError) as caught:
            auth.authenticate(request, Claims)
        assert caught.value.status == status
        assert caught.value.headers == ((b"www-authenticate", challenge),)
        assert not caught.value.__context__


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    auth = make()
    for token in signed(), signed(exp=NOW), "x.y.z", "":
        with suppress(HandshakeError):
            auth.authenticate(authorized(token).scope, Claims)
    assert caplog.records == []


# A connection


def test_a_connection_has_the_claims_until_they_expire() -> None:
    ws = authorized(signed(exp=NOW + 30))
    found = make(leeway=5)(ws, Claims)
    assert found == Claims("ada")
    assert ws.verified == Verified(Claims("ada"), NOW + 35, None, "ada")
    assert ws.ends == [NOW + 35]


def test_a_connection_without_exp_does_not_end() -> None:
    ws = authorized(signed(exp=None))
    make(require=())(ws, Claims)
    assert ws.ends == [None]


def test_a_refused_connection_is_as_it_was() -> None:
    ws = authorized(signed(exp=NOW))
    with pytest.raises(HandshakeError):
        make()(ws, Claims)
    assert ws.verified is None
    assert ws.ends == []


def test_a_new_token_takes_the_place_of_the_old_one() -> None:
    auth, ws = make(), authorized(signed())
    auth(ws, Claims)
    assert auth.refresh(ws, signed(exp=NOW + 90, role="admin"), Claims) == Claims("ada", "admin")
    assert ws.verified == Verified(Claims("ada", "admin"), NOW + 90, None, "ada")
    assert ws.ends == [NOW + 60, NOW + 90]


@pytest.mark.parametrize(
    ("token", "code", "reason"),
    [
        (signed(exp=NOW), 4401, "the token has expired"),
        (signed(key=b"x" * 32), 4401, "the token's signature or header is not valid"),
        ("", 4401, "the token is malformed"),
        ("a" * 1_000_000, 4401, "the token is too large, or none"),
        (None, 4401, "the token is too large, or none"),
        (["a"], 4401, "the token is too large, or none"),
        (signed(sub="eve"), 4401, "the token is for another subject"),
        (signed(sub=None), 4401, "the token is for another subject"),
        (signed(iss="https://else"), 4401, "the token is for another subject"),
        (signed(role="root"), 1008, "the token's claims do not fit"),
    ],
)
def test_a_bad_new_token_changes_nothing(token: Any, code: int, reason: str) -> None:
    auth, ws = make(), authorized(signed())
    auth(ws, Claims)
    before = ws.verified
    kind: Any = dict if token == signed(sub=None) else Claims
    with pytest.raises(ProtocolError) as caught:
        auth.refresh(ws, token, kind)
    assert (caught.value.code, caught.value.reason) == (code, reason)
    if isinstance(token, str):
        assert_silent(caught.value, token)
    assert ws.verified is before
    assert ws.ends == [NOW + 60]


def test_a_scope_that_a_new_token_lacks() -> None:
    auth, ws = make(), authorized(signed(scope="chat"))
    auth(ws, Claims, scopes=["chat"])
    with pytest.raises(ProtocolError, match="1008 the token lacks a scope"):
        auth.refresh(ws, signed(), Claims, scopes=["chat"])


def test_a_refresh_needs_something_to_refresh() -> None:
    with pytest.raises(RuntimeError, match="follows"):
        make().refresh(authorized(signed()), signed(), Claims)
