"""Lines of the proxy to counts."""

from __future__ import annotations

import pytest

from tidegate.gateway.accounts import Accounts
from tidegate.gateway.lines import Lines, Outcome, outcome
from tidegate.gateway.meter import Meter


def line(**changes: object) -> bytes:
    cells: dict[str, object] = {
        "id": "rid-1",
        "backend": "face.default",
        "server": "face-1",
        "status": 200,
        "termination": "----",
        "TR": 0,
        "up": 0,
        "Tw": 0,
        "Tc": 0,
        "Tr": 0,
        "Ta": 0,
        "retries": 0,
        "exhausted": "-",
        "refused": "-",
        "media": "-",
        "account": "tenant=face,-,-,-,10",
    }
    return " ".join(str(v) for v in (cells | changes).values()).encode() + b"\n"


def feed(meter: Meter | Accounts, lines: Lines, data: bytes) -> None:
    meter.count(lines.feed(data))


@pytest.mark.parametrize(
    ("termination", "status", "assigned", "expected"),
    [
        ("----", 200, True, Outcome.ANSWERED),
        ("----", 404, True, Outcome.ANSWERED),
        ("----", 500, True, Outcome.FAILED_ANSWER),
        ("CH--", -1, True, Outcome.GAVE_UP),
        ("CQ--", -1, False, Outcome.GAVE_UP),
        ("cD--", 200, True, Outcome.GAVE_UP),
        ("sQ--", 503, False, Outcome.REFUSED),
        ("SC--", 503, False, Outcome.REFUSED),
        ("LR--", 503, False, Outcome.REFUSED),
        ("LR--", 404, False, Outcome.REJECTED),
        ("PR--", 400, False, Outcome.REJECTED),
        ("SC--", 503, True, Outcome.FAILED),
        ("SH--", 502, True, Outcome.FAILED),
        ("sH--", 504, True, Outcome.FAILED),
        ("SD--", 200, True, Outcome.FAILED),
        ("SH--", 425, True, Outcome.RETRIED),
    ],
)
def test_the_blame_for_each_end(termination: str, status: int, assigned: bool, expected: Outcome):
    assert outcome(termination, status, assigned) is expected


def test_refusals_are_counted_by_code_and_the_proxys_own_requests_are_not():
    meter, lines = Meter(), Lines()
    feed(meter, lines, line(backend="public", server="<NOSRV>", status=400, termination="LR--", refused="bad_path"))
    feed(meter, lines, line(backend="public", server="<NOSRV>", status=400, termination="PR--"))
    feed(meter, lines, line(backend="public", server="<NOSRV>", status=408, termination="cR--"))
    feed(meter, lines, line(status=503, server="<NOSRV>", termination="sQ--", refused="no_capacity"))
    feed(meter, lines, line(status=404))
    feed(meter, lines, b"10.0.0.1:5 [28/Nov/2026:09:01:59.699] public/1: SSL handshake failure\n")
    feed(
        meter,
        lines,
        b'-:- [28/Nov/2026:09:01:59.699] <HTTPCLIENT> -/- 2/0/0/71/71 200 1110 - - ---- 1/0/0/0/0 0/0 {} "POST /"\n',
    )
    assert dict(meter.refusals) == {
        "bad_path": 1,
        "bad_request": 1,
        "header_timeout": 1,
        "no_capacity": 1,
    }
    assert (lines.handshakes, lines.others) == (1, 1)
    assert set(meter.take()) == {"face.default"}


def test_times_are_taken_apart():
    meter, lines = Meter(), Lines()
    meter.promises_ms = {"face.default": 800.0}
    # 50 ms head, 400 ms upload, 300 ms queue, 500 ms on the replica.
    feed(meter, lines, line(TR=50, up=400_000, Tw=700, Tc=1, Tr=480, Ta=1250))
    tally = meter.take()["face.default"]
    assert tally.wait_s_sum == pytest.approx(0.3)
    assert tally.service_s_sum == pytest.approx(0.5)
    assert tally.service_s2_sum == pytest.approx(0.25)
    assert (tally.finished, tally.in_time) == (1, 1), "the client's own 450 ms are not counted against the promise"
    feed(meter, lines, line(TR=50, up=400_000, Tw=701, Ta=1251))
    assert meter.take()["face.default"].in_time == 0


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ({"Tw": 1800, "Ta": 2300}, 1),  # half a second of work after a wait of 1.8 s
        ({"Tw": 300, "Ta": 2900}, 0),  # the replica alone took longer than promised
        ({"Tw": 1000, "Ta": 1900}, 0),  # in time
        ({"Tw": -1, "Ta": 2300, "termination": "CQ--", "status": -1, "server": "<NOSRV>"}, 1),  # left while it waited
        ({"Tw": -1, "Ta": 700, "termination": "CQ--", "status": -1, "server": "<NOSRV>"}, 0),  # left of its own accord
    ],
)
def test_late_because_of_the_queue(ends: dict[str, object], expected: int):
    meter = Meter()
    meter.promises_ms = {"face.default": 2000.0}
    feed(meter, Lines(), line(**ends))
    assert meter.take()["face.default"].waited_in_vain == expected


def test_counts_are_of_one_interval():
    meter, lines = Meter(), Lines()
    feed(meter, lines, line() + line(status=500) + line(termination="CH--", status=-1))
    tally = meter.take()["face.default"]
    assert (tally.ended, tally.finished, tally.failed, tally.gave_up) == (3, 2, 1, 1)
    assert (tally.servers["face-1"].finished, tally.servers["face-1"].failed) == (2, 1)
    assert meter.take() == {}


def test_a_line_may_come_in_pieces_and_other_lines_are_passed_over():
    meter, lines = Meter(), Lines()
    data = line() + b"Proxy public stopped (cumulated conns: FE: 1, BE: 0).\n" + line() + b"\xff\xfe\n" + line()
    for i in range(0, len(data), 7):
        feed(meter, lines, data[i : i + 7])
    assert meter.take()["face.default"].finished == 3
    assert lines.others == 2


def test_a_request_of_no_pool_is_of_no_pool():
    meter, lines = Meter(), Lines()
    feed(meter, lines, line(backend="public", server="<NOSRV>", status=404, termination="LR--"))
    assert meter.take() == {}


def test_a_large_request_is_one_request_however_often_its_lane_sends_it():
    meter, lines = Meter(), Lines()
    attempt = line(status=425, termination="SH--")
    feed(meter, lines, attempt + attempt + line(server="face-2") + line(backend="lane-4194304", server="lane"))
    tally = meter.take()["face.default"]
    assert (tally.ended, tally.finished, tally.failed, tally.retries) == (1, 1, 0, 2)
    assert tally.servers["face-1"].failed == 2
    given_up = line(backend="lane-4194304", server="lane", status=502, exhausted="face/default")
    feed(meter, lines, attempt * 3 + given_up)
    tally = meter.take()["face.default"]
    assert (tally.ended, tally.finished, tally.failed) == (1, 0, 1)


RECORD = "ok:image:jpeg:640:480:307200:1:0:0:0:41373:1:1:307200:1:0:41373:0.000"
JUDGED = "ok:other:unknown:0:0:102400:1:100:0:0:100:1:0:102400:1:100:100:0.100"
NOTHING = "ok:none:none:0:0:0:0:0:0:0:0:0:1:0:0:0:0:0.000"


def test_media_are_counted_for_the_pool_that_got_them():
    meter, lines = Meter(), Lines()
    for record in (RECORD, RECORD, JUDGED, NOTHING):
        feed(meter, lines, line(media=record, account="tenant=face,-,-,-,10"))
    seen = meter.viewings.counts().pools["face/default"]
    assert seen.requests == {"image/jpeg": 2, "other/unknown": 1}
    assert (seen.unread, seen.pixels, seen.bytes) == (1, 614_400, 82_846)


def test_refusals_for_media_are_counted_for_the_service():
    meter, lines = Meter(), Lines()
    for code in ("media_too_long", "media_too_long", "media_missing", "bad_path"):
        refused = line(
            backend="public", status=422, termination="LR--", refused=code, media="-", account="tenant=face,-,-,-,1"
        )
        feed(meter, lines, refused)
    assert meter.viewings.counts().refused == {"face": {"media_too_long": 2, "media_missing": 1}}
    assert meter.refusals["media_too_long"] == 2


def test_a_request_that_a_lane_sends_again_has_its_media_counted_once():
    meter, lines = Meter(), Lines()
    feed(meter, lines, line(status=425, termination="SH--", media=RECORD))
    feed(meter, lines, line(media=RECORD))
    assert meter.viewings.counts().pools["face/default"].requests == {"image/jpeg": 1}


def test_media_of_a_tenant_are_those_its_pools_worked_on_each_once():
    accounts, lines = Accounts(), Lines()
    here, staged = "tenant=face,acme,k1,1,900", "tenant=face,acme,-,staged,950"
    large = line(backend="lane-4194304", server="lane", account=here) + line(media=JUDGED, account=staged, Ta=2000)
    retried = line(media=RECORD, account=staged, status=425, termination="SH--")
    failed = line(media=RECORD, account=here, status=500)
    refused = line(media=RECORD, account=here, server="<NOSRV>", termination="LR--", status=503, refused="queue_full")
    left = line(media=RECORD, account=here, termination="CD--", Ta=1000)
    feed(accounts, lines, line(media=RECORD, account=here, Ta=1000) + retried + large + failed + refused + left)
    use = accounts.take()["acme"]
    assert (use.pixels, use.media_s) == (307_200 * 2 + 102_400, 0.1)
    assert (use.worked, use.failed, use.gave_up, use.sent_bytes) == (3, 1, 1, 2700)
    assert use.refused == {"queue_full": 1}
    assert accounts.busy_s() == {("acme", "face.default"): pytest.approx(4.0)}
    nobody = line(backend="public", server="<NOSRV>", termination="PR--", status=400, account="tenant=-,-,-,-,0")
    feed(accounts, lines, nobody)
    assert accounts.take() == {}
