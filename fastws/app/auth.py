"""Who is there: JSON Web Tokens (RFC 7519), checked before the accept and renewed in band.

    auth = JWT(SECRET, algorithms=["HS256"])

    class Claims(msgspec.Struct):
        sub: str
        role: Literal["member", "admin"] = "member"

    claims = auth(ws, Claims)              # 401 or 403 before the accept; 4401 when it expires
    claims = auth.refresh(ws, token, Claims)       # a new token, from a message

What a token must say beyond being valid is what the struct asks for. What a refusal says is
one of a few fixed sentences: no part of a token gets into a response, an exception or a log.
"""

import base64
import math
import re
import time
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Annotated, Any, Generic, Protocol, Self, TypeVar

import msgspec

from fastws.app import bearer
from fastws.app.faults import explain, paths
from fastws.app.keys import ASYMMETRIC, JWKS, SYMMETRIC, Keys, OneKey, signed_payload
from fastws.closing import CloseCode
from fastws.errors import HandshakeError, ProtocolError

C = TypeVar("C")

_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN = 400, 401, 403

# As much as proxies let pass in one header by default (nginx: large_client_header_buffers).
MAX_TOKEN_SIZE = 8 * 1024

# RFC 7515 section 7.1, the compact serialization: three parts in base64url without padding.
# A JWE (RFC 7516) has five.
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# Seconds since 1970 (RFC 7519 section 2); with a bound, so that a timer can be set.
Instant = Annotated[float, msgspec.Meta(ge=0, le=253402300799)]


class Verified(msgspec.Struct, Generic[C], frozen=True):
    """What a valid token says.

    Attributes:
        claims: the payload, as the struct that was asked for.
        expires_at: when to stop to believe it, in seconds since 1970 (``exp`` and the leeway);
            None for a token without ``exp``.
        issuer: ``iss``.
        subject: ``sub``, who the token is about; unique within its issuer.
    """

    claims: C
    expires_at: float | None
    issuer: str | None
    subject: str | None


class _Header(msgspec.Struct):
    """What chooses the key (RFC 7515 section 4.1); PyJWT sees to the rest, such as ``crit``."""

    alg: str
    kid: str | None = None


class _Registered(msgspec.Struct):
    """The claims of RFC 7519 section 4.1 that are checked, and ``scope`` (RFC 8693)."""

    exp: Instant | None = None
    nbf: Instant | None = None
    iss: str | None = None
    sub: str | None = None
    aud: str | list[str] | None = None
    scope: Any = None


class _InvalidToken(Exception):
    """Why a token is not valid, in words for its owner."""


class Connection(Protocol):
    """What `JWT` needs of a WebSocket.

    Attributes:
        verified: what the token that is in force says; set by `JWT`.
    """

    verified: Verified[Any] | None

    @property
    def scope(self) -> bearer.Scope:
        """The ASGI scope."""

    def expire_at(self, when: float | None) -> None:
        """Closes the connection with 4401 at this time, unless it is called again before.

        Args:
            when: seconds since 1970; None for never.
        """


class JWT:
    """Checks tokens.

    Only the ``Authorization`` header and the subprotocol are looked at by default: a client
    sends them on purpose, and they are in no log. A cookie is sent by the browser whoever opens
    the WebSocket, and a query string is written into logs, so both are for who asks for them:
    ``sources=(bearer.header, bearer.subprotocol, bearer.cookie("__Host-session"))``.
    The first source that finds a token decides; two tokens in one source are refused.

    With a `JWKS`, ``async with`` loads the keys and keeps them fresh; an `App` does that.

    Args:
        key: a secret (str or bytes), a public key (PEM, or an object of ``cryptography``), or a
            `JWKS`.
        algorithms: those that a token may be signed with (RFC 7518 section 3.1, RFC 8037).
        audience: who we are; a token must name one of these in ``aud``. None refuses a token
            that is for somebody (RFC 7519 section 4.1.3).
        issuer: whose tokens are believed: one of these must be in ``iss``. None asks nothing.
        leeway: seconds by which clocks may differ.
        require: claims that a token must have: ``exp``, ``nbf``, ``iss``, ``sub`` or ``aud``.
            Without ``exp`` in it, tokens may be valid for ever.
        sources: where to look for a token, in this order.
        clock: gives the seconds since 1970.

    Raises:
        ValueError: there are no algorithms, or some that do not go together or not with the
            key, or the key is too short to be safe, or an option would check nothing.
    """

    def __init__(
        self,
        key: Any,
        *,
        algorithms: Sequence[str],
        audience: str | Collection[str] | None = None,
        issuer: str | Collection[str] | None = None,
        leeway: float = 0.0,
        require: Collection[str] = ("exp",),
        sources: Sequence[bearer.Source] = (bearer.header, bearer.subprotocol),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._algorithms = _checked_algorithms(algorithms)
        if isinstance(key, JWKS) and self._algorithms & SYMMETRIC:
            raise ValueError("a JWKS has public keys, which are no secrets for HS algorithms")
        self._keys: Keys = key if isinstance(key, JWKS) else OneKey(key, self._algorithms)
        self._audience = _names(audience)
        self._issuers = _names(issuer)
        if not 0 <= leeway < math.inf:
            raise ValueError("leeway must be a finite number of seconds from 0 on")
        self._leeway = leeway
        self._require = frozenset(require)
        if not self._require <= {"exp", "nbf", "iss", "sub", "aud"}:
            raise ValueError("require has claims that only a struct can ask for")
        self._sources = tuple(sources)
        self._clock = clock

    async def __aenter__(self) -> Self:
        """Loads the keys of a `JWKS`.

        Raises:
            OSError: they cannot be read.
            ValueError: they are not a JWK Set, or no key in it can be used.
        """
        if isinstance(self._keys, JWKS):
            await self._keys.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(self._keys, JWKS):
            await self._keys.__aexit__(kind, error, traceback)

    def __call__(self, ws: Connection, kind: type[C], *, scopes: Collection[str] = ()) -> C:
        """Lets a connection pass until its token expires.

        Args:
            ws: the connection, not yet accepted.
            kind: what the claims have to fit: a msgspec struct, or ``dict``.
            scopes: what the claim ``scope`` must hold.

        Returns:
            The claims.

        Raises:
            HandshakeError: as `authenticate`.
        """
        ws.verified = verified = self.authenticate(ws.scope, kind, scopes=scopes)
        ws.expire_at(verified.expires_at)
        return verified.claims

    def refresh(
        self, ws: Connection, token: str, kind: type[C], *, scopes: Collection[str] = ()
    ) -> C:
        """Goes on with a new token, which came in a message; a bad one changes nothing.

        Returns:
            The new claims.

        Raises:
            ProtocolError: 4401, the token is not valid, or somebody else's than the connection
                is; 1008, it lacks claims or a scope. Not caught, it ends the connection.
            RuntimeError: the connection never had a token.
        """
        before = ws.verified
        if before is None:
            raise RuntimeError("refresh() follows auth(ws, Claims)")
        outcome = self._check(token, kind, scopes)
        del token
        if isinstance(outcome, HandshakeError):
            stale = outcome.status == _UNAUTHORIZED
            code = CloseCode.TOKEN_EXPIRED if stale else CloseCode.POLICY_VIOLATION
            raise ProtocolError(code, outcome.reason)
        # Rooms and limits hang on who this is.
        if (outcome.issuer, outcome.subject) != (before.issuer, before.subject):
            raise ProtocolError(CloseCode.TOKEN_EXPIRED, "the token is for another subject")
        ws.verified = outcome
        ws.expire_at(outcome.expires_at)
        return outcome.claims

    def authenticate(
        self, scope: bearer.Scope, kind: type[C], *, scopes: Collection[str] = ()
    ) -> Verified[C]:
        """Finds the token in an ASGI scope and verifies it; its expiry is the caller's to mind.

        Raises:
            HandshakeError: 401, there is no token; 400, there are two; or as `verify`.
        """
        found = next((tokens for source in self._sources if (tokens := source(scope))), [])
        if not found:
            # RFC 6750 section 3.1: no error code for who did not try.
            raise _refusal(_UNAUTHORIZED, "a bearer token is required")
        if len(found) > 1:
            raise _refusal(_BAD_REQUEST, "there is more than one token", "invalid_request")
        return self.verify(found[0], kind, scopes=scopes)

    def verify(self, token: str, kind: type[C], *, scopes: Collection[str] = ()) -> Verified[C]:
        """Verifies a token, wherever it came from.

        Args:
            token: a JWT in its compact form.
            kind: what the claims have to fit: a msgspec struct, or ``dict``.
            scopes: what the claim ``scope`` must hold (RFC 8693 section 4.2).

        Raises:
            HandshakeError: 401, the token is not valid now, not for us, or not a token; 403, it
                is valid, but a scope is missing, or its claims do not fit; then ``code`` and
                ``path`` in the fields say how (see `Fault`).
        """
        outcome = self._check(token, kind, scopes)
        # What logs the locals of a traceback's frames finds no token in them.
        del token
        if isinstance(outcome, HandshakeError):
            raise outcome
        return outcome

    def _check(
        self, token: str, kind: type[C], scopes: Collection[str]
    ) -> "Verified[C] | HandshakeError":
        try:
            payload = self._payload(token)
            registered = _registered(payload)
            self._check_registered(registered)
        except _InvalidToken as invalid:
            description = str(invalid)
        else:
            return self._fit(payload, registered, kind, scopes)
        # Made outside the block: an exception raised in it would keep the token's in its context.
        return _refusal(_UNAUTHORIZED, description, "invalid_token")

    def _payload(self, token: str) -> bytes:
        # An app may hand over what it found in an untyped message.
        if not isinstance(token, str) or len(token) > MAX_TOKEN_SIZE:
            raise _InvalidToken("the token is too large, or none")
        parts = _COMPACT.fullmatch(token)
        if parts is None:
            raise _InvalidToken("the token is malformed")
        try:
            header = _HEADER.decode(_decoded(parts[1]))
        except _UNREADABLE:
            raise _InvalidToken("the token is malformed") from None
        if header.alg not in self._algorithms:
            raise _InvalidToken("the token's algorithm is not allowed")
        key = self._keys.find(header.kid, header.alg)
        if key is None:
            raise _InvalidToken("the token's key is not known")
        payload = signed_payload(token, key, header.alg)
        if payload is None:
            raise _InvalidToken("the token's signature or header is not valid")
        return payload

    def _check_registered(self, claims: "_Registered") -> None:
        """Checks the claims of RFC 7519 section 4.1."""
        for name in self._require:
            if getattr(claims, name) is None:
                raise _InvalidToken(f"the token has no {name}")
        now = self._clock()
        if claims.exp is not None and now >= claims.exp + self._leeway:
            raise _InvalidToken("the token has expired")
        if claims.nbf is not None and now < claims.nbf - self._leeway:
            raise _InvalidToken("the token is not valid yet")
        if self._issuers and claims.iss not in self._issuers:
            raise _InvalidToken("the token's issuer is not ours")
        audience = {claims.aud} if isinstance(claims.aud, str) else set(claims.aud or ())
        if self._audience.isdisjoint(audience) and (self._audience or claims.aud is not None):
            raise _InvalidToken("the token is for another audience")

    def _fit(
        self, payload: bytes, registered: "_Registered", kind: type[C], scopes: Collection[str]
    ) -> "Verified[C] | HandshakeError":
        if not _granted(registered.scope).issuperset(scopes):
            return _refusal(_FORBIDDEN, "the token lacks a scope", "insufficient_scope", scopes)
        try:
            claims = msgspec.json.decode(payload, type=kind)
        except _UNREADABLE as error:
            fault = explain(error, paths(kind))
        else:
            expires_at = None if registered.exp is None else registered.exp + self._leeway
            return Verified(claims, expires_at, registered.iss, registered.sub)
        refusal = _refusal(_FORBIDDEN, "the token's claims do not fit", "insufficient_scope")
        refusal.fields = {"code": fault.code, "path": fault.path}
        return refusal


def _checked_algorithms(names: Sequence[str]) -> frozenset[str]:
    if isinstance(names, str) or not names:
        raise ValueError('algorithms is a list of at least one name, such as ["HS256"]')
    known = SYMMETRIC | ASYMMETRIC
    if unknown := sorted(set(names) - known):
        raise ValueError(f"unknown algorithms: {unknown}; there are {sorted(known)}")
    # RFC 8725 section 2.1: with both, a public key that everybody has can sign as a secret.
    if SYMMETRIC.intersection(names) and ASYMMETRIC.intersection(names):
        raise ValueError("algorithms with a secret (HS) and with a public key do not mix")
    return frozenset(names)


def _names(given: str | Collection[str] | None) -> frozenset[str]:
    """Gives the accepted values of a claim.

    Raises:
        ValueError: none would be, which is not what leaving it out means.
    """
    if given is None:
        return frozenset()
    names = frozenset({given} if isinstance(given, str) else given)
    if not names or "" in names:
        raise ValueError("an audience or an issuer is empty")
    return names


def _decoded(part: str) -> bytes:
    """Decodes base64url (RFC 7515 section 2).

    Raises:
        ValueError: so many characters cannot be.
    """
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _registered(payload: bytes) -> _Registered:
    try:
        return _REGISTERED.decode(payload)
    except _UNREADABLE:
        raise _InvalidToken("the token's registered claims are malformed") from None


def _granted(scope: Any) -> set[str]:
    """Gives the scopes of a token: by RFC 8693 in one string, by some issuers a list."""
    if isinstance(scope, str):
        return set(scope.split(" "))
    return {name for name in scope if isinstance(name, str)} if isinstance(scope, list) else set()


def _refusal(
    status: int, description: str, error: str = "", scopes: Collection[str] = ()
) -> HandshakeError:
    """Makes a refusal with its challenge, RFC 6750 section 3."""
    challenge = 'Bearer realm="websocket"'
    if error:
        challenge += f', error="{error}", error_description="{description}"'
    if scopes:
        challenge += f', scope="{" ".join(scopes)}"'
    return HandshakeError(status, description, ((b"www-authenticate", challenge.encode()),))


_HEADER = msgspec.json.Decoder(_Header)
_REGISTERED = msgspec.json.Decoder(_Registered)
# binascii.Error and UnicodeDecodeError are ValueErrors.
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
