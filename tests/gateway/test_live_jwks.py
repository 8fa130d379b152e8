"""The real proxy with keys that an issuer publishes: fetched, rotated, kept while the issuer is away."""

from __future__ import annotations

import asyncio
from pathlib import Path

from control.test_issuers import Idp, specs
from gateway.test_jwks import jwk, jwks
from gateway.test_live_tenants import ACME, bearer, code, guarded
from gateway.test_live_tokens import AUDIENCE, EC, ISSUER, OTHER_RSA, RSA, by_ec, by_rsa, token
from gateway.world import World, until, world
from tidegate.base.clock import ManualClock
from tidegate.control.issuers import REFRESH_S, RETRY_S, Issuers
from tidegate.model.admission import Admission, KeySet
from tidegate.spec.access import Access, Jwt

URL = "https://id.example.org/jwks"


def published(algorithm: str, url: str = URL) -> Access:
    fields = {"algorithm": algorithm, "jwksUrl": url, "issuer": ISSUER, "audience": AUDIENCE}
    return Access(jwt=Jwt.model_validate(fields))


async def answers(here: World, wanted: str, sent: str) -> None:
    """As the control loop does: look, and publish again when the gateway has something new."""

    async def so() -> bool:
        if (await here.gateway.observe())[0].version is None:
            await here.gateway.publish(here.gateway._snapshot)
        return await code(here, headers=bearer(sent)) == wanted

    await until(so)


async def test_keys_are_fetched_rotated_and_kept_while_the_issuer_is_away(tmp_path: Path):
    idp, clock = Idp(), ManualClock(at=1_800_000_000)
    old, new = token(by_rsa(RSA), {"kid": "-old"}), token(by_rsa(OTHER_RSA), {"kid": "new"})
    idp.keys = jwks(jwk(RSA, kid="-old"))
    idp.status = 503
    async with idp.listening(), world(tmp_path / "state") as here:
        issuers = Issuers(tmp_path / "issuers", clock, lambda: here.gateway.trust(issuers.known()))
        issuers.follow(specs(idp.url))
        fetching = asyncio.create_task(issuers.run())
        await here.gateway.admit(Admission((ACME,)))
        await guarded(here, published("RS256", idp.url))
        assert await code(here, headers=bearer(old)) == "401 key_invalid"

        async def told() -> bool:
            return any("it answered 503" in f for f in (await here.gateway.observe())[0].admission.faults)

        await until(told)

        async def later(seconds: float) -> None:
            clock.advance(seconds)
            issuers._news.set()

        idp.status = 200
        await later(RETRY_S)
        await answers(here, "200", old)
        assert await code(here, headers=bearer(token(by_rsa(RSA), {"kid": "other"}))) == "401 key_invalid"
        assert await code(here, headers=bearer(new)) == "401 key_invalid"
        idp.keys = jwks(jwk(RSA, kid="-old"), jwk(OTHER_RSA, kid="new"))
        await later(REFRESH_S)
        await answers(here, "200", new)
        assert await code(here, headers=bearer(old)) == "200"
        idp.status = 500
        await later(REFRESH_S)
        await until(lambda: _asked(idp, 4))
        assert await code(here, headers=bearer(new)) == "200"
        idp.status, idp.keys = 200, jwks(jwk(OTHER_RSA, kid="new"))
        await later(RETRY_S)
        await answers(here, "401 key_invalid", old)
        assert await code(here, headers=bearer(new)) == "200"
        fetching.cancel()
        await asyncio.wait({fetching})


async def _asked(idp: Idp, times: int) -> bool:
    return len(idp.asked) >= times


async def test_elliptic_keys_work_and_a_point_that_is_on_no_curve_harms_nobody(tmp_path: Path):
    async with world(tmp_path) as here:
        await here.gateway.admit(Admission((ACME,)))
        wrong = jwk(EC, kid="wrong", y=jwk(EC)["x"])
        here.gateway.trust({URL: KeySet(jwks(wrong, jwk(EC, kid="right"), jwk(RSA, kid="right")))})
        await guarded(here, published("ES256"))
        assert await code(here, headers=bearer(token(by_ec, {"alg": "ES256", "kid": "right"}))) == "200"
        for head, sign in (({"alg": "ES256", "kid": "wrong"}, by_ec), ({"alg": "RS256", "kid": "right"}, by_rsa())):
            assert await code(here, headers=bearer(token(sign, head))) == "401 key_invalid"
