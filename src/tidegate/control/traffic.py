"""What the gateway measured of each replica lately, for probe scripts that ask."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.base.times import added, quantile_s
from tidegate.model.observed import GatewaySeen, ServerSeen

LATELY_S = 60.0


@dataclass(slots=True)
class Traffic:
    """The looks at the gateway of the last minute."""

    looks: deque[tuple[float, Mapping[str, ServerSeen]]] = field(default_factory=deque)

    def add(self, at: float, gateway: GatewaySeen | None) -> None:
        """Take one look over; a gateway that cannot be seen adds nothing."""
        if gateway is not None:
            self.looks.append((at, gateway.servers))
        while self.looks and self.looks[0][0] < at - LATELY_S:
            self.looks.popleft()

    def of(self, replica: str) -> dict[str, float]:
        """`in_flight` now; `finished` and `failed` requests and how long answers took, `answer_s_mean` and
        `answer_s_p95`, over the last `seconds` (60 at most). Empty for a replica that was never in the balancer."""
        seen = [(at, servers[replica]) for at, servers in self.looks if replica in servers]
        if not seen:
            return {}
        finished = sum(s.finished for _, s in seen)
        facts = {
            "seconds": self.looks[-1][0] - seen[0][0],
            "in_flight": float(seen[-1][1].in_flight),
            "finished": float(finished),
            "failed": float(sum(s.failed for _, s in seen)),
        }
        p95_s = quantile_s(added(s.times for _, s in seen), 0.95)
        spent_s = sum(s.service_s_sum for _, s in seen)
        return facts | ({"answer_s_mean": spent_s / finished, "answer_s_p95": p95_s} if finished else {})
