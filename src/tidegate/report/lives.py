"""The lives of replicas, put together from the transitions in a journal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tidegate.model.journal import Entry, Kind
from tidegate.model.lifecycle import ReplicaState


@dataclass(frozen=True, slots=True)
class Life:
    """One replica: its states with the time each began (epoch seconds), oldest first; where and what it ran.

    `cluster` and `revision` are "" when the journal does not say.
    """

    replica: str
    moves: tuple[tuple[float, str], ...]
    cluster: str = ""
    revision: str = ""

    @property
    def begun_at(self) -> float:
        return self.moves[0][0]

    @property
    def ready_at(self) -> float | None:
        """When it first became ready."""
        return next((at for at, state in self.moves if state == ReplicaState.READY), None)

    @property
    def gone_at(self) -> float | None:
        return next((at for at, state in self.moves if state == ReplicaState.GONE), None)

    def seconds(self, since: float, until: float, states: Iterable[str]) -> float:
        """Seconds between `since` and `until` spent in `states`; its last state lasts."""
        wanted = frozenset(states)
        ends = [at for at, _ in self.moves[1:]] + [until]
        spans = ((max(at, since), min(end, until), state) for (at, state), end in zip(self.moves, ends, strict=True))
        return sum(max(0.0, end - at) for at, end, state in spans if state in wanted)


ALIVE = frozenset(ReplicaState) - {ReplicaState.GONE}


def lives(entries: Sequence[Entry]) -> Mapping[tuple[str, str], tuple[Life, ...]]:
    """The replicas of each (service, pool) that a journal tells of, in order of birth.

    Where a replica runs is said by the action that started it, if it is in the journal.
    """
    moves: dict[tuple[str, str], dict[str, list[tuple[float, str]]]] = defaultdict(lambda: defaultdict(list))
    started: dict[str, tuple[str, str]] = {}
    for entry in entries:
        if entry.kind == Kind.TRANSITION and "after" in entry.data:
            moves[entry.service, entry.pool][entry.replica].append((entry.at, str(entry.data["after"])))
        elif is_start(entry):
            started[entry.replica] = (str(entry.data["cluster"]), str(entry.data["revision"]))
    return {key: tuple(_born(of, started)) for key, of in moves.items()}


def _born(of: Mapping[str, list[tuple[float, str]]], started: Mapping[str, tuple[str, str]]) -> list[Life]:
    found = [
        Life(name, tuple(sorted(moves, key=lambda move: move[0])), *started.get(name, ("", "")))
        for name, moves in of.items()
    ]
    return sorted(found, key=lambda life: (life.begun_at, life.replica))


def is_start(entry: Entry) -> bool:
    """Whether it is the action that started a replica: only that one names a revision and a cluster."""
    return entry.kind == Kind.ACTION and "revision" in entry.data and "cluster" in entry.data


def ready_steps(of: Sequence[Life]) -> tuple[tuple[float, int], ...]:
    """How many were ready, as (time, number from then on)."""
    changes: dict[float, int] = defaultdict(int)
    for life in of:
        before = False
        for at, state in life.moves:
            now = state == ReplicaState.READY
            changes[at] += int(now) - int(before)
            before = now
    steps, count = [], 0
    for at in sorted(changes):
        count += changes[at]
        steps.append((at, count))
    return tuple(steps)
