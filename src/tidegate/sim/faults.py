"""What goes wrong in a made-up world, and when: read from a YAML file, a list of faults.

    - {at: 2h, crash: {service: ocr, count: 2}}
    - {at: 3h, for: 20m, outage: {cluster: here}}
    - {at: 4h, for: 10m, partition: {cluster: here}}
    - {at: 5h, for: 10m, slow: {service: ocr, factor: 3}}
    - {at: 6h, for: 30m, capacity: {cluster: here, factor: 0.5}}
    - {at: 7h, for: 10m, failing-starts: {service: ocr, share: 50%}}
    - {at: 8h, for: 5m, blind: {}}
    - {at: 9h, upgrade: {service: ocr}}
    - {at: 10h, upgrade: {service: ocr, bad: slow, factor: 3}}
    - {at: 9h, for: 1h, price: {cluster: here, factor: 2}}
    - {at: 9h, for: 1h, lie: {cluster: here, factor: 2}}

| fault | what happens |
|---|---|
| crash | `count` ready replicas end at once; the requests on them are lost and tried again |
| outage | every replica of the cluster ends, the cluster cannot be seen until it is over |
| partition | the control plane cannot see the cluster; its replicas go on serving |
| slow | requests that begin take `factor` times as long |
| capacity | the cluster has `factor` times its capacity; what runs goes on |
| failing-starts | that share of the replicas started meanwhile crash half-way through their start |
| blind | the gateway does not answer the control plane; traffic flows |
| upgrade | a new revision, as good as the one before, or `bad`: `slow` by `factor`, `never-ready`, `verify` fails |
| price | everything in the cluster costs `factor` times its price |
| lie | the cluster says it has `factor` times its capacity; what it has no place for waits |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ConfigDict, Field, ValidationError, model_validator

from tidegate.base.errors import SpecError
from tidegate.base.units import Ratio, Seconds
from tidegate.spec.common import Strict
from tidegate.spec.documents import read_documents
from tidegate.spec.faults import Fault as Wrong
from tidegate.spec.faults import FieldPath, describe, meant

Kind = Literal["crash", "outage", "partition", "slow", "capacity", "failing-starts", "blind", "upgrade", "price", "lie"]
KINDS: tuple[Kind, ...] = get_args(Kind)
AT_ONCE = ("crash", "upgrade")
_NEEDS_CLUSTER = ("outage", "partition", "capacity", "price", "lie")


class Where(Strict):
    """Whom a fault strikes, and how hard; what is left out is everybody."""

    service: str | None = None
    cluster: str | None = None
    count: int = Field(default=1, ge=1)
    factor: float = Field(default=2.0, ge=0)
    share: Ratio = 1.0
    bad: Literal["", "slow", "never-ready", "verify"] = ""


class Fault(Strict):
    """One fault: `at` seconds after the start, for `for` seconds (a crash and an upgrade have no length)."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    at: Seconds
    lasts: Seconds = Field(default=0.0, alias="for")
    kind: Kind
    where: Where = Where()

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "kind" in data:
            return data
        kinds = [k for k in KINDS if k in data]
        if len(kinds) != 1:
            others = [str(k) for k in data if k not in ("at", "for", *KINDS)]
            hint = meant(others[0], KINDS) if others and not kinds else ""
            raise ValueError(f"needs exactly one of {', '.join(KINDS)}.{hint}")
        rest = {k: v for k, v in data.items() if k != kinds[0]}
        return rest | {"kind": kinds[0], "where": data[kinds[0]] or {}}

    @model_validator(mode="after")
    def _makes_sense(self) -> Fault:
        if self.kind in _NEEDS_CLUSTER and self.where.cluster is None:
            raise ValueError(f"{self.kind} needs a cluster")
        if self.kind == "upgrade" and self.where.service is None:
            raise ValueError("upgrade needs a service")
        if self.kind == "slow" and self.where.factor <= 0:
            raise ValueError("slow needs a factor above 0: how many times as long requests take")
        if self.kind not in AT_ONCE and self.lasts <= 0:
            raise ValueError(f"{self.kind} needs `for`: how long it lasts")
        return self

    @property
    def ends(self) -> float:
        return self.at + self.lasts

    def on(self, now: float) -> bool:
        """Whether it is going on at `now` (seconds after the start)."""
        return self.at <= now < self.ends


def read(path: Path) -> tuple[Fault, ...]:
    """The faults of a file, in order of time.

    Raises:
        SpecError: with every entry that cannot be read.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise SpecError((f"{path}: cannot be read: {error.strerror}. Give a YAML list of faults.",)) from error
    except UnicodeDecodeError as error:
        raise SpecError((f"{path}: is no text. Give a YAML list of faults.",)) from error
    documents, wrong = read_documents(text, str(path))
    if wrong:
        raise SpecError(tuple(str(fault) for fault in wrong))
    if len(documents) != 1 or not isinstance(documents[0].data, list):
        raise SpecError((f"{path}: expected a list of faults such as `- {{at: 2h, crash: {{count: 2}}}}`.",))
    return parsed(documents[0].data, str(path), documents[0].line)


def parsed(
    data: Iterable[Any], name: str = "faults", line: Callable[[FieldPath], int] = lambda _: 0
) -> tuple[Fault, ...]:
    """Faults from data, in order of time; `line` says where in the file `name` something stands."""
    found, wrong = [], []
    for index, entry in enumerate(data):
        try:
            found.append(Fault.model_validate(entry))
        except ValidationError as error:
            kind = next((k for k in KINDS if isinstance(entry, dict) and k in entry), "where")
            for one in error.errors():
                path, said = describe(one, Fault)
                place = (index, *(kind if part == "where" else part for part in path))
                wrong.append(str(Wrong(name, line(place), place, said)))
    if wrong:
        raise SpecError(tuple(wrong))
    return tuple(sorted(found, key=lambda f: f.at))
