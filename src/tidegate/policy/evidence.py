"""Whether a new revision is worse than the old one, from requests both answered at the same time.

Requests are few and fail by chance, so a verdict needs more than a ratio: failures must be at least three and lie three
standard deviations above what is allowed (what `rollbackOn` allows, or what the old revision fails at the same time,
whichever is more); times are compared once each has answered enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from tidegate.model.memory import Counted
from tidegate.model.observed import ServerSeen
from tidegate.spec.service import RollbackOn

ENOUGH = 20  # requests of the new revision before a batch may be called good
FEWEST_FAILED = 3
DEVIATIONS = 3.0
COMPARED = 200  # requests of each revision before their times are compared


def counted(before: Counted, servers: Iterable[ServerSeen]) -> Counted:
    """`before` and what these servers did in the last interval."""
    finished, failed, service_s = before.finished, before.failed, before.service_s_sum
    for server in servers:
        finished += server.finished
        failed += server.failed
        service_s += server.service_s_sum
    return Counted(finished, failed, service_s)


def against(new: Counted, old: Counted, limits: RollbackOn) -> str:
    """The sentence that condemns the new revision; "" when nothing does."""
    return _failing(new, old, limits) or _slower(new, old, limits)


def _failing(new: Counted, old: Counted, limits: RollbackOn) -> str:
    if new.failed < FEWEST_FAILED:
        return ""
    allowed = 1 - limits.least_success
    if old.asked >= ENOUGH:
        allowed = max(allowed, old.failed / old.asked)
    expected = new.asked * allowed
    if new.failed <= expected + DEVIATIONS * math.sqrt(expected * (1 - allowed)):
        return ""
    text = f"success {1 - new.failed / new.asked:.2%} of {new.asked} requests, below {limits.least_success:.4g}"
    return f"{text}{f'; the old revision {1 - old.failed / old.asked:.2%}' if old.asked else ''}"


def _slower(new: Counted, old: Counted, limits: RollbackOn) -> str:
    if min(new.finished, old.finished) < COMPARED or old.service_s_sum <= 0:
        return ""
    mean_s, old_s = new.service_s_sum / new.finished, old.service_s_sum / old.finished
    if mean_s <= limits.most_times_slower * old_s:
        return ""
    return f"{mean_s * 1000:.0f} ms a request, {mean_s / old_s:.1f}x the old revision's {old_s * 1000:.0f} ms"
