"""What the sockets print, and what a worker is told so that it becomes like the snapshot."""

from __future__ import annotations

import pytest

from gateway.world import pool, service, snapshot
from tidegate.gateway.converge import commands
from tidegate.gateway.lanes import lane_sizes
from tidegate.gateway.ledger import Ledger
from tidegate.gateway.meter import Tally
from tidegate.gateway.settings import GatewaySettings
from tidegate.gateway.tables import BackendRow, ServerRow, read_stat, read_workers
from tidegate.model.snapshot import Server
from tidegate.spec.resolve import PoolKey

STAT = """# pxname,svname,scur,stot,slim,status,sid,uweight,algo,addr,check_status,check_duration,
public,FRONTEND,5,900,2000,OPEN,0,,,,,,
face.default,a,1,400,1,UP,100001,100,,10.0.0.1:80,L4OK,12,
face.default,b,0,300,2,DRAIN,100002,100,,10.0.0.2:80,,,
face.default,c,0,0,1,MAINT,100003,100,,10.0.0.3:80,,,
face.default,d,0,0,1,UP 1/2,100004,100,,10.0.0.4:80,,,
face.default,e,0,0,1,DOWN,100005,100,,10.0.0.5:80,L4TOUT,2000,
face.default,BACKEND,4,700,200,UP,0,300,leastconn,,,,
successor,BACKEND,0,0,200,UP,0,1,roundrobin,,,,
"""

PROC = """#<PID>          <type>          <reloads>       <uptime>        <version>
100             master          2 [failed: 0]   0d00h03m19s     2.8.25
# workers
300             worker          0               0d00h00m00s     2.8.25
# old workers
200             worker          1               0d00h01m00s     2.8.25
150             worker          2               0d00h02m00s     2.8.25
# programs

"""


def test_the_state_of_a_pool_is_read():
    face = read_stat(STAT)["face.default"]
    assert list(read_stat(STAT)) == ["face.default"]
    assert (face.inside, face.arrivals, face.in_flight, face.balance) == (4, 700, 1, "leastconn")
    a = face.servers["a"]
    assert (a.number, a.address, a.slots, a.weight, a.closed, a.up) == (100001, "10.0.0.1:80", 1, 100, False, True)
    assert (a.connect_s, face.servers["b"].connect_s, face.servers["e"].connect_s) == (0.012, None, None)
    closed = {n: (s.closed, s.maintenance, s.up) for n, s in face.servers.items()}
    assert closed["b"] == (True, False, False)
    assert closed["c"] == (True, True, False)
    assert closed["d"] == (False, False, True)
    assert closed["e"] == (False, False, False)


def test_workers_are_told_apart():
    workers = read_workers(PROC)
    assert (workers.current, workers.old) == (300, (200, 150))
    assert read_stat("") == {}


ONE = Server("a", "10.0.0.1:80", 1)


def row(**changes: object) -> ServerRow:
    values: dict[str, object] = {
        "name": "a",
        "number": 100001,
        "address": "10.0.0.1:80",
        "slots": 1,
        "weight": 100,
        "closed": False,
        "maintenance": False,
        "up": True,
        "in_flight": 0,
    }
    return ServerRow(**(values | changes))  # type: ignore[arg-type]


def told(wanted: tuple[Server, ...], *rows: ServerRow, inside: int = 0, leaving: bool = False) -> list[str]:
    actual = {"face.default": BackendRow(inside, 0, "leastconn", {r.name: r for r in rows})}
    numbers = {s.replica: 100001 + i for i, s in enumerate(wanted)}
    return [
        c.split(" id ")[0] for c in commands(snapshot(service(pool(servers=wanted))), numbers, actual, leaving=leaving)
    ]


DRAIN = Server("a", "10.0.0.1:80", 1, draining=True)
ADD = ["add server face.default/a 10.0.0.1:80", "enable health face.default/a", "enable server face.default/a"]


@pytest.mark.parametrize(
    ("wanted", "rows", "expected"),
    [
        ((ONE,), (row(),), []),
        ((ONE,), (), ADD),
        ((DRAIN,), (), []),
        ((DRAIN,), (row(),), ["set server face.default/a state drain"]),
        ((DRAIN,), (row(closed=True),), []),
        ((ONE,), (row(closed=True),), ["set server face.default/a state ready"]),
        ((), (row(in_flight=1),), ["set server face.default/a state drain"]),
        ((), (row(in_flight=1, closed=True),), []),
        ((), (row(),), ["set server face.default/a state maint", "del server face.default/a"]),
        ((), (row(closed=True, maintenance=True),), ["del server face.default/a"]),
        ((ONE,), (row(slots=2),), ["set maxconn server face.default/a 1"]),
        ((ONE,), (row(weight=5),), ["set server face.default/a weight 100"]),
        ((ONE,), (row(address="10.0.0.9:81"),), ["set server face.default/a addr 10.0.0.1 port 80"]),
    ],
    ids=lambda value: None,
)
def test_a_worker_is_told_what_it_lacks(wanted: tuple[Server, ...], rows: tuple[ServerRow, ...], expected: list[str]):
    assert told(wanted, *rows) == expected


def test_capacity_is_added_before_it_is_taken_away():
    two = Server("b", "10.0.0.2:80", 1)
    assert told((two,), row())[0].startswith("add server")


def test_an_old_worker_is_told_only_where_requests_are_left():
    assert told((ONE,), leaving=True) == []
    assert told((ONE,), inside=1, leaving=True) == ADD


def observed(ledger: Ledger, tick: float, inside: int, ended: int, **workers: BackendRow):
    face = BackendRow(inside, 0, "leastconn", {"a": row(in_flight=min(inside, 1))})
    seen = {1: {"face.default": face}} | {int(k[1:]): {"face.default": v} for k, v in workers.items()}
    wanted = snapshot(service(pool(servers=(ONE,))))
    return ledger.close_interval(wanted, "v", seen, {"face.default": Tally(ended=ended)}, {}, 100.0 + tick, tick)


def test_arrivals_are_what_ended_and_what_came_to_be_inside():
    ledger = Ledger()
    ledger.open({1: {"face.default": BackendRow(2)}}, 10.0)
    _, loads = observed(ledger, 11.0, inside=5, ended=4)
    load = loads[PoolKey("face")]
    assert (load.arrivals, load.in_flight, load.queued, load.interval_s) == (7, 1, 4, 1.0)
    _, loads = observed(ledger, 12.0, inside=0, ended=5)
    assert loads[PoolKey("face")].arrivals == 0


def test_a_line_read_early_is_not_counted_twice():
    ledger = Ledger()
    ledger.open({1: {"face.default": BackendRow(3)}}, 0.0)
    # Three ended, one line has not been read yet: 2 - 3 = -1 now, +1 in the next interval.
    assert observed(ledger, 1.0, inside=0, ended=2)[1][PoolKey("face")].arrivals == 0
    assert observed(ledger, 2.0, inside=0, ended=1)[1][PoolKey("face")].arrivals == 0


def test_a_server_of_an_old_worker_counts_while_it_has_requests():
    ledger = Ledger()
    old = BackendRow(
        1, 0, "leastconn", {"a": row(in_flight=1), "gone": row(name="gone", in_flight=1), "idle": row(name="idle")}
    )
    seen, loads = observed(ledger, 1.0, inside=1, ended=0, w2=old)
    assert {n: (s.draining, s.in_flight) for n, s in seen.servers.items()} == {"a": (False, 2), "gone": (True, 1)}
    assert loads[PoolKey("face")].in_flight == 3


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((), ()),
        ((200_000,), ()),
        ((2 * 2**20,), (2 * 2**20,)),
        ((5 * 2**20,), (4 * 2**20, 8 * 2**20)),
        ((200_000, 16 * 2**20), (4 * 2**20, 16 * 2**20)),
    ],
)
def test_lanes_follow_the_largest_body(tmp_path, limits: tuple[int, ...], expected: tuple[int, ...]):
    services = [service(name=f"s{i}", max_body_bytes=size) for i, size in enumerate(limits)]
    assert lane_sizes(snapshot(*services), GatewaySettings(tmp_path)) == expected
