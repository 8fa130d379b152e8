"""The environment of a replica: what the manifest says, and what Tidegate adds.

One place, because a replica, its preStop command, its probes and its prepare steps must all see the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Variables that numeric libraries and language runtimes read to size their thread pools. Without them each replica
# starts one thread per core of the machine, whatever share of it is its own.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "RAYON_NUM_THREADS",
    "GOMAXPROCS",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Who a replica is and where it listens."""

    replica: str
    service: str
    pool: str
    revision: str
    address: str
    gateway: str = ""


def replica_env(inherited: Mapping[str, str], declared: Mapping[str, str], place: Place) -> dict[str, str]:
    """`inherited` without Tidegate's own variables, then TIDEGATE_*, HOST and PORT, then what is `declared`.

    PORT and HOST always tell where the replica must listen; everything else a manifest may override.
    """
    host, _, port = place.address.rpartition(":")
    env = {k: v for k, v in inherited.items() if not k.startswith("TIDEGATE_")}
    env |= {
        "PYTHONUNBUFFERED": "1",  # or the last lines before a crash never reach the log
        "TIDEGATE_REPLICA": place.replica,
        "TIDEGATE_SERVICE": place.service,
        "TIDEGATE_POOL": place.pool,
        "TIDEGATE_REVISION": place.revision,
        "TIDEGATE_GATEWAY": place.gateway,
    }
    return env | dict(declared) | {"HOST": host, "PORT": port}


def thread_variables(cores: float) -> dict[str, str]:
    """As many threads as the replica has cores, at least one.

    >>> thread_variables(1.5)["OMP_NUM_THREADS"]
    '2'
    """
    threads = str(max(1, -int(-cores // 1)))
    return dict.fromkeys(THREADS, threads)
