"""How long replicas take, and from that how many requests may wait. Pure but for its own memory.

Who would wait longer than the promise allows is better told so at once, while somebody else may still be served, than
after the wait. The last of n waiting ones gets a slot after n others have ended: n m / c on average for c slots and a
service time of m, with a deviation of s sqrt(n) / c. Worked example: 4 slots, 50 ms a request with a deviation of
10 ms, a promise of 0.5 s: an answer in time leaves 0.5 - 0.07 = 0.43 s for the wait; of nine tenths of that, two
deviations kept free, 28 may wait.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.gateway.names import LATEST_MAP, ROOMS_MAP, TURNS_MAP
from tidegate.model.observed import PoolLoad
from tidegate.model.snapshot import PoolRoute
from tidegate.spec.resolve import PoolKey

# What was measured loses weight by half in this time; long enough for a few hundred requests of a busy pool.
_HALF_LIFE_S = 20.0
# With no replica there is no pace of answers to go by; a start usually brings several, this many are counted on.
_REPLICAS_TO_COME = 8
# The measured pace is that of the past, and the proxy's own way takes its time, too.
_MARGIN = 0.9
_NEGLIGIBLE = 1e-3


@dataclass(frozen=True, slots=True)
class Pace:
    """Decayed count, sum and sum of squares of service times, seconds."""

    count: float = 0.0
    total_s: float = 0.0
    squares_s2: float = 0.0

    def after(self, load: PoolLoad) -> Pace:
        """This pace with one more interval in it."""
        keep = 0.5 ** (load.interval_s / _HALF_LIFE_S)
        return Pace(
            self.count * keep + load.finished,
            self.total_s * keep + load.service_s_sum,
            self.squares_s2 * keep + load.service_s2_sum,
        )

    @property
    def mean_s(self) -> float | None:
        """None when nothing was measured, or so long ago that it says nothing."""
        return self.total_s / self.count if self.count > _NEGLIGIBLE else None

    @property
    def deviation_s(self) -> float:
        if self.count <= _NEGLIGIBLE:
            return 0.0
        mean_s = self.total_s / self.count
        return math.sqrt(max(0.0, self.squares_s2 / self.count - mean_s * mean_s))


def room(pool: PoolRoute, slots: int, pace: Pace) -> int:
    """How many requests of a pool may wait; at least one per slot."""
    if slots == 0:
        return pool.queue_max_length_per_slot * pool.slots_per_replica * _REPLICAS_TO_COME
    most = pool.queue_max_length_per_slot * slots
    mean_s = pace.mean_s
    if mean_s is None or mean_s <= 0:
        return most
    deviation_s = pace.deviation_s
    left_s = min(pool.queue_max_wait_s, max(mean_s, pool.within_s - mean_s - 2 * deviation_s))
    # n m + 2 s sqrt(n) = work, solved for sqrt(n).
    work_s = _MARGIN * slots * left_s
    root = (math.sqrt(deviation_s**2 + mean_s * work_s) - deviation_s) / mean_s
    return max(slots, min(most, math.floor(root * root)))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a pool's pace allows: `room` requests may wait; a slot gets free every `turn_us` microseconds; a try that
    begins later than `latest_us` after a request's arrival would most likely end after the promise.
    """

    room: int
    turn_us: int
    latest_us: int

    def told(self) -> dict[str, int]:
        """The value in each of the proxy's maps."""
        return {ROOMS_MAP: self.room, TURNS_MAP: self.turn_us, LATEST_MAP: self.latest_us}


def terms(pool: PoolRoute, slots: int, pace: Pace) -> Terms:
    """The terms for a pool with so many slots."""
    mean_s = pace.mean_s or 0.0
    latest_s = max(0.0, pool.within_s - mean_s)
    return Terms(room(pool, slots, pace), round(mean_s / slots * 1e6) if slots else 0, round(latest_s * 1e6))


def first_terms(pool: PoolRoute) -> Terms:
    """Of a pool about which nothing is known: one replica."""
    return Terms(pool.queue_max_length_per_slot * pool.slots_per_replica, 0, round(pool.within_s * 1e6))


Told = dict[tuple[str, str], int]
"""Values by map and backend."""


def entries(terms_of: Mapping[str, Terms]) -> Told:
    """All values for the proxy's maps."""
    return {(file, name): value for name, t in terms_of.items() for file, value in t.told().items()}


def worth_telling(before: Mapping[tuple[str, str], int], now: Told) -> Told:
    """The values that changed by more than a tenth: smaller changes are noise."""
    return {key: n for key, n in now.items() if abs(n - before.get(key, 0)) * 10 > before.get(key, 0)}


Paces = dict[PoolKey, Pace]
