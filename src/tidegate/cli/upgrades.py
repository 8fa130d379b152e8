"""Upgrades in sentences: how far one is, what holds it up, and what can be done about it."""

from __future__ import annotations

from tidegate.cli.output import clean
from tidegate.model.status import PoolStatus, RolloutStatus

GOES_ON = {"adding", "watching", "going back"}
_IN_THE_WAY = ("back-off", "placement", "remedy")  # topics of reasons that say why nothing moves


def sentence(pool: PoolStatus) -> str:
    """How far the upgrade of a pool is."""
    r, name = pool.rollout, f"{pool.service}/{pool.pool}"
    if r is None:
        return f"{name}: nothing known yet"
    if r.phase == "stable":
        return f"{name}: {r.stable} is proven; no upgrade is under way"
    if r.phase in ("adding", "watching"):
        wave = f"wave {r.wave + 1} of {len(r.waves)} ({', '.join(r.waves[r.wave])}), " if r.waves else ""
        text = f"{r.stable} -> {r.target}: {r.ready} of {r.wanted} ready, {wave}{_now(r)}"
        return clean("; ".join((f"{name}: {text}", *(s.text for s in pool.reasons if s.topic in _IN_THE_WAY))))
    after = f"{r.stable} serves"
    if r.phase == "rolled back":
        after += f" until the manifest changes, or `tidegate rollout retry {pool.service}`"
    return clean(f"{name}: {r.target} {r.phase}: {r.reason}; {after}")


def _now(r: RolloutStatus) -> str:
    if r.paused:
        return r.reason if r.reason.startswith("paused") else f"paused: {r.reason}"
    if r.phase == "adding":
        return f"up to {r.goal} are being started"
    return "those are watched under traffic"
