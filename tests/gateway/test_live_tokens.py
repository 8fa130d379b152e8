"""The real proxy: signed tokens, and everything that only looks like one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from gateway.test_live_tenants import ACME, ALICE, RIVAL, bearer, code, guarded, key, uses_of
from gateway.world import until, world
from tidegate.model.admission import Admission
from tidegate.spec.access import Access, Jwt

RSA, OTHER_RSA = (rsa.generate_private_key(65537, 2048) for _ in range(2))
EC = ec.generate_private_key(ec.SECP256R1())
SECRET = "s3cret-" * 6
ISSUER, AUDIENCE = "https://id.example.org/", "media"

Sign = Callable[[bytes], bytes]


def public(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(encoding, form)


def by_rsa(private: rsa.RSAPrivateKey = RSA) -> Sign:
    return lambda data: private.sign(data, padding.PKCS1v15(), hashes.SHA256())


def by_ec(data: bytes) -> bytes:
    r, s = decode_dss_signature(EC.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def by_secret(secret: bytes) -> Sign:
    return lambda data: hmac.new(secret, data, hashlib.sha256).digest()


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(sign: Sign | None = None, head: dict[str, Any] | None = None, **claims: Any) -> str:
    """A valid RS256 token of `acme`, but for what is given; a claim that is None is left out."""
    body = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 300, "sub": "acme"} | claims
    body = {name: value for name, value in body.items() if value is not None}
    signed = (
        f"{text(json.dumps({'alg': 'RS256', 'typ': 'JWT'} | (head or {})).encode())}.{text(json.dumps(body).encode())}"
    )
    return f"{signed}.{text((sign or by_rsa())(signed.encode()))}"


def accepting(algorithm: str, *files: Path, **changes: Any) -> Access:
    known = {"algorithm": algorithm, "keys": [{"file": str(f)} for f in files], "issuer": ISSUER, "audience": AUDIENCE}
    return Access(jwt=Jwt.model_validate(known | changes))


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


async def test_a_valid_token_stands_for_its_tenant_and_keys_go_on_working(tmp_path: Path):
    pem = written(tmp_path, "rsa.pem", public(RSA))
    async with world(tmp_path / "state") as here:
        await here.gateway.admit(Admission((ACME, RIVAL), (key(ALICE),)))
        replica = await guarded(here, accepting("RS256", pem))
        for good in (
            token(),
            token(aud=["other", AUDIENCE]),
            token(nbf=int(time.time())),
            token(exp=time.time() + 60.5),
        ):
            assert await code(here, headers=bearer(good)) == "200"
        assert replica.seen[-1].headers["x-tidegate-tenant"] == "acme"
        assert "authorization" not in replica.seen[-1].headers
        assert await code(here, headers={"x-api-key": token()}) == "200"
        assert await code(here, headers=bearer(ALICE)) == "200"
        assert await code(here, headers=bearer(token(sub="nobody"))) == "403 tenant_unknown"
        assert (await uses_of(here, 7))["acme"].key_ids == {"jwt", "id-alice"}


async def test_whatever_is_wrong_with_a_token_refuses_it(tmp_path: Path):
    pem = written(tmp_path, "rsa.pem", public(RSA))
    now = int(time.time())
    good = token()
    head, body, signature = good.split(".")
    none, capital = text(b'{"alg":"none"}'), text(b'{"alg":"None"}')
    forged = text(json.dumps({"iss": ISSUER, "aud": AUDIENCE, "exp": now + 300, "sub": "rival"}).encode())
    bad = {
        "expired": token(exp=now - 1),
        "never ends": token(exp=None),
        "ends in words": token(exp="never"),
        "ends below zero": token(exp=-1),
        "not yet": token(nbf=now + 3600),
        "issuer": token(iss="https://evil.example.org/"),
        "issuer with more": token(iss=ISSUER + "x"),
        "no issuer": token(iss=None),
        "audience": token(aud="other"),
        "audiences": token(aud=["a", "b"]),
        "audience inside": token(aud={"0": AUDIENCE}),
        "no audience": token(aud=None),
        "no tenant": token(sub=None),
        "tenant of another type": token(sub=["acme"]),
        "none": f"{none}.{body}.",
        "none with a signature": f"{none}.{body}.{signature}",
        "None": f"{capital}.{body}.{signature}",
        "another key": token(by_rsa(OTHER_RSA)),
        "HS256 with the public key": token(by_secret(public(RSA)), {"alg": "HS256"}),
        "HS256 with the public key, said to be RS256": token(by_secret(public(RSA))),
        "ES256": token(by_ec, {"alg": "ES256"}),
        "another algorithm in the head": token(head={"alg": "RS512"}),
        "no algorithm": token(head={"alg": None}),
        "other claims": f"{head}.{forged}.{signature}",
        "cut": good[:-4],
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{signature}",
        "empty": "..",
        "not base64": f"{head}.???.{signature}",
        "key inside": token(head={"jwk": {"kty": "oct", "k": "YQ"}, "alg": "HS256"}),
        "unicode": good[:-1] + "\xe9",
    }
    async with world(tmp_path / "state") as here:
        await here.gateway.admit(Admission((ACME, RIVAL)))
        replica = await guarded(here, accepting("RS256", pem))
        for name, wrong in bad.items():
            headers = [(b"authorization", f"Bearer {wrong}".encode("latin-1"))]
            assert await code(here, headers=headers) == "401 key_invalid", name
        assert not replica.seen
        assert await code(here, headers=bearer(good)) == "200"


async def test_a_key_with_an_id_only_checks_tokens_that_name_it(tmp_path: Path):
    one, two = written(tmp_path, "1.pem", public(RSA)), written(tmp_path, "2.pem", public(OTHER_RSA))
    keys = [{"file": str(one), "kid": "one"}, {"file": str(two), "kid": "two"}]
    async with world(tmp_path / "state") as here:
        await here.gateway.admit(Admission((ACME,)))
        await guarded(here, accepting("RS256", keys=keys, tenantClaim="realm.tenant"))
        for sign, kid, wanted in (
            (by_rsa(), "one", "200"),
            (by_rsa(OTHER_RSA), "two", "200"),
            (by_rsa(), "two", "401 key_invalid"),
            (by_rsa(), "three", "401 key_invalid"),
            (by_rsa(), "../one", "401 key_invalid"),
            (by_rsa(), None, "401 key_invalid"),
        ):
            made = token(sign, {"kid": kid}, sub="rival", realm={"tenant": "acme"})
            assert await code(here, headers=bearer(made)) == wanted, kid


async def test_elliptic_curves_and_shared_secrets_work_as_well(tmp_path: Path):
    curve, secret = written(tmp_path, "ec.pem", public(EC)), written(tmp_path, "secret", SECRET + "\n")
    async with world(tmp_path / "state") as here:
        await here.gateway.admit(Admission((ACME,)))
        await guarded(here, accepting("ES256", curve))
        assert await code(here, headers=bearer(token(by_ec, {"alg": "ES256"}))) == "200"
        assert await code(here, headers=bearer(token())) == "401 key_invalid"
    async with world(tmp_path / "other") as here:
        await here.gateway.admit(Admission((ACME,)))
        await guarded(here, accepting("HS256", secret))
        assert await code(here, headers=bearer(token(by_secret(SECRET.encode()), {"alg": "HS256"}))) == "200"
        assert await code(here, headers=bearer(token(by_secret(b""), {"alg": "HS256"}))) == "401 key_invalid"


async def test_a_key_that_cannot_be_used_lets_nobody_in_and_a_renewed_one_is_taken_over(tmp_path: Path):
    form, cipher = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = written(tmp_path, "rsa.pem", OTHER_RSA.private_bytes(serialization.Encoding.PEM, form, cipher))
    async with world(tmp_path / "state") as here:
        await here.gateway.admit(Admission((ACME,)))
        await guarded(here, accepting("RS256", pem))
        assert await code(here, headers=bearer(token())) == "401 key_invalid"
        (fault,) = (await here.gateway.observe())[0].admission.faults
        assert "is a private key" in fault
        pem.write_bytes(public(RSA))
        assert (await here.gateway.observe())[0].admission.faults == ()

        async def taken_over() -> bool:
            await here.gateway.publish(here.gateway._snapshot)
            return await code(here, headers=bearer(token())) == "200"

        await until(taken_over)
