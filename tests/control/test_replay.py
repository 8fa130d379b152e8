"""A recording replays to the decisions that were made, over restarts too, and tells what other manifests would want."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from scenarios.worlds import cluster, scenario, service, specs
from tidegate.control.replay import otherwise, replay, verify
from tidegate.model.memory import Memory
from tidegate.model.observed import Observed, PoolLoad
from tidegate.model.plan import Tick
from tidegate.sim.world import World
from tidegate.spec.resolve import PoolKey, Specs
from tidegate.store import codec
from tidegate.store.journal import Journal, Retention
from tidegate.store.tape import Tape, read

TWO_CLUSTERS = (service(placement={"clusters": ["here", "there"]}), cluster("here", cpu=6), cluster("there"))
FAULTS = [
    {"at": "4m", "crash": {"count": 2}},
    {"at": "6m", "for": "2m", "partition": {"cluster": "here"}},
    {"at": "10m", "for": "1m", "blind": {}},
    {"at": "12m", "for": "3m", "failing-starts": {"share": "50%"}},
]


class Taped(World):
    """A world whose every tick is recorded; the memory goes through its text, as over a restart, now and then."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.tape, self.ticks, self.restart_every = Tape(), 0, 150
        self.seen: list[Observed] = []

    def _tick(self, observed: Observed) -> Tick:
        self.ticks += 1
        if self.ticks % self.restart_every == 0:
            self.memory = codec.decode(Memory, codec.encode(self.memory))
            done = self.tape.waiting()
            self.tape = Tape()
            self.tape._done.extend(done)
        decided = super()._tick(observed)
        self.tape.add(observed, decided, self.memory, 1)
        self.seen.append(observed)
        return decided


@pytest.fixture(scope="module")
def played() -> Iterator[Taped]:
    shape = "flash:mean=12,factor=4,length=20m"
    world = Taped(scenario(*TWO_CLUSTERS, shape=shape, faults=FAULTS, startup_s=20, compile=False))
    world.run()
    yield world


def given(_: int) -> Specs:
    return specs(*TWO_CLUSTERS)


def test_a_recording_gives_back_what_was_seen_to_the_last_digit(played: Taped):
    names = [f.name for f in fields(PoolLoad)]  # the simulator's own loads have more, which no live gateway knows
    plain = [
        replace(o, loads={k: PoolLoad(*(getattr(v, n) for n in names)) for k, v in o.loads.items()})
        for o in played.seen
    ]
    assert [r.observed for r in read(played.tape.waiting())] == plain


def test_a_replay_gives_the_same_decisions_over_restarts_too(played: Taped):
    verdict = verify(replay(played.tape.waiting(), given))
    assert verdict.ticks == played.ticks > 2 * played.restart_every
    assert (verdict.identical, verdict.gaps) == (True, [])


def test_a_tick_takes_a_few_hundred_bytes(played: Taped):
    size = sum(len(s.data) for s in played.tape.waiting())
    assert size < 600 * played.ticks


def test_other_manifests_are_told_apart(played: Taped):
    more = replace(
        played.scenario, specs=specs(service(scaling={"minReplicas": 36, "maxReplicas": 40}), *TWO_CLUSTERS[1:])
    )
    verdict = verify(replay(played.tape.waiting(), lambda _: more.specs))
    assert not verdict.identical
    assert "ocr/default" in verdict.differences[0].what
    (pool,) = otherwise(replay(played.tape.waiting(), given), more.specs).values()
    assert pool.wanted_s_now > pool.wanted_s_then > 0
    assert pool.changes[0][2] >= 36


def test_the_same_manifests_would_have_wanted_the_same(played: Taped):
    (pool,) = otherwise(replay(played.tape.waiting(), given), given(1)).values()
    assert (pool.key, pool.differed_s) == (PoolKey("ocr"), 0.0)


def test_lost_ticks_are_told(played: Taped):
    tape = Tape()
    world = Taped(scenario(*TWO_CLUSTERS, shape="constant:mean=5,length=2m", compile=False, tick_s=0.25))
    world.tape, world.restart_every = tape, 10**9
    world.run()
    tape.broken, tape._before = True, None
    again = Taped(scenario(*TWO_CLUSTERS, shape="constant:mean=5,length=2m", compile=False))
    again.tape, again.restart_every = tape, 10**9
    again.run()
    verdict = verify(replay(tape.waiting(), given))
    assert verdict.identical
    assert "not recorded" in verdict.gaps[0].what


def test_the_journal_keeps_the_newest_of_a_recording(played: Taped, tmp_path: Path):
    stretches = played.tape.waiting()
    few = Retention(every=1, recording_bytes=sum(len(s.data) for s in stretches) // 2)
    with Journal(f"sqlite:///{tmp_path}/j.db", few) as journal:
        for one in stretches:
            journal.append([], recorded=[one])
        kept = list(journal.recording())
        assert 0 < sum(len(s.data) for s in kept) <= few.recording_bytes
        assert kept[-1] == stretches[-1]
        last_start = max(s.at for s in stretches if s.anew)
        assert next(journal.recording(since=last_start)).anew
        assert journal.recording_size()[1] == sum(len(s.data) for s in kept)
