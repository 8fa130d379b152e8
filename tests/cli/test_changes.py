"""Plain lines say what changed between two statuses, once."""

from __future__ import annotations

from dataclasses import replace

from tidegate.cli.changes import changes
from tidegate.model.status import ClusterStatus, GatewayStatus
from web.world import pool, replica, status


def test_the_first_status_says_what_is_there() -> None:
    now = status(pool("ocr", [replica("ocr-1", "starting", cause="started")]), page="http://127.0.0.1:8081/")
    assert changes(None, now) == [
        "gateway answers at http://127.0.0.1:8080",
        "status page at http://127.0.0.1:8081/",
        "ocr/default: 1 wanted (3 in flight, 0 queued: 3 slots, so 3 replicas)",
        "ocr-1: starting (started)",
    ]


def test_nothing_is_said_when_only_load_and_time_change() -> None:
    before = status(pool("ocr", [replica("ocr-1")]))
    after = status(pool("ocr", [replica("ocr-1", age_s=700.0, in_flight=1)], queued=3), at=before.at + 9)
    assert changes(before, after) == []


def test_a_replica_that_becomes_ready_and_one_that_goes() -> None:
    before = status(pool("ocr", [replica("ocr-1", "starting"), replica("ocr-2")]))
    after = status(pool("ocr", [replica("ocr-1", "ready", cause="prepared"), replica("ocr-3", "starting")], wanted=2))
    assert changes(before, after) == [
        "ocr-1: starting -> ready (prepared)",
        "ocr-3: starting",
        "ocr-2: gone",
    ]


def test_wanted_ready_and_pending() -> None:
    before = status(pool("ocr", [replica("ocr-1")]))
    after = status(pool("ocr", [replica("ocr-1"), replica("ocr-2")], wanted=4, pending=2))
    lines = changes(before, after)
    assert lines[0].startswith("ocr/default: 1 -> 4 wanted (")
    assert lines[1:3] == ["ocr/default: 2 pending, they fit nowhere now", "ocr/default: 2 of 4 ready"]


def test_services_clusters_and_the_gateway_come_and_go() -> None:
    before = status(pool("ocr", []))
    sick = ClusterStatus("here", "local", "gz", healthy=False, detail="\x1b[2Jno answer")
    after = status(
        clusters=(sick,), gateway=GatewayStatus("http://127.0.0.1:8080", detail="socket gone"), stopping=True
    )
    assert changes(before, after) == [
        "gateway is down (socket gone)",
        "stopping: replicas are drained",
        "cluster here: not healthy ( [2Jno answer)",
    ]
    assert changes(before, replace(after, stopping=False))[-1] == "ocr/default: no longer declared"
    well = replace(sick, healthy=True)
    assert changes(after, replace(after, clusters=(well,))) == ["cluster here: healthy again"]
