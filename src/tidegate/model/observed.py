"""What was seen, at one instant.

Missing, stale and zero are three things: a pool that is not in `loads` was not measured, a load with an old `at` is
stale, a load with zero arrivals is idle. A cluster that is not in `clusters`, or a gateway that is None, cannot be
seen now; what is known of it from before stays in `Memory`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tidegate.base.quick import quick
from tidegate.base.times import Times
from tidegate.model.admission import AdmissionSeen
from tidegate.model.media import MediaCounts
from tidegate.spec.resolve import PoolKey


class Verdict(StrEnum):
    """What a probe says; `unknown` until it has said anything, and when it could not be run."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


@quick
@dataclass(frozen=True, slots=True)
class ReplicaSeen:
    """The facts about one replica as its runtime and its probes report them.

    Times are epoch seconds. `running` is False once its process has ended (`exit_code` says how; negative: by that
    signal). `address` is "host:port" as soon as it is known. `placed` is False while its cluster has taken it on but
    has found no room for it (Kubernetes: unschedulable). `stopping` is True once the runtime was told to stop it;
    `ending` says what it has done since, and when: ("preStop", "SIGTERM", "SIGKILL"; epoch seconds). `remedy` is how
    the remedy script of a failed liveness probe ended, unknown while there is none or it runs.
    """

    id: str
    key: PoolKey
    revision: str
    cluster: str
    created_at: float
    running: bool = True
    stopping: bool = False
    address: str | None = None
    pid: int | None = None
    exit_code: int | None = None
    startup: Verdict = Verdict.UNKNOWN
    prepared: Verdict = Verdict.UNKNOWN
    readiness: Verdict = Verdict.UNKNOWN
    liveness: Verdict = Verdict.UNKNOWN
    verify: Verdict = Verdict.UNKNOWN
    detail: str = ""
    placed: bool = True
    remedy: Verdict = Verdict.UNKNOWN
    ending: tuple[tuple[str, float], ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class PoolLoad:
    """What the gateway measured for one pool over the `interval_s` that ends at `at`.

    Counts are of the interval; `in_flight` (on a replica) and `queued` (at the gateway) are now. `service_s_sum` and
    `service_s2_sum` are the sum and the sum of squares of the time replicas took for the `finished` requests, seconds;
    `wait_s_sum` of the time spent in the queue. `in_time` of the finished ones kept the promise. `failed` counts
    answers the service is to blame for (5xx, no answer); `gave_up` counts clients that left before an answer.
    `waited_in_vain` of the finished ones and those that gave up were late because of the queue: the promise was over,
    and the time on a replica alone would have kept it.
    """

    at: float
    interval_s: float
    arrivals: int = 0
    finished: int = 0
    in_time: int = 0
    failed: int = 0
    gave_up: int = 0
    refused: int = 0
    in_flight: int = 0
    queued: int = 0
    service_s_sum: float = 0.0
    service_s2_sum: float = 0.0
    wait_s_sum: float = 0.0
    waited_in_vain: int = 0


@quick
@dataclass(frozen=True, slots=True)
class ClusterSeen:
    """A cluster that answered. `capacity` and `used` are amounts per resource name (see `Resources.amounts`).

    `used` covers everything that runs there, ours or not. `healthy` is False when it answers but refuses new replicas.
    """

    capacity: Mapping[str, float]
    used: Mapping[str, float] = field(default_factory=dict)
    healthy: bool = True
    detail: str = ""


@quick
@dataclass(frozen=True, slots=True)
class ServerSeen:
    """A replica as the gateway has it: `draining` or not, `up` by the gateway's own judgement, requests on it now.

    `finished`, `failed`, `service_s_sum` and `times` (how long each of the finished ones took) are of the same interval
    as the loads that were observed with it.
    `connect_s` is how long the gateway's last look took to connect to it, a network round trip; None: not known.
    """

    draining: bool = False
    up: bool = True
    in_flight: int = 0
    finished: int = 0
    failed: int = 0
    service_s_sum: float = 0.0
    connect_s: float | None = None
    times: Times = ()


@dataclass(frozen=True, slots=True)
class CertificateSeen:
    """A certificate, or authorities, the gateway uses, from `file`. Times are epoch seconds, None when unknown.

    `fault` says why the present content of the file cannot be used; with `in_force`, what it held before still is.
    """

    file: str
    from_at: float | None = None
    until_at: float | None = None
    names: tuple[str, ...] = ()
    fault: str = ""
    in_force: bool = True


@quick
@dataclass(frozen=True, slots=True)
class GatewaySeen:
    """The gateway: the version of the snapshot it has taken over, and its servers by replica id.

    `version` is None until a snapshot was published by this process. `unmeasured` requests of the interval ended
    without being counted in any load, since nobody read their lines in time. `refused` counts, by code, what the
    gateway itself has refused since its driver began: requests, TLS handshakes, connections; `media` what was screened.
    """

    version: str | None
    servers: Mapping[str, ServerSeen] = field(default_factory=dict)
    unmeasured: int = 0
    certificates: tuple[CertificateSeen, ...] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    admission: AdmissionSeen = field(default_factory=AdmissionSeen)
    media: MediaCounts = field(default_factory=MediaCounts)


@dataclass(frozen=True, slots=True)
class Intent:
    """A wish of an operator that is not in a manifest: `drain` or `undrain` a replica or cluster, `pause-rollout`, ...

    It is told once; what it leads to is in `Memory`.
    """

    verb: str
    subject: str
    at: float


@quick
@dataclass(frozen=True, slots=True)
class Observed:
    """Everything a tick knows; `at` (epoch seconds) is the only "now" there is."""

    at: float
    replicas: tuple[ReplicaSeen, ...] = ()
    loads: Mapping[PoolKey, PoolLoad] = field(default_factory=dict)
    clusters: Mapping[str, ClusterSeen] = field(default_factory=dict)
    gateway: GatewaySeen | None = None
    intents: tuple[Intent, ...] = ()
