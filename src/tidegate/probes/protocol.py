"""What a prober can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tidegate.model.observed import Verdict
from tidegate.spec.probes import Probes
from tidegate.spec.rollout import Rollout
from tidegate.spec.tls import ReplicaTls


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a service answers through the gateway; `host` goes into the Host header when it is routed by host name."""

    url: str
    host: str = ""


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """A replica to be probed. `address` is "host:port"; `directory` is where its scripts and files are found.

    `scripts` are the texts of its scripts by path, as its revision was applied; others are read when they run.
    `gateway` is the base URL of the gateway as seen from the replica, "" when there is none; `uses` the services it
    must be able to reach, `upstreams` where each of them answers (default: `gateway`/NAME/).
    """

    replica: str
    service: str
    address: str
    pid: int | None
    directory: str
    env: dict[str, str]
    probes: Probes
    rollout: Rollout
    uses: tuple[str, ...] = ()
    gateway: str = ""
    pool: str = "default"
    revision: str = ""
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    tls: ReplicaTls | None = None
    scripts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the probes of one replica say now; `detail` is the latest failure in words."""

    startup: Verdict = Verdict.UNKNOWN
    prepared: Verdict = Verdict.UNKNOWN
    readiness: Verdict = Verdict.UNKNOWN
    liveness: Verdict = Verdict.UNKNOWN
    verify: Verdict = Verdict.UNKNOWN
    detail: str = ""
    remedy: Verdict = Verdict.UNKNOWN


class Prober(Protocol):
    """Runs the probes of many replicas side by side."""

    def watch(self, target: ProbeTarget) -> None:
        """Begin with the startup probe; readiness and liveness follow once it passes. Repeating changes nothing."""

    def prepare(self, replica: str) -> None:
        """Run the prepare steps, in order, then the rollout's verify script. Repeating changes nothing."""

    def remedy(self, replica: str) -> None:
        """Run the liveness remedy script once, then judge liveness anew. Repeating while it runs changes nothing."""

    def forget(self, replica: str) -> None:
        """Stop probing. Unknown ids are ignored."""

    def verdicts(self, replica: str) -> Verdicts:
        """The verdicts now; all unknown for a replica that is not watched."""

    async def close(self) -> None:
        """Stop all probing."""
