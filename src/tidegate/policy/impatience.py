"""What a pool loses when its clients do not wait for ever: Erlang A (M/M/c with exponential patience).

A pool that may not grow (maxReplicas, a full cluster) is not in an ever longer queue: those who wait longest leave, and
the rest is served. Worked example: 100 busy slots asked for, 80 there, service 0.8 s, patience 5 s on average: 20.0%
give up, as many as there are slots too few; with 100 slots 2.3% do, with 110 slots 0.3%.

Sources: Palm, Research on telephone traffic carried by full availability groups, Tele 1 (1957); Garnett, Mandelbaum and
Reiman, Designing a call center with impatient customers, M&SOM 4 (2002). Patience of a fixed length loses somewhat
less near full load: this errs on the dark side.
"""

from __future__ import annotations

from tidegate.policy.staffing import erlang_b

NEGLIGIBLE = 1e-12
HUGE = 1e200


def gives_up(slots: int, offered: float, mean_s: float, patience_s: float) -> float:
    """The share of requests whose client leaves before a slot is free.

    Args:
        slots: slots there are, >= 0.
        offered: load in busy slots (requests/s x mean service seconds), >= 0.
        mean_s: mean service time, seconds, > 0.
        patience_s: mean patience in the queue, seconds, > 0.

    The chances of all states are taken relative to that of "all slots busy, none waits": those without a queue sum up
    to 1 / Erlang B, those with one to a series that falls faster than geometrically once the queue is long.
    """
    if offered <= 0.0:
        return 0.0
    if slots <= 0:
        return 1.0
    blocked = erlang_b(slots, offered)
    leaving = mean_s / patience_s  # of one who waits, per mean service time
    waiting, term, length = 0.0, 1.0, 0
    while term > NEGLIGIBLE * (1.0 + waiting):
        length += 1
        term *= offered / (slots + length * leaving)
        waiting += term
        if waiting > HUGE:  # the queue practically never empties
            return 1.0 - slots / offered
    busy = (offered * (1.0 - blocked) + slots * waiting * blocked) / (1.0 + waiting * blocked)
    return max(0.0, 1.0 - busy / offered)
