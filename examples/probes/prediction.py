"""Liveness or verify: a golden request comes back with the right answer, in time.

A health endpoint says that the process runs; only a prediction says that the model works. Argument: the longest time
in seconds (default 1).
"""

import sys

from tidegate.probe import replica

WITHIN_S = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
GOLDEN = [1.5, 2.25, -0.75]
EXPECTED = 3.0
TOLERANCE = 1e-6  # compare what a model returns with a tolerance: another machine may round differently


def check() -> tuple[bool, str]:
    """Ask once. No answer at all, or one that is no JSON, makes the replica unhealthy by itself."""
    answer = replica.post("/sum", json_body=GOLDEN, timeout=WITHIN_S)
    if not answer.ok:
        return False, f"HTTP {answer.status}: {answer.text[:100]}"
    got = answer.json().get("sum")
    if not isinstance(got, int | float) or abs(got - EXPECTED) > TOLERANCE:
        return False, f"the golden request gave {got}, expected {EXPECTED}"
    if answer.took_s > WITHIN_S:
        return False, f"right, but after {answer.took_s:.2f} s; at most {WITHIN_S:g} s are fine"
    return True, f"right after {answer.took_s * 1000:.0f} ms"
