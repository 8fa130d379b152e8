"""Why something was decided, in one sentence with its numbers; the same sentence in log, page, journal and tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """`topic` is the policy that speaks (demand, promise, schedule, forecast, rate limit, placement, rollout, ...).

    `wanted` is the number of replicas it asks for, where it asks for one; `bound` names the limit that decided.
    """

    topic: str
    text: str
    wanted: int | None = None
    bound: str | None = None
