"""What one tick must remember for the next: typed, frozen, written to the journal.

Durations and timestamps only, never loop counts; a restart or a replay starts from the same value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.model.lifecycle import ReplicaState
from tidegate.model.scaling import ScaleMemory
from tidegate.spec.resolve import PoolKey


@dataclass(frozen=True, slots=True)
class ReplicaMemory:
    """The lifecycle of one replica: its state, since when, and what is kept for its successor.

    `ready_at` is when it first became ready, None before. `restarts` counts its predecessors in the same crash loop.
    `cause` is the move that led to the state. `leaving` says why it is to be replaced and drained, "" when it is not.
    """

    key: PoolKey
    revision: str
    cluster: str
    created_at: float
    state: ReplicaState = ReplicaState.STARTING
    since: float = 0.0
    ready_at: float | None = None
    restarts: int = 0
    cause: str = "started"
    stop_sent_at: float | None = None
    leaving: str = ""


@dataclass(frozen=True, slots=True)
class Vacancy:
    """A place left by a replica that crashed: not filled before `not_before` (back-off as in Kubernetes)."""

    restarts: int
    not_before: float
    cause: str
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class PoolMemory:
    """What is kept for one pool. `startups_s` are its last measured start-up times per cluster, newest last."""

    scale: ScaleMemory = ScaleMemory()
    next_number: int = 1
    vacancies: tuple[Vacancy, ...] = ()
    startups_s: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything remembered. `replicas` by id; `addresses` holds the last address each was seen at.

    `pressed_at` is when something last did not fit in a cluster (epoch seconds).
    """

    pools: Mapping[PoolKey, PoolMemory] = field(default_factory=dict)
    replicas: Mapping[str, ReplicaMemory] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    pressed_at: Mapping[str, float] = field(default_factory=dict)
