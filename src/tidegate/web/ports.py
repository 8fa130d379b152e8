"""What the API needs from the running system, and the values it hands out besides `Status`.

One implementation is the control loop; tests have another. Everything is asked for at the moment of a request, so an
implementation may answer from what the last tick left behind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tidegate.base.errors import TidegateError
from tidegate.model.outlook import Outlook
from tidegate.model.reasons import Reason
from tidegate.model.status import History, PoolStatus, Status
from tidegate.model.tenancy import KeyStatus, NewKey, TenancyStatus
from tidegate.spec import checks

Manifest = checks.Manifest


class NotFound(TidegateError):
    """No service, replica or cluster of that name."""


@dataclass(frozen=True, slots=True)
class Change:
    """One manifest against what runs now. `fields` are sentences such as "scaling.maxReplicas: 4 -> 8"."""

    verb: Literal["add", "change", "remove", "same"]
    kind: str
    name: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diff:
    """What applying manifests changes; `notes` say what will follow from it (a rollout, replicas that do not fit)."""

    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolPreview:
    """What the next tick would want of one pool if the manifests were applied now."""

    service: str
    pool: str
    wanted_now: int | None
    wanted: int
    pending: int = 0
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """The answer of a dry run; nothing was changed."""

    diff: Diff
    pools: tuple[PoolPreview, ...] = ()
    actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, in a sentence.

    `at` is in epoch seconds. `kind` is "decision" (a pool's wanted number changed), "transition" (a replica moved),
    "rollout" (an upgrade moved), "ejection" (a replica gets fewer requests, or its share again),
    "phase" (a replica passed something on its way into or out of service),
    "operator" (apply, drain) or "fault"; `subject` names what it is about: "service/pool", a replica id, a cluster.
    """

    at: float
    kind: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a service has the replicas it has: its pools with their reasons, and what led here, newest last."""

    service: str
    pools: tuple[PoolStatus, ...]
    history: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line a replica wrote, without its newline."""

    replica: str
    text: str


class ControlPort(Protocol):
    """The running system as the API sees it.

    Every method may raise a `TidegateError`; its text is the answer the caller reads. `NotFound` becomes 404,
    `SpecError` 422, any other 409.
    """

    async def status(self) -> Status:
        """Everything at this instant."""

    async def history(self) -> History:
        """The numbers of the last five minutes."""

    async def apply(self, manifests: Sequence[Manifest], *, prune: bool) -> Diff:
        """Make these the declared manifests; with `prune`, what is declared now and not among them is removed."""

    async def plan(self, manifests: Sequence[Manifest], *, prune: bool) -> Preview:
        """What `apply` would do, without doing it."""

    async def what_if(self, changes: Sequence[str]) -> Outlook:
        """How everything would stand after "cluster=NAME:down" or "cluster=NAME:cpu=N", without doing it."""

    async def explain(self, service: str) -> Explanation:
        """Why a service has the replicas it has."""

    def logs(self, service: str, replica: str | None, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """The last `tail` lines of each replica of a service (or of one), and what follows when asked."""

    def events(self, since: float | None, *, follow: bool) -> AsyncIterator[Event]:
        """What happened after `since` (epoch seconds; None: from now on), oldest first, and what follows when asked."""

    async def drain(self, subject: str) -> str:
        """Take a replica or a cluster out of service without harm; the answer is a sentence saying what will happen."""

    async def undrain(self, subject: str) -> str:
        """Take a drain back: the cluster, or a replica that still serves, may be used again."""

    async def rollout(self, service: str, verb: str) -> str:
        """Pause, resume, promote, undo or retry a service's rollout; the answer says what will happen. When it
        returns, a restart will not forget it."""

    async def tenants(self) -> TenancyStatus:
        """Every tenant: limits, use, quota left, refusals."""

    async def keys(self) -> tuple[KeyStatus, ...]:
        """Every key there ever was, oldest first."""

    async def add_key(self, tenant: str, *, note: str, expires_s: float | None) -> NewKey:
        """A new key of a tenant, in force and safe from a crash when this returns; its text is told this once."""

    async def revoke_key(self, key_id: str) -> KeyStatus:
        """Take a key out of force, at once and for good."""

    async def learn(self, service: str, pool: str, lesson: str, text: str) -> str:
        """Teach a pool's forecast what was learned elsewhere (a `ScaleMemory` as `store.codec` writes it); `text` says
        where it comes from. When it returns, a restart will not forget it."""

    async def down(self) -> None:
        """Begin to stop everything: drain, stop, end. Returns when it has begun."""


def manifest_json(manifest: Manifest) -> dict[str, Any]:
    """A manifest as the body of `apply` and `plan` carries it; reading it back gives an equal manifest."""
    return manifest.model_dump(mode="json", by_alias=True, exclude_unset=True) | {
        "apiVersion": manifest.apiVersion,
        "kind": manifest.kind,
    }
