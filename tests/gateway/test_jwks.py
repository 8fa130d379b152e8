"""What an issuer publishes becomes the key it is, or none at all."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tidegate.gateway.jwks import MOST_KEYS, read_keys


def number(n: int, size: int | None = None) -> str:
    return base64.urlsafe_b64encode(n.to_bytes(size or (n.bit_length() + 7) // 8)).rstrip(b"=").decode()


def jwk(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, **more: Any) -> dict[str, Any]:
    if isinstance(private, rsa.RSAPrivateKey):
        own = private.public_key().public_numbers()
        return {"kty": "RSA", "n": number(own.n), "e": number(own.e)} | more
    point = private.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": number(point.x, 32), "y": number(point.y, 32)} | more


def jwks(*keys: Any) -> str:
    return json.dumps({"keys": keys})


RSA, SMALL = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 1024)


def pem(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


@pytest.mark.parametrize("bits", [2048, 2056, 3072])
def test_an_rsa_key_is_the_same_as_openssl_writes_it(bits: int):
    private = rsa.generate_private_key(65537, bits)
    ((key,), fault) = read_keys(jwks(jwk(private, kid="a-1", alg="RS256", use="sig", x5c=["..."])), "RS256", "url")
    assert (key.text, key.kid, key.name, fault) == (pem(private), "a-1", "url", "")


def test_elliptic_keys_are_the_same_as_openssl_writes_them():
    several = [ec.generate_private_key(ec.SECP256R1()) for _ in range(20)]
    keys, _ = read_keys(jwks(jwk(RSA), *map(jwk, several)), "ES256", "url")
    assert [k.text for k in keys] == [pem(private) for private in several]


USELESS = {
    "for encryption": jwk(RSA, use="enc"),
    "another algorithm": jwk(RSA, alg="RS512"),
    "may not verify": jwk(RSA, key_ops=["encrypt"]),
    "operations of no list": jwk(RSA, key_ops="verify"),
    "too short": jwk(SMALL),
    "even exponent": jwk(RSA, e="Ag"),
    "exponent one": jwk(RSA, e="AQ"),
    "no modulus": jwk(RSA, n=None),
    "modulus in other letters": jwk(RSA, n="a+b/" * 100),
    "modulus cut": jwk(RSA, n="A" * 345),
    "a secret": {"kty": "oct", "k": "c2VjcmV0"},
    "another curve": jwk(ec.generate_private_key(ec.SECP256R1()), crv="P-384"),
    "kid with a quote": jwk(RSA, kid="a' } b"),
    "kid that is no text": jwk(RSA, kid=7),
    "kid that is long": jwk(RSA, kid="k" * 129),
    "nothing": None,
    "a list": [],
}


@pytest.mark.parametrize("key", USELESS.values(), ids=USELESS)
@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "HS256"])
def test_what_cannot_be_used_is_passed_over(key: Any, algorithm: Any):
    assert read_keys(jwks(key), algorithm, "url") == ((), f"none of the 1 keys there can be used for {algorithm}")
    good = read_keys(jwks(key, jwk(RSA, kid="k=/+~@")), algorithm, "url")[0]
    assert [k.kid for k in good] == (["k=/+~@"] if algorithm == "RS256" else [])


@pytest.mark.parametrize("text", ["", "<html>", "[]", "{}", '{"keys": {}}', "null", "[" * 100_000, '{"keys": 1e999}'])
def test_other_documents_hold_no_keys(text: str):
    assert read_keys(text, "RS256", "url") == ((), "what is there is no JWK set")


def test_only_so_many_keys_are_taken():
    assert len(read_keys(jwks(*[jwk(RSA)] * 100), "RS256", "url")[0]) == MOST_KEYS
