"""`JWKS`: what is taken from a set, what is not, and what a token does with it."""

import json
import logging
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from fastws.app.auth import JWT
from fastws.app.keys import JWKS, MAX_SET_SIZE
from fastws.errors import HandshakeError
from tests.app.tokens import KEY_OF, NOW, PRIVATE, SECRET, Claims, claims, encoded, forged, jwk

SHORT = rsa.generate_private_key(65537, 1024).public_key()


def loaded(tmp_path: Path, *keys: Any) -> JWKS:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": keys}))
    jwks = JWKS(path)
    jwks.load()
    return jwks


def token(name: str, algorithm: str, **headers: Any) -> str:
    return jwt.encode(claims(), PRIVATE[name], algorithm, headers=headers)


def auth_with(jwks: JWKS, *algorithms: str) -> JWT:
    return JWT(jwks, algorithms=algorithms or ["EdDSA"], clock=lambda: NOW)


def reason(auth: JWT, forgery: str) -> str:
    with pytest.raises(HandshakeError) as caught:
        auth.verify(forgery, Claims)
    assert caught.value.status == 401
    return caught.value.reason


UNKNOWN = "the token's key is not known"
ALGORITHM = "the token's algorithm is not allowed"
SIGNED = "the token's signature or header is not valid"

# What is taken


@pytest.mark.parametrize("algorithm", sorted(KEY_OF))
@pytest.mark.parametrize("said", [True, False], ids=["alg", "no alg"])
def test_a_key_of_every_algorithm(tmp_path: Path, algorithm: str, said: bool) -> None:
    name = KEY_OF[algorithm]
    members = {"alg": algorithm} if said else {}
    jwks = loaded(tmp_path, jwk(name, kid="1", use="sig", **members))
    good = token(name, algorithm, kid="1")
    assert auth_with(jwks, algorithm).verify(good, Claims).claims == Claims("ada")


def test_ed448(tmp_path: Path) -> None:
    jwks = loaded(tmp_path, jwk("Ed448", kid="1", key_ops=["verify"]))
    assert auth_with(jwks).verify(token("Ed448", "EdDSA", kid="1"), Claims).subject == "ada"


def test_a_token_without_a_kid_gets_the_only_key_there_is_for_it(tmp_path: Path) -> None:
    keys = [jwk("RSA", kid="1"), jwk("Ed25519", kid="2")]
    auth = auth_with(loaded(tmp_path, *keys), "EdDSA", "RS256")
    assert auth.verify(token("Ed25519", "EdDSA"), Claims).subject == "ada"
    assert auth.verify(token("RSA", "RS256"), Claims).subject == "ada"
    several = auth_with(loaded(tmp_path, *keys, jwk("Ed448", kid="3")), "EdDSA")
    assert reason(several, token("Ed25519", "EdDSA")) == UNKNOWN


def test_a_key_without_a_kid_is_not_for_who_names_one(tmp_path: Path) -> None:
    auth = auth_with(loaded(tmp_path, jwk("Ed25519")))
    assert auth.verify(token("Ed25519", "EdDSA"), Claims).subject == "ada"
    assert reason(auth, token("Ed25519", "EdDSA", kid="1")) == UNKNOWN
    assert reason(auth, token("Ed25519", "EdDSA", kid="")) == UNKNOWN


def test_one_kid_for_keys_of_two_types(tmp_path: Path) -> None:
    """RFC 7517 section 4.5."""
    auth = auth_with(
        loaded(tmp_path, jwk("RSA", kid="1"), jwk("Ed25519", kid="1")), "EdDSA", "RS256"
    )
    for name, algorithm in ("Ed25519", "EdDSA"), ("RSA", "RS256"):
        assert auth.verify(token(name, algorithm, kid="1"), Claims).subject == "ada"


def test_one_kid_for_two_keys_of_one_type(tmp_path: Path) -> None:
    auth = auth_with(loaded(tmp_path, jwk("Ed25519", kid="1"), jwk("Ed448", kid="1")))
    assert reason(auth, token("Ed25519", "EdDSA", kid="1")) == UNKNOWN


# What is not


def oct_key() -> dict[str, Any]:
    return {"kty": "oct", "k": encoded(SECRET), "kid": "1", "alg": "HS256"}


def private_rsa() -> dict[str, Any]:
    found = jwt.algorithms.RSAAlgorithm.to_jwk(PRIVATE["RSA"], as_dict=True)
    return {**found, "key_ops": ["sign", "verify"]}


UNUSABLE: dict[str, Any] = {
    "a string": "key",
    "an array": [],
    "null": None,
    "nothing": {},
    "no type": jwk("Ed25519") | {"kty": None},
    "a type that is a list": jwk("Ed25519") | {"kty": ["OKP"]},
    "another type": jwk("Ed25519") | {"kty": "EC"},
    "an unknown type": jwk("Ed25519") | {"kty": "AKP"},
    "a type in small letters": jwk("RSA") | {"kty": "rsa"},
    "a secret": oct_key(),
    "no curve": {name: part for name, part in jwk("Ed25519").items() if name != "crv"},
    "a curve for something else": jwk("Ed25519") | {"crv": "X25519"},
    "a curve that is an object": jwk("P-256") | {"crv": {}},
    "another curve": jwk("P-256") | {"crv": "P-384"},
    "a point that is not on the curve": jwk("P-256") | {"x": encoded(bytes(32))},
    "an algorithm of another type": jwk("RSA", alg="ES256"),
    "an algorithm of another curve": jwk("P-256", alg="ES384"),
    "an algorithm for encryption": jwk("RSA", alg="RSA-OAEP"),
    "an algorithm with a secret": jwk("RSA", alg="HS256"),
    "no algorithm": jwk("RSA", alg="none"),
    "an empty algorithm": jwk("RSA", alg=""),
    "an algorithm that is a list": jwk("RSA", alg=["RS256"]),
    "a key for encryption": jwk("RSA", use="enc"),
    "a use that is a list": jwk("RSA", use=["sig"]),
    "operations without verify": jwk("RSA", key_ops=["encrypt", "wrapKey"]),
    "no operations": jwk("RSA", key_ops=[]),
    "operations in a string": jwk("RSA", key_ops="verify"),
    "a kid that is a number": jwk("Ed25519", kid=7),
    "a private key": jwt.algorithms.OKPAlgorithm.to_jwk(PRIVATE["Ed25519"], as_dict=True),
    "a private RSA key": private_rsa(),
    "RSA of 1024 bits": jwt.algorithms.RSAAlgorithm.to_jwk(SHORT, as_dict=True),
    "RSA without a modulus": {"kty": "RSA", "e": "AQAB"},
    "RSA with a modulus of 1": {"kty": "RSA", "e": "AQAB", "n": "AQ"},
    "RSA with an exponent of 1": jwk("RSA", e="AQ"),
    "RSA with an even exponent": jwk("RSA", e="Ag"),
    "RSA in characters of something else": jwk("RSA", n="!" * 300),
    "RSA in numbers": jwk("RSA", n=65537),
    "a point that is too long": jwk("Ed25519", x=encoded(b"x" * 33)),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_key_that_is_not_taken(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"keys\.json: it has no usable public key"):
        loaded(tmp_path, UNUSABLE[name])


def test_the_others_are_taken_and_the_log_tells(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    jwks = loaded(tmp_path, *UNUSABLE.values(), jwk("Ed25519", kid="good"))
    assert auth_with(jwks).verify(token("Ed25519", "EdDSA", kid="good"), Claims).subject == "ada"
    assert len(caplog.messages) == len(UNUSABLE)
    assert "key 9 of the JWK Set is ignored: it is not for the algorithms" in caplog.messages[9]
    assert encoded(SECRET) not in caplog.text
    jwks.load()
    assert len(caplog.messages) == len(UNUSABLE)  # the same again is no news


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": null}',
        b'{"keys": []}',
        b'{"keys": [',
        b'{"keys": ["\xff"]}',
        b'{"keys": %s}' % (b"[" * 100_000 + b"]" * 100_000),
        b"-----BEGIN PUBLIC KEY-----",
        b"<html>",
    ],
)
def test_what_is_no_set(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"no keys from .*/keys: it (is not|has no)"):
        JWKS(path).load()


def test_a_set_at_the_limit_of_size(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    content = json.dumps({"keys": [jwk("Ed25519")]})
    path.write_text(content.ljust(MAX_SET_SIZE))
    JWKS(path).load()
    path.write_text(content.ljust(MAX_SET_SIZE + 1))
    with pytest.raises(ValueError, match="larger than 1048576 bytes"):
        JWKS(path).load()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"no keys from .*/none: .*No such file"):
        JWKS(tmp_path / "none").load()


def test_a_set_that_was_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no keys were loaded"):
        auth_with(JWKS(tmp_path / "keys")).verify(token("Ed25519", "EdDSA"), Claims)


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example/keys",
        "http://127.0.0.1.evil.example/keys",
        "http://localhost.evil.example/keys",
        "http://127.0.0.1@evil.example/keys",
        "http://10.0.0.1/keys",
        "http://0.0.0.0/keys",
        "http:///keys",
        "https:///keys",
        "https://user:password@login.example/keys",
        "ftp://login.example/keys",
        "file:///etc/passwd",
        "data://x",
    ],
)
def test_urls_that_are_not_safe(url: str) -> None:
    with pytest.raises(ValueError, match=r"https|host"):
        JWKS(url)


@pytest.mark.parametrize("url", ["http://localhost:1/", "http://[::1]:1/", "http://127.9.9.9:1/"])
def test_loopback_needs_no_tls(url: str) -> None:
    JWKS(url)


@pytest.mark.parametrize(
    "times", [{"cooldown": -1}, {"cooldown": 9, "refresh_interval": 8}, {"timeout": 0}]
)
def test_times_that_make_no_sense(times: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must hold"):
        JWKS("keys", **times)  # type: ignore[arg-type]


def test_secrets_do_not_come_from_a_set() -> None:
    with pytest.raises(ValueError, match="no secrets"):
        JWT(JWKS("keys"), algorithms=["HS256"])


def test_keys_come_from_a_file_that_changes(tmp_path: Path) -> None:
    jwks = loaded(tmp_path, jwk("Ed25519", kid="1"))
    auth = auth_with(jwks, "EdDSA", "RS256")
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [jwk("RSA", kid="2")]}))
    jwks.load()
    assert auth.verify(token("RSA", "RS256", kid="2"), Claims).subject == "ada"
    assert reason(auth, token("Ed25519", "EdDSA", kid="1")) == UNKNOWN


# What an attacker's token does with it


def test_a_public_key_of_the_set_used_as_a_secret(tmp_path: Path) -> None:
    jwks = loaded(tmp_path, jwk("RSA", kid="1"), oct_key())
    auth = auth_with(jwks, "RS256")
    for secret in json.dumps(jwk("RSA", kid="1")).encode(), SECRET, b"":
        assert reason(auth, forged({"alg": "HS256", "kid": "1"}, secret=secret)) == ALGORITHM
        assert reason(auth, forged({"alg": "RS256", "kid": "1"}, secret=secret)) == SIGNED


def test_an_algorithm_that_the_key_is_not_for(tmp_path: Path) -> None:
    auth = auth_with(loaded(tmp_path, jwk("RSA", kid="1", alg="RS256")), "RS256", "PS256", "EdDSA")
    assert auth.verify(token("RSA", "RS256", kid="1"), Claims).subject == "ada"
    assert reason(auth, token("RSA", "PS256", kid="1")) == UNKNOWN
    assert reason(auth, token("Ed25519", "EdDSA", kid="1")) == UNKNOWN


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../../../dev/null",
        "/dev/null",
        "file:///dev/null",
        "http://127.0.0.1:9/",
        "1' OR '1'='1",
        "1\r\nset-cookie: a=b",
        "1\0",
        "\x1b[2J",
        "__class__",
        " 1",
        "k" * 5000,
    ],
)
def test_kids_that_are_more_than_a_name(
    tmp_path: Path, kid: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    auth = auth_with(loaded(tmp_path, jwk("Ed25519", kid="1")))
    caplog.clear()
    assert reason(auth, token("Ed25519", "EdDSA", kid=kid)) == UNKNOWN
    assert caplog.messages == []
