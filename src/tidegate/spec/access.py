"""Who may use a service: keys, tokens, and a header that says how urgent a request is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from tidegate.spec.common import ScriptPath, Strict, fault

KID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"
# Neither blanks nor quotes nor backslashes: they go into the proxy's configuration as they are.
CLAIM_TEXT_PATTERN = r"^[!#-&(-\[\]-~]{1,256}$"
CLAIM_PATH_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"
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
    keys: tuple[JwtKey, ...] = Field(description="any of them may have signed; two while one replaces the other")
    issuer: ClaimText = Field(description="`iss` of every token")
    audience: ClaimText = Field(description="`aud` of every token, or one of them")
    tenantClaim: Annotated[str, StringConstraints(pattern=CLAIM_PATH_PATTERN)] = Field(
        default="sub", description="the claim that names the tenant; `a.b` is b within a"
    )

    @model_validator(mode="after")
    def _some_key(self) -> Jwt:
        if not self.keys:
            raise fault("is empty. Name the file of a key", "keys")
        return self


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
