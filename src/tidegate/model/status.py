"""What the running system says about itself: one value for the live table, `tidegate status`, the API and the page.

Made by `control.status` after every tick, sent as JSON (see `status_json`), read back by every client. Readers ignore
fields they do not know, so an older command line can talk to a newer control process.

Units: `at` and `since` are epoch seconds, `*_s` seconds, `*_ms_*` milliseconds, `*_per_s` requests a second,
`*_ratio` a share between 0 and 1. A mean or a ratio is None when nothing was measured: that is not the same as zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from pydantic import TypeAdapter

from tidegate.model.media import MediaCounts
from tidegate.model.memory import RolloutRecord
from tidegate.model.plan import ClusterWeight
from tidegate.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class PhaseStatus:
    """How long one of `PHASES` (or all of them: "start-up") took the last `count` replicas of a pool."""

    name: str
    count: int
    p50_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One replica. `state` is a `ReplicaState`; `cause` is the move that led to it; `detail` the latest failure.

    `share_ratio` is the part of its share of the requests that it gets: 1, or less where it fails or is slow beside its
    peers; 0 while it is out.
    `phases_s` is how long each phase of its start took, once it serves.
    """

    id: str
    state: str
    since: float
    age_s: float
    cluster: str
    revision: str
    address: str | None = None
    in_flight: int = 0
    restarts: int = 0
    cause: str = ""
    detail: str = ""
    share_ratio: float = 1.0
    phases_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """How far a pool is from `stable` to `target` (see `RolloutMemory`): `ready` of `wanted` replicas run the target,
    the batch under way leads to `goal` of them. `history` holds the ended ones, newest last. `waves` are the clusters
    in the order in which they get the target, `wave` the number of the one under way, from 0."""

    phase: str
    stable: str
    target: str = ""
    wanted: int = 0
    ready: int = 0
    goal: int = 0
    paused: bool = False
    reason: str = ""
    since: float = 0.0
    began_at: float = 0.0
    history: tuple[RolloutRecord, ...] = ()
    waves: tuple[tuple[str, ...], ...] = ()
    wave: int = 0


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """One pool: what is wanted, how far it is, its load, and why.

    `starting` counts starting and preparing replicas; `pending` of the `wanted` ones fit nowhere; `slots` is how many
    requests the ready replicas can work on at a time. `promised_ratio` of the requests are to be answered within
    `within_s`. `reasons` are those of the last decision, the deciding one first.
    `weights` say which share of the requests each cluster is to get, and why.
    `phases` are those of the last starts, in order, with all of a start as the last one.
    """

    service: str
    pool: str
    revision: str
    wanted: int
    ready: int = 0
    starting: int = 0
    draining: int = 0
    pending: int = 0
    slots: int = 0
    in_flight: int = 0
    queued: int = 0
    arrival_per_s: float | None = None
    service_ms_mean: float | None = None
    wait_ms_mean: float | None = None
    in_time_ratio: float | None = None
    within_s: float | None = None
    promised_ratio: float | None = None
    reasons: tuple[Reason, ...] = ()
    replicas: tuple[ReplicaStatus, ...] = ()
    rollout: RolloutStatus | None = None
    weights: tuple[ClusterWeight, ...] = ()
    phases: tuple[PhaseStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service: where it answers (`url`, through the gateway) and its pools in match order, the default one last."""

    name: str
    url: str = ""
    pools: tuple[PoolStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """One cluster. Amounts are per resource name: cores, bytes, cards. None: it cannot be seen now.

    `replicas` are ours there, draining ones included; `pending` ones would go there first and fit nowhere. `prices` are
    money per hour for a core, a GiB, a card; `cost_per_hour` is that of our replicas there. `quotas` are the amounts
    per resource that services may take there, `distance_s` the network round trip from the gateway. `drained`: by an
    operator.
    """

    name: str
    runtime: str
    region: str
    capacity: Mapping[str, float] | None = None
    used: Mapping[str, float] | None = None
    healthy: bool = True
    detail: str = ""
    zone: str = ""
    replicas: int = 0
    pending: int = 0
    prices: Mapping[str, float] = field(default_factory=dict)
    cost_per_hour: float = 0.0
    quotas: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    distance_s: float = 0.0
    drained: bool = False


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """The gateway: its address, the version of the snapshot it follows, whether it answers.

    `warnings` are sentences about what will go wrong or has: a certificate that ends soon. `refused` counts what the
    gateway itself has refused since this control process began, by code (docs/gateway.md). `certificates` says by file
    when each ends, epoch seconds; `media` what was screened.
    """

    url: str = ""
    version: str | None = None
    up: bool = False
    detail: str = ""
    warnings: tuple[str, ...] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    certificates: Mapping[str, float] = field(default_factory=dict)
    media: MediaCounts = field(default_factory=MediaCounts)


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one instant. `page` is the URL of the status page, "" when there is none."""

    at: float
    uptime_s: float
    version: str
    services: tuple[ServiceStatus, ...] = ()
    clusters: tuple[ClusterStatus, ...] = ()
    gateway: GatewayStatus = field(default_factory=GatewayStatus)
    page: str = ""
    stopping: bool = False


@dataclass(frozen=True, slots=True)
class PoolHistory:
    """Numbers of one pool (see `PoolStatus`), one for each instant of `History.at`; None: not measured, or no pool."""

    service: str
    pool: str
    ready: tuple[int | None, ...] = ()
    wanted: tuple[int | None, ...] = ()
    queued: tuple[int | None, ...] = ()
    arrival_per_s: tuple[float | None, ...] = ()
    wait_ms_mean: tuple[float | None, ...] = ()
    service_ms_mean: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """The last minutes: GET /v1/history. `at` are epoch seconds, oldest first."""

    at: tuple[float, ...] = ()
    pools: tuple[PoolHistory, ...] = ()


@cache
def _adapter() -> TypeAdapter[Status]:
    return TypeAdapter(Status)


def status_json(status: Status) -> bytes:
    """The JSON text of GET /v1/status."""
    return _adapter().dump_json(status)


def parse_status(text: bytes | str) -> Status:
    """Read the JSON text of GET /v1/status; unknown fields are ignored.

    Raises:
        ValueError: it is not a status.
    """
    return _adapter().validate_json(text)
