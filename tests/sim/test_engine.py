"""The queue does what queues do: order, patience, limits, drain, crash; compiled and plain agree to the last bit."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from sim.pools import pool_spec
from tidegate.base.times import bin_of, times_of
from tidegate.sim.admission import Admission
from tidegate.sim.engine import Pool
from tidegate.sim.requests import Requests, ServiceTime

PATHS = pytest.mark.parametrize("fast", [False, True], ids=["plain", "compiled"])


def pool_of(replicas: int, *, fast: bool = False, **settings) -> Pool:
    pool = Pool(compile=fast, **settings)
    for number in range(replicas):
        pool.add(f"r{number}")
    return pool


def known(*requests: tuple[float, float], fast: bool = False) -> Requests:
    return Requests.of([at for at, _ in requests], [work for _, work in requests], compile=fast)


@PATHS
def test_requests_wait_in_order_of_arrival(fast):
    pool = pool_of(1, fast=fast)
    pool.advance(10, known((0, 2), (1, 2), (1.5, 2), fast=fast))
    load = pool.measure()
    assert (load.arrivals, load.finished, load.waited) == (3, 3, 2)
    assert load.wait_s_sum == pytest.approx(1 + 2.5)
    assert load.busy_slot_s == pytest.approx(6)
    assert load.queued_s == pytest.approx(3.5)
    assert load.answer_s_sum == pytest.approx(2 + 3 + 4.5)


@PATHS
def test_while_watched_each_replica_tells_its_times_in_the_bins_of_the_live_gateway(fast):
    pool, lasts = pool_of(1, fast=fast), (0.0004, 0.0015, 0.3, 0.3, 7.0)
    requests = known(*((10.0 * i, s) for i, s in enumerate(lasts)), (100, 2.0), fast=fast)
    assert pool.answered("r0") == (0, 0.0, ())
    pool.watch(True)
    for number in range(1, 12):  # the room for replicas grows meanwhile
        pool.add(f"r{number}")
    pool.advance(90, requests)
    finished, _, times = pool.answered("r0")
    assert finished == 5
    assert times == times_of(Counter(bin_of(s) for s in lasts))
    pool.watch(False)
    pool.advance(110, requests)
    assert pool.answered("r0") == (1, pytest.approx(2.0), ())


@PATHS
def test_intervals_add_up_wherever_they_are_cut(fast):
    def run(cuts):
        pool = pool_of(2, fast=fast, patience_s=3.0)
        source = Requests([(0, 2.0), (500, 2.6)], ServiceTime(0.8), seed=3, compile=fast)
        parts = []
        for cut in cuts:
            pool.advance(cut, source)
            parts.append(pool.measure())
        return [sum(getattr(p, name) for p in parts) for name in ("arrivals", "finished", "gave_up", "waited")], sum(
            p.busy_slot_s for p in parts
        )

    whole, busy = run([600])
    cut, cut_busy = run([i * 0.37 for i in range(1, 1400)] + [600])
    assert whole == cut
    assert busy == pytest.approx(cut_busy)


@PATHS
def test_clients_leave_the_queue_when_their_patience_ends(fast):
    pool = pool_of(1, fast=fast, patience_s=3.0)
    source = known((0, 10), (1, 1), (2, 1), fast=fast)
    pool.advance(4.5, source)
    load = pool.measure()
    assert (load.gave_up, load.queued, load.in_flight) == (1, 1, 1)
    pool.advance(20, source)
    rest = pool.measure()
    assert rest.gave_up == 2, "the second one in the queue, and the client of the long request"
    assert rest.finished == 0
    assert load.queued_s + rest.queued_s == pytest.approx(6.0)


@PATHS
def test_an_answer_after_the_promise_is_finished_but_not_in_time(fast):
    pool = pool_of(1, fast=fast, within_s=2.0, patience_s=10.0)
    pool.advance(20, known((0, 1.5), (0.1, 1.5), fast=fast))
    load = pool.measure()
    assert (load.finished, load.in_time) == (2, 1)


@PATHS
def test_the_gateway_refuses_what_exceeds_its_queue_and_its_longest_wait(fast):
    pool = pool_of(1, fast=fast, queue_per_slot=1, max_wait_s=2.0)
    source = known((0, 9), (1, 1), (2, 1), fast=fast)
    pool.advance(2.5, source)
    assert pool.measure().refused == 1
    pool.advance(3.5, source)
    assert pool.measure().refused == 1
    assert pool.queued == 0


@PATHS
def test_the_room_in_the_queue_is_the_gateways_and_follows_pace_and_slots(fast):
    pool = pool_of(2, fast=fast, admission=Admission(pool_spec(within_s=5.0)))
    source = known(*((i / 100, 1.0) for i in range(200)), fast=fast)
    pool.advance(0.5, source)
    assert pool.queued == 49, "nothing is known yet: 64 a slot"
    pool.advance(1.95, source)
    pool.measure()  # two answers of a second each, so 0.9 x 2 slots x 4 s may wait
    before = pool.queued
    pool.advance(1.99, source)
    assert before > 7
    assert pool.queued == before
    assert pool.measure().refused == 4
    pool.advance(200.0, source)
    pool.drain("r1")
    pool.advance(200.5, known(*((200.1 + i / 100, 1.0) for i in range(20)), fast=fast))
    assert pool.queued == 3, "0.9 x 1 slot x 4 s"


@PATHS
def test_a_draining_replica_finishes_what_it_has_and_takes_no_more(fast):
    pool = pool_of(2, fast=fast)
    source = known((0, 5), (1, 1), (4, 1), (4.5, 1), fast=fast)
    pool.advance(2, source)
    pool.drain("r0")
    assert pool.ended() == {}
    pool.advance(10, source)
    assert pool.ended() == {"r0": 5.0}
    assert pool.ended() == {}
    load = pool.measure()
    assert (load.finished, load.waited) == (4, 1)


@PATHS
def test_an_idle_replica_that_drains_has_ended_at_once(fast):
    pool = pool_of(1, fast=fast)
    pool.advance(3)
    pool.drain("r0")
    assert pool.ended() == {"r0": 3.0}


@PATHS
def test_a_crash_sends_its_requests_to_the_front_of_the_queue_once(fast):
    pool = pool_of(2, fast=fast, tries=2)
    source = known((0, 4), (1, 10), (2, 1), fast=fast)
    pool.advance(3, source)
    pool.kill("r0")
    pool.advance(100, source)
    load = pool.measure()
    assert (load.retried, load.failed, load.finished) == (1, 0, 3)
    assert load.answer_s_sum == pytest.approx(10 + 15 + 14), "the lost request goes before the one that waited"


@PATHS
def test_a_request_lost_on_its_last_try_has_failed(fast):
    pool = pool_of(1, fast=fast, tries=1)
    pool.advance(1, known((0, 4), fast=fast))
    pool.kill("r0")
    load = pool.measure()
    assert (load.failed, load.in_flight, load.queued) == (1, 0, 0)


@PATHS
def test_a_queue_without_replicas_waits_for_the_first(fast):
    pool = pool_of(0, fast=fast)
    source = known((0, 1), (1, 1), fast=fast)
    pool.advance(5, source)
    pool.add("late")
    pool.advance(10, source)
    load = pool.measure()
    assert load.wait_s_sum == pytest.approx(5 + 5)
    assert load.finished == 2


@PATHS
def test_near_replicas_are_filled_before_far_ones(fast):
    pool = Pool(slots=2, compile=fast)
    pool.add("far", tier=1, distance_s=0.5)
    pool.add("near", tier=0)
    pool.advance(3, known((0, 10), (1, 10), (2, 10), fast=fast))
    assert (pool.busy_on("near"), pool.busy_on("far")) == (2, 1)


@PATHS
def test_a_client_that_leaves_can_free_the_slot(fast):
    pool = pool_of(1, fast=fast, patience_s=3.0, cancel_in_service=True)
    pool.advance(20, known((0, 10), (1, 0.5), fast=fast))
    load = pool.measure()
    assert (load.gave_up, load.finished) == (1, 1)
    assert load.busy_slot_s == pytest.approx(3.5)


def scenario(fast: bool) -> list[tuple]:
    """Replicas that come, drain and crash under load that is at times too high; everything measured."""
    rng = random.Random(7)
    pool = pool_of(3, fast=fast, slots=2, patience_s=4.0, within_s=2.0, max_wait_s=3.5, queue_per_slot=30)
    source = Requests([(0, 4), (300, 16), (600, 3), (900, 12)], ServiceTime(0.8, 0.9), 11, compile=fast)
    alive, seen = ["r0", "r1", "r2"], []
    for tick in range(1, 200):
        pool.advance(tick * 5.0, source)
        seen.append((pool.measure(), tuple(sorted(pool.ended().items()))))
        choice = rng.random()
        if choice < 0.3:
            alive.append(f"n{tick}")
            pool.add(alive[-1], tier=rng.randrange(2), slow=rng.choice([1.0, 1.7]), distance_s=0.03)
        elif choice < 0.45 and alive:
            pool.drain(alive.pop(rng.randrange(len(alive))))
        elif choice < 0.55 and alive:
            pool.kill(alive.pop(rng.randrange(len(alive))))
    return [*seen, pool.waits, pool.answers]


def test_plain_and_compiled_paths_give_the_same_answers():
    assert scenario(fast=False) == scenario(fast=True)


def test_every_request_is_accounted_for():
    seen = [entry[0] for entry in scenario(fast=True)[:-2]]
    counts = {n: sum(getattr(s, n) for s in seen) for n in ("arrivals", "finished", "failed", "gave_up", "refused")}
    ended = counts["finished"] + counts["failed"] + counts["gave_up"] + counts["refused"]
    assert counts["arrivals"] == ended + seen[-1].in_flight + seen[-1].queued
    assert sum(s.retried for s in seen) > 0


def test_drawn_requests_have_the_asked_rate_and_service_time():
    source = Requests([(0, 0.0), (100, 400.0), (100, 50.0), (1100, 50.0)], ServiceTime(0.8, 0.5), seed=5)
    pool = pool_of(500, fast=True)
    pool.advance(100, source)
    first = pool.measure()
    pool.advance(1200, source)
    rest = pool.measure()
    assert first.arrivals == pytest.approx(20_000, rel=0.03)
    assert rest.arrivals == pytest.approx(50_000, rel=0.02)
    mean = rest.service_s_sum / rest.finished
    assert mean == pytest.approx(0.8, rel=0.01)
    assert math.sqrt(rest.service_s2_sum / rest.finished - mean**2) / mean == pytest.approx(0.5, rel=0.03)


def test_changing_the_service_time_leaves_the_arrivals():
    one = Requests([(0, 5.0), (1000, 5.0)], ServiceTime(0.8), seed=9)
    two = Requests([(0, 5.0), (1000, 5.0)], ServiceTime(3.0, 2.0), seed=9)
    one.cover(1.0), two.cover(1.0)
    assert list(one.arrivals[:1000]) == list(two.arrivals[:1000])


def test_an_empirical_service_time_keeps_mean_and_spread():
    rng = random.Random(1)
    times = [rng.lognormvariate(0.0, 0.7) for _ in range(20_000)]
    service = ServiceTime.empirical(times)
    assert service.mean_s == pytest.approx(sum(times) / len(times), rel=0.01)
    assert service.cv == pytest.approx(0.795, rel=0.03)
