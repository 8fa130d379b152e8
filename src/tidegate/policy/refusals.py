"""Clusters that did not find room for what they had taken on rest for a while, longer each time."""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.model.memory import Refusal

REST_FIRST_S, REST_MOST_S = 60.0, 3600.0  # nothing new for a cluster that did not find room for what it had taken on


def resting(refusals: Mapping[str, Refusal], at: float) -> frozenset[str]:
    """Clusters that lately did not find room for what they had taken on."""
    return frozenset(name for name, r in refusals.items() if at - r.at < r.rest_s)


def refused(before: Refusal | None, at: float) -> Refusal:
    """A cluster that was asked again after its rest and has no room again rests twice as long, up to an hour."""
    if before is None:
        return Refusal(at, REST_FIRST_S)
    if at - before.at < before.rest_s:
        return Refusal(at, before.rest_s)
    return Refusal(at, min(REST_MOST_S, 2 * before.rest_s))
