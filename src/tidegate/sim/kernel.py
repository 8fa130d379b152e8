"""The inner loops of the queue: completions and arrivals in order of time, one FIFO queue in front of slots.

Written in the small part of Python that numba compiles, over `State`, a named tuple of arrays. With numba installed
(extra `sim`) the arrays are numpy's and the loops run at millions of requests a second; without it the same source
runs over plain lists and gives the same numbers. Nothing outside `engine` calls this module.

The accumulators of time integrals use that the time spent in a state is the sum of the instants it was left less the
sum of those it was entered, so an event costs one addition.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

# The bins of the live gateway, with what they refer to: compiled with the rest, which looks for names here.
from tidegate.base.times import FIRST_S, PER_DOUBLING  # noqa: F401
from tidegate.base.times import bin_of as time_bin

# Rows of `State.real`: the time reached, settings in seconds, and what has been added up since the last measure.
NOW: Final = 0
PATIENCE: Final = 1
MAX_WAIT: Final = 2
WITHIN: Final = 3
SERVICE_SUM: Final = 4
SERVICE_SQ: Final = 5
WAIT_SUM: Final = 6
BUSY: Final = 7
QUEUED: Final = 8
ANSWER_SUM: Final = 9
REALS: Final = 10

# Rows of `State.whole`: sizes of the structures, settings, counts since the last measure.
HEAD: Final = 0
LENGTH: Final = 1
RUNNING: Final = 2
FREE: Final = 3
IN_FLIGHT: Final = 4
OPEN_SLOTS: Final = 5
TRIES: Final = 6
ROOM: Final = 7
CANCEL: Final = 8
TURN: Final = 9
WATCHED: Final = 10
ARRIVALS: Final = 11
FINISHED: Final = 12
IN_TIME: Final = 13
FAILED: Final = 14
GAVE_UP: Final = 15
REFUSED: Final = 16
RETRIED: Final = 17
WAITED: Final = 18
IN_VAIN: Final = 19  # late because of the queue (`PoolLoad.waited_in_vain`)
WHOLES: Final = 20

# How far a request moves the turn of a replica of weight 1 (see `pop_free`).
STRIDE: Final = 1 << 20

# Histogram of times: bin 0 holds exact zeros, bin 1 up to 1 ms, then 16 bins per doubling (each 4.4% wide).
BINS: Final = 400
FIRST_EDGE_S: Final = 0.001
PER_LOG: Final = 16.0 / math.log(2.0)

# Bins of one replica in `State.replica_times`, counted while WATCHED is 1: up to 17 minutes.
TIMES: Final = 20 * PER_DOUBLING

IDLE: Final = 0
BUSY_SLOT: Final = 1
LEFT: Final = 2  # busy, and the client leaves before the end


class State(NamedTuple):
    """All arrays of one pool.

    `queue_*` is a ring (its length a power of two): arrival, work in seconds, tries so far. `slot_*` describe the slots
    and the request on each; `replica_*` the replicas; `run_*` is a heap of (end, slot) and `free` one of slots by rank.
    Replicas with a weight take turns: `replica_turn` is whose is when. `waits` and `answers` are histograms over
    the whole run.
    """

    real: Any
    whole: Any
    queue_at: Any
    queue_work: Any
    queue_tries: Any
    slot_at: Any
    slot_begin: Any
    slot_work: Any
    slot_end: Any
    slot_tries: Any
    slot_state: Any
    slot_replica: Any
    slot_rank: Any
    replica_open: Any
    replica_busy: Any
    replica_slow: Any
    replica_distance: Any
    replica_idle_at: Any
    replica_weight: Any
    replica_turn: Any
    replica_finished: Any
    replica_service: Any
    replica_times: Any
    run_end: Any
    run_slot: Any
    free: Any
    waits: Any
    answers: Any


def lent(st: State) -> State:
    """`st` for the time of one call; compiled code has its own (`compiling.lent`)."""
    return st


def bin_of(seconds: float) -> int:
    """The histogram bin of a time in seconds."""
    if seconds <= 0.0:
        return 0
    if seconds < FIRST_EDGE_S:
        return 1
    return min(BINS - 1, 2 + int(math.log(seconds / FIRST_EDGE_S) * PER_LOG))


def push_run(st: State, end: float, slot: int) -> None:
    """Put a completion on the heap."""
    child = st.whole[RUNNING]
    st.whole[RUNNING] = child + 1
    while child > 0:
        parent = (child - 1) >> 1
        if st.run_end[parent] <= end:
            break
        st.run_end[child] = st.run_end[parent]
        st.run_slot[child] = st.run_slot[parent]
        child = parent
    st.run_end[child] = end
    st.run_slot[child] = slot


def pop_run(st: State) -> None:
    """Take the earliest completion off the heap."""
    size = st.whole[RUNNING] - 1
    st.whole[RUNNING] = size
    end, slot = st.run_end[size], st.run_slot[size]
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        if child + 1 < size and st.run_end[child + 1] < st.run_end[child]:
            child += 1
        if st.run_end[child] >= end:
            break
        st.run_end[hole] = st.run_end[child]
        st.run_slot[hole] = st.run_slot[child]
        hole = child
    st.run_end[hole] = end
    st.run_slot[hole] = slot


def push_free(st: State, slot: int) -> None:
    """Put an idle slot on the heap of free ones, lowest rank first; with weights its rank is its replica's turn."""
    replica = st.slot_replica[slot]
    if st.replica_weight[replica] > 0:
        st.slot_rank[slot] = max(st.replica_turn[replica], st.whole[TURN])
    rank = st.slot_rank[slot]
    child = st.whole[FREE]
    st.whole[FREE] = child + 1
    while child > 0:
        parent = (child - 1) >> 1
        if st.slot_rank[st.free[parent]] <= rank:
            break
        st.free[child] = st.free[parent]
        child = parent
    st.free[child] = slot


def pop_free(st: State) -> int:
    """Take the free slot of the lowest rank; among replicas with weights a turn each, heavier ones more often.

    Weighted round robin over what is free: a turn moves a replica back by `STRIDE` over its weight. One that had no
    free slot for a while does not make up for it.
    """
    slot = pop_lowest(st)
    replica = st.slot_replica[slot]
    while st.replica_weight[replica] > 0 and st.replica_turn[replica] > st.slot_rank[slot]:
        push_free(st, slot)  # another slot of its replica was taken since it was put here
        slot = pop_lowest(st)
        replica = st.slot_replica[slot]
    if st.replica_weight[replica] > 0:
        st.whole[TURN] = st.slot_rank[slot]
        st.replica_turn[replica] = st.slot_rank[slot] + STRIDE // st.replica_weight[replica]
    return slot


def pop_lowest(st: State) -> int:
    """Take the free slot of the lowest rank off the heap."""
    slot = st.free[0]
    size = st.whole[FREE] - 1
    st.whole[FREE] = size
    last = st.free[size]
    rank = st.slot_rank[last]
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        if child + 1 < size and st.slot_rank[st.free[child + 1]] < st.slot_rank[st.free[child]]:
            child += 1
        if st.slot_rank[st.free[child]] >= rank:
            break
        st.free[hole] = st.free[child]
        hole = child
    st.free[hole] = last
    return int(slot)


def begin(st: State, slot: int, now: float, at: float, work: float, tries: int) -> None:
    """Put a request on a free slot: its wait is over."""
    replica = st.slot_replica[slot]
    duration = work * st.replica_slow[replica] + st.replica_distance[replica]
    end = now + duration
    if st.whole[CANCEL] == 1 and end > at + st.real[PATIENCE]:
        end = max(now, at + st.real[PATIENCE])
        st.slot_state[slot] = LEFT
    else:
        st.slot_state[slot] = BUSY_SLOT
    st.slot_at[slot] = at
    st.slot_begin[slot] = now
    st.slot_work[slot] = work
    st.slot_end[slot] = end
    st.slot_tries[slot] = tries
    st.replica_busy[replica] += 1
    st.whole[IN_FLIGHT] += 1
    st.real[BUSY] -= now
    if tries == 0:
        wait = now - at
        st.real[WAIT_SUM] += wait
        st.waits[bin_of(wait)] += 1
        if wait > 0.0:
            st.whole[WAITED] += 1
    push_run(st, end, slot)


def pop_queue(st: State, now: float) -> None:
    """Take the head off the queue at `now`."""
    st.whole[HEAD] = (st.whole[HEAD] + 1) & (len(st.queue_at) - 1)
    st.whole[LENGTH] -= 1
    st.real[QUEUED] += now


def purge(st: State, now: float) -> None:
    """Take those off the head of the queue whose client left or whose time in the queue was up by `now`.

    Patience and the longest wait are the same for all requests of a pool, so those that leave first stand in front.
    """
    limit = min(st.real[PATIENCE], st.real[MAX_WAIT])
    while st.whole[LENGTH] > 0:
        head = st.whole[HEAD]
        at = st.queue_at[head]
        if at + limit > now:
            return
        if st.real[PATIENCE] <= st.real[MAX_WAIT]:
            st.whole[GAVE_UP] += 1
            st.whole[IN_VAIN] += st.real[PATIENCE] >= st.real[WITHIN]
        else:
            st.whole[REFUSED] += 1
        if st.queue_tries[head] == 0:
            st.real[WAIT_SUM] += limit
            st.waits[bin_of(limit)] += 1
            st.whole[WAITED] += 1
        pop_queue(st, max(at, min(now, at + limit)))


def fill(st: State, now: float) -> None:
    """Give queued requests to free slots at `now`."""
    purge(st, now)
    while st.whole[LENGTH] > 0 and st.whole[FREE] > 0:
        slot = pop_free(st)
        head = st.whole[HEAD]
        at, work, tries = st.queue_at[head], st.queue_work[head], st.queue_tries[head]
        pop_queue(st, now)
        begin(st, slot, now, at, work, tries)


def complete(st: State, slot: int, end: float) -> None:
    """A request leaves its slot; count it and reuse the slot."""
    replica = st.slot_replica[slot]
    at = st.slot_at[slot]
    taken = end - st.slot_begin[slot]
    answer = end - at
    left = st.slot_state[slot] == LEFT or answer > st.real[PATIENCE]
    st.slot_state[slot] = IDLE
    st.whole[IN_FLIGHT] -= 1
    st.real[BUSY] += end
    st.replica_busy[replica] -= 1
    if answer > st.real[WITHIN] and taken <= st.real[WITHIN] <= st.real[PATIENCE]:
        st.whole[IN_VAIN] += 1
    if left:
        st.whole[GAVE_UP] += 1
    else:
        st.whole[FINISHED] += 1
        st.real[SERVICE_SUM] += taken
        st.real[SERVICE_SQ] += taken * taken
        st.real[ANSWER_SUM] += answer
        st.replica_finished[replica] += 1
        st.replica_service[replica] += taken
        if st.whole[WATCHED] == 1:
            st.replica_times[replica * TIMES + min(TIMES - 1, time_bin(taken))] += 1
        st.answers[bin_of(answer)] += 1
        if answer <= st.real[WITHIN]:
            st.whole[IN_TIME] += 1
    if st.replica_open[replica] == 1:
        if st.whole[LENGTH] > 0:
            purge(st, end)
        if st.whole[LENGTH] > 0:
            head = st.whole[HEAD]
            queued_at, work, tries = st.queue_at[head], st.queue_work[head], st.queue_tries[head]
            pop_queue(st, end)
            begin(st, slot, end, queued_at, work, tries)
        else:
            push_free(st, slot)
    elif st.replica_busy[replica] == 0:
        st.replica_idle_at[replica] = end


def arrive(st: State, at: float, work: float) -> None:
    """A new request: onto a free slot, into the queue, or refused because the queue is full."""
    st.whole[ARRIVALS] += 1
    if st.whole[LENGTH] == 0 and st.whole[FREE] > 0:
        begin(st, pop_free(st), at, at, work, 0)
        return
    if st.whole[LENGTH] >= st.whole[ROOM]:
        purge(st, at)
        if st.whole[LENGTH] >= st.whole[ROOM]:
            st.whole[REFUSED] += 1
            return
    tail = (st.whole[HEAD] + st.whole[LENGTH]) & (len(st.queue_at) - 1)
    st.queue_at[tail] = at
    st.queue_work[tail] = work
    st.queue_tries[tail] = 0
    st.whole[LENGTH] += 1
    st.real[QUEUED] -= at


def put_back(st: State, now: float, at: float, work: float, tries: int) -> None:
    """Queue a request again, in front: it came before all that wait."""
    head = (st.whole[HEAD] - 1) & (len(st.queue_at) - 1)
    st.whole[HEAD] = head
    st.queue_at[head] = at
    st.queue_work[head] = work
    st.queue_tries[head] = tries
    st.whole[LENGTH] += 1
    st.real[QUEUED] -= now


def run(st: State, until: float, arrivals: Any, works: Any, index: int, count: int) -> int:
    """Everything that happens up to and including `until`; completions come before arrivals of the same instant.

    Takes requests from `index` on, of `count`, and returns the index of the first that was not taken.
    """
    st = lent(st)
    while True:
        at = arrivals[index] if index < count else math.inf
        end = st.run_end[0] if st.whole[RUNNING] > 0 else math.inf
        if min(at, end) > until:
            break
        if end <= at:
            slot = st.run_slot[0]
            pop_run(st)
            complete(st, slot, end)
        else:
            arrive(st, at, works[index])
            index += 1
    purge(st, until)
    st.real[NOW] = until
    return index


def open_slots(st: State, replica: int, first: int, count: int, now: float) -> None:
    """Let the slots `first` .. `first + count` of a replica take requests from `now` on."""
    st = lent(st)
    st.replica_open[replica] = 1
    for slot in range(first, first + count):
        if st.slot_state[slot] == IDLE:
            push_free(st, slot)
    st.whole[OPEN_SLOTS] += count
    fill(st, now)


def close_slots(st: State, replica: int, count: int, now: float) -> None:
    """A replica takes no new request; its idle slots leave the heap of free ones."""
    st = lent(st)
    st.replica_open[replica] = 0
    st.whole[OPEN_SLOTS] -= count
    size = st.whole[FREE]
    st.whole[FREE] = 0
    for index in range(size):
        slot = st.free[index]
        if st.slot_replica[slot] != replica:
            push_free(st, slot)
    if st.replica_busy[replica] == 0:
        st.replica_idle_at[replica] = now


def drop(st: State, replica: int, first: int, count: int, now: float) -> None:
    """The requests on a closed replica are lost at `now`: each is tried again or has failed."""
    st = lent(st)
    for index in range(count):
        slot = first + count - 1 - index
        if st.slot_state[slot] == IDLE:
            continue
        st.slot_state[slot] = IDLE
        st.whole[IN_FLIGHT] -= 1
        st.real[BUSY] += now
        st.replica_busy[replica] -= 1
        tries = st.slot_tries[slot] + 1
        if tries < st.whole[TRIES]:
            st.whole[RETRIED] += 1
            put_back(st, now, st.slot_at[slot], st.slot_work[slot], tries)
        else:
            st.whole[FAILED] += 1
    size = st.whole[RUNNING]
    st.whole[RUNNING] = 0
    for index in range(size):
        if st.slot_replica[st.run_slot[index]] != replica:
            push_run(st, st.run_end[index], st.run_slot[index])
    st.replica_idle_at[replica] = now
    fill(st, now)


INNER: Final = ("bin_of", "time_bin", "push_run", "pop_run", "push_free", "pop_lowest", "pop_free", "begin")
INNER_ENDS: Final = ("pop_queue", "purge", "fill")
INNER_LOOPS: Final = (*INNER, *INNER_ENDS, "complete", "arrive", "put_back", "run", "open_slots", "close_slots", "drop")
