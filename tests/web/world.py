"""A made-up running system: a `ControlPort` whose world a test changes, and which remembers what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tidegate.model.outlook import Outlook, PoolOutlook
from tidegate.model.reasons import Reason
from tidegate.model.status import (
    ClusterStatus,
    GatewayStatus,
    History,
    PoolStatus,
    ReplicaStatus,
    ServiceStatus,
    Status,
)
from tidegate.model.tenancy import KeyStatus, NewKey, TenancyStatus, TenantStatus
from tidegate.web.ports import Change, Diff, Event, Explanation, LogLine, Manifest, NotFound, PoolPreview, Preview

AT = 1_764_000_000.0
OUTLOOK = PoolOutlook("face-fusion", "default", "interactive", 4, {"here": 4}, {"there": 3}, 0, 1)


def replica(id: str, state: str = "ready", **facts: Any) -> ReplicaStatus:
    """A replica that has been in its state for a minute of its ten."""
    known = {"since": AT - 60, "age_s": 600.0, "cluster": "here", "revision": "4f2a9c1e"}
    return ReplicaStatus(id, state, **(known | facts))


def pool(service: str, replicas: Sequence[ReplicaStatus], pool: str = "default", **facts: Any) -> PoolStatus:
    """A pool whose counts are those of its replicas, one slot each."""
    states = [r.state for r in replicas]
    known = {
        "revision": "4f2a9c1e",
        "wanted": len(replicas),
        "ready": states.count("ready"),
        "starting": states.count("starting") + states.count("preparing"),
        "draining": states.count("draining"),
        "slots": states.count("ready"),
        "in_flight": sum(r.in_flight for r in replicas),
        "reasons": (Reason("demand", "3 in flight, 0 queued: 3 slots, so 3 replicas"),),
    }
    return PoolStatus(service, pool, **(known | facts), replicas=tuple(replicas))


def status(*pools: PoolStatus, at: float = AT, **facts: Any) -> Status:
    """One service per distinct service name, a local cluster, a gateway that answers."""
    names = dict.fromkeys(p.service for p in pools)
    services = tuple(
        ServiceStatus(name, f"http://127.0.0.1:8080/{name}/", tuple(p for p in pools if p.service == name))
        for name in names
    )
    here = ClusterStatus("here", "local", "gz", {"cpu": 8.0, "memory": 16 * 2.0**30}, {"cpu": 3.0, "memory": 2.0**33})
    known = {
        "uptime_s": 3723.0,
        "clusters": (here,),
        "gateway": GatewayStatus("http://127.0.0.1:8080", "9c31f0aa", up=True),
    }
    return Status(at, version="0.1.0", services=services, **(known | facts))


def key(**facts: Any) -> KeyStatus:
    """A key in force that nobody has used."""
    known = {"hint": "tgk_3fA9", "note": "", "created_at": AT, "expires_at": None, "revoked_at": None}
    return KeyStatus(**({"id": "k1", "tenant": "acme", "state": "active", "last_used_at": None} | known | facts))


TENANCY = TenancyStatus(
    AT,
    (
        TenantStatus(
            "acme",
            ("face",),
            "high",
            2,
            20.0,
            40,
            8,
            3,
            2,
            1,
            900,
            1000,
            5 * 2**20,
            None,
            412.5,
            1000.0,
            0.0,
            None,
            AT + 3600,
            "UTC",
            False,
            worked=900,
            in_time=899,
            failed=0,
            gave_up=1,
            refused={"rate_limited": 7},
        ),
        TenantStatus(
            "batch",
            ("*",),
            "low",
            1,
            None,
            None,
            None,
            0,
            0,
            0,
            0,
            None,
            0,
            None,
            0.0,
            None,
            0.0,
            None,
            AT + 3600,
            "UTC",
            False,
        ),
    ),
    {"key_missing": 2},
)


@dataclass
class FakeControl:
    """The system as last set by `now`; `told` keeps what was asked of it. `fail` is raised by the next call."""

    now: Status = field(default_factory=lambda: status(pool("face-fusion", [replica("face-fusion-1")])))
    past: list[Event] = field(default_factory=list)
    lines: list[LogLine] = field(default_factory=list)
    told: list[tuple[Any, ...]] = field(default_factory=list)
    fail: Exception | None = None
    hang: bool = False
    followers: list[asyncio.Queue[Event]] = field(default_factory=list)
    asked: int = 0
    tenancy: TenancyStatus = TENANCY
    before: History = field(default_factory=History)

    def happen(self, event: Event) -> None:
        """Something happens: whoever follows hears of it at once."""
        self.past.append(event)
        for follower in self.followers:
            follower.put_nowait(event)

    async def _call(self, *told: Any) -> None:
        if told:
            self.told.append(told)
        if self.hang:
            await asyncio.Event().wait()
        if self.fail is not None:
            error, self.fail = self.fail, None
            raise error

    async def status(self) -> Status:
        self.asked += 1
        await self._call()
        return replace(self.now)

    async def history(self) -> History:
        await self._call()
        return self.before

    async def apply(self, manifests: Sequence[Manifest], *, prune: bool) -> Diff:
        await self._call("apply", tuple(manifests), prune)
        return Diff(tuple(Change("add", m.kind, m.name) for m in manifests))

    async def plan(self, manifests: Sequence[Manifest], *, prune: bool) -> Preview:
        await self._call("plan", tuple(manifests), prune)
        pools = tuple(PoolPreview(m.name, "default", None, 1) for m in manifests)
        return Preview(Diff(tuple(Change("add", m.kind, m.name) for m in manifests)), pools)

    async def what_if(self, changes: Sequence[str]) -> Outlook:
        await self._call("what_if", tuple(changes))
        return Outlook(tuple(changes), False, True, 20.0, (OUTLOOK,), 4.0, 12.5)

    async def explain(self, service: str) -> Explanation:
        await self._call("explain", service)
        for known in self.now.services:
            if known.name == service:
                return Explanation(service, known.pools, tuple(self.past))
        raise NotFound(f"no service is called {service}")

    async def logs(self, service: str, replica: str | None, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        await self._call("logs", service, replica, tail, follow)
        chosen = [line for line in self.lines if replica in (None, line.replica)]
        for line in chosen[len(chosen) - min(tail, len(chosen)) :]:
            yield line
        if follow:
            await asyncio.Event().wait()

    async def events(self, since: float | None, *, follow: bool) -> AsyncIterator[Event]:
        await self._call()
        heard: asyncio.Queue[Event] = asyncio.Queue()
        self.followers.append(heard)
        try:
            for event in list(self.past):
                if since is not None and event.at > since:
                    yield event
            while follow:
                yield await heard.get()
        finally:
            self.followers.remove(heard)

    async def drain(self, subject: str) -> str:
        await self._call("drain", subject)
        return f"{subject} will be drained"

    async def undrain(self, subject: str) -> str:
        await self._call("undrain", subject)
        return f"{subject} may be used again"

    async def rollout(self, service: str, verb: str) -> str:
        await self._call("rollout", service, verb)
        return f"{service}: {verb}"

    async def tenants(self) -> TenancyStatus:
        await self._call()
        return self.tenancy

    async def keys(self) -> tuple[KeyStatus, ...]:
        await self._call()
        return (key(), key(id="k2", state="revoked", revoked_at=AT), key(id="k3", state="no tenant"))

    async def add_key(self, tenant: str, *, note: str, expires_s: float | None) -> NewKey:
        await self._call("add_key", tenant, note, expires_s)
        return NewKey(key(tenant=tenant, note=note), "tgk_secret")

    async def revoke_key(self, key_id: str) -> KeyStatus:
        await self._call("revoke_key", key_id)
        return key(id=key_id, state="revoked", revoked_at=AT)

    async def learn(self, service: str, pool: str, lesson: str, text: str) -> str:
        await self._call("learn", service, pool, lesson, text)
        return f"{service}/{pool} has learned"

    async def down(self) -> None:
        await self._call("down")
