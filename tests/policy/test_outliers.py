"""Replicas that fail or slow down beside their peers: less, then nothing, and gently back."""

from __future__ import annotations

from dataclasses import dataclass, field

from tidegate.model.memory import ReplicaHealth
from tidegate.policy.outliers import Judged, Served, judge, stubborn
from tidegate.spec.resolve import PoolKey

KEY = PoolKey("ocr")


@dataclass
class Pool:
    """`count` replicas that answer `per_s` requests a second in 0.1 s, some `slow` times slower, some `failing`."""

    count: int = 6
    per_s: float = 2.0
    slow: dict[str, float] = field(default_factory=dict)
    failing: dict[str, float] = field(default_factory=dict)
    at: float = 1000.0
    health: dict[str, ReplicaHealth] = field(default_factory=dict)
    told: list[tuple[str, str, str]] = field(default_factory=list)
    last: Judged = field(default_factory=Judged)

    def look(self) -> Pool:
        self.at += 1.0
        served = []
        for i in range(self.count):
            name = f"r{i}"
            taken = 0.0 if name in self.last.out else self.per_s * self._level(name)
            failed = taken * self.failing.get(name, 0.0)
            served.append(Served(name, ("here", "v1"), taken, failed, taken * 0.1 * self.slow.get(name, 1.0)))
        self.last = judge(KEY, served, self.health, at=self.at, since_s=1.0, cv=0.5)
        self.health = self.last.health
        self.told += [(s.replica, s.before, s.after) for s in self.last.steps]
        return self

    def looks(self, count: int) -> Pool:
        for _ in range(count):
            self.look()
        return self

    def _level(self, name: str) -> float:
        return self.health[name].level if name in self.health else 1.0


def test_a_replica_ten_times_slower_gets_less_and_then_nothing_within_ten_seconds():
    pool = Pool(slow={"r3": 10})
    pool.looks(10)
    assert pool.last.out == {"r3"}
    assert pool.told == [("r3", "in", "less"), ("r3", "less", "out")]


def test_a_replica_that_answers_5xx_is_out_in_a_few_seconds():
    pool = Pool(failing={"r0": 1.0})
    pool.looks(6)
    assert pool.last.out == {"r0"}
    assert "answers failed; nothing for 10 s" in pool.looks(0).last.steps[-1].cause if pool.last.steps else True


def test_one_that_recovers_is_tried_gently_and_has_its_share_again():
    pool = Pool(slow={"r3": 10}).looks(10)
    pool.slow = {}
    levels = [pool.look()._level("r3") for _ in range(40)]
    first = next(i for i, level in enumerate(levels) if level > 0)
    assert levels[first] == 0.1
    assert all(b - a <= 0.1 + 1e-9 for a, b in zip(levels[first:], levels[first + 1 :], strict=False))
    assert levels[-1] == 1.0
    assert pool.told[-2:] == [("r3", "out", "less"), ("r3", "less", "in")]


def test_one_that_stays_sick_is_out_longer_each_time_and_is_named_for_replacement():
    pool = Pool(slow={"r3": 10}).looks(200)
    outs = [s for s in pool.told if s[2] == "out"]
    assert len(outs) >= 3
    assert list(stubborn(pool.health)) == ["r3"]


def test_one_that_is_somewhat_slow_gets_less_but_is_not_out():
    pool = Pool(slow={"r3": 2.5}, per_s=20).looks(60)
    assert pool.last.out == frozenset()
    assert 0.3 < pool._level("r3") < 0.5


def test_at_most_a_tenth_but_always_one_may_be_out():
    pool = Pool(count=30, slow={f"r{i}": 10.0 for i in range(8)}).looks(60)
    assert len(pool.last.out) == 3
    assert len(Pool(count=6, failing={"r1": 1.0, "r2": 1.0}).looks(20).last.out) == 1


def test_of_two_the_better_one_stays_and_a_single_one_is_never_out():
    assert Pool(count=2, failing={"r1": 1.0}).looks(10).last.out == {"r1"}
    assert Pool(count=1, failing={"r0": 1.0}).looks(30).last.out == frozenset()


def test_when_all_slow_down_or_fail_alike_nobody_is_out():
    everybody = {f"r{i}": 10.0 for i in range(6)}
    pool = Pool().looks(20)
    pool.slow, pool.failing = everybody, dict.fromkeys(everybody, 0.5)
    pool.looks(60)
    assert pool.told == []


def test_an_idle_pool_remembers_nothing():
    assert Pool(per_s=0).looks(5).health == {}
    pool = Pool().looks(5)
    pool.per_s = 0
    assert pool.looks(60).health == {}
