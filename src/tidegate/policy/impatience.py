"""What a pool loses when nobody waits longer than a fixed time (M/M/c with patience of one length).

A pool that may not grow (maxReplicas, a full cluster) is not in an ever longer queue: who has waited as long as the
promise allows leaves or is refused, and the rest is served. Worked example: 100 busy slots asked for, 80 there, service
0.8 s, patience 5 s: 20% wait in vain, as many as there are slots too few; with 100 slots 0.2% do.

Erlang A, whose patience is exponential, says 12% for four slots at full load and a patience of five services where a
simulation of the gateway's queue, whose limit is fixed, gives 4.3%; this formula gives 4.3%.

Sources: Barrer, Queuing with impatient customers and ordered service, Operations Research 5 (1957); Baccelli and
Hebuterne, On queues with impatient customers, Performance '81; for Erlang A: Garnett, Mandelbaum and Reiman, Designing
a call center with impatient customers, M&SOM 4 (2002).
"""

from __future__ import annotations

import math

from tidegate.policy.staffing import erlang_b

EXPONENT_MAX = 600.0  # beyond it the queue practically never empties


def gives_up(slots: int, offered: float, mean_s: float, patience_s: float) -> float:
    """The share of requests that find the wait longer than their patience.

    Args:
        slots: slots there are, >= 0.
        offered: load in busy slots (requests/s x mean service seconds), >= 0.
        mean_s: mean service time, seconds, > 0.
        patience_s: how long a request waits at most, seconds, >= 0.

    Relative to the chance of "all slots busy, none waits" the states with a free slot sum up to 1 / Erlang B - 1; the
    wait has the density `slots x exp(-spare x)` up to the patience and falls with `exp(-slots x)` from there on (time
    in mean services, spare = slots - offered), because nobody joins a longer queue.
    """
    if offered <= 0.0:
        return 0.0
    if slots <= 0:
        return 1.0
    spare, patience = slots - offered, patience_s / mean_s
    if -spare * patience > EXPONENT_MAX:
        return -spare / offered
    beyond = math.exp(-spare * patience)
    waiting = slots * (patience if abs(spare * patience) < 1e-9 else (1.0 - beyond) / spare)
    blocked = erlang_b(slots, offered)
    return beyond * blocked / (1.0 - blocked + (waiting + beyond) * blocked)
