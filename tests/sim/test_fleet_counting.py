"""What the benchmark of a whole fleet counts as an order and as an upgrade (benchmarks/fleet/counting.py)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tidegate.model.plan import PoolPlan, RolloutStep
from tidegate.spec.resolve import PoolKey

KEY, LARGE = PoolKey("ocr"), PoolKey("ocr", "large")


def load() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks/fleet/counting.py"
    spec = importlib.util.spec_from_file_location("fleet_counting", path)
    assert spec and spec.loader
    made = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


counting = load()


def plan(wanted: int, ready: int, key: PoolKey = KEY) -> PoolPlan:
    return PoolPlan(key=key, revision="r", wanted=wanted, placed={}, pending=0, ready=ready, starting=0, draining=0)


ORDERS = {
    "one rise": ([(4, 4), (10, 4), (10, 10)], [(1, 4, 10, 2)]),
    "each rise is an order of its own": ([(4, 4), (6, 4), (10, 4), (10, 6), (10, 10)], [(1, 4, 6, 3), (2, 6, 10, 4)]),
    "what is called off does not count": ([(4, 4), (10, 4), (7, 4), (7, 7)], [(1, 4, 7, 3)]),
    "called off altogether": ([(4, 4), (10, 4), (4, 4), (4, 4)], []),
    "up and down again adds up to nothing more": (
        [(4, 4), (10, 4), (8, 4), (10, 4), (10, 10)],
        [(1, 4, 8, 4), (3, 8, 10, 4)],
    ),
    "a replica that is made good is no order": ([(4, 4), (4, 3), (4, 4)], []),
    "what is still there is not ordered": ([(6, 6), (4, 6), (5, 6), (7, 6), (7, 7)], [(3, 6, 7, 4)]),
}


@pytest.mark.parametrize(("seen", "expected"), ORDERS.values(), ids=ORDERS.keys())
def test_orders(seen, expected):
    orders = counting.Orders()
    for second, (wanted, ready) in enumerate(seen):
        orders.note(float(second), [plan(wanted, ready)])
    assert [(o.at_s, o.more_than, o.up_to, o.done_s) for o in orders.done] == expected


def test_what_is_not_ready_yet_stays_open():
    orders = counting.Orders()
    orders.note(0.0, [plan(4, 4)])
    orders.note(1.0, [plan(9, 5)])
    assert [(o.replicas, o.took_s) for o in orders.open[KEY]] == [(4, float("inf"))]


def step(before: str, after: str, cause: str, key: PoolKey = KEY) -> RolloutStep:
    return RolloutStep(key, before, after, cause, "new", 0.0)


def test_an_upgrade_lasts_until_every_size_class_is_done():
    ups, plans = counting.Upgrades(), [plan(10, 10), plan(3, 3, LARGE)]
    began = "new revision: a -> b"
    ups.note(5.0, [step("stable", "adding", began), step("stable", "adding", began, LARGE)], plans)
    ups.note(9.0, [step("watching", "stable", "all good: 4 requests of the new revision watched", LARGE)], plans)
    assert ups.of["ocr"].outcome == "under way"
    ups.note(20.0, [step("watching", "adding", "batch good: 206 requests of the new revision watched")], plans)
    ups.note(65.0, [step("watching", "stable", "all good: 206 requests of the new revision watched")], plans)
    one = ups.of["ocr"]
    assert (one.instances, one.took_s, one.outcome) == (13, 60.0, "done")


def test_an_upgrade_that_goes_back_says_why():
    ups = counting.Upgrades()
    ups.note(5.0, [step("stable", "adding", "new revision: a -> b")], [plan(10, 10)])
    ups.note(9.0, [step("watching", "going back", "failed: twice as slow")], [plan(10, 10)])
    ups.note(30.0, [step("going back", "rolled back", "back: twice as slow")], [plan(10, 10)])
    assert ups.of["ocr"].outcome == "back: twice as slow"
