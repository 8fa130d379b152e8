"""How long replicas take, and from that how many requests may wait. Pure but for its own memory.

Who would wait longer than the promise allows is better told so at once, while somebody else may still be served, than
after the wait. The last of n waiting ones gets a slot after n others have ended: n m / c on average for c slots and a
service time of m, with a deviation of s sqrt(n) / c. Worked example: 4 slots, 50 ms a request with a deviation of
10 ms, a promise of 0.5 s: an answer in time leaves 0.45 s for the wait; in nine tenths of that 32 may wait.

A short rush should find all the room there is: most of those who come late in it are served in time, and whom it
refuses for nothing is lost for certain. Once one in a hundred is refused, the queue is not full by chance any more, and
two deviations are kept free: an answer in time leaves 0.5 - 0.07 = 0.43 s, and 28 may wait. When many are refused for
seconds, the queue is always full, everybody waits as long as it is, and only those with a short service
time are in time. Then the room is what lets as many be in time as the promise says; the slots stay busy all the same.
Where that cannot be, since the service has become too slow for its promise, it is what lets the most be in time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

from tidegate.gateway.names import LATEST_MAP, ROOMS_MAP, TURNS_MAP
from tidegate.gateway.shedding import most_useful
from tidegate.model.observed import PoolLoad
from tidegate.model.snapshot import PoolRoute
from tidegate.spec.resolve import PoolKey

# What was measured loses weight by half in this time; long enough for a few hundred requests of a busy pool. For slow
# services it is so many mean service times instead: a mean over five answers would open and close the queue at random.
_HALF_LIFE_S, _HALF_LIFE_SERVICES = 20.0, 10.0
# A service that has become slower must be known before all who wait are late; so few answers say little, though.
_SHORT_HALF_LIFE_S, _SHORT_HALF_LIFE_SERVICES = 2.0, 1.0
_LEAST_ANSWERS = 20
_BY_CHANCE = 2.0  # standard errors of the mean
# While requests wait, the slots are busy, and how long a request takes follows from how many end: seconds before the
# answers of a slower service are there to be averaged. So sure must it be (standard deviations of a number of chance,
# and what is left for small numbers), over so many mean service times, since answers may come in step. So many looks.
_SURE, _SMALL = 3.0, 5.0
_SERVICES_SEEN = 2.0
_MOST_LOOKS = 16
# With no replica there is no pace of answers to go by; a start usually brings several, this many are counted on.
_REPLICAS_TO_COME = 8
# The measured pace is that of the past, and the proxy's own way takes its time, too.
_MARGIN = 0.9
# Share of refused requests, over some seconds, from which so many deviations of the service time are kept free.
_RUSH, _DEVIATIONS = 0.01, 2.0
# Share of refused requests, over some seconds, from which a rush is an overload.
_OVERLOAD = 0.1
_MOST_PRESSURE = 100.0
_NEGLIGIBLE = 1e-3


@dataclass(frozen=True, slots=True)
class Moments:
    """Decayed count, sum and sum of squares of service times, seconds."""

    count: float = 0.0
    total_s: float = 0.0
    squares_s2: float = 0.0

    def after(self, load: PoolLoad, half_life_s: float) -> Moments:
        """These with one more interval in them."""
        keep = 0.5 ** (load.interval_s / half_life_s)
        return Moments(
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


@dataclass(frozen=True, slots=True)
class Interval:
    """Between two looks while requests waited: how long, for how long slots were busy all together, how many ended."""

    seconds: float
    busy_s: float
    finished: int


Waiting = tuple[Interval, ...]
"""The last looks, the newest first; none when nobody waits."""


def still_waiting(before: Waiting, load: PoolLoad, in_flight: int) -> Waiting:
    """`before` with one more interval, which began with `in_flight` requests on replicas."""
    if load.queued == 0:
        return ()
    busy_s = load.interval_s * (in_flight + load.in_flight) / 2
    return (Interval(load.interval_s, busy_s, load.finished), *before[: _MOST_LOOKS - 1])


def longer_s(looks: Waiting, usual_s: float) -> float:
    """How long a request takes, seconds, by how few ended since one of the last looks: `usual_s`, or more if sure."""
    surely, found = usual_s, usual_s
    seconds, busy_s, finished = 0.0, 0.0, 0
    for look in looks:
        seconds, busy_s, finished = seconds + look.seconds, busy_s + look.busy_s, finished + look.finished
        at_least = busy_s / (finished + _SURE * math.sqrt(finished) + _SMALL)
        if at_least > surely and seconds >= _SERVICES_SEEN * usual_s:
            surely, found = at_least, busy_s / max(1, finished)
    return found


@dataclass(frozen=True, slots=True)
class Pace:
    """Service times over the last minute and over the last seconds; how many asked and were refused lately; how many
    were on replicas at the last look, and what has ended since requests began to wait.
    """

    minute: Moments = Moments()
    seconds: Moments = Moments()
    asked: float = 0.0
    refused: float = 0.0
    in_flight: int = 0
    looks: Waiting = ()

    def after(self, load: PoolLoad) -> Pace:
        """This pace with one more interval in it."""
        mean_s = self.minute.mean_s or 0.0
        short_s = max(_SHORT_HALF_LIFE_S, _SHORT_HALF_LIFE_SERVICES * mean_s)
        keep = 0.5 ** (load.interval_s / short_s)
        return Pace(
            self.minute.after(load, max(_HALF_LIFE_S, _HALF_LIFE_SERVICES * mean_s)),
            self.seconds.after(load, short_s),
            self.asked * keep + load.arrivals,
            self.refused * keep + load.refused,
            load.in_flight,
            still_waiting(self.looks, load, self.in_flight),
        )

    @property
    def service(self) -> Moments:
        """As long as requests take now: by the answers, or by how few there are, if that is longer."""
        answered = self._answered
        usual_s = answered.mean_s
        longer = longer_s(self.looks, usual_s) / usual_s if usual_s else 1.0
        return Moments(answered.count, answered.total_s * longer, answered.squares_s2 * longer**2)

    @property
    def _answered(self) -> Moments:
        """The last minute, or the last seconds if they hold enough answers and are slower by more than chance."""
        late, usual = self.seconds, self.minute
        if late.count < _LEAST_ANSWERS:
            return usual
        by_chance_s = _BY_CHANCE * late.deviation_s / math.sqrt(late.count)
        return late if (late.mean_s or 0.0) - by_chance_s > (usual.mean_s or 0.0) else usual

    @property
    def overloaded(self) -> bool:
        return self.refused > _OVERLOAD * max(1.0, self.asked)

    @property
    def pressure(self) -> float:
        """How many ask for each one that is let in, at least 1."""
        if self.refused <= _NEGLIGIBLE:
            return 1.0
        return min(_MOST_PRESSURE, max(1.0, self.asked / max(_NEGLIGIBLE, self.asked - self.refused)))


def room(pool: PoolRoute, slots: int, pace: Pace) -> int:
    """How many requests of a pool may wait: one per slot or more, unless overloaded and too slow for its promise."""
    if slots == 0:
        return pool.queue_max_length_per_slot * pool.slots_per_replica * _REPLICAS_TO_COME
    most = pool.queue_max_length_per_slot * slots
    mean_s, deviation_s = pace.service.mean_s, pace.service.deviation_s
    if mean_s is None or mean_s <= 0:
        return most
    spread_s = _DEVIATIONS * deviation_s * min(1.0, pace.refused / (_RUSH * max(1.0, pace.asked)))
    longest_s = mean_s + spread_s
    if pace.overloaded:
        longest_s = max(longest_s, quantile_s(mean_s, deviation_s, pool.success))
        if pool.within_s - longest_s < mean_s:
            return max(1, min(most, most_useful(slots, mean_s, deviation_s, pool.within_s, pace.pressure)))
    left_s = min(pool.queue_max_wait_s, max(mean_s, pool.within_s - longest_s))
    # n m + spread sqrt(n) = work, solved for sqrt(n).
    work_s, half_s = _MARGIN * slots * left_s, spread_s / 2
    root = (math.sqrt(half_s**2 + mean_s * work_s) - half_s) / mean_s
    return max(slots, min(most, math.floor(root * root)))


def quantile_s(mean_s: float, deviation_s: float, share: float) -> float:
    """The time within which that share of service times is, if they follow a gamma distribution.

    Wilson and Hilferty's approximation (1931): the cube root of such a variable is nearly normal. For exponential times
    of mean 1 and a share of 0.9995 it gives 7.8, where -ln(0.0005) is 7.6.
    """
    if deviation_s <= 0:
        return mean_s
    ninth = (deviation_s / mean_s) ** 2 / 9
    root = 1 - ninth + NormalDist().inv_cdf(share) * math.sqrt(ninth)
    return mean_s * float(max(0.0, root) ** 3)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a pool's pace allows: `room` requests may wait; who is refused finds a slot after `turn_us` microseconds for
    each that waits now; a try that begins later than `latest_us` after a request's arrival would most likely end after
    the promise.
    """

    room: int
    turn_us: int
    latest_us: int

    def told(self) -> dict[str, int]:
        """The value in each of the proxy's maps."""
        return {ROOMS_MAP: self.room, TURNS_MAP: self.turn_us, LATEST_MAP: self.latest_us}


def terms(pool: PoolRoute, slots: int, pace: Pace) -> Terms:
    """The terms for a pool with so many slots."""
    mean_s = pace.service.mean_s or 0.0
    latest_s = max(0.0, pool.within_s - mean_s)
    # Those who were refused come back; all of them at once when the queue has drained would find it full again.
    turn_s = pace.pressure * mean_s / slots if slots else 0.0
    return Terms(room(pool, slots, pace), round(turn_s * 1e6), round(latest_s * 1e6))


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
