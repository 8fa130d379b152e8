"""The generated files, whole (golden) and in what must hold for all of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import world
from gateway.world import service, snapshot
from tidegate.base.errors import GatewayError
from tidegate.gateway.config import render
from tidegate.gateway.jwks import TokenKey
from tidegate.gateway.lanes import lane_sizes, render_lane
from tidegate.gateway.names import balance, check_names, lane_name, number_servers
from tidegate.gateway.screening import lua_path
from tidegate.gateway.settings import GatewaySettings
from tidegate.gateway.tls import CertificateFiles, Tls
from tidegate.model.admission import Admission, AdmittedKey, TenantRule
from tidegate.model.snapshot import PoolRoute, Server, Snapshot
from tidegate.spec.access import Access, Jwt
from tidegate.spec.by_url import MediaByUrl
from tidegate.spec.requests import Accepts, Match, Range, Route
from tidegate.spec.tls import ReplicaTls

GOLDEN = Path(__file__).parents[1] / "golden" / "gateway"
SETTINGS = GatewaySettings(Path("/run/tidegate/gateway"), listen_port=8000, management_port=8001, max_connections=9500)


def servers(count: int, **changes: object) -> tuple[Server, ...]:
    return tuple(replace(Server(f"face-{i}", f"10.0.0.{i}:8080", 2), **changes) for i in range(1, count + 1))


NEAR, GONE = Server("ocr-near", "10.1.0.1:80", 4), Server("gone", "h:1", 1, draining=True)


def pool(service: str = "face", name: str = "default", **changes: object) -> PoolRoute:
    """With times that can be told from each other in the files."""
    times = {"queue_max_wait_s": 5.0, "start_wait_s": 5.0, "request_timeout_s": 10.0, "within_s": 1.0}
    return world.pool(service, name, **(times | changes))


FACE = service(pool(servers=servers(2)), route=Route(pathPrefix="/v1/face"))
JWT = Jwt(
    algorithm="RS256",
    keys=({"file": "/keys/a"}, {"file": "/keys/b", "kid": "k-2"}),
    issuer="https://id.example.org",
    audience="media",
    tenantClaim="realm.tenant",
)
SECRET = JWT.model_copy(update={"algorithm": "HS256"})
SIGNED = (TokenKey("/keys/a", "A" * 32), TokenKey("/keys/b", "B" * 32, "k-2"))
TOKEN_KEYS = {JWT: SIGNED, SECRET: SIGNED}
CASES = {
    "empty": snapshot(),
    "one-service": snapshot(FACE),
    "pools-and-refusals": snapshot(
        service(
            pool(name="huge", match=Match(pixels=Range(min=50e6))),
            pool(name="large", match=Match(seconds={"min": 60}, type=("video/*", "image/jpeg", "text/plain"))),
            pool(name="gold", match=Match(header={"x-tier": "gold"}, bytes={"max": "2M"}), fallback="large"),
            pool(fallback="large"),
            accepts=Accepts(pixels=100_000_000, kinds=("image", "video")),
        ),
        service(pool("ocr", name="pages", match=Match(pixels=Range(min=1e6))), pool("ocr"), name="ocr"),
    ),
    "tenants": snapshot(
        service(pool(servers=servers(1)), access=Access(priorityHeader="X-Priority")),
        service(pool("ocr"), name="ocr", access=Access(keys="optional")),
        service(pool("gif"), name="gif", access=Access(jwt=JWT)),
        service(pool("film"), name="film", access=Access(jwt=SECRET)),
        service(pool("speech"), name="speech", access=Access(keys="none", priorityHeader="x-urgency")),
        service(pool("open"), name="open"),
    ),
    "hosts-tiers-and-no-retry": snapshot(
        service(
            pool(
                "ocr",
                servers=(*servers(1, tier=1), Server("ocr-near", "10.1.0.1:80", 4), Server("gone", "h:1", 1, True)),
            ),
            name="ocr",
            route=Route(hosts=("OCR.example.com", "read.example.com"), stripPrefix=False),
            retry=False,
            max_body_bytes=50 * 2**20,
        ),
        service(pool("speech"), name="speech"),
    ),
}


TLS = Tls(
    tuple(CertificateFiles(Path(f"/etc/tls/{n}.crt"), Path(f"/etc/tls/{n}.key")) for n in ("a", "b")),
    client_ca=Path("/etc/tls/clients.pem"),
    redirect_port=8080,
)
MUTUAL = ReplicaTls(ca="/etc/tls/ca.pem", certificate="/etc/tls/own.pem", serverName="replica.internal")
CASES["tls"] = snapshot(
    FACE,
    service(pool("ocr", servers=(NEAR,), tls=MUTUAL), name="ocr"),
    service(pool("any", servers=(Server("any-1", "h:1", 1),), tls=ReplicaTls(verify=False)), name="any"),
)
CASES["media-by-url"] = snapshot(
    service(
        pool(name="large", match=Match(pixels=Range(min=10e6))),
        pool(),
        accepts=Accepts(pixels=50_000_000),
        media_by_url=MediaByUrl(fields=("image_url", "url"), hosts=("*.example.org",)),
    )
)
SETTINGS_OF = {"tls": replace(SETTINGS, listen_port=8443, tls=TLS)}


ADMISSION = Admission(
    tenants=(
        TenantRule("acme", ("face", "ocr"), 20.0, 40, 8, "high", 3),
        TenantRule("everywhere", ("*",)),
    ),
    keys=(
        AdmittedKey("k1", "acme", "ab" * 32, 1_800_000_000.5),
        AdmittedKey("k2", "everywhere", "cd" * 32),
        AdmittedKey("k3", "undeclared", "ef" * 32),
    ),
    spent={"everywhere": 1_800_000_000.0},
)


def stable(text: str) -> str:
    """Without what differs between two installations: where the media screen is, and digests of scripts."""
    text = text.replace(str(lua_path()), "/INSTALLED")
    return re.sub(r"(TIDEGATE_(?:SCREEN|SHAPE)) [0-9a-f]{16}", r"\1 DIGEST", text)


@pytest.mark.parametrize("case", CASES)
def test_files_are_as_reviewed(case: str, rewrite_golden: bool):
    settings = SETTINGS_OF.get(case, SETTINGS)
    made = render(CASES[case], settings, admission=ADMISSION, token_keys=TOKEN_KEYS)
    files = {n: stable(t) for n, t in made.files.items() if not n.endswith(".lua")}
    for size in lane_sizes(CASES[case], settings):
        files[f"{lane_name(size)}.cfg"] = stable(render_lane(size, CASES[case], settings, 100.0).files["haproxy.cfg"])
    folder = GOLDEN / case
    if rewrite_golden:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / f"out.{name}").write_text(text)
    for name, text in files.items():
        assert text == (folder / f"out.{name}").read_text(), f"see {name}; pytest --rewrite-golden rewrites it"


def shape(value: Snapshot) -> str:
    return render(value, SETTINGS).shape


def test_servers_coming_and_going_do_not_change_the_shape():
    fewer = snapshot(replace(FACE, pools=(pool(servers=servers(1)),)))
    heavier = snapshot(replace(FACE, pools=(pool(servers=servers(2, weight=130, draining=True)),)))
    assert shape(fewer) == shape(heavier) == shape(snapshot(FACE))


@pytest.mark.parametrize(
    "other",
    [
        replace(FACE, route=Route(pathPrefix="/v2/face")),
        replace(FACE, max_body_bytes=1),
        replace(FACE, retry=False),
        replace(FACE, pools=(pool(servers=servers(2), request_timeout_s=11.0),)),
        replace(FACE, pools=(pool(servers=servers(2), slots_per_replica=4),)),
    ],
    ids=["route", "limit", "retry", "timeout", "balance"],
)
def test_what_the_socket_cannot_change_changes_the_shape(other: object):
    assert shape(snapshot(other)) != shape(snapshot(FACE))  # type: ignore[arg-type]


def test_draining_servers_are_not_written_and_all_others_are():
    text = render(CASES["hosts-tiers-and-no-retry"], SETTINGS).files["haproxy.cfg"]
    assert "server gone " not in text
    assert "server ocr-near " in text


def test_a_known_number_is_kept_and_new_ones_are_free():
    near, far = Server("near", "h:1", 1, tier=0), Server("far", "h:2", 1, tier=1)
    first = number_servers(snapshot(service(pool(servers=(far, near)))), {})
    more = number_servers(snapshot(service(pool(servers=(Server("new", "h:3", 1), far, near)))), first)
    assert {n: more[n] for n in first} == first
    assert len(set(more.values())) == 3


@pytest.mark.parametrize(
    ("slots", "tiers", "expected"),
    [(1, (0, 0), "roundrobin"), (1, (0, 1), "roundrobin"), (4, (0, 1), "roundrobin"), (4, (0, 0), "leastconn")],
)
def test_weights_are_followed_wherever_they_can_differ(slots: int, tiers: tuple[int, ...], expected: str):
    made = tuple(Server(f"r{i}", "h:1", slots, tier=tier) for i, tier in enumerate(tiers))
    assert balance(pool(servers=made, slots_per_replica=slots)) == expected


def test_a_new_server_does_not_get_the_number_of_the_one_it_replaces():
    known = number_servers(snapshot(service(pool(servers=(Server("old", "h:1", 1),)))), {})
    assert number_servers(snapshot(service(pool(servers=(Server("new", "h:2", 1),)))), known)["new"] != known["old"]


@pytest.mark.parametrize(
    "bad",
    [
        service(pool(servers=(Server("a b", "h:1", 1),))),
        service(pool(servers=(Server("a", "h:1 maxconn 5", 1),))),
        service(pool(servers=(Server("a", "h", 1),))),
        service(route=Route.model_construct(pathPrefix="/a'b")),
        service(route=Route.model_construct(hosts=("a\nbind *:80",))),
    ],
    ids=["name", "address", "no port", "prefix", "host"],
)
def test_what_would_change_the_files_meaning_is_refused(bad: object):
    with pytest.raises(GatewayError):
        check_names(snapshot(bad))  # type: ignore[arg-type]
