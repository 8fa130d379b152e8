"""Who is served first when requests wait, and how much of the queue one tenant may fill. Pure.

Two rules, both by how many requests a tenant has in this pool, waiting or on a replica (`mine`), and by its pull: its
weight, twice that for the class `high`, half for `low`.

1. Room. A tenant may wait only while `mine` is less than 4 x pull x the places left in the queue (dynamic thresholds,
   A. K. Choudhury and E. L. Hahne, IEEE/ACM Transactions on Networking 6(2), 1998). Alone, a tenant of weight 1 fills
   four fifths of the queue; two greedy ones four ninths each; there is always a place for one who has nothing waiting.
2. Order. A request stands in the queue as if it had come later by 2 x promise x mine / (places x pull): who has little
   waiting goes before who has much. The class adds a head start of an eighth of the promise, either way. So a request
   is overtaken only by those that come within that time after it, and nobody waits for ever.
"""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.gateway.access import CLASSES, TENANTS_MAP, guarded
from tidegate.gateway.answers import Answer, returned
from tidegate.gateway.lines import STAGED
from tidegate.model.snapshot import PoolRoute, ServiceRoute, Snapshot

SHARES_TABLE = "shares"
NOBODY = "-"  # what stands for those of no tenant
SHARE_FULL = Answer(503, "share_full", "This tenant has too many requests waiting here. Try again later.", 1)

# Pulls are whole numbers, in halves.
_HALVES = {"high": 4, "normal": 2, "low": 1}
# Places a tenant of pull 1 may have for each free one.
_PER_FREE_PLACE = 4
_SPREAD = 2
# Who has less than an eighth of the places may use a quarter more of them.
_LITTLE, _BEYOND = 8, 4
_COUNTER = 3
_HEAD_START = 1 / 8
# HAProxy takes offsets of up to 2^19 milliseconds.
_MOST_OFFSET_MS = 500_000


def any_shared(snapshot: Snapshot) -> bool:
    """Whether any service tells its clients apart."""
    return any(shared(s) for s in snapshot.services)


def shared(service: ServiceRoute) -> bool:
    return guarded(service) or (service.access is not None and service.access.priorityHeader is not None)


def table_lines() -> Iterator[str]:
    """For the backend that counts requests per tenant and pool."""
    yield "stick-table type string len 160 size 100k expire 1m store conn_cur"


def class_lines(snapshot: Snapshot) -> Iterator[str]:
    """For the entrance: the class of a request, from its tenant and from the header that its service names.

    A tenant can only go lower by the header; on a service that is open to all, who sends it chooses.
    """
    headers: dict[str, list[ServiceRoute]] = {}
    for service in snapshot.services:
        if service.access is not None and service.access.priorityHeader is not None:
            headers.setdefault(service.access.priorityHeader.lower(), []).append(service)
    if not any_shared(snapshot):
        return
    for header, services in sorted(headers.items()):
        here = f"{{ var(txn.service) -m str {' '.join(s.service for s in services)} }}"
        yield f"http-request set-var(txn.wish) req.fhdr({header}),lower if {here} {{ req.fhdr_cnt({header}) eq 1 }}"
    yield f"http-request set-var(txn.class) int({CLASSES['normal']})"
    yield "http-request set-var(txn.class) var(txn.rules),field(4,:),add(0) if { var(txn.rules) -m found }"
    chooses = "!{ var(txn.guarded) -m bool }"
    for word, number in CLASSES.items() if headers else ():
        asked = f"{{ var(txn.wish) -m str {word} }}"
        lower = (f"{{ var(txn.class) -m int lt {number} }}",) if number > 1 else ()
        for who in (*lower, chooses):
            yield f"http-request set-var(txn.class) int({number}) if {asked} {who}"
    yield "http-request set-var(txn.who) var(txn.tenant) if { var(txn.tenant) -m found }"
    yield ""


def pass_on_lines() -> Iterator[str]:
    """For the entrance, before a large request goes to a lane: the class comes back with it."""
    yield "http-request set-header x-tidegate-class %[var(txn.class)] if { var(txn.lane) -m found }"


def taken_up_lines() -> Iterator[str]:
    """For where lanes hand over, before the headers of the way are removed."""
    yield "http-request set-var(txn.class) req.hdr(x-tidegate-class),add(0)"
    for name in ("who", "tenant"):
        yield f"http-request set-var(txn.{name}) req.hdr(x-tidegate-tenant)"
    yield f"http-request set-var(txn.admitted) str({STAGED})"


def told_lines() -> Iterator[str]:
    """The same, after they were removed: the replica is told the tenant."""
    yield "http-request set-header x-tidegate-tenant %[var(txn.who)] if { var(txn.who) -m found }"


def holder_lines(service: ServiceRoute) -> Iterator[str]:
    """For a pool's backend, behind the line that sets `txn.room` and before it is used.

    When the pace drops, so does the room, and the queue is full of those who came before. Who holds little gets in all
    the same, up to a quarter beyond.
    """
    if guarded(service):
        yield "http-request set-var-fmt(txn.holder) %[var(txn.who)]@%[be_name]"
        yield f"http-request set-var(txn.mine) var(txn.holder),table_conn_cur({SHARES_TABLE})"
        little = f"{{ var(txn.mine),mul({_LITTLE}),sub(txn.room) -m int lt 0 }}"
        yield f"http-request set-var(txn.beyond) var(txn.room),div({_BEYOND}),add(1) if {little}"
        yield f"http-request set-var(txn.room) var(txn.room),add(txn.beyond) if {little}"


def room_lines(service: ServiceRoute, pool: PoolRoute) -> Iterator[str]:
    """For a pool's backend, behind the lines that set `txn.room`."""
    if not shared(service):
        return
    within_ms = min(round(pool.within_s * 1000), _MOST_OFFSET_MS)
    yield "http-request set-var(txn.offset) int(0)"
    if guarded(service):
        yield from _fair(within_ms)
    head_ms = max(1, round(within_ms * _HEAD_START))
    for word, sign in (("high", f"sub({head_ms})"), ("low", f"add({head_ms})")):
        mine = f"{{ var(txn.class) -m int eq {CLASSES[word]} }}"
        yield f"http-request set-var(txn.offset) var(txn.offset),{sign} if {mine}"
    yield "http-request set-priority-offset var(txn.offset)"


def _fair(within_ms: int) -> Iterator[str]:
    yield f"http-request set-var(txn.rules) var(txn.who),map_str({TENANTS_MAP}) if {{ var(txn.who) -m found }}"
    yield "http-request set-var(txn.pull) int(1)"
    yield "http-request set-var(txn.pull) var(txn.rules),field(5,:),add(0) if { var(txn.rules) -m found }"
    for word, number in CLASSES.items():
        if _HALVES[word] > 1:
            times = f"var(txn.pull),mul({_HALVES[word]})"
            yield f"http-request set-var(txn.pull) {times} if {{ var(txn.class) -m int eq {number} }}"
    yield "http-request set-var(txn.waiting) queue"
    yield "http-request set-var(txn.waiting) be_conn,sub(1) if { nbsrv eq 0 }"
    yield f"http-request set-var(txn.may) var(txn.room),sub(txn.waiting),mul(txn.pull),mul({_PER_FREE_PLACE // 2})"
    too_much = "{ var(txn.mine) -m int gt 0 } { var(txn.mine),sub(txn.may) -m int ge 0 }"
    yield f"http-request return {returned(SHARE_FULL)} if {{ var(txn.waiting) -m int gt 0 }} {too_much}"
    yield f"http-request track-sc{_COUNTER} var(txn.holder) table {SHARES_TABLE}"
    yield "http-request set-var(txn.places) var(txn.room),mul(txn.pull)"
    late = f"var(txn.mine),mul({2 * _SPREAD * within_ms}),div(txn.places)"
    yield f"http-request set-var(txn.offset) {late} if {{ var(txn.places) -m int gt 0 }}"
