"""Who may use a service: keys, tokens, and a header that says how urgent a request is."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from tidegate.spec.by_url import Network
from tidegate.spec.common import ScriptPath, Strict, fault

KID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"
# Neither blanks nor quotes nor backslashes: they go into the proxy's configuration as they are.
CLAIM_TEXT_PATTERN = r"^[!#-&(-\[\]-~]{1,256}$"
CLAIM_PATH_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"
URL_PATTERN = re.compile(r"https?://[!#-&(-;=?-Z_a-z~\[\]]+")
PRIORITY_HEADER_PATTERN = r"^[A-Za-z][A-Za-z0-9-]{0,63}$"

ClaimText = Annotated[str, StringConstraints(pattern=CLAIM_TEXT_PATTERN)]

PRIORITIES = ("high", "normal", "low")
Priority = Literal["high", "normal", "low"]


class JwtKey(Strict):
    """A key with which tokens are signed."""

    file: ScriptPath = Field(
        description="public key in PEM (RS256, ES256) or shared secret (HS256), relative to the manifest"
    )
    kid: Annotated[str, StringConstraints(pattern=KID_PATTERN)] | None = Field(
        default=None, description="only tokens with this `kid` in their head are checked with it"
    )


class Jwt(Strict):
    """Signed tokens (JSON Web Tokens) as an alternative to keys. `exp`, `iss` and `aud` must be there and right."""

    algorithm: Literal["RS256", "ES256", "HS256"] = Field(description="the only one that is accepted")
    keys: tuple[JwtKey, ...] = Field(
        default=(), description="any of them may have signed; two while one replaces the other"
    )
    jwksUrl: Annotated[str, StringConstraints(max_length=2048)] | None = Field(
        default=None, description="where the issuer publishes its keys (a JWK set), instead of `keys`: https"
    )
    jwksNetworks: tuple[Network, ...] = Field(
        default=(), description="networks where that may be although they are not public: `10.0.0.0/8`"
    )
    issuer: ClaimText = Field(description="`iss` of every token")
    audience: ClaimText = Field(description="`aud` of every token, or one of them")
    tenantClaim: Annotated[str, StringConstraints(pattern=CLAIM_PATH_PATTERN)] = Field(
        default="sub", description="the claim that names the tenant; `a.b` is b within a"
    )

    @model_validator(mode="after")
    def _some_key(self) -> Jwt:
        if self.jwksUrl is None and not self.keys:
            raise fault("is empty. Name the file of a key, or the issuer's jwksUrl", "keys")
        if self.jwksUrl is not None and self.keys:
            raise fault("has no effect beside jwksUrl. Take one of them out", "keys")
        if self.jwksUrl is not None and self.algorithm == "HS256":
            raise fault(
                "secrets are not published. Use RS256 or ES256, or name the file of the secret in keys", "jwksUrl"
            )
        if self.jwksUrl is not None and (why := _unfit(self.jwksUrl)):
            raise fault(f"{why}. Write https://HOST/PATH; http only for this machine", "jwksUrl")
        return self


def _unfit(url: str) -> str:
    """Why keys may not be fetched from there; "" when they may."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        return f"cannot be read as a URL: {error}"
    if not URL_PATTERN.fullmatch(url) or not host or port == 0:
        return "is no URL of a host"
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "holds a user name or a fragment"
    if parts.scheme == "https" or (parts.scheme == "http" and on_this_machine(host)):
        return ""
    return "would be fetched without TLS, so anybody on the way could put keys of his own there"


def on_this_machine(host: str) -> bool:
    """Whether a URL's host, as it is written, is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Access(Strict):
    """Who may use the service. A service without `access` answers everybody who can reach the gateway."""

    keys: Literal["required", "optional", "none"] = Field(
        default="required",
        description="`required`: only with a tenant's key or token; `optional`: without one, too; `none`: open",
    )
    jwt: Jwt | None = Field(default=None, description="accept signed tokens as well")
    priorityHeader: Annotated[str, StringConstraints(pattern=PRIORITY_HEADER_PATTERN)] | None = Field(
        default=None, description="request header that says `high`, `normal` or `low`; a tenant can only go lower by it"
    )

    @model_validator(mode="after")
    def _no_tokens_for_nobody(self) -> Access:
        if self.keys == "none" and self.jwt is not None:
            raise fault("has no effect with keys: none. Take one of them out", "jwt")
        return self
