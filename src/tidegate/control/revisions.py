"""What old revisions were: a control process that was restarted must be able to start and probe what it goes back to.

The manifests of the past are in the journal; a revision is a hash of them, so the right ones are found by resolving
them again, newest first.
"""

from __future__ import annotations

from tidegate.base.errors import SpecError, StoreError
from tidegate.model.memory import Memory
from tidegate.policy.rollout import previous
from tidegate.spec.load import together
from tidegate.spec.resolve import PoolKey, PoolSpec, Specs
from tidegate.store.journal import Journal

DEPTH = 100  # how many applied sets of manifests are looked through


def needed(memory: Memory, specs: Specs) -> set[tuple[PoolKey, str]]:
    """Revisions that run, serve or served last, and are not the declared ones."""
    wanted = {(m.key, m.revision) for m in memory.replicas.values()}
    for key, pool in memory.pools.items():
        rollout = pool.rollout
        wanted |= {(key, r) for r in (rollout.stable, rollout.target, previous(rollout)) if r}
    return wanted - {(p.key, p.revision) for p in specs.pools}


def recalled(journal: Journal, memory: Memory, specs: Specs) -> tuple[PoolSpec, ...]:
    """Those of the needed revisions that the journal still knows. Manifests that cannot be read any more are passed
    over: a replica of an unknown revision goes on running, and is not started again."""
    missing = needed(memory, specs)
    found: list[PoolSpec] = []
    newest = journal.load_specs() if missing else None
    number = newest.revision if newest else 0
    for revision in range(number, max(0, number - DEPTH), -1):
        if not missing:
            break
        for pool in _pools(journal, revision):
            if (pool.key, pool.revision) in missing:
                missing.discard((pool.key, pool.revision))
                found.append(pool)
    return tuple(found)


def _pools(journal: Journal, revision: int) -> tuple[PoolSpec, ...]:
    try:
        stored = journal.load_specs(revision)
        return together(stored.manifests).specs.pools if stored else ()
    except (StoreError, SpecError):
        return ()
