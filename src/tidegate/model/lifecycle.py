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
        "verify failed": ReplicaState.DRAINING,
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


# What a replica passes on its way into the balancer, in this order. A phase lasts from the mark before it (the first
# one from the moment the replica was asked for).
PHASES = ("process", "startup", "prepare", "verify", "readiness", "balancer")

# What it passes on its way out, in this order, from the moment it is marked as draining.
STOPPING = ("acknowledged", "idle", "told to stop", "preStop", "SIGTERM", "SIGKILL")


class RolloutPhase(StrEnum):
    """Where a pool is between two revisions.

    stable: one revision is wanted and it has been proven
    adding: the replicas of a batch are started, probed and verified
    watching: the batch serves and is compared with the old revision
    going back: the new revision failed; the old one takes its place again
    rolled back: the old revision serves; the new one is not tried again until somebody says so or it changes
    """

    STABLE = "stable"
    ADDING = "adding"
    WATCHING = "watching"
    GOING_BACK = "going back"
    ROLLED_BACK = "rolled back"


ROLLOUT_MOVES: dict[RolloutPhase, dict[str, RolloutPhase]] = {
    RolloutPhase.STABLE: {
        "new revision": RolloutPhase.ADDING,
        "nothing to replace": RolloutPhase.STABLE,
        "undone": RolloutPhase.GOING_BACK,
    },
    RolloutPhase.ADDING: {
        "batch ready": RolloutPhase.WATCHING,
        "new revision": RolloutPhase.ADDING,
        "nothing to replace": RolloutPhase.STABLE,
        "withdrawn": RolloutPhase.STABLE,
        "failed": RolloutPhase.GOING_BACK,
        "undone": RolloutPhase.GOING_BACK,
    },
    RolloutPhase.WATCHING: {
        "batch good": RolloutPhase.ADDING,
        "wave good": RolloutPhase.ADDING,
        "all good": RolloutPhase.STABLE,
        "new revision": RolloutPhase.ADDING,
        "nothing to replace": RolloutPhase.STABLE,
        "withdrawn": RolloutPhase.STABLE,
        "failed": RolloutPhase.GOING_BACK,
        "undone": RolloutPhase.GOING_BACK,
    },
    RolloutPhase.GOING_BACK: {
        "back": RolloutPhase.ROLLED_BACK,
        "retried": RolloutPhase.ADDING,
        "new revision": RolloutPhase.ADDING,
        "nothing to replace": RolloutPhase.STABLE,
        "withdrawn": RolloutPhase.STABLE,
    },
    RolloutPhase.ROLLED_BACK: {
        "retried": RolloutPhase.ADDING,
        "new revision": RolloutPhase.ADDING,
        "nothing to replace": RolloutPhase.STABLE,
        "withdrawn": RolloutPhase.STABLE,
    },
}


def move(state: ReplicaState, cause: str) -> ReplicaState:
    """The state after `cause`.

    Raises:
        KeyError: the table has no such move; a caller that gets this has a bug.
    """
    return REPLICA_MOVES[state][cause]
