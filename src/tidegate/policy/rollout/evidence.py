"""Whether a new revision is worse than the old one, from requests both answered at the same time.

Requests are few and fail by chance, so a verdict needs more than a ratio: failures must be at least three and lie three
standard deviations above what is allowed (what `rollbackOn` allows, or what the old revision fails at the same time,
whichever is more).

Times are compared by their 95th percentile, once each has answered enough. Were the new revision just as many times
slower as `rollbackOn.p95` allows, 5% of its requests would take longer than that many times the old p95. It is too slow
when more do, by three standard deviations of the difference of two shares: with n and m requests of both,

    longer / n - 5% > 3 * sqrt(5% * 95% * (1/n + 1/m))

With 100 of each that is 14.2%, with 1000 of each 7.9%. From 200 requests of each on it is also too slow when both its
p95 and its mean lie above that many times the old ones: a mean needs fewer requests to be sure of. A gateway that kept
no distribution is compared by means alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from tidegate.base.times import added, longer, quantile_s
from tidegate.model.memory import Counted
from tidegate.model.observed import ServerSeen
from tidegate.spec.rollout import RollbackOn

ENOUGH = 20  # requests of the new revision before a batch may be called good
FEWEST_FAILED = 3
DEVIATIONS = 3.0
COMPARED = 60  # requests of each revision before their times are compared
COMPARED_BY_MEAN = 200
TAIL = 0.05


def counted(before: Counted, servers: Iterable[ServerSeen]) -> Counted:
    """`before` and what these servers did in the last interval."""
    finished, failed, service_s = before.finished, before.failed, before.service_s_sum
    times = [before.times]
    for server in servers:
        finished += server.finished
        failed += server.failed
        service_s += server.service_s_sum
        times.append(server.times)
    return Counted(finished, failed, service_s, added(times))


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
    n, m = (sum(count for _, count in c.times) for c in (new, old))
    if not n or not m:
        return _slower_by_mean(new, old, limits)
    if min(n, m) < COMPARED:
        return ""
    old_s, new_s = quantile_s(old.times, 1 - TAIL), quantile_s(new.times, 1 - TAIL)
    bound_s = limits.most_times_slower * old_s
    late = longer(new.times, bound_s)
    mean = _slower_by_mean(new, old, limits) if new_s > bound_s else ""
    if not mean and late / n <= TAIL + DEVIATIONS * math.sqrt(TAIL * (1 - TAIL) * (1 / n + 1 / m)):
        return ""
    text = f"{late} of {n} requests took longer than {limits.most_times_slower:g}x the old revision's p95"
    return f"{text} of {old_s * 1000:.0f} ms; its own is {new_s * 1000:.0f} ms"


def _slower_by_mean(new: Counted, old: Counted, limits: RollbackOn) -> str:
    if min(new.finished, old.finished) < COMPARED_BY_MEAN or old.service_s_sum <= 0:
        return ""
    mean_s, old_s = new.service_s_sum / new.finished, old.service_s_sum / old.finished
    if mean_s <= limits.most_times_slower * old_s:
        return ""
    return f"{mean_s * 1000:.0f} ms a request, {mean_s / old_s:.1f}x the old revision's {old_s * 1000:.0f} ms"
