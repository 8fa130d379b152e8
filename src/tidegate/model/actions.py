"""What adapters are told to do. Each names its aim, so repeating one is harmless."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.model.snapshot import Snapshot
from tidegate.spec.resolve import PoolKey


@dataclass(frozen=True, slots=True)
class Start:
    """Start replica `replica` of a pool's revision in a cluster."""

    replica: str
    key: PoolKey
    revision: str
    cluster: str
    why: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """Run the prepare steps of a replica whose startup probe has passed."""

    replica: str
    cluster: str


@dataclass(frozen=True, slots=True)
class Remedy:
    """Run the remedy script of a replica whose liveness failed, then judge its liveness anew."""

    replica: str
    cluster: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a replica: preStop, SIGTERM, SIGKILL after `grace_s`; everything of it is gone afterwards."""

    replica: str
    cluster: str
    grace_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop what the runtime keeps about a replica that has ended (its record, not its log)."""

    replica: str
    cluster: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Make the gateway like this snapshot."""

    snapshot: Snapshot


Action = Start | Prepare | Remedy | Stop | Forget | Publish
