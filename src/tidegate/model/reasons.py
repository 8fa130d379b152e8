"""Why something was decided, in one sentence with its numbers; the same sentence in log, page, journal and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.base.quick import quick


@quick
@dataclass(frozen=True, slots=True)
class Reason:
    """`topic` is the policy that speaks (demand, promise, schedule, forecast, rate limit, placement, rollout, ...).

    `wanted` is the number of replicas it asks for, where it asks for one; `bound` names the limit that decided.
    """

    topic: str
    text: str
    wanted: int | None = None
    bound: str | None = None


def deciding(reasons: Sequence[Reason], wanted: int) -> str:
    """The sentence of the policy that asked for what came out, be it a limit; of the first one where none did.

    >>> deciding((Reason("demand", "nothing is asked", 0), Reason("bounds", "minReplicas is 2", 2, "minReplicas")), 2)
    'minReplicas is 2'
    """
    first = reasons[0].text if reasons else ""
    return next((r.text for r in reasons if r.wanted == wanted and r.bound != "preview"), first)
