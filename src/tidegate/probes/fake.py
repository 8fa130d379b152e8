"""A prober in memory, with switches, for tests of the control loop: everything passes unless told otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tidegate.model.observed import Verdict
from tidegate.probes.protocol import ProbeTarget, Verdicts

HEALTHY = Verdicts(startup=Verdict.PASS, readiness=Verdict.PASS, liveness=Verdict.PASS)


@dataclass
class FakeProber:
    """Implements `probes.protocol.Prober`. `says` overrides what is said of one replica; `slow`: all unknown."""

    says: dict[str, Verdicts] = field(default_factory=dict)
    slow: bool = False
    watched: dict[str, ProbeTarget] = field(default_factory=dict)
    prepared: set[str] = field(default_factory=set)
    remedied: list[str] = field(default_factory=list)

    def watch(self, target: ProbeTarget) -> None:
        self.watched[target.replica] = target

    def prepare(self, replica: str) -> None:
        self.prepared.add(replica)

    def remedy(self, replica: str) -> None:
        self.remedied.append(replica)

    def forget(self, replica: str) -> None:
        self.watched.pop(replica, None)

    def verdicts(self, replica: str) -> Verdicts:
        if replica in self.says:
            return self.says[replica]
        if self.slow or replica not in self.watched:
            return Verdicts()
        ready = Verdict.PASS if replica in self.prepared else Verdict.UNKNOWN
        return replace(HEALTHY, prepared=ready, verify=ready)

    async def close(self) -> None:
        self.watched.clear()
