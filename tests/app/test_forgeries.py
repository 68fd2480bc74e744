"""Tokens that nobody issued: what an adversary sends, without the key or with a part of it.

Every one is refused with 401 by one of a few sentences, and none of it comes back.
"""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fastws.app.auth import JWT
from fastws.errors import HandshakeError
from tests.app.tokens import (
    NOW,
    PRIVATE,
    SECRET,
    Claims,
    assert_silent,
    claims,
    encoded,
    forged,
    jwk,
    pem,
    signed,
)

HS256 = {"alg": "HS256", "typ": "JWT"}
GOOD = signed()
HEAD, BODY, SIGNATURE = GOOD.split(".")
DEEP = b"[" * 2500 + b"]" * 2500

MALFORMED = "the token is malformed"
ALGORITHM = "the token's algorithm is not allowed"
SIGNED = "the token's signature or header is not valid"
REGISTERED = "the token's registered claims are malformed"


def check(auth: JWT, token: str, reason: str) -> None:
    with pytest.raises(HandshakeError) as caught:
        auth.verify(token, Claims)
    assert (caught.value.status, caught.value.reason) == (401, reason)
    assert_silent(caught.value, token)


def with_padding(index: int) -> str:
    parts = GOOD.split(".")
    parts[index] += "=" * (-len(parts[index]) % 4 or 4)
    return ".".join(parts)


def with_other_last_bits() -> str:
    """Gives the good token with a signature that decodes to the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet[alphabet.index(GOOD[-1]) ^ 1]
    token = GOOD[:-1] + last
    assert base64.urlsafe_b64decode(token.split(".")[2] + "=") == base64.urlsafe_b64decode(
        SIGNATURE + "="
    )
    return token


FORGERIES = {
    # no signature asked for, RFC 8725 section 2.1
    "alg none": (forged({"alg": "none"}, signature=b""), MALFORMED),
    "alg none, signed": (forged({"alg": "none"}), ALGORITHM),
    "alg None": (forged({"alg": "None"}), ALGORITHM),
    "alg nOnE": (forged({"alg": "nOnE"}), ALGORITHM),
    "alg NONE with a space": (forged({"alg": "none "}), ALGORITHM),
    "alg empty": (forged({"alg": ""}), ALGORITHM),
    "alg missing": (forged({"typ": "JWT"}), MALFORMED),
    "alg null": (forged({"alg": None}), MALFORMED),
    "alg a list": (forged({"alg": ["HS256"]}), MALFORMED),
    "alg a number": (forged({"alg": 256}), MALFORMED),
    "alg twice, none last": (forged(b'{"alg":"HS256","alg":"none"}'), ALGORITHM),
    "alg twice, none first": (forged(b'{"alg":"none","alg":"HS256"}', secret=b"x"), SIGNED),
    "alg in other letters": (forged({"alg": "hs256"}), ALGORITHM),
    "another alg with the right secret": (signed(SECRET * 2, "HS512"), ALGORITHM),
    "alg of a public key": (signed(PRIVATE["RSA"], "RS256"), ALGORITHM),
    # signatures
    "another secret": (signed(b"y" * 32), SIGNED),
    "an empty secret": (forged(HS256, secret=b""), SIGNED),
    "no signature": (f"{HEAD}.{BODY}.", MALFORMED),
    "a signature of one byte": (forged(HS256, signature=b"\0"), SIGNED),
    "a signature cut short": (GOOD[:-4], SIGNED),
    "a signature and more": (f"{GOOD}AAAA", SIGNED),
    "a signature of zeros": (forged(HS256, signature=bytes(32)), SIGNED),
    "another token's signature": (f"{HEAD}.{BODY}.{signed(sub='eve').split('.')[2]}", SIGNED),
    "another token's payload": (f"{HEAD}.{signed(sub='eve').split('.')[1]}.{SIGNATURE}", SIGNED),
    "the same signature in other characters": (with_other_last_bits(), SIGNED),
    # the serialization, RFC 7515 section 7.1
    "nothing": ("", MALFORMED),
    "one part": (HEAD, MALFORMED),
    "two parts": (f"{HEAD}.{BODY}", MALFORMED),
    "four parts": (f"{GOOD}.{SIGNATURE}", MALFORMED),
    "JWE": (f"{HEAD}.{BODY}.{SIGNATURE}.{BODY}.{SIGNATURE}", MALFORMED),
    "JWE with an empty key": (f"{HEAD}..{SIGNATURE}.{BODY}.{SIGNATURE}", MALFORMED),
    "only dots": ("..", MALFORMED),
    "an empty payload": (f"{HEAD}..{SIGNATURE}", MALFORMED),
    "a padded header": (with_padding(0), MALFORMED),
    "a padded payload": (with_padding(1), MALFORMED),
    "a padded signature": (with_padding(2), MALFORMED),
    "a header of 4n + 1 characters": (f"{HEAD}{'A' * (5 - len(HEAD) % 4)}.{BODY}.x", MALFORMED),
    "characters of plain base64": (f"{HEAD}.{BODY}.+/{SIGNATURE[2:]}", MALFORMED),
    "a line feed at the end": (f"{GOOD}\n", MALFORMED),
    "a space before": (f" {GOOD}", MALFORMED),
    "a NUL inside": (f"{HEAD}.{BODY}\0.{SIGNATURE}", MALFORMED),
    "a letter that only looks like one": (GOOD.replace("e", "\u0435", 1), MALFORMED),
    "digits of another script": (f"{HEAD}.{BODY}." + "\u0661" * 43, MALFORMED),
    "half a surrogate pair": (f"{GOOD}\ud800", MALFORMED),
    "the scheme twice": (f"Bearer {GOOD}", MALFORMED),
    "two tokens": (f"{GOOD},{GOOD}", MALFORMED),
    "1 MB": ("a." * 500_000, "the token is too large, or none"),
    "1 MB of payload": (f"{HEAD}.{'A' * 1_000_000}.{SIGNATURE}", "the token is too large, or none"),
    # the header, RFC 7515 section 4.1
    "a header that is no JSON": (forged(b"alg: HS256"), MALFORMED),
    "a header in an array": (forged(b'["HS256"]'), MALFORMED),
    "a header that is null": (forged(b"null"), MALFORMED),
    "a header in UTF-16": (forged(json.dumps(HS256).encode("utf-16")), MALFORMED),
    "a header with a byte order mark": (forged(json.dumps(HS256).encode("utf-8-sig")), MALFORMED),
    "a header and more": (forged(b'{"alg":"HS256"}{}'), MALFORMED),
    "crit of something unknown": (forged(HS256 | {"crit": ["mfa"], "mfa": True}), SIGNED),
    "crit of exp": (forged(HS256 | {"crit": ["exp"], "exp": NOW + 60}), SIGNED),
    "crit empty": (forged(HS256 | {"crit": []}), SIGNED),
    "crit null": (forged(HS256 | {"crit": None}), SIGNED),
    "crit a string": (forged(HS256 | {"crit": "b64"}), SIGNED),
    "crit of what is not there": (forged(HS256 | {"crit": ["b64"]}), SIGNED),
    "an unencoded payload": (forged(HS256 | {"crit": ["b64"], "b64": False}), SIGNED),
    "an unencoded payload, not critical": (forged(HS256 | {"b64": False}), SIGNED),
    "kid a number": (forged(HS256 | {"kid": 7}), MALFORMED),
    "kid a list": (forged(HS256 | {"kid": ["a"]}), MALFORMED),
    "kid null": (forged(HS256 | {"kid": None}), SIGNED),
    "kid a path": (forged(HS256 | {"kid": "../../../../dev/null"}, secret=b""), SIGNED),
    "kid a query": (forged(HS256 | {"kid": "x' UNION SELECT 'k';--"}, secret=b"k"), SIGNED),
    "its own secret": (
        forged(HS256 | {"jwk": {"kty": "oct", "k": encoded(b"k" * 32)}}, secret=b"k" * 32),
        SIGNED,
    ),
    "an address of its key": (
        forged(HS256 | {"jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/"}, secret=b"k"),
        SIGNED,
    ),
    # the payload, RFC 7519 section 4.1, signed with the right key
    "a payload that is no JSON": (forged(HS256, b"sub=ada"), REGISTERED),
    "a payload in an array": (forged(HS256, json.dumps([claims()]).encode()), REGISTERED),
    "a payload that is a string": (forged(HS256, b'"ada"'), REGISTERED),
    "a token in a token": (forged(HS256 | {"cty": "JWT"}, GOOD.encode()), REGISTERED),
    "exp missing": (signed(exp=None), "the token has no exp"),
    "exp null": (forged(HS256, b'{"sub":"ada","exp":null}'), "the token has no exp"),
    "exp a string": (forged(HS256, claims(exp="1800000000")), REGISTERED),
    "exp true": (forged(HS256, claims(exp=True)), REGISTERED),
    "exp a list": (forged(HS256, claims(exp=[NOW + 60])), REGISTERED),
    "exp negative": (forged(HS256, claims(exp=-1)), REGISTERED),
    "exp in milliseconds": (forged(HS256, claims(exp=NOW * 1000 + 60_000)), REGISTERED),
    "exp infinite": (forged(HS256, b'{"sub":"ada","exp":1e999}'), REGISTERED),
    "exp Infinity": (forged(HS256, b'{"sub":"ada","exp":Infinity}'), REGISTERED),
    "exp NaN": (forged(HS256, b'{"sub":"ada","exp":NaN}'), REGISTERED),
    "exp of 5000 digits": (forged(HS256, b'{"sub":"ada","exp":1%s}' % (b"0" * 5000)), REGISTERED),
    "exp twice": (
        forged(HS256, b'{"sub":"ada","exp":1800000000,"exp":1}'),
        "the token has expired",
    ),
    "expired": (signed(exp=NOW - 1), "the token has expired"),
    "not yet": (signed(nbf=NOW + 1), "the token is not valid yet"),
    "nbf a string": (forged(HS256, claims(nbf="0")), REGISTERED),
    "iss a list": (forged(HS256, claims(iss=["us"])), REGISTERED),
    "sub a number": (forged(HS256, claims(sub=7)), REGISTERED),
    "aud numbers": (forged(HS256, claims(aud=[1])), REGISTERED),
    "for somebody else": (signed(aud="shop"), "the token is for another audience"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery(name: str) -> None:
    token, reason = FORGERIES[name]
    check(JWT(SECRET, algorithms=["HS256"], clock=lambda: NOW), token, reason)


@pytest.mark.parametrize(
    "token",
    [
        forged(b'{"alg":"HS256","x":%s}' % DEEP, secret=b"x"),
        forged(HS256, b'{"exp":1800000000,"x":%s}' % DEEP),
    ],
    ids=["header", "payload"],
)
def test_deep_nesting(token: str) -> None:
    """How deep is too deep depends on the version of Python; what comes of it does not."""
    with pytest.raises(HandshakeError) as caught:
        JWT(SECRET, algorithms=["HS256"], clock=lambda: NOW).verify(token, Claims)
    assert caught.value.status in {401, 403}
    assert_silent(caught.value, token)


def test_what_the_forgeries_are_made_from_is_good() -> None:
    auth = JWT(SECRET, algorithms=["HS256"], clock=lambda: NOW)
    for token in (
        GOOD,
        forged(HS256),
        forged(HS256 | {"kid": "any"}),
        forged(HS256 | {"zip": "DEF"}),
    ):
        assert auth.verify(token, Claims).claims == Claims("ada")


def public_bytes() -> list[bytes]:
    key = PRIVATE["RSA"].public_key()
    kinds: list[tuple[Encoding, PublicFormat]] = [
        (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.PEM, PublicFormat.PKCS1),
        (Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.OpenSSH, PublicFormat.OpenSSH),
    ]
    forms = [key.public_bytes(*kind) for kind in kinds]
    return [*forms, *(form.strip() for form in forms), json.dumps(jwk("RSA")).encode()]


@pytest.mark.parametrize("alg", ["HS256", "RS256", "rs256"])
@pytest.mark.parametrize("form", range(len(public_bytes())))
def test_a_public_key_used_as_a_secret(form: int, alg: str) -> None:
    """CVE-2022-29217 and its kin: everybody knows the public key."""
    auth = JWT(pem("RSA"), algorithms=["RS256"], clock=lambda: NOW)
    token = forged({"alg": alg}, secret=public_bytes()[form])
    check(auth, token, SIGNED if alg == "RS256" else ALGORITHM)


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA", "PS256"])
@pytest.mark.parametrize("size", [0, 1, 31, 32, 63, 64, 65, 72, 255, 256, 257, 5000])
@pytest.mark.parametrize("fill", [b"\0", b"\x01", b"\xff"])
def test_signatures_of_constant_bytes(alg: str, size: int, fill: bytes) -> None:
    """CVE-2022-21449: zeros as an ECDSA signature were valid for everything."""
    name = {"ES256": "P-256", "EdDSA": "Ed25519"}.get(alg, "RSA")
    auth = JWT(pem(name), algorithms=[alg], clock=lambda: NOW)
    check(auth, forged({"alg": alg}, signature=fill * size), SIGNED if size else MALFORMED)


@pytest.mark.parametrize("r", [0, 1, -1])
def test_ecdsa_with_the_order_of_the_curve(r: int) -> None:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    number = (r % order or order).to_bytes(32, "big")
    auth = JWT(pem("P-256"), algorithms=["ES256"], clock=lambda: NOW)
    for signature in number * 2, bytes(32) + number, number + bytes(32):
        check(auth, forged({"alg": "ES256"}, signature=signature), SIGNED)


def test_ecdsa_in_der() -> None:
    """RFC 7518 section 3.4 has 64 bytes; another form would give a second token for the first."""
    parts = forged({"alg": "ES256"}, signature=b"x").rpartition(".")[0]
    der = PRIVATE["P-256"].sign(parts.encode(), ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(der)
    auth = JWT(pem("P-256"), algorithms=["ES256"], clock=lambda: NOW)
    good = f"{parts}.{encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
    assert auth.verify(good, Claims).claims.sub == "ada"
    check(auth, f"{parts}.{encoded(der)}", SIGNED)


def test_eddsa_with_the_order_added() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    parts, _, signature = signed(PRIVATE["Ed25519"], "EdDSA").rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    scalar = int.from_bytes(raw[32:], "little") + order
    token = f"{parts}.{encoded(raw[:32] + scalar.to_bytes(32, 'little'))}"
    check(JWT(pem("Ed25519"), algorithms=["EdDSA"], clock=lambda: NOW), token, SIGNED)


def test_one_rsa_scheme_for_the_other() -> None:
    key = PRIVATE["RSA"]
    auth = JWT(pem("RSA"), algorithms=["PS256", "RS256"], clock=lambda: NOW)
    parts, _, signature = signed(key, "RS256").rpartition(".")
    head, body = encoded(b'{"alg":"PS256"}'), parts.partition(".")[2]
    check(auth, f"{head}.{body}.{signature}", SIGNED)


def test_the_attacker_s_own_key_in_the_header() -> None:
    """CVE-2018-0114: the key that came with the token was believed."""
    own = ed25519.Ed25519PrivateKey.generate()
    as_jwk: dict[str, Any] = jwt.algorithms.OKPAlgorithm.to_jwk(own.public_key(), as_dict=True)
    token = jwt.encode(claims(), own, "EdDSA", headers={"jwk": as_jwk, "kid": "1"})
    check(JWT(pem("Ed25519"), algorithms=["EdDSA"], clock=lambda: NOW), token, SIGNED)


def test_every_changed_character_of_a_token() -> None:
    auth = JWT(SECRET, algorithms=["HS256"], clock=lambda: NOW)
    for at, character in enumerate(GOOD):
        other = "A" if character != "A" else "B"
        with pytest.raises(HandshakeError) as caught:
            auth.verify(GOOD[:at] + other + GOOD[at + 1 :], Claims)
        assert caught.value.status == 401
