"""Liveness: the replica holds no more memory than it should, although its port still answers.

A process that leaks passes every health check until the machine kills it in the middle of a request. Take it out
before. Argument: the most memory in MiB (default 512).
"""

import sys

from tidegate.probe import healthy, replica, unhealthy

MOST_MIB = int(sys.argv[1]) if len(sys.argv) > 1 else 512


def check() -> None:
    """Compare resident memory, of the process and all below it, with the bound."""
    held_mib = replica.memory_bytes >> 20
    if held_mib > MOST_MIB:
        unhealthy(f"holds {held_mib} MiB, at most {MOST_MIB} MiB are right")
    healthy(f"holds {held_mib} of {MOST_MIB} MiB")
