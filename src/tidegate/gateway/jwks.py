"""From the keys an issuer publishes to keys in the form the proxy reads. Pure.

Sources: RFC 7517 (JWK sets), RFC 7518 (6.2.1, 6.3.1: the numbers of a key), RFC 8017 (A.1) and RFC 5480 (2.1, 2.2) for
what a public key is in DER.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, Literal

MOST_KEYS = 32
_LEAST_RSA_BITS, _MOST_RSA_BITS = 2048, 8192  # RFC 7518 (3.3)
_KID = re.compile(r"[A-Za-z0-9._:=+/@~-]{1,128}")
_NUMBER = re.compile(r"[A-Za-z0-9_-]+")
_RSA = bytes.fromhex("300d06092a864886f70d0101010500")
_P256 = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
_COORDINATE_BYTES = 32

Algorithm = Literal["RS256", "ES256", "HS256"]


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key that may have signed a token: its text as the proxy takes it, and the `kid` that the token must name."""

    name: str
    text: str
    kid: str | None = None


def read_keys(document: str, algorithm: Algorithm, name: str) -> tuple[tuple[TokenKey, ...], str]:
    """The keys in a JWK set that can be used with the algorithm, and what is wrong when there are none.

    Keys for another use, of another kind, or too weak are passed over, as an issuer may publish them for others.
    """
    try:
        found = json.loads(document)
        published = found["keys"]
        if not isinstance(published, list):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        return (), "what is there is no JWK set"
    keys = tuple(k for jwk in published[:MOST_KEYS] if (k := _key(jwk, algorithm, name)) is not None)
    return keys, "" if keys else f"none of the {len(published)} keys there can be used for {algorithm}"


def _key(jwk: Any, algorithm: Algorithm, name: str) -> TokenKey | None:
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm:
        return None
    kid, operations = jwk.get("kid"), jwk.get("key_ops", ["verify"])
    if kid is not None and not (isinstance(kid, str) and _KID.fullmatch(kid)):
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    der = _rsa(jwk) if algorithm == "RS256" else _p256(jwk) if algorithm == "ES256" else None
    return None if der is None else TokenKey(name, _pem(der), kid)


def _rsa(jwk: dict[str, Any]) -> bytes | None:
    modulus, exponent = _bytes(jwk.get("n")), _bytes(jwk.get("e"))
    bits, e = int.from_bytes(modulus).bit_length(), int.from_bytes(exponent)
    if jwk.get("kty") != "RSA" or not _LEAST_RSA_BITS <= bits <= _MOST_RSA_BITS or e < 3 or e % 2 == 0 or e >= 2**32:
        return None
    numbers = _tlv(0x30, _integer(modulus) + _integer(exponent))
    return _tlv(0x30, _RSA + _tlv(0x03, b"\0" + numbers))


def _p256(jwk: dict[str, Any]) -> bytes | None:
    x, y = _bytes(jwk.get("x")), _bytes(jwk.get("y"))
    if (jwk.get("kty"), jwk.get("crv")) != ("EC", "P-256") or {len(x), len(y)} != {_COORDINATE_BYTES}:
        return None
    return _tlv(0x30, _P256 + _tlv(0x03, b"\0\x04" + x + y))


def _bytes(text: Any) -> bytes:
    """A number of a JWK; nothing when it is none."""
    if not isinstance(text, str) or not _NUMBER.fullmatch(text) or len(text) % 4 == 1:
        return b""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _integer(number: bytes) -> bytes:
    digits = number.lstrip(b"\0")
    return _tlv(0x02, b"\0" + digits if digits[0] & 0x80 else digits)


def _tlv(tag: int, content: bytes) -> bytes:
    n = len(content)
    length = bytes([n]) if n < 0x80 else bytes([0x80 + (size := (n.bit_length() + 7) // 8)]) + n.to_bytes(size)
    return bytes([tag]) + length + content


def _pem(der: bytes) -> str:
    text = base64.b64encode(der).decode()
    lines = (text[i : i + 64] for i in range(0, len(text), 64))
    return "\n".join(("-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""))
