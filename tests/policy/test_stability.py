"""Stabilisation windows and rate policies."""

from __future__ import annotations

from tidegate.model.scaling import StabilityMemory
from tidegate.policy.stability import steady
from tidegate.spec.scaling import Behavior


class Held:
    """Calls `steady` with what it wanted last; `at` in seconds."""

    def __init__(self, current: int, down_s: float = 60.0, up_s: float = 0.0, **behavior: object) -> None:
        self.current, self.down_s, self.up_s = current, down_s, up_s
        self.behavior = Behavior.model_validate(behavior)
        self.memory = StabilityMemory()
        self.look_again_at: float | None = None

    def ask(self, at: float, proposed: int) -> int:
        got = steady(
            self.memory,
            self.behavior,
            at=at,
            current=self.current,
            proposed=proposed,
            down_s=self.down_s,
            up_s=self.up_s,
        )
        self.memory, self.current, self.look_again_at = got.memory, got.wanted, got.look_again_at
        return got.wanted


def test_more_is_wanted_at_once():
    assert Held(2).ask(0, 7) == 7


def test_fewer_wait_for_the_window():
    pool = Held(4)
    assert pool.ask(0, 4) == 4
    assert pool.ask(1, 1) == 4
    assert pool.look_again_at == 60
    assert pool.ask(59, 1) == 4
    assert pool.ask(60.5, 1) == 1


def test_the_highest_of_the_window_holds():
    pool = Held(8)
    for at, proposed in ((0, 8), (10, 5), (40, 3)):
        pool.ask(at, proposed)
    assert pool.ask(61, 2) == 5
    assert pool.ask(71, 2) == 3


def test_the_interval_between_calls_does_not_matter():
    often, seldom = Held(8), Held(8)
    for at in range(0, 200):
        often.ask(at, 8 if at < 50 else 3)
    for at in range(0, 200, 10):
        seldom.ask(at, 8 if at < 50 else 3)
    assert often.current == seldom.current == 3


def test_windows_of_the_manifest_override():
    pool = Held(4, scaleDown={"stabilizationWindowSeconds": 0})
    assert pool.ask(0, 1) == 1


def test_pods_per_period():
    pool = Held(2, scaleUp={"policies": [{"type": "Pods", "value": 3, "periodSeconds": 15}]})
    assert pool.ask(0, 20) == 5
    assert pool.ask(5, 20) == 5
    assert pool.look_again_at == 15
    assert pool.ask(15, 20) == 8


def test_the_wider_of_two_policies_unless_min_is_selected():
    policies = [{"type": "Pods", "value": 4}, {"type": "Percent", "value": 100}]
    assert Held(10, scaleUp={"policies": policies}).ask(0, 50) == 20
    assert Held(10, scaleUp={"policies": policies, "selectPolicy": "Min"}).ask(0, 50) == 14


def test_a_disabled_direction_stays():
    assert Held(5, down_s=0, scaleDown={"selectPolicy": "Disabled"}).ask(0, 1) == 5


def test_percent_of_scale_down_leaves_the_rest_rounded_up():
    policies = [{"type": "Percent", "value": 50, "periodSeconds": 60}]
    pool = Held(5, down_s=0, scaleDown={"policies": policies})
    assert pool.ask(0, 1) == 3
    assert pool.ask(30, 1) == 3
    assert pool.ask(60, 1) == 2
