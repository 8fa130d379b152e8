"""What a tick decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.base.quick import quick
from tidegate.model.actions import Action
from tidegate.model.memory import Memory
from tidegate.model.reasons import Reason
from tidegate.model.snapshot import Snapshot
from tidegate.spec.resolve import PoolKey


@quick
@dataclass(frozen=True, slots=True)
class ClusterWeight:
    """The share of a pool's requests that a cluster is to get, and the three parts it is made of.

    `slots` of its ready replicas; `near`, the share of the calls for which it is the next one with slots; `health`, the
    part of those it gets (1 when its replicas answer as quickly as elsewhere and do not fail). `weight` is what follows
    at the present load: near first, what does not fit in the next. All weights of a pool add up to 1.
    """

    cluster: str
    weight: float
    slots: int
    near: float
    health: float
    service_s: float | None = None
    distance_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ejection:
    """A replica gets less, nothing or again something, since it fails or is slow beside its peers; in the journal."""

    replica: str
    key: PoolKey
    before: str
    after: str
    cause: str
    at: float


@quick
@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What is wanted of one pool and how far it is.

    `placed` is the wanted number per cluster; `pending` of the `wanted` ones fit nowhere now. `reasons` say why.
    """

    key: PoolKey
    revision: str
    wanted: int
    placed: Mapping[str, int]
    pending: int
    ready: int
    starting: int
    draining: int
    reasons: tuple[Reason, ...] = ()
    weights: tuple[ClusterWeight, ...] = ()

    def weighted(self, weights: tuple[ClusterWeight, ...]) -> PoolPlan:
        """The same with the weights of its clusters; written out, since a large fleet asks for every pool."""
        return PoolPlan(
            key=self.key,
            revision=self.revision,
            wanted=self.wanted,
            placed=self.placed,
            pending=self.pending,
            ready=self.ready,
            starting=self.starting,
            draining=self.draining,
            reasons=self.reasons,
            weights=weights,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What is wanted now: pools in spec order and the routing that goes with them."""

    pools: tuple[PoolPlan, ...] = ()
    snapshot: Snapshot = Snapshot()


@dataclass(frozen=True, slots=True)
class Transition:
    """A replica moved from one state to another, and why; written to the journal."""

    replica: str
    key: PoolKey
    before: str
    after: str
    cause: str
    at: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A replica passed something within a state, in words; written to the journal.

    `name` is one of `STOPPING`, "serves" when it is in the balancer, or "liveness" and "remedy" when it is found sick.
    `phases_s` are the lengths of `PHASES` of one that serves.
    """

    replica: str
    key: PoolKey
    name: str
    text: str
    at: float
    phases_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class RolloutStep:
    """A pool's rollout moved from one phase to another, and why; written to the journal."""

    key: PoolKey
    before: str
    after: str
    cause: str
    target: str
    at: float


@quick
@dataclass(frozen=True, slots=True)
class Tick:
    """The answer of `policy.tick`: the plan, the way there, what to remember, what changed, when to look again."""

    plan: Plan
    actions: tuple[Action, ...]
    memory: Memory
    transitions: tuple[Transition, ...] = ()
    look_again_at: float | None = field(default=None)
    rollouts: tuple[RolloutStep, ...] = ()
    ejections: tuple[Ejection, ...] = ()
    marks: tuple[Mark, ...] = ()
