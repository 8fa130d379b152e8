"""Whether the new revision has shown itself bad, or does not get anywhere. See `evidence`."""

from __future__ import annotations

from dataclasses import replace

from tidegate.policy.rollout import evidence
from tidegate.policy.rollout.walk import ADDING, FORWARD, Walk

CRASHES = 3  # of the same place in a row: a crash loop


def count(walk: Walk) -> None:
    """Add up what both revisions answered while the new one served (blue-green: the old one before the switch)."""
    gateway = walk.facts.gateway
    if gateway is None or walk.m.phase not in FORWARD:
        return
    servers = gateway.servers
    seen = [(walk.is_new(s), servers[s.id]) for s in walk.facts.standing if s.id in servers]
    seen += [(revision == walk.m.target, servers[name]) for name, revision in walk.facts.leaving if name in servers]
    side_by_side = any(new and not server.draining for new, server in seen) or walk.strategy == "blueGreen"
    if side_by_side:
        new = evidence.counted(walk.m.new, (server for is_new, server in seen if is_new))
        old = evidence.counted(walk.m.old, (server for is_new, server in seen if not is_new))
        walk.m = replace(walk.m, new=new, old=old)


def judge(walk: Walk) -> None:
    """Go back when the new revision has shown itself bad, or does not get anywhere."""
    if walk.m.phase not in FORWARD:
        return
    crashed = [v for v in walk.vacancies if v.revision == walk.m.target]
    unverified = next((v.cause for v in crashed if v.cause.startswith("verify failed")), "")
    looping = max(crashed, key=lambda v: v.restarts, default=None)
    limit_s = walk.how.progressDeadlineSeconds
    held = walk.m.paused or walk.facts.wanted == 0
    late = walk.m.phase is ADDING and not held and walk.facts.at - walk.m.progress_at >= limit_s
    if unverified:
        walk.back("failed", unverified)
    elif looping is not None and looping.restarts >= CRASHES:
        walk.back("failed", f"crash loop, {looping.restarts} times in a row: {looping.cause}")
    elif late:
        last = f"; last: {looping.cause}" if looping else ""
        walk.back("failed", f"no progress for {limit_s:g} s: {walk.ready()} of {walk.goal()} ready{last}")
    elif not walk.m.promoted:
        verdict = evidence.against(walk.m.new, walk.m.old, walk.how.rollbackOn)
        if verdict:
            walk.back("failed", verdict)
