"""Manifests of tenants and of who may use a service: what is accepted, what is refused, what is only worth a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.base.errors import SpecError
from tidegate.spec.cluster import Capacity
from tidegate.spec.load import Loaded, load_text, read_stored, write_stored

HERE = Capacity(cpu=8, memory=16 * 2**30)
SERVICE = (
    "apiVersion: tidegate.dev/v1\nkind: MediaService\nmetadata: {{name: face}}\nspec: {{command: [a], access: {0}}}\n"
)


def tenant(spec: str, name: str = "acme") -> str:
    """A manifest whose `spec:` stands on line 4."""
    return f"apiVersion: tidegate.dev/v1\nkind: Tenant\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def read(text: str) -> Loaded:
    return load_text(text, "t.yaml", here=HERE)


REFUSALS = [
    ("no services", "{}", "t.yaml:4: spec.services: is missing. Add it."),
    ("unknown service", "{services: [face, ocr]}", 't.yaml:4: spec.services[1]: there is no MediaService "ocr".'),
    ("grant", "{services: [Face!]}", 'spec.services[0]: got "Face!", expected the name of a service, or *.'),
    ("rate", '{services: ["*"], rate: {requestsPerSecond: 0}}', "requestsPerSecond: got 0, expected a number > 0."),
    ("rate missing", '{services: ["*"], rate: {burst: 4}}', "spec.rate.requestsPerSecond: is missing. Add it."),
    ("slow bucket", '{services: ["*"], rate: {requestsPerSecond: 0.01, burst: 60}}',
     "spec.rate.burst: 60 at 0.01 a second take 6000 s to fill, 600 s at most. Set burst to 6 or less"),
    ("concurrency", '{services: ["*"], concurrency: 0}', "spec.concurrency: got 0, expected a number >= 1."),
    ("zone", '{services: ["*"], quota: {timeZone: Asia/Shanghia}}', 'Did you mean "Asia/Shanghai"?'),
    ("priority", '{services: ["*"], priority: urgent}', 'got "urgent", expected "high", "normal" or "low"'),
    ("misspelt", '{services: ["*"], quotas: {}}', "spec.quotas: is not a field here. Did you mean quota?"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "part"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_a_faulty_tenant_is_refused_with_a_sentence(spec: str, part: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(tenant(spec) + "---\n" + SERVICE.format("{}"))
    assert [f for f in caught.value.faults if part in f], caught.value.faults


def test_all_faults_of_a_tenant_come_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        read(tenant("{services: [], concurrency: 0, weight: 0, quota: {requestsPerDay: -1}}"))
    assert len(caught.value.faults) == 3


def _published(url: str, algorithm: str = "RS256", more: str = "") -> str:
    return f'{{jwt: {{algorithm: {algorithm}, jwksUrl: "{url}", issuer: i, audience: a, {more}}}}}'


ACCESS = [
    ("jwt for nobody", "{keys: none, jwt: {algorithm: RS256, keys: [{file: a.pem}], issuer: i, audience: a}}",
     "spec.access.jwt: has no effect with keys: none"),
    ("no key", "{jwt: {algorithm: RS256, keys: [], issuer: i, audience: a}}", "spec.access.jwt.keys: is empty"),
    ("none is no algorithm", "{jwt: {algorithm: none, keys: [{file: a.pem}], issuer: i, audience: a}}",
     'got "none", expected "RS256", "ES256" or "HS256"'),
    ("quote", """{jwt: {algorithm: RS256, keys: [{file: a.pem}], issuer: "i'x", audience: a}}""",
     "expected 1 to 256 visible characters without quotes and backslashes"),
    ("no file", "{jwt: {algorithm: RS256, keys: [{file: none.pem}], issuer: i, audience: a}}", "there is no file"),
    ("header", "{priorityHeader: 'a b'}", "expected the name of a header"),
    *((f"keys at {url}", _published(url), f"spec.access.jwt.jwksUrl: {why}") for url, why in (
        ("http://id.example.org/k", "would be fetched without TLS"),
        ("http://127.0.0.1.example.org/k", "would be fetched without TLS"),
        ("http://2130706433/k", "would be fetched without TLS"),
        ("https://a:b@id.example.org/k", "holds a user name or a fragment"),
        ("https://id.example.org/k#x", "holds a user name or a fragment"),
        ("https://id.example.org:0/k", "is no URL of a host"),
        ("https://id.example.org:99999/k", "cannot be read as a URL"),
        ("https:///k", "is no URL of a host"),
        ("file:///etc/passwd", "is no URL of a host"),
        ("ftp://id.example.org/k", "is no URL of a host"),
        ("https://id.example.org/ k", "is no URL of a host"),
    )),
    ("published secrets", _published("https://id.example.org/k", algorithm="HS256"), "secrets are not published"),
    ("both", _published("https://id.example.org/k", more="keys: [{file: a.pem}]"), "has no effect beside jwksUrl"),
    ("network", _published("https://id.example.org/k", more="jwksNetworks: [10.0.0.1/8]"), "expected a network"),
]  # fmt: skip


@pytest.mark.parametrize(
    "url", ["https://id.example.org/k", "https://10.0.0.7:8443/k?a=b", "http://localhost:1/k", "http://[::1]:1/k"]
)
def test_keys_are_published_over_tls_or_on_this_machine(url: str):
    (face,) = read(SERVICE.format(_published(url, more="jwksNetworks: [10.0.0.0/8]"))).services
    assert face.spec.access is not None
    assert face.spec.access.jwt is not None
    assert (face.spec.access.jwt.jwksUrl, face.spec.access.jwt.keys) == (url, ())


@pytest.mark.parametrize(("access", "part"), [a[1:] for a in ACCESS], ids=[a[0] for a in ACCESS])
def test_faulty_access_is_refused_with_a_sentence(
    access: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pem").write_text("key")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError) as caught:
        read(SERVICE.format(access))
    assert [f for f in caught.value.faults if part in f], caught.value.faults


def test_a_bucket_holds_the_requests_of_one_second_unless_told() -> None:
    specs = [
        "{requestsPerSecond: 0.5}",
        "{requestsPerSecond: 20}",
        "{requestsPerSecond: 20, burst: 3}",
    ]
    loaded = [read(tenant(f'{{services: ["*"], rate: {s}}}')).tenants[0].spec.rate for s in specs]
    assert [rate.depth for rate in loaded if rate] == [1, 20, 3]


def test_limits_that_do_not_hold_and_services_nobody_may_use_are_a_warning() -> None:
    open_service = SERVICE.format("{keys: none}") + "---\n" + tenant("{services: [face]}")
    assert "asks for no key" in read(open_service).warnings[0]
    nobody = SERVICE.format("{}") + "---\n" + tenant("{services: []}")
    assert "no Tenant may use the service" in read(nobody).warnings[0]
    assert not read(SERVICE.format("{}") + "---\n" + tenant("{services: [face]}")).warnings


def test_a_tenant_is_kept_and_resolved_with_the_others() -> None:
    loaded = read(tenant('{services: ["*"]}', "b") + "---\n" + tenant('{services: ["*"]}', "a"))
    assert [t.name for t in loaded.specs.tenants] == ["a", "b"]
    assert read_stored(write_stored(loaded.tenants[0])) == loaded.tenants[0]
