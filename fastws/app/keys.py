"""The keys that tokens are checked with: one, or a JWK Set (RFC 7517) that is kept fresh.

All that fastws asks of PyJWT is asked here: to load a key, and to check a signature.
"""

import asyncio
import logging
import os
import ssl as tls
import threading
from concurrent.futures import Future
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import msgspec

from fastws.app.fetching import cause_of, fetch, opener_for
from fastws.extras import need

need("jwt", "fastws.app.auth")

# Where cryptography is broken, PyJWT would do without it, and know no public keys.
import cryptography.exceptions  # noqa: E402, F401
import jwt  # noqa: E402

logger = logging.getLogger(__name__)

SYMMETRIC = frozenset({"HS256", "HS384", "HS512"})
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
# What a key of a type (RFC 7518 section 6.1, RFC 8037 section 2) and a curve can check.
_ALGORITHMS = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("EC", "secp256k1"): frozenset({"ES256K"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
    ("OKP", "Ed448"): frozenset({"EdDSA"}),
}
ASYMMETRIC = frozenset().union(*_ALGORITHMS.values())

MAX_SET_SIZE = 1024 * 1024

# RFC 7518 sections 3.2 and 3.3: a secret is at least as long as the hash, RSA has 2048 bits.
_jws = jwt.PyJWS(options={"verify_signature": True, "enforce_minimum_key_length": True})


class Keys(Protocol):
    """Where `JWT` finds the key for a token."""

    def find(self, kid: str | None, algorithm: str) -> Any | None:
        """Gives the key that a token names, if it is one for this algorithm."""


def signed_payload(token: str, key: Any, algorithm: str) -> bytes | None:
    """Gives the payload of a JWS (RFC 7515 section 5.2), or None if it is not signed so."""
    try:
        payload: bytes = _jws.decode(token, key, [algorithm])
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    return payload


class OneKey:
    """The same key for every token, whatever ``kid`` it names.

    Args:
        key: a secret, or a public key: PEM, an SSH line, or an object of ``cryptography``. Of a
            private key the public part is kept.
        algorithms: what it is used with.

    Raises:
        ValueError: the key is not one for each of these algorithms, or too short.
    """

    def __init__(self, key: Any, algorithms: frozenset[str]) -> None:
        # Without __context__, which would lead to the library's frames, and so to the key.
        faults = [fault for name in sorted(algorithms) if (fault := _fault(key, name))]
        if faults:
            raise ValueError(faults[0])
        self._keys = {name: _public(key, name) for name in algorithms}

    def find(self, kid: str | None, algorithm: str) -> Any | None:
        """Gives the key."""
        return self._keys.get(algorithm)


def _public(key: Any, algorithm: str) -> Any:
    prepared = _jws.get_algorithm_by_name(algorithm).prepare_key(key)
    return prepared.public_key() if hasattr(prepared, "public_key") else prepared


def _fault(key: Any, algorithm: str) -> str | None:
    """Says what is wrong with a key, without a part of it."""
    try:
        public = _public(key, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        if algorithm in SYMMETRIC:
            return f"{algorithm} takes a secret, as str or bytes, and no public or private key"
        return f"the key is not one for {algorithm}: PEM, or an object of cryptography"
    return _jws.get_algorithm_by_name(algorithm).check_key_length(public)


class _Listed(NamedTuple):
    """A key of a set, and what it may check."""

    algorithms: frozenset[str]
    key: Any


class _Set(msgspec.Struct):
    """A JWK Set, RFC 7517 section 5."""

    keys: list[Any]


class JWKS:
    """A JWK Set of public keys (RFC 7517), from a file or a URL, kept fresh by a thread.

        auth = JWT(JWKS("https://login.example/.well-known/jwks.json"), algorithms=["RS256"])

    An `App` with this `auth` does the rest. Elsewhere ``async with`` loads the keys and goes on
    refreshing them; or `load` does it once. A refresh that fails leaves the keys that there
    are, and one line in the log. A key that a token names and the set lacks brings the next
    refresh forward, but not nearer than `cooldown` to the last one; that token is refused.

    Secrets are not taken from a set, nor private keys, nor keys that say that they are for
    something else (``use``, ``key_ops``, ``alg``).

    Args:
        source: a path, or a URL: ``https``, on the loopback interface also ``http``. Redirects
            are not followed.
        refresh_interval: seconds from one refresh to the next.
        cooldown: the least number of seconds between two, and what follows a failed one.
        timeout: seconds for one request, from the connection to the last byte of the answer.
        ssl: the context for ``https`` instead of the system's certificates.

    Raises:
        ValueError: the URL cannot be used, or the times make no sense.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        refresh_interval: float = 300.0,
        cooldown: float = 30.0,
        timeout: float = 5.0,
        ssl: tls.SSLContext | None = None,
    ) -> None:
        if not 0 <= cooldown <= refresh_interval or timeout <= 0:
            raise ValueError("0 <= cooldown <= refresh_interval and timeout > 0 must hold")
        self._source = os.fspath(source)
        self._opener = opener_for(self._source, ssl) if "://" in self._source else None
        self._refresh_interval = refresh_interval
        self._cooldown = cooldown
        self._timeout = timeout
        self._content: bytes | None = None
        self._keys: dict[str | None, list[_Listed]] | None = None
        self._unknown = threading.Event()
        self._stopped = threading.Event()

    def find(self, kid: str | None, algorithm: str) -> Any | None:
        """Gives the key that a token names, if the set has it for this algorithm.

        A token without a ``kid`` gets the only key for its algorithm.

        Raises:
            RuntimeError: nothing has been loaded yet.
        """
        keys = self._keys  # the thread may replace it
        if keys is None:
            raise RuntimeError("no keys were loaded: enter the JWKS with `async with`, or load()")
        if kid is None:
            listed = [entry for entries in keys.values() for entry in entries]
        elif kid in keys:
            listed = keys[kid]
        else:
            self._unknown.set()
            return None
        fitting = [entry.key for entry in listed if algorithm in entry.algorithms]
        # Of two there is no telling which one is meant.
        return fitting[0] if len(fitting) == 1 else None

    def load(self) -> None:
        """Reads the set once, and blocks meanwhile.

        Raises:
            OSError: it cannot be read.
            ValueError: it is not a JWK Set, or no key in it can be used.
        """
        try:
            if self._opener is None:
                with Path(self._source).open("rb") as file:
                    content = file.read(MAX_SET_SIZE + 1)
            else:
                content = fetch(self._opener, self._source, self._timeout, MAX_SET_SIZE)
            if content != self._content:
                self._keys = _parse(content)
                self._content = content
        except (OSError, HTTPException) as error:
            raise OSError(f"no keys from {self._source}: {cause_of(error)}") from None
        except ValueError as error:
            raise ValueError(f"no keys from {self._source}: {error}") from None

    async def __aenter__(self) -> Self:
        """Loads the keys, and starts to refresh them.

        Raises:
            OSError: they cannot be read.
            ValueError: they are not a JWK Set, or no key in it can be used.
        """
        # Each run has its own: the thread of an earlier one may still wait for an answer.
        self._unknown = threading.Event()
        self._stopped = threading.Event()
        loaded: Future[None] = Future()
        # A daemon, and not asyncio's executor, for which the end of the process would wait.
        threading.Thread(
            target=self._keep_fresh,
            args=(loaded, self._stopped, self._unknown),
            name="fastws-jwks",
            daemon=True,
        ).start()
        try:
            await asyncio.wrap_future(loaded)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops refreshing; the keys stay."""
        self._stopped.set()
        self._unknown.set()

    def _keep_fresh(
        self, loaded: "Future[None]", stopped: threading.Event, unknown: threading.Event
    ) -> None:
        loaded.set_running_or_notify_cancel()  # from here on, who waits cannot cancel it
        try:
            self.load()
        except Exception as error:  # it is raised where it is awaited
            loaded.set_exception(error)
            return
        loaded.set_result(None)
        fresh = True
        while not stopped.wait(self._cooldown):
            if fresh:
                unknown.wait(self._refresh_interval - self._cooldown)
            if stopped.is_set():
                return
            unknown.clear()
            fresh = self._refresh()

    def _refresh(self) -> bool:
        try:
            self.load()
        except Exception as error:  # whatever it is, the next try may do better
            logger.warning("%s; the keys from before stay in use", error)
            return False
        return True


def _parse(content: bytes) -> dict[str | None, list[_Listed]]:
    """Gives the usable keys of a JWK Set by their ``kid``.

    Raises:
        ValueError: it is none, or too large, or has no usable keys.
    """
    if len(content) > MAX_SET_SIZE:
        raise ValueError(f"it is larger than {MAX_SET_SIZE} bytes")
    try:
        members = msgspec.json.decode(content, type=_Set).keys
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("it is not a JWK Set") from None
    keys: dict[str | None, list[_Listed]] = {}
    for number, member in enumerate(members):
        # RFC 7517 section 5: what is not understood is ignored; but not in silence.
        try:
            kid, listed = _read(member)
        except ValueError as error:
            logger.info("key %d of the JWK Set is ignored: %s", number, error)
        else:
            keys.setdefault(kid, []).append(listed)
    if not keys:
        raise ValueError("it has no usable public key")
    return keys


def _read(jwk: Any) -> tuple[str | None, _Listed]:
    """Gives the ``kid`` and the key of a JWK (RFC 7517 section 4).

    Raises:
        ValueError: it is not a public key for signatures.
    """
    if not isinstance(jwk, dict):
        raise ValueError("it is not an object")
    kty, kid, use, operations, alg = (
        jwk.get(name) for name in ("kty", "kid", "use", "key_ops", "alg")
    )
    if not (kid is None or isinstance(kid, str)):
        raise ValueError("its kid is not a string")
    curve = None if kty == "RSA" else jwk.get("crv")
    if not (isinstance(kty, str) and isinstance(curve, str | None)):
        raise ValueError("its type is not a string")
    algorithms = _ALGORITHMS.get((kty, curve), frozenset())
    if alg is not None:
        algorithms = frozenset(name for name in algorithms if name == alg)
    if not algorithms:
        raise ValueError("it is not for the algorithms that are known here")
    if use not in (None, "sig") or not (
        operations is None or (isinstance(operations, list) and "verify" in operations)
    ):
        raise ValueError("it is not for checking signatures")
    if "d" in jwk:
        raise ValueError("it is a private key, and should not be there")
    name = min(algorithms)
    try:
        key = jwt.PyJWK(jwk, name).key
    except Exception:  # whatever libraries say of it, the set's other keys are good
        raise ValueError("it is malformed, or not supported") from None
    if _fault(key, name):
        raise ValueError("it is too short")
    return kid, _Listed(algorithms, key)
