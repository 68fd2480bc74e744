"""Tokens as issuers sign them, and as attackers write them."""

import base64
import hashlib
import hmac
import json
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import fastws.app
from fastws.app import bearer

NOW = 1_700_000_000.0
SECRET = b"0123456789abcdef0123456789abcdef"
PRIVATE: dict[str, Any] = {
    "RSA": rsa.generate_private_key(65537, 2048),
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "Ed448": ed448.Ed448PrivateKey.generate(),
}
KEY_OF = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "ES256K": "secp256k1",
    "EdDSA": "Ed25519",
}
INNER_FILES = {str(path) for path in Path(fastws.app.__file__).parent.glob("*.py")}


class Claims(msgspec.Struct):
    """What the tests' apps ask of a token."""

    sub: str
    role: Literal["member", "admin"] = "member"


def pem(name: str) -> bytes:
    """Gives a public key in PEM."""
    key: bytes = (
        PRIVATE[name].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return key


def jwk(name: str, **members: Any) -> dict[str, Any]:
    """Gives a public key as a JWK."""
    family = jwt.get_algorithm_by_name("RS256" if name == "RSA" else "ES256")
    if name.startswith("Ed"):
        family = jwt.get_algorithm_by_name("EdDSA")
    found = dict(family.to_jwk(PRIVATE[name].public_key(), as_dict=True))
    found.pop("key_ops", None)
    return found | members


def claims(**changes: Any) -> dict[str, Any]:
    """Gives the claims of a good token, with changes; None leaves one out."""
    found = {"sub": "ada", "exp": NOW + 60, **changes}
    return {name: value for name, value in found.items() if value is not None}


def signed(key: Any = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    """Gives a token as an issuer makes it."""
    return jwt.encode(claims(**changes), key, algorithm)


def encoded(content: bytes) -> str:
    """Gives base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def forged(
    header: dict[str, Any] | bytes,
    payload: dict[str, Any] | bytes | None = None,
    secret: bytes = SECRET,
    signature: bytes | None = None,
) -> str:
    """Gives a token of any header and payload: signed with a secret, or with these bytes."""
    parts = [
        encoded(part if isinstance(part, bytes) else json.dumps(part).encode())
        for part in (header, claims() if payload is None else payload)
    ]
    if signature is None:
        signature = hmac.digest(secret, ".".join(parts).encode(), hashlib.sha256)
    return ".".join([*parts, encoded(signature)])


def scope(*headers: tuple[str, str], **others: Any) -> bearer.Scope:
    """Gives an ASGI scope."""
    encoded_headers = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "websocket", "headers": encoded_headers, "query_string": b"", **others}


def assert_silent(error: BaseException, token: str) -> None:
    """Asserts that an exception holds no part of a token, wherever one may look for it."""
    assert error.__cause__ is None
    assert error.__context__ is None
    texts = [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
    frame: TracebackType | None = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename in INNER_FILES:
            texts.append(repr(frame.tb_frame.f_locals))
        frame = frame.tb_next
    pieces = {token[at : at + 10] for at in range(min(len(token) - 9, 2000))}
    for text in texts:
        assert not [piece for piece in pieces if piece in text]
