"""A made-up hour in a journal, small enough to add up by hand.

`face` has a default pool of two slots (replicas a, b, c) and a pool `large` of one slot that is upgraded (l1, l2).
The window begins at `T`; l1 is older. Cluster `here` costs 0.03 a core and 0.01 a GiB per hour, `far` has no price.
"""

from __future__ import annotations

from typing import Any

from tidegate.model.journal import Entry, Kind
from tidegate.report.values import Window
from tidegate.spec.load import load_data
from tidegate.spec.resolve import Specs

T = 1_764_000_000.0
WINDOW = Window(T, T + 3600)
ENDED = ((2400, "draining"), (2430, "gone"))


def specs() -> Specs:
    """The manifests of the story."""
    meta = {"apiVersion": "tidegate.dev/v1"}
    face = {
        "command": ["serve"],
        "concurrency": 2,
        "resources": {"cpu": 1, "memory": "1Gi"},
        "promise": {"within": "2s", "success": "99%"},
        "pools": [{"name": "large", "match": {"pixels": {"min": 8e6}}, "concurrency": 1}],
    }
    here = {"runtime": "local", "capacity": {"cpu": 8, "memory": "16Gi"}, "price": {"cpu": 0.03, "memory": 0.01}}
    far = {"runtime": "local", "capacity": {"cpu": 8, "memory": "16Gi"}}
    manifests = [
        meta | {"kind": "MediaService", "metadata": {"name": "face"}, "spec": face},
        meta | {"kind": "Cluster", "metadata": {"name": "here"}, "spec": here},
        meta | {"kind": "Cluster", "metadata": {"name": "far"}, "spec": far},
    ]
    return load_data(manifests).specs


def life(pool: str, name: str, cluster: str, revision: str, *moves: tuple[float, str]) -> list[Entry]:
    """A start and the transitions that follow it; times are seconds after `T`."""
    start = Entry(T + moves[0][0], Kind.ACTION, "face", pool, name, {"cluster": cluster, "revision": revision})
    states = ["", *(state for _, state in moves)]
    return [start] + [
        Entry(T + at, Kind.TRANSITION, "face", pool, name, {"before": before, "after": state, "cause": ""})
        for (at, state), before in zip(moves, states, strict=False)
    ]


def decision(pool: str, at: float, wanted: int, revision: str) -> Entry:
    return Entry(T + at, Kind.DECISION, "face", pool, "", {"wanted": wanted, "revision": revision})


def load(pool: str, at: float, arrivals: int, **more: Any) -> Entry:
    """Ten minutes of requests of 1 s each with a standard deviation of 0.5 s, all answered in time unless said."""
    lost = sum(more.get(name, 0) for name in ("failed", "refused", "gave_up"))
    finished = arrivals - lost
    known = {
        "interval_s": 600.0,
        "arrivals": arrivals,
        "finished": finished,
        "in_time": finished,
        "wait_s_sum": 0.1 * finished,
    }
    known |= {"service_s_sum": 1.0 * finished, "service_s2_sum": 1.25 * finished}
    return Entry(T + at, Kind.LOAD, "face", pool, "", known | more)


def entries() -> list[Entry]:
    """The journal, in the order of time."""
    found = [
        decision("default", 0, 1, "r1"),
        decision("default", 600, 3, "r1"),
        decision("default", 2400, 1, "r1"),
        *life("default", "a", "here", "r1", (0, "starting"), (30, "ready")),
        *life("default", "b", "here", "r1", (600, "starting"), (640, "preparing"), (660, "ready"), *ENDED),
        *life("default", "c", "here", "r1", (600, "starting"), (720, "ready"), (2400, "draining"), (2460, "gone")),
        load("default", 600, 300),
        load("default", 1200, 1200, in_time=1190),
        load("default", 1800, 1800, failed=5, refused=10, gave_up=5),
        load("default", 2400, 1200),
        load("default", 3000, 300),
        load("default", 3600, 300),
        decision("large", -100, 1, "r1"),
        decision("large", 1000, 1, "r2"),
        *life("large", "l1", "far", "r1", (-100, "starting"), (-80, "ready"), (1055, "draining"), (1065, "gone")),
        *life("large", "l2", "far", "r2", (1000, "starting"), (1050, "ready")),
        load("large", 3600, 0, interval_s=3600.0),
    ]
    return sorted(found, key=lambda entry: entry.at)
