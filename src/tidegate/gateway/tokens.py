"""Signed tokens: the lines that check them inside the proxy, and the files of the keys that signed them.

The algorithm is the manifest's, never the token's: a token whose head names another one (`none`, or HS256 with the
public key for a secret) is not looked at further. `exp`, `iss` and `aud` have to be there. Sources: RFC 7519 (4.1),
RFC 8725 (2.1, 3.1 for the confusion of algorithms).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tidegate.base.errors import GatewayError
from tidegate.gateway.jwks import TokenKey, read_keys
from tidegate.model.admission import KeySet
from tidegate.model.snapshot import Snapshot
from tidegate.spec.access import Jwt

# A service may be one of this many audiences of a token.
_AUDIENCES = 8
# How far the issuer's clock may be ahead of ours.
_SKEW_S = 30
_SECRET = re.compile(r"[A-Za-z0-9+/=._~-]{32,512}")
_TOKEN = "var(txn.credential)"
_SIGNED = "{ var(txn.signed) -m bool }"
_CLAIMED = "{ var(txn.claimed) -m found }"

Keys = Mapping[Jwt, tuple[TokenKey, ...]]
"""The keys that may have signed a token, by what accepts it; without one nobody is let in."""


def issuers(snapshot: Snapshot) -> dict[Jwt, list[str]]:
    """The services that accept tokens, by what they accept."""
    found: dict[Jwt, list[str]] = {}
    for service in snapshot.services:
        if service.access is not None and service.access.jwt is not None:
            found.setdefault(service.access.jwt, []).append(service.service)
    return found


def token_lines(snapshot: Snapshot, keys: Keys, key_prefix: str, tenants_map: str) -> Iterator[str]:
    """Set `txn.tenant` of a valid token whose tenant is known, `txn.claimed` of any valid token."""
    accepted = issuers(snapshot)
    if not accepted:
        return
    token = f"{{ {_TOKEN} -m found }} !{{ {_TOKEN} -m beg {key_prefix} }}"
    for n, services in enumerate(accepted.values()):
        here = f"{{ var(txn.service) -m str {' '.join(services)} }}"
        yield f"http-request set-var(txn.trust) str(jwt{n}) if {here} {token}"
    trusted = "{ var(txn.trust) -m found }"
    for name in ("alg", "kid"):
        yield f"http-request set-var(txn.{name}) {_TOKEN},jwt_header_query('$.{name}') if {trusted}"
    for n, jwt in enumerate(accepted):
        yield from _issuer(f"{{ var(txn.trust) -m str jwt{n} }}", jwt, keys.get(jwt, ()))
    yield from _times()
    known = f"{_CLAIMED} {{ var(txn.claimed),map_str({tenants_map}) -m found }}"
    yield f"http-request set-var(txn.tenant) var(txn.claimed) if {known}"
    yield f"http-request set-var(txn.key_id) str(jwt) if {known}"


def _issuer(here: str, jwt: Jwt, keys: tuple[TokenKey, ...]) -> Iterator[str]:
    algorithm = f"{{ var(txn.alg) -m str {jwt.algorithm} }}"
    for key in keys:
        named = f" {{ var(txn.kid) -m str -- {key.kid} }}" if key.kid is not None else ""
        place = secret_variable(key.name) if jwt.algorithm == "HS256" else file_name(key.text)
        verified = f"{{ {_TOKEN},jwt_verify({jwt.algorithm},{place}) -m int eq 1 }}"
        yield f"http-request set-var(txn.signed) bool(true) if {here} {algorithm}{named} {verified}"
    issuer = f"{{ {_TOKEN},jwt_payload_query('$.iss') -m str '{jwt.issuer}' }}"
    for place in ("", *(f"[{i}]" for i in range(_AUDIENCES))):
        audience = f"{{ {_TOKEN},jwt_payload_query('$.aud{place}') -m str '{jwt.audience}' }}"
        claim = f"{_TOKEN},jwt_payload_query('$.{jwt.tenantClaim}')"
        yield f"http-request set-var(txn.claimed) {claim} if {here} {_SIGNED} {issuer} {audience}"


def _times() -> Iterator[str]:
    yield f"http-request set-var(txn.ends) {_TOKEN},jwt_payload_query('$.exp','int') if {_SIGNED}"
    yield f"http-request set-var(txn.begins) {_TOKEN},jwt_payload_query('$.nbf','int') if {_SIGNED}"
    early = f"{{ var(txn.begins) -m found }} {{ date({_SKEW_S}),sub(txn.begins) lt 0 }}"
    for wrong in ("!{ var(txn.ends) -m found }", "{ date,sub(txn.ends) ge 0 }", early):
        yield f"http-request unset-var(txn.claimed) if {_CLAIMED} {wrong}"


def secret_lines(keys: Keys) -> Iterator[str]:
    """For the `global` section: shared secrets. The file they stand in can be read by its owner alone."""
    secrets = {k.name: k.text for jwt, known in keys.items() if jwt.algorithm == "HS256" for k in known}
    for name, text in sorted(secrets.items()):
        yield f"set-var {secret_variable(name)} str({text})"


def key_files(keys: Keys) -> dict[str, str]:
    """The proxy's copies of public keys, by name; a new text has a new name, so that a reload takes it over."""
    public = (k for jwt, known in keys.items() if jwt.algorithm != "HS256" for k in known)
    return {file_name(key.text): key.text for key in public}


def file_name(text: str) -> str:
    return f"jwt-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}.pem"


def secret_variable(file: str) -> str:
    return f"proc.jwt_{hashlib.blake2b(file.encode(), digest_size=8).hexdigest()}"


class TokenKeys:
    """The keys that may have signed tokens, from files and from what issuers publish (`issuers`, by URL).

    What cannot be used verifies nothing, or what was there before goes on.
    """

    def __init__(self) -> None:
        self.faults: tuple[str, ...] = ()
        self.issuers: Mapping[str, KeySet] = {}
        self.keys: Keys = {}

    def look(self, snapshot: Snapshot) -> bool:
        """Read them again; whether anything changed."""
        faults: dict[str, None] = {}
        keys = {jwt: tuple(self._of(jwt, faults)) for jwt in issuers(snapshot)}
        changed, self.keys, self.faults = keys != self.keys, keys, tuple(faults)
        return changed

    def _of(self, jwt: Jwt, faults: dict[str, None]) -> Iterator[TokenKey]:
        before = self.keys.get(jwt, ())
        if jwt.jwksUrl is not None:
            published = self.issuers.get(jwt.jwksUrl, KeySet())
            faults |= {published.fault: None} if published.fault else {}
            found, _ = read_keys(published.document, jwt.algorithm, jwt.jwksUrl)
            yield from found or before
        for key in jwt.keys:
            try:
                yield TokenKey(key.file, _read(Path(key.file), secret=jwt.algorithm == "HS256"), key.kid)
            except GatewayError as error:
                faults[str(error)] = None
                yield from (k for k in before if k.name == key.file)


def _read(path: Path, *, secret: bool) -> str:
    try:
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not ASCII"
        raise GatewayError(f"key of tokens {path}: {why}. Name a file that this user can read") from None
    if secret:
        if not _SECRET.fullmatch(text):
            raise GatewayError(f"secret of tokens {path}: write 32 to 512 letters, digits and + / = . _ ~ - into it")
    elif "PRIVATE KEY" in text:
        raise GatewayError(
            f"key of tokens {path} is a private key: its issuer alone should have it. Name the public one"
        )
    elif not text.startswith("-----BEGIN PUBLIC KEY-----"):
        raise GatewayError(f"key of tokens {path}: write a public key in PEM (-----BEGIN PUBLIC KEY-----) into it")
    return text + ("" if secret else "\n")
