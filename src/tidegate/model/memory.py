"""What one tick must remember for the next: typed, frozen, written to the journal.

Durations and timestamps only, never loop counts; a restart or a replay starts from the same value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.base.quick import quick
from tidegate.base.times import Times
from tidegate.model.lifecycle import ReplicaState, RolloutPhase
from tidegate.model.scaling import ScaleMemory
from tidegate.spec.resolve import PoolKey


@quick
@dataclass(frozen=True, slots=True)
class ReplicaMemory:
    """The lifecycle of one replica: its state, since when, and what is kept for its successor.

    `ready_at` is when it first became ready, None before. `restarts` counts its predecessors in the same crash loop.
    `cause` is the move that led to the state. `leaving` says why it is to be replaced and drained, "" when it is not.
    `marks` says when it passed what (see `model.lifecycle`) on its way up, or on its way down once it drains;
    `phases_s` how long each of `PHASES` took, once it is in the balancer. `remedied_at` is when its remedy script was
    last ordered, `sick_at` since when its liveness fails. `grace_s` is what its service last allowed it to end in: it
    is kept for when the service is no longer declared.
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
    marks: Mapping[str, float] = field(default_factory=dict)
    phases_s: tuple[float, ...] = ()
    remedied_at: float | None = None
    sick_at: float | None = None
    grace_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Vacancy:
    """A place left by a replica that crashed: not filled before `not_before` (back-off as in Kubernetes).

    `revision` is what crashed; "" where it is not known.
    """

    restarts: int
    not_before: float
    cause: str
    cluster: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests of one revision while two of them served side by side; names as in `ServerSeen`."""

    finished: int = 0
    failed: int = 0
    service_s_sum: float = 0.0
    times: Times = ()

    @property
    def asked(self) -> int:
        """Requests with an end; broken answers are not among the finished ones."""
        return max(self.finished, self.failed)


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """A rollout that has ended. `outcome`: done, rolled back, withdrawn, replaced by another."""

    source: str
    target: str
    began_at: float
    ended_at: float
    outcome: str
    reason: str = ""


@quick
@dataclass(frozen=True, slots=True)
class RolloutMemory:
    """How far a pool is on its way from revision `stable` to revision `target`.

    `stable` is the proven revision, which serves and to which a rollout goes back; "" before anything was seen.
    `done` is the share of the replicas that was replaced and watched, `goal` the share the batch under way leads to;
    shares and not counts, since scaling goes on meanwhile. `since` is when the phase began, `progress_at` when the
    last replica of the batch became ready (`best` of them so far). `new` and `old` count requests since the first new
    replica served; `watch_new` and `watch_old` are what they were when the batch began to be watched.
    `promoted`: an operator wants it finished without watching. `crowded`: there was no room to surge for the
    `crowded_at` wanted replicas, so old ones go first. `heard_at` is the time of the last wish of an
    operator that was acted on. `waves` are the clusters in the order in which they get the target (empty: all at
    once), `wave` the number of the one under way, `wave_ends` whether the batch under way completes it, `wave_most` how
    many may be new by then (0: no bound).
    """

    phase: RolloutPhase = RolloutPhase.STABLE
    stable: str = ""
    target: str = ""
    done: float = 0.0
    goal: float = 0.0
    began_at: float = 0.0
    since: float = 0.0
    progress_at: float = 0.0
    best: int = 0
    paused: bool = False
    promoted: bool = False
    crowded: bool = False
    crowded_at: int = 0
    reason: str = ""
    new: Counted = Counted()
    old: Counted = Counted()
    watch_new: int = 0
    watch_old: int = 0
    heard_at: float = 0.0
    history: tuple[RolloutRecord, ...] = ()
    waves: tuple[tuple[str, ...], ...] = ()
    wave: int = 0
    wave_ends: bool = False
    wave_most: int = 0


@quick
@dataclass(frozen=True, slots=True)
class Recent:
    """Answers of the last seconds, fading: counts, and the sum of service times without the network's way, seconds."""

    finished: float = 0.0
    failed: float = 0.0
    service_s: float = 0.0

    @property
    def asked(self) -> float:
        """Requests with an end; those without an answer are not among the finished ones."""
        return max(self.finished, self.failed)

    @property
    def mean_s(self) -> float:
        return self.service_s / self.finished if self.finished else 0.0


@quick
@dataclass(frozen=True, slots=True)
class ReplicaHealth:
    """How a replica does beside its peers.

    `level` is the part of its share that it gets (1: all). While `out_until` is ahead (epoch seconds) it gets nothing;
    `ejections` counts how often that happened, forgotten when it has been well since `well_since` for long.
    """

    recent: Recent = Recent()
    level: float = 1.0
    out_until: float = 0.0
    ejections: int = 0
    well_since: float = 0.0


@quick
@dataclass(frozen=True, slots=True)
class ClusterHealth:
    """How a cluster's replicas of one pool do beside those elsewhere.

    `usual_s` is their mean service time when they were well, seconds (0: not known). `seen_at` is when there were last
    enough answers to go by. `sick` is how far requests are led away from it: 0 not at all, 1 all but a few.
    """

    recent: Recent = Recent()
    usual_s: float = 0.0
    seen_at: float = 0.0
    sick: float = 0.0


@quick
@dataclass(frozen=True, slots=True)
class BalanceMemory:
    """What the balancing of one pool remembers.

    `replicas` holds those with recent answers or a history, `clusters` those with replicas that serve. `origins` is the
    share of the calls that come from each region. `squares_s2` sums squared service times, fading like `Recent`.
    """

    at: float = 0.0
    replicas: Mapping[str, ReplicaHealth] = field(default_factory=dict)
    clusters: Mapping[str, ClusterHealth] = field(default_factory=dict)
    origins: Mapping[str, float] = field(default_factory=dict)
    squares_s2: float = 0.0


@quick
@dataclass(frozen=True, slots=True)
class PoolMemory:
    """What is kept for one pool. `startups_s` is a sample of its measured start-up times per cluster, thinner the older
    they are; `phases_s` the phases of the last replicas, one tuple each in the order of `PHASES`. `remedies_wait`: more
    replicas fail their liveness probe than may be under remedy at a time.
    """

    scale: ScaleMemory = ScaleMemory()
    next_number: int = 1
    vacancies: tuple[Vacancy, ...] = ()
    startups_s: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    rollout: RolloutMemory = RolloutMemory()
    balance: BalanceMemory = BalanceMemory()
    phases_s: tuple[tuple[float, ...], ...] = ()
    remedies_wait: bool = False

    def now(
        self,
        *,
        scale: ScaleMemory | None = None,
        vacancies: tuple[Vacancy, ...] | None = None,
        balance: BalanceMemory | None = None,
    ) -> PoolMemory:
        """The same with what every look changes; written out, since a large fleet asks a thousand times a second."""
        return PoolMemory(
            scale=self.scale if scale is None else scale,
            next_number=self.next_number,
            vacancies=self.vacancies if vacancies is None else vacancies,
            startups_s=self.startups_s,
            rollout=self.rollout,
            balance=self.balance if balance is None else balance,
            phases_s=self.phases_s,
            remedies_wait=self.remedies_wait,
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """A cluster took on a replica and found no room for it at `at` (epoch seconds): nothing new there for `rest_s`."""

    at: float
    rest_s: float


@quick
@dataclass(frozen=True, slots=True)
class Memory:
    """Everything remembered. `replicas` by id; `addresses` holds the last address each was seen at.

    `pressed_at` is when something last did not fit in a cluster (epoch seconds), `refusals` the clusters that did not
    find room for what they had taken on. `round_trips_s` are measured, by cluster. `drained` is what operators drain
    (replicas and clusters), and since when.
    """

    pools: Mapping[PoolKey, PoolMemory] = field(default_factory=dict)
    replicas: Mapping[str, ReplicaMemory] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    pressed_at: Mapping[str, float] = field(default_factory=dict)
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    round_trips_s: Mapping[str, float] = field(default_factory=dict)
    drained: Mapping[str, float] = field(default_factory=dict)
