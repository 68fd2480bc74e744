"""`JWT`: keys and options that it does not take."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import fastws.app
from fastws.app.auth import JWT
from tests.app.tokens import PRIVATE, SECRET, jwk, pem


@pytest.mark.parametrize(
    ("key", "algorithms", "text"),
    [
        (SECRET, [], "at least one"),
        (SECRET, "HS256", "a list"),
        (SECRET, ["none"], "unknown"),
        (SECRET, ["NONE", "HS256"], "unknown"),
        (SECRET, [""], "unknown"),
        (SECRET, ["hs256"], "unknown"),
        (SECRET, ["HS256", "RS256"], "do not mix"),
        (pem("RSA"), ["HS256", "RS256"], "do not mix"),
        (pem("Ed25519"), ["EdDSA", "HS512"], "do not mix"),
        (b"", ["HS256"], "takes a secret"),
        (None, ["HS256"], "takes a secret"),
        (SECRET[:31], ["HS256"], "32 bytes"),
        (SECRET, ["HS256", "HS512"], "64 bytes"),
        (SECRET, ["RS256"], "not one for RS256"),
        (pem("RSA"), ["ES256"], "not one for ES256"),
        (pem("RSA"), ["RS256", "ES256"], "not one for ES256"),
        (pem("P-256"), ["ES384"], "not one for ES384"),
        (pem("P-256"), ["EdDSA"], "not one for EdDSA"),
        (PRIVATE["RSA"].public_key(), ["HS256"], "takes a secret"),
    ],
    # Keys are made anew in each process, and a test has to have one name in all of them.
    ids=lambda value: "key" if isinstance(value, str | bytes) and len(value) > 50 else None,
)
def test_keys_and_algorithms_that_do_not_go_together(key: Any, algorithms: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        JWT(key, algorithms=algorithms)
    assert caught.value.__context__ is None
    assert not key or str(key)[10:30] not in str(caught.value)


def public_forms() -> list[Any]:
    """Gives an RSA public key in every form in which it may be taken for a secret."""
    key = PRIVATE["RSA"].public_key()
    texts = [
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        key.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    ]
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    as_jwk = json.dumps(jwk("RSA"))
    return [*texts, *(text.strip() for text in texts), texts[0].decode(), der, as_jwk]


@pytest.mark.parametrize("number", range(9))
def test_a_public_key_is_no_secret(number: int) -> None:
    with pytest.raises(ValueError, match="takes a secret"):
        JWT(public_forms()[number], algorithms=["HS256"])


def test_a_short_rsa_key() -> None:
    key = rsa.generate_private_key(65537, 1024)
    with pytest.raises(ValueError, match="2048 bits"):
        JWT(key.public_key(), algorithms=["RS256"])


@pytest.mark.parametrize(
    "options",
    [
        {"audience": ""},
        {"audience": []},
        {"issuer": [""]},
        {"require": ["role"]},
        {"leeway": float("nan")},
        {"leeway": float("inf")},
        {"leeway": -1},
    ],
)
def test_options_that_would_check_nothing(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"empty|struct|finite"):
        JWT(SECRET, algorithms=["HS256"], **options)


def compared(source: str) -> set[str]:
    """Gives the names that are compared in a way whose time tells how much of them is right."""
    comparisons = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Compare))
    return {
        name.id
        for node in comparisons
        if any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        for name in ast.walk(node)
        if isinstance(name, ast.Name)
    }


SECRETS = {"token", "tokens", "key", "secret", "signature", "payload", "public", "prepared"}


def test_no_secret_is_compared_here() -> None:
    """PyJWT does that, with `hmac.compare_digest`."""
    for path in sorted(Path(fastws.app.__file__).parent.glob("*.py")):
        assert not compared(path.read_text()) & SECRETS
    assert compared("if a and signature == hmac(x): pass") & SECRETS == {"signature"}
