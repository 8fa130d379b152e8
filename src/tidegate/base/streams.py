"""Random numbers that can be replayed.

One seed gives any number of named streams. Adding a stream, or drawing more from one, never disturbs another, so a
scenario keeps its arrivals when its failures change.
"""

from __future__ import annotations

import hashlib
import random


def stream_seed(seed: int, name: str) -> int:
    """A 64-bit seed for the stream `name` of the run `seed`; the same on every machine."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def stream(seed: int, name: str) -> random.Random:
    """The random stream `name` of the run `seed`."""
    return random.Random(stream_seed(seed, name))
