"""The recording: what every tick saw and what it decided, small enough to keep for weeks.

A stretch is some ticks in a row, compressed. Each tick holds what differs from the one before it: most replicas, and
most of what a cluster or the proxy says, stay as they are. A stretch that begins `anew` holds everything, and the
memory its first tick began with, so that a replay can begin there. It needs every stretch since then.

The law: the ticks that `read` gives for the stretches of a `Tape` hold observations equal to those it was given.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tidegate.base.errors import StoreError
from tidegate.model.actions import Publish
from tidegate.model.memory import Memory
from tidegate.model.observed import CertificateSeen, ClusterSeen, GatewaySeen, Intent, Observed, PoolLoad, ReplicaSeen
from tidegate.model.observed import ServerSeen as Server
from tidegate.model.plan import Tick
from tidegate.spec.resolve import PoolKey
from tidegate.store import codec

T = TypeVar("T")

ANEW_EVERY_S = 600.0  # a replay of the last hour reads at most ten minutes more
PENDING_MOST = 1200  # ticks held while the journal cannot be written: ten minutes
LEVEL = 6


@dataclass(frozen=True, slots=True)
class Stretch:
    """`ticks` ticks from `at` to `until` (epoch seconds), compressed. `anew`: a replay can begin here."""

    at: float
    until: float
    ticks: int
    anew: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Decision:
    """What a tick decided: wanted and pending per pool, actions in order, and a digest of everything, reasons too."""

    wanted: Mapping[PoolKey, tuple[int, int]]
    actions: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """One tick of a recording.

    `specs` is the revision of the manifests in force; `emptying` is True while everything was being stopped. `memory`
    is set where the recording begins anew, `broken` where ticks before that are missing, `turned` where the memory was
    changed by somebody before that.
    """

    observed: Observed
    decision: Decision
    specs: int
    emptying: bool = False
    memory: Memory | None = None
    broken: bool = False
    turned: bool = False


def in_short(decided: Tick) -> Decision:
    """What is kept of a decision."""
    actions, whole = [], []
    for action in decided.actions:
        if isinstance(action, Publish):
            actions.append(f"publish {action.snapshot.version}")
        else:
            actions.append(f"{type(action).__name__.lower()} {action.replica} in {action.cluster}")
            whole.append(action)
    everything = (decided.plan.pools, decided.plan.snapshot.version, whole, decided.transitions, decided.rollouts)
    digest = hashlib.blake2b(repr(everything).encode(), digest_size=6).hexdigest()
    return Decision({p.key: (p.wanted, p.pending) for p in decided.plan.pools}, tuple(actions), digest)


# -- writing -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tape:
    """Gathers ticks and hands them out as stretches. `broken`: ticks were lost before what comes next."""

    broken: bool = False
    _before: Recorded | None = None
    _turned: bool = False
    _anew_at: float = 0.0
    _open: list[dict[str, Any]] = field(default_factory=list)
    _done: list[Stretch] = field(default_factory=list)

    def add(self, seen: Observed, decided: Tick, memory: Memory, specs: int, *, emptying: bool = False) -> None:
        """One tick: what it saw, what it decided, and the memory it began with."""
        if len(self._open) + sum(s.ticks for s in self._done) >= PENDING_MOST:
            self._open, self._done, self._before, self.broken = [], [], None, True
        anew = self._before is None or seen.at - self._anew_at >= ANEW_EVERY_S
        if anew:
            self._close()
            before, self._anew_at = None, seen.at
        else:
            before = self._before
        tick = Recorded(seen, in_short(decided), specs, emptying)
        line = _line(before, tick)
        if anew:
            line["memory"] = codec.plain(memory)
            line["broken"], line["turned"] = self.broken, self._turned
            self.broken = self._turned = False
        self._open.append(line)
        self._before = tick

    def turn(self) -> None:
        """The memory was changed from outside: begin anew with the next tick."""
        self._before, self._turned = None, True

    def waiting(self) -> tuple[Stretch, ...]:
        """Everything since the last `written`."""
        self._close()
        return tuple(self._done)

    def written(self) -> None:
        """What `waiting` gave is safe."""
        self._done.clear()

    def _close(self) -> None:
        if self._open:
            text = json.dumps(self._open, separators=(",", ":")).encode()
            first, last = self._open[0], self._open[-1]
            self._done.append(
                Stretch(first["at"], last["at"], len(self._open), "memory" in first, zlib.compress(text, LEVEL))
            )
            self._open = []


def _line(before: Recorded | None, now: Recorded) -> dict[str, Any]:
    old, seen = before.observed if before else Observed(0.0), now.observed
    line: dict[str, Any] = {"at": seen.at, "digest": now.decision.digest}
    parts = {
        "replicas": _changes(_by_id(old.replicas), _by_id(seen.replicas)),
        "loads": _changes(old.loads, seen.loads),
        "clusters": _changes(old.clusters, seen.clusters),
        "servers": _changes(_servers(old), _servers(seen)),
        "wanted": _changes(before.decision.wanted if before else {}, now.decision.wanted),
    }
    line |= {name: part for name, part in parts.items() if part}
    rest = _rest(now)
    if before is None or rest != _rest(before):
        line["rest"] = rest
    if now.decision.actions:
        line["actions"] = now.decision.actions
    return line


def _rest(of: Recorded) -> dict[str, Any]:
    """What seldom changes."""
    gateway = of.observed.gateway
    rest: dict[str, Any] = {"specs": of.specs, "emptying": of.emptying}
    if of.observed.intents:
        rest["intents"] = [_plain(i) for i in of.observed.intents]
    if gateway is not None:
        rest["gateway"] = {"version": gateway.version, "unmeasured": gateway.unmeasured}
        if gateway.certificates:
            rest["gateway"]["certificates"] = [_plain(c) for c in gateway.certificates]
    return rest


def _changes(old: Mapping[Any, Any], now: Mapping[Any, Any]) -> dict[str, Any]:
    """What differs: values under `set`, and all names in `order` when they are others or come in another order."""
    changed: dict[str, Any] = {}
    found = {str(k): _plain(v) for k, v in now.items() if k not in old or old[k] != v}
    if found:
        changed["set"] = found
    if list(old) != list(now):
        changed["order"] = [str(k) for k in now]
    return changed


def _plain(value: Any) -> Any:
    """A value as JSON has it, without the fields that are at their defaults."""
    if isinstance(value, tuple):
        return list(value)
    return codec.plain(value, defaults=False)


def _by_id(replicas: Iterable[ReplicaSeen]) -> dict[str, ReplicaSeen]:
    return {r.id: r for r in replicas}


def _servers(seen: Observed) -> Mapping[str, Server]:
    return seen.gateway.servers if seen.gateway is not None else {}


# -- reading -----------------------------------------------------------------------------------------------------------


def read(stretches: Iterable[Stretch]) -> Iterator[Recorded]:
    """The ticks of stretches in order; those before the first that begins anew are passed over.

    Raises:
        StoreError: a stretch cannot be read.
    """
    before: Recorded | None = None
    for stretch in stretches:
        if before is None and not stretch.anew:
            continue
        try:
            lines = json.loads(zlib.decompress(stretch.data))
        except (ValueError, zlib.error) as error:
            raise StoreError(f"the recording at {stretch.at:.3f} cannot be read: {error}") from None
        for line in lines:
            before = _tick(None if "memory" in line else before, line)
            yield before


def _tick(before: Recorded | None, line: Mapping[str, Any]) -> Recorded:
    old = before.observed if before else Observed(0.0)
    rest = line.get("rest") or _rest(before) if before else line["rest"]
    servers = _applied(_servers(old), line.get("servers", {}), str, _builder(Server))
    told = rest.get("gateway")
    gateway = None
    if told is not None:
        certificates = tuple(codec.build(CertificateSeen, c) for c in told.get("certificates", ()))
        gateway = GatewaySeen(told["version"], servers, told["unmeasured"], certificates)
    seen = Observed(
        at=line["at"],
        replicas=tuple(_applied(_by_id(old.replicas), line.get("replicas", {}), str, _builder(ReplicaSeen)).values()),
        loads=_applied(old.loads, line.get("loads", {}), PoolKey.parse, _builder(PoolLoad)),
        clusters=_applied(old.clusters, line.get("clusters", {}), str, _builder(ClusterSeen)),
        gateway=gateway,
        intents=tuple(codec.build(Intent, i) for i in rest.get("intents", ())),
    )
    wanted = _applied(before.decision.wanted if before else {}, line.get("wanted", {}), PoolKey.parse, _pair)
    return Recorded(
        observed=seen,
        decision=Decision(wanted, tuple(line.get("actions", ())), line["digest"]),
        specs=rest["specs"],
        emptying=rest["emptying"],
        memory=codec.build(Memory, line["memory"]) if "memory" in line else None,
        broken=bool(line.get("broken")),
        turned=bool(line.get("turned")),
    )


def _applied(
    old: Mapping[Any, T], part: Mapping[str, Any], key: Callable[[str], Any], build: Callable[[Any], T]
) -> dict[Any, T]:
    names = [key(name) for name in part["order"]] if "order" in part else list(old)
    fresh = {key(name): build(value) for name, value in part.get("set", {}).items()}
    return {name: fresh[name] if name in fresh else old[name] for name in names}


def _builder(kind: type[T]) -> Callable[[Any], T]:
    return lambda data: codec.build(kind, data)


def _pair(data: list[int]) -> tuple[int, int]:
    return data[0], data[1]
