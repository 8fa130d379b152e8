"""Lifecycles as tables: which state may follow which, and what causes it.

The diagrams in docs/lifecycle.md are drawn from these tables.
"""

from __future__ import annotations

from enum import StrEnum


class ReplicaState(StrEnum):
    """Where a replica is in its life.

    starting: its process or pod has been asked for and its startup probe has not passed yet
    preparing: it runs; the prepare steps (and a rollout's verify) are under way
    ready: it may receive requests
    draining: it receives no new requests; those it works on end
    gone: its process has ended and nothing of it is left
    """

    STARTING = "starting"
    PREPARING = "preparing"
    READY = "ready"
    DRAINING = "draining"
    GONE = "gone"


REPLICA_MOVES: dict[ReplicaState, dict[str, ReplicaState]] = {
    ReplicaState.STARTING: {
        "startup passed": ReplicaState.PREPARING,
        "not wanted": ReplicaState.DRAINING,
        "startup failed": ReplicaState.DRAINING,
        "exited": ReplicaState.GONE,
    },
    ReplicaState.PREPARING: {
        "prepared": ReplicaState.READY,
        "not wanted": ReplicaState.DRAINING,
        "prepare failed": ReplicaState.DRAINING,
        "liveness failed": ReplicaState.DRAINING,
        "exited": ReplicaState.GONE,
    },
    ReplicaState.READY: {
        "not wanted": ReplicaState.DRAINING,
        "liveness failed": ReplicaState.DRAINING,
        "exited": ReplicaState.GONE,
    },
    ReplicaState.DRAINING: {
        "exited": ReplicaState.GONE,
    },
    ReplicaState.GONE: {},
}


def move(state: ReplicaState, cause: str) -> ReplicaState:
    """The state after `cause`.

    Raises:
        KeyError: the table has no such move; a caller that gets this has a bug.
    """
    return REPLICA_MOVES[state][cause]
