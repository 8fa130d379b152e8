"""Liveness with two questions: memory within its bound, and a right prediction in time. Arguments: MiB, seconds."""

import runpy
import sys
from pathlib import Path

from tidegate.probe import healthy, replica, unhealthy

MOST_MIB, WITHIN_S = int(sys.argv[1]), sys.argv[2]


def check() -> None:
    """Memory first: it costs nothing to ask."""
    held_mib = replica.memory_bytes >> 20
    if held_mib > MOST_MIB:
        unhealthy(f"holds {held_mib} MiB, at most {MOST_MIB} MiB are right")
    sys.argv[1:] = [WITHIN_S]
    right, why = runpy.run_path(str(Path(__file__).with_name("prediction.py")))["check"]()
    if not right:
        unhealthy(why)
    healthy(f"{why}; holds {held_mib} of {MOST_MIB} MiB")
