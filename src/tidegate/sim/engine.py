"""Every request of one pool: a FIFO queue in front of replicas of `slots` slots, whose number changes over time.

A replica that is added takes requests at once; one that drains finishes what it has and takes no more; one that is
killed loses what it has (each lost request is tried again, up to `tries`, ahead of the queue, or has failed). Clients
leave after `patience_s`: in the queue they are taken out, on a replica the work is finished in vain unless
`cancel_in_service`. `max_wait_s` and `queue_per_slot`, or the rule `admission`, are the gateway's limits; what exceeds
them is refused.

    pool = Pool(slots=2, patience_s=5.0)
    pool.add("r1")
    requests = Requests([(0, 3.0), (3600, 3.0)], ServiceTime(0.8, cv=0.5), seed=1)
    pool.advance(15.0, requests)        # everything up to second 15
    load = pool.measure()               # IntervalStats: a model.observed.PoolLoad of what happened since the last one
    pool.drain("r1")

Times are seconds from the start of the simulation, so that they are small and sums of them stay exact. There is no time
step; the order of events decides.
Called by `world` and `single`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from tidegate.base.quick import quick
from tidegate.base.times import Times
from tidegate.model.observed import PoolLoad
from tidegate.sim import kernel
from tidegate.sim.admission import Admission
from tidegate.sim.compiling import compiled, is_kept, whether_to_compile
from tidegate.sim.histogram import Histogram
from tidegate.sim.requests import BUFFER, Requests

DEFAULT_QUEUE_PER_SLOT = 1_000_000_000


@quick
@dataclass(frozen=True, slots=True)
class IntervalStats(PoolLoad):
    """What a gateway measures of an interval, and what only a simulator sees.

    `busy_slot_s` and `queued_s` are the integrals over the interval of slots in use and of queue length; `answer_s_sum`
    is over the finished requests; `waited` counts requests that did not start at once; `retried` those tried again.
    """

    busy_slot_s: float = 0.0
    queued_s: float = 0.0
    answer_s_sum: float = 0.0
    waited: int = 0
    retried: int = 0


@dataclass(slots=True)
class _Replica:
    index: int
    first: int
    tier: int


@cache
def _fast() -> Any:
    return compiled(kernel, kernel.INNER_LOOPS)


def must_compile_first() -> bool:
    """Whether the first run will take some ten seconds longer, since this version was never compiled here."""
    return whether_to_compile(None) and not is_kept(_fast().run)


class Pool:
    """One pool and its queue.

    Attributes:
        now: how far it has come, seconds.
        epoch: what second 0 is on the clock of those who read measurements.
    """

    def __init__(
        self,
        *,
        slots: int = 1,
        patience_s: float = math.inf,
        within_s: float = math.inf,
        max_wait_s: float = math.inf,
        queue_per_slot: int = DEFAULT_QUEUE_PER_SLOT,
        admission: Admission | None = None,
        tries: int = 2,
        cancel_in_service: bool = False,
        at: float = 0.0,
        epoch: float = 0.0,
        compile: bool | None = None,
    ) -> None:
        self.slots = slots
        self.epoch = epoch
        self.compiled = whether_to_compile(compile)
        self._loops = _fast() if self.compiled else kernel
        self._replicas: dict[str, _Replica] = {}
        self._places = 0
        self._vacant: list[int] = []
        self._draining: dict[str, _Replica] = {}
        self._measured_at = at
        self._numbers = 0
        self._watched = False
        self._queue_per_slot, self._admission = queue_per_slot, admission
        self._state = self._empty(places=8, ring=4 * BUFFER)
        real, whole = self._state.real, self._state.whole
        real[kernel.NOW] = at
        real[kernel.PATIENCE], real[kernel.MAX_WAIT] = patience_s, max_wait_s
        real[kernel.WITHIN] = within_s
        whole[kernel.TRIES], whole[kernel.CANCEL] = tries, int(cancel_in_service)
        self._set_room()

    @property
    def now(self) -> float:
        return float(self._state.real[kernel.NOW])

    @property
    def in_flight(self) -> int:
        return int(self._state.whole[kernel.IN_FLIGHT])

    @property
    def queued(self) -> int:
        return int(self._state.whole[kernel.LENGTH])

    @property
    def waits(self) -> Histogram:
        """Time in the queue of every request so far, those that left it unanswered included."""
        return Histogram.of(self._state.waits)

    @property
    def answers(self) -> Histogram:
        """Time from arrival to answer of every finished request so far."""
        return Histogram.of(self._state.answers)

    def forget_times(self) -> None:
        """Empty the histograms, after a warm-up."""
        for counts in (self._state.waits, self._state.answers):
            for index in range(kernel.BINS):
                counts[index] = 0

    def busy_on(self, replica: str) -> int:
        """Requests now on a replica."""
        known = self._replicas.get(replica) or self._draining[replica]
        return int(self._state.replica_busy[known.index])

    def takes(self, replica: str) -> bool:
        """Whether a replica is in the pool and takes new requests."""
        return replica in self._replicas

    def add(self, replica: str, *, tier: int = 0, weight: int = 0, slow: float = 1.0, distance_s: float = 0.0) -> None:
        """A new replica takes requests from now on; lower tiers, then earlier replicas, are filled first.

        Replicas with a weight take turns instead, each as often as it weighs. Work takes `slow` times as long on it;
        `distance_s` is the time on the way to it and back.
        """
        if replica in self._replicas or replica in self._draining:
            raise ValueError(f"replica {replica} is already in the pool")
        index = self._vacant.pop() if self._vacant else self._places
        if index == self._places:
            self._places += 1
            self._grow_places()
        made = _Replica(index, index * self.slots, tier)
        self._replicas[replica] = made
        self._numbers += 1
        st = self._state
        st.replica_slow[index], st.replica_distance[index] = slow, distance_s
        st.replica_idle_at[index] = math.inf
        st.replica_finished[index], st.replica_service[index] = 0, 0.0
        st.replica_weight[index] = weight
        st.replica_turn[index] = st.whole[kernel.TURN] + (kernel.STRIDE // weight if weight else 0)
        for place in range(self.slots):
            st.slot_replica[made.first + place] = index
            st.slot_rank[made.first + place] = (tier * (1 << 32) + self._numbers) * self.slots + place
        self._loops.open_slots(st, index, made.first, self.slots, self.now)
        self._set_room()

    def drain(self, replica: str) -> None:
        """A replica takes no new request from now on; see `ended` for when it has finished those it has."""
        known = self._replicas.pop(replica)
        self._draining[replica] = known
        self._loops.close_slots(self._state, known.index, self.slots, self.now)
        self._set_room()

    def reopen(self, replica: str) -> None:
        """A replica that was draining takes requests again."""
        known = self._draining.pop(replica)
        self._replicas[replica] = known
        self._state.replica_idle_at[known.index] = math.inf
        self._loops.open_slots(self._state, known.index, known.first, self.slots, self.now)
        self._set_room()

    def kill(self, replica: str) -> None:
        """A replica is gone now, and the requests on it with it."""
        if replica in self._replicas:
            self.drain(replica)
        known = self._draining.pop(replica)
        self._make_room(0)
        self._loops.drop(self._state, known.index, known.first, self.slots, self.now)
        self._vacant.append(known.index)

    def weigh(self, replica: str, weight: int) -> None:
        """From now on `replica` takes its turn as often as `weight` says."""
        self._state.replica_weight[self._replicas[replica].index] = weight

    def watch(self, watched: bool) -> None:
        """Count from now on how long each request takes, by replica, or do so no more."""
        if watched == self._watched:
            return
        self._watched = watched
        self._state.whole[kernel.WATCHED] = int(watched)
        self._state = self._state._replace(replica_times=self._times(len(self._state.replica_open)))

    def answered(self, replica: str) -> tuple[int, float, Times]:
        """Requests a replica has finished since this was last asked, the seconds they took together, and each."""
        known = self._replicas.get(replica) or self._draining[replica]
        st, index = self._state, known.index
        counted = int(st.replica_finished[index]), float(st.replica_service[index])
        times: Times = ()
        if self._watched and counted[0]:
            mine = st.replica_times[index * kernel.TIMES : (index + 1) * kernel.TIMES]
            times = tuple((number, int(count)) for number, count in enumerate(mine) if count)
            for number, _ in times:
                st.replica_times[index * kernel.TIMES + number] = 0
        st.replica_finished[index], st.replica_service[index] = 0, 0.0
        return *counted, times

    def slow_down(self, replica: str, slow: float) -> None:
        """Requests that start on `replica` from now on take `slow` times their work."""
        self._state.replica_slow[self._replicas[replica].index] = slow

    def ended(self) -> dict[str, float]:
        """Draining replicas that have finished by now, and when; each is told once."""
        idle_at = self._state.replica_idle_at
        over = {name: float(idle_at[r.index]) for name, r in self._draining.items() if idle_at[r.index] <= self.now}
        for name in over:
            self._vacant.append(self._draining.pop(name).index)
        return over

    def advance(self, until: float, requests: Requests | None = None) -> None:
        """Everything that happens up to and including `until` (seconds); arrivals come from `requests`."""
        source = requests if requests is not None else _NONE[self.compiled]
        if source.compiled != self.compiled:
            raise ValueError("requests and pool must both be compiled or both be plain")
        covered = False
        while not covered:
            covered = source.cover(until)
            self._make_room(source.count - source.index)
            stop = until if covered else float(source.arrivals[source.count - 1])
            source.index = int(
                self._loops.run(self._state, stop, source.arrivals, source.works, source.index, source.count)
            )

    def measure(self) -> IntervalStats:
        """What happened since the last measurement, and how it stands now; starts the next interval."""
        real, whole, now = self._state.real, self._state.whole, self.now
        in_flight, queued = self.in_flight, self.queued
        stats = IntervalStats(
            at=self.epoch + now,
            interval_s=now - self._measured_at,
            arrivals=int(whole[kernel.ARRIVALS]),
            finished=int(whole[kernel.FINISHED]),
            in_time=int(whole[kernel.IN_TIME]),
            failed=int(whole[kernel.FAILED]),
            gave_up=int(whole[kernel.GAVE_UP]),
            refused=int(whole[kernel.REFUSED]),
            in_flight=in_flight,
            queued=queued,
            service_s_sum=float(real[kernel.SERVICE_SUM]),
            service_s2_sum=float(real[kernel.SERVICE_SQ]),
            wait_s_sum=float(real[kernel.WAIT_SUM]),
            waited_in_vain=int(whole[kernel.IN_VAIN]),
            busy_slot_s=float(real[kernel.BUSY]) + in_flight * now,
            queued_s=float(real[kernel.QUEUED]) + queued * now,
            answer_s_sum=float(real[kernel.ANSWER_SUM]),
            waited=int(whole[kernel.WAITED]),
            retried=int(whole[kernel.RETRIED]),
        )
        for row in range(kernel.SERVICE_SUM, kernel.REALS):
            real[row] = 0.0
        for row in range(kernel.ARRIVALS, kernel.WHOLES):
            whole[row] = 0
        real[kernel.BUSY], real[kernel.QUEUED] = -in_flight * now, -queued * now
        self._measured_at = now
        if self._admission is not None:
            self._admission.after(stats)
            self._set_room()
        return stats

    def _set_room(self) -> None:
        """How many may wait in front of the slots that are open now."""
        slots = int(self._state.whole[kernel.OPEN_SLOTS])
        rule = self._admission
        room = rule.room(slots) if rule is not None else self._queue_per_slot * max(1, slots)
        self._state.whole[kernel.ROOM] = room

    def _empty(self, places: int, ring: int) -> kernel.State:
        """A state with room for `places` replicas and `ring` queued requests."""
        slots = places * self.slots
        reals, wholes = self._reals, self._wholes
        return kernel.State(
            real=reals(kernel.REALS), whole=wholes(kernel.WHOLES),
            queue_at=reals(ring), queue_work=reals(ring), queue_tries=wholes(ring),
            slot_at=reals(slots), slot_begin=reals(slots), slot_work=reals(slots), slot_end=reals(slots),
            slot_tries=wholes(slots), slot_state=wholes(slots), slot_replica=wholes(slots),
            slot_rank=wholes(slots),
            replica_open=wholes(places), replica_busy=wholes(places), replica_slow=reals(places),
            replica_distance=reals(places), replica_idle_at=reals(places), replica_weight=wholes(places),
            replica_turn=wholes(places), replica_finished=wholes(places), replica_service=reals(places),
            replica_times=self._times(places),
            run_end=reals(slots), run_slot=wholes(slots), free=wholes(slots),
            waits=wholes(kernel.BINS), answers=wholes(kernel.BINS),
        )  # fmt: skip

    def _grow_places(self) -> None:
        """Double the room for replicas when it is used up."""
        room = len(self._state.replica_open)
        if self._places <= room:
            return
        larger = self._empty(places=2 * room, ring=8)
        keep = {name: getattr(self._state, name) for name in ("queue_at", "queue_work", "queue_tries")}
        for name in self._state._fields:
            if name not in keep:
                old = getattr(self._state, name)
                getattr(larger, name)[: len(old)] = old
        self._state = larger._replace(**keep)

    def _make_room(self, coming: int) -> None:
        """Lengthen the ring so that all that wait, run and come fit."""
        st, ring = self._state, len(self._state.queue_at)
        needed = self.queued + self.in_flight + coming + 1
        if needed <= ring:
            return
        while ring < needed:
            ring *= 2
        larger = self._empty(places=1, ring=ring)
        for index in range(self.queued):
            place = (int(st.whole[kernel.HEAD]) + index) & (len(st.queue_at) - 1)
            larger.queue_at[index], larger.queue_work[index] = st.queue_at[place], st.queue_work[place]
            larger.queue_tries[index] = st.queue_tries[place]
        st.whole[kernel.HEAD] = 0
        self._state = st._replace(
            queue_at=larger.queue_at, queue_work=larger.queue_work, queue_tries=larger.queue_tries
        )

    def _times(self, places: int) -> Any:
        """Room for the times of that many replicas; next to none while nobody looks at them."""
        return self._wholes(places * kernel.TIMES if self._watched else 1)

    def _reals(self, count: int) -> Any:
        if not self.compiled:
            return [0.0] * count
        import numpy as np

        return np.zeros(count, dtype=np.float64)

    def _wholes(self, count: int) -> Any:
        if not self.compiled:
            return [0] * count
        import numpy as np

        return np.zeros(count, dtype=np.int64)


class _Nobody(dict[bool, Requests]):
    """No requests at all, compiled or plain, made when first needed."""

    def __missing__(self, key: bool) -> Requests:
        self[key] = Requests.of((), (), compile=key)
        return self[key]


_NONE = _Nobody()
