"""Who a request is from and whether it may pass: the lines of the main proxy, and the maps they read. Pure.

    key or token -> tenant -> may it use this service -> quota of the day -> rate -> requests in progress

A refused request sets `txn.code` and nothing else: it takes no token from the bucket and counts as none in progress.
What changes without a reload (tenants, keys, spent quotas) is in maps; what the lines themselves say is of the shape.

The rate is a bucket in one number per tenant, the generic cell rate algorithm (ITU-T I.371, annex A): `debt` is how
many microseconds from now the bucket will be full. A request adds its `step` (1 / rate) and may not bring the debt over
the `window` (burst / rate). What is kept is the end of the debt modulo 2^32 microseconds (71 minutes); a debt longer
than the window is that of an end long past. Worked example: 10 a second, burst 5: step 100 000, window 500 000; the
sixth request at once would owe 600 000, so it is told to come again in 100 000.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tidegate.gateway.answers import ASKS, Answer, returned
from tidegate.gateway.tokens import Keys, token_lines
from tidegate.model.admission import Admission, TenantRule
from tidegate.model.snapshot import ServiceRoute, Snapshot

KEY_PREFIX = "tgk_"
ACCESS_MAP = "access.map"
KEYS_MAP, TENANTS_MAP, GRANTS_MAP, SPENT_MAP = "keys.map", "tenants.map", "grants.map", "spent.map"
LOOSE_MAPS = (KEYS_MAP, TENANTS_MAP, GRANTS_MAP, SPENT_MAP)
TENANTS_TABLE = "tenants"
CARRY, SELF = "carry", "tidegate"

_COUNTER = 2  # see `strict.COUNTERS`
_CLOCK = 2**32
_MICROSECONDS = 1_000_000
CLASSES = {"high": 1, "normal": 2, "low": 3}

AMBIGUOUS = Answer(400, "key_ambiguous", "Send one key, in Authorization: Bearer or in X-API-Key, and once.")
MISSING = Answer(401, "key_missing", "This service needs a key: send it as Authorization: Bearer KEY or X-API-Key.")
INVALID = Answer(401, "key_invalid", "The key or token is not valid, or not any more.")
UNKNOWN = Answer(403, "tenant_unknown", "The token is valid, but its tenant is not known here.")
NOT_ALLOWED = Answer(403, "service_not_allowed", "This tenant may not use this service.")
QUOTA = Answer(429, "quota_exhausted", "The quota of the day is used up.", "%[var(txn.retry)]")
RATE = Answer(429, "rate_limited", "Too many requests a second. Slow down.", "%[var(txn.retry)]")
CONCURRENCY = Answer(429, "concurrency_limited", "Too many requests of this tenant are in progress.", 1)
REFUSALS = (AMBIGUOUS, MISSING, INVALID, UNKNOWN, NOT_ALLOWED, QUOTA, RATE, CONCURRENCY)

_GUARDED = "{ var(txn.guarded) -m bool }"
_REFUSED = "{ var(txn.code) -m found }"
_FREE = f"!{_REFUSED}"
_TENANT = "{ var(txn.tenant) -m found }"


def guarded(service: ServiceRoute) -> bool:
    """Whether it looks at keys."""
    return service.access is not None and service.access.keys != "none"


def any_guarded(snapshot: Snapshot) -> bool:
    return any(guarded(s) for s in snapshot.services)


def access_map(snapshot: Snapshot) -> str:
    """The lines of the map from a service that looks at keys to whether it needs one."""
    return "".join(f"{s.service} {s.access.keys}\n" for s in snapshot.services if s.access and guarded(s))


def access_lines(snapshot: Snapshot, token_keys: Keys) -> Iterator[str]:
    """For the entrance, once the service is known. Services that are open to all cost one look into a map."""
    if not any_guarded(snapshot):
        return
    yield f"http-request set-var(txn.access) var(txn.service),map_str({ACCESS_MAP})"
    yield "http-request set-var(txn.guarded) bool(true) if { var(txn.access) -m found }"
    yield from _credential()
    yield from _key()
    yield from token_lines(snapshot, token_keys, KEY_PREFIX, TENANTS_MAP)
    yield from _tenant()
    yield from _rate()
    yield from _concurrency()
    yield f"http-request set-var(txn.admitted) bool(true) if {_TENANT} {_FREE}"
    yield from _answers()
    # What the client proved is not the replica's business, only who it is.
    for name in ("authorization", "x-api-key"):
        yield f"http-request del-header {name} if {_GUARDED}"
    yield f"http-request set-header x-tidegate-tenant %[var(txn.tenant)] if {_TENANT}"
    yield ""


def table_lines() -> Iterator[str]:
    """For the backend that holds the tenants' counters. An entry outlives the longest window: no debt is forgotten."""
    yield f"stick-table type string len 64 size 100k expire 20m store gpt(1),conn_cur peers {CARRY}"


def _refuse(answer: Answer, *conditions: str) -> str:
    return f"http-request set-var(txn.code) str({answer.code}) if {' '.join((_GUARDED, _FREE, *conditions))}"


def _credential() -> Iterator[str]:
    """One header, once: two of them may be read differently by others."""
    once = "{ var(txn.given) -m int eq 1 }"
    yield "http-request set-var(txn.given) req.fhdr_cnt(x-api-key)"
    yield "http-request set-var(txn.given) req.fhdr_cnt(authorization),add(txn.given)"
    yield f"http-request set-var(txn.credential) req.fhdr(x-api-key) if {_GUARDED} {once}"
    bearer = "{ req.fhdr(authorization) -m beg -i 'bearer ' }"
    yield (
        f"http-request set-var(txn.credential) req.fhdr(authorization),bytes(7),ltrim(' ') "
        f"if {_GUARDED} {once} {bearer}"
    )
    yield _refuse(AMBIGUOUS, "{ var(txn.given) -m int gt 1 }")
    yield _refuse(MISSING, "{ var(txn.access) -m str required }", "{ var(txn.given) -m int eq 0 }")


def _key() -> Iterator[str]:
    """A key is looked up by its digest, so how long a wrong one takes tells nothing about right ones."""
    entry = "{ var(txn.entry) -m found }"
    digest = "var(txn.credential),sha2(256),hex,lower"
    yield f"http-request set-var(txn.entry) {digest},map_str({KEYS_MAP}) if {{ var(txn.credential) -m found }}"
    yield f"http-request set-var(txn.expires) var(txn.entry),field(3,:),add(0) if {entry}"
    yield "http-request unset-var(txn.entry) if { var(txn.expires) -m int gt 0 } { date,sub(txn.expires) ge 0 }"
    yield f"http-request set-var(txn.tenant) var(txn.entry),field(1,:) if {entry}"
    yield f"http-request set-var(txn.key_id) var(txn.entry),field(2,:) if {entry}"


def _tenant() -> Iterator[str]:
    """Who it is, whether it may use this service, and whether it has used up its day."""
    yield _refuse(UNKNOWN, f"!{_TENANT}", "{ var(txn.claimed) -m found }")
    yield _refuse(INVALID, "{ var(txn.given) -m int eq 1 }", f"!{_TENANT}")
    yield f"http-request set-var(txn.rules) var(txn.tenant),map_str({TENANTS_MAP}) if {_TENANT}"
    yield _refuse(INVALID, _TENANT, "!{ var(txn.rules) -m found }")
    yield f"http-request set-var-fmt(txn.grant) %[var(txn.tenant)]/%[var(txn.service)] if {_TENANT}"
    everywhere = "{ var(txn.rules),field(6,:) -m str all }"
    yield _refuse(NOT_ALLOWED, _TENANT, f"!{everywhere}", f"!{{ var(txn.grant),map_str({GRANTS_MAP}) -m found }}")
    yield f"http-request set-var(txn.until) var(txn.tenant),map_str_int({SPENT_MAP},0) if {_TENANT}"
    yield "http-request set-var(txn.now) date"
    yield f"http-request set-var(txn.retry) var(txn.until),sub(txn.now) if {_TENANT}"
    yield _refuse(QUOTA, _TENANT, "{ var(txn.retry) -m int gt 0 }")


def _rate() -> Iterator[str]:
    """The bucket. Between reading and writing it another thread may do the same: then two requests cost one step."""
    limited = "{ var(txn.step) -m int gt 0 }"
    yield f"http-request set-var(txn.step) var(txn.rules),field(1,:),add(0) if {_TENANT}"
    yield f"http-request set-var(txn.window) var(txn.rules),field(2,:),add(0) if {_TENANT}"
    yield f"http-request set-var(txn.clock) date(0,us),mod({_CLOCK})"
    yield f"http-request set-var(txn.end) var(txn.tenant),table_gpt(0,{TENANTS_TABLE}) if {_TENANT}"
    yield f"http-request set-var(txn.debt) var(txn.end),sub(txn.clock),add({_CLOCK}),mod({_CLOCK}) if {_TENANT}"
    full = "{ var(txn.end) -m int eq 0 } || { var(txn.debt),sub(txn.window) -m int gt 0 }"
    yield f"http-request set-var(txn.debt) int(0) if {full}"
    yield f"http-request set-var(txn.next) var(txn.debt),add(txn.step) if {_TENANT}"
    yield f"http-request set-var(txn.excess) var(txn.next),sub(txn.window) if {_TENANT}"
    over = "{ var(txn.excess) -m int gt 0 }"
    up = f"add({_MICROSECONDS - 1}),div({_MICROSECONDS})"
    yield f"http-request set-var(txn.retry) var(txn.excess),{up} if {limited} {over} {_FREE}"
    yield _refuse(RATE, limited, over)
    yield f"http-request set-var(txn.next) var(txn.debt) if {limited} {_REFUSED}"
    yield f"http-request set-var(txn.left) var(txn.window),sub(txn.next),div(txn.step) if {limited}"
    yield f"http-request set-var(txn.reset) var(txn.next),{up} if {limited}"
    yield f"http-after-response set-header ratelimit-limit %[var(txn.rules),field(7,:)] if {limited}"
    yield f"http-after-response set-header ratelimit-remaining %[var(txn.left)] if {limited}"
    yield f"http-after-response set-header ratelimit-reset %[var(txn.reset)] if {limited}"


def _concurrency() -> Iterator[str]:
    """Refused ones are not counted: a client that hammers does not keep itself out."""
    yield f"http-request set-var(txn.most) var(txn.rules),field(3,:),add(0) if {_TENANT}"
    yield f"http-request set-var(txn.busy) var(txn.tenant),table_conn_cur({TENANTS_TABLE}) if {_TENANT}"
    yield _refuse(CONCURRENCY, "{ var(txn.most) -m int gt 0 }", "{ var(txn.busy),sub(txn.most) -m int ge 0 }")
    yield f"http-request track-sc{_COUNTER} var(txn.tenant) table {TENANTS_TABLE} if {_TENANT} {_FREE}"
    yield f"http-request sc-set-gpt(0,{_COUNTER}) var(txn.next),add(txn.clock),mod({_CLOCK}) if {_TENANT} {_FREE}"


def _answers() -> Iterator[str]:
    # Who is still sending does not read; but who asks first is told first.
    for sending in ("{ req.body_size gt 16384 }", "{ req.fhdr(transfer-encoding) -m found }"):
        yield f"http-request use-service lua.refuse_tenant if {_REFUSED} !{ASKS} {sending}"
    for answer in REFUSALS:
        challenge = " hdr www-authenticate Bearer" if answer.status == MISSING.status else ""
        yield f"http-request return {returned(answer)}{challenge} if {{ var(txn.code) -m str {answer.code} }}"


def access_maps(admission: Admission) -> dict[str, dict[str, str]]:
    """The entries of the maps that change without a reload, by map."""
    names = {t.name for t in admission.tenants}
    keys = {k.digest: f"{k.tenant}:{k.id}:{int(k.expires_at or 0)}" for k in admission.keys if k.tenant in names}
    granted = {f"{t.name}/{s}": "1" for t in admission.tenants for s in t.services if s != "*"}
    return {
        KEYS_MAP: keys,
        TENANTS_MAP: {t.name: _rules(t) for t in admission.tenants},
        GRANTS_MAP: granted,
        SPENT_MAP: {name: str(int(until)) for name, until in admission.spent.items() if name in names},
    }


def map_text(entries: Mapping[str, str]) -> str:
    """A map as its file."""
    return "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))


def _rules(tenant: TenantRule) -> str:
    """step:window:concurrency:class:weight:all or some:burst, times in microseconds; 0 where there is no limit."""
    step = window = 0
    if tenant.rate_per_s is not None:
        step = max(1, round(_MICROSECONDS / tenant.rate_per_s))
        window = step * tenant.burst
    everywhere = "all" if "*" in tenant.services else "some"
    numbers = (step, window, tenant.concurrency or 0, CLASSES[tenant.priority], tenant.weight)
    return ":".join((*map(str, numbers), everywhere, str(tenant.burst)))
