"""One row of the journal: what happened, as data that reports and a replay can read years later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What an entry is about; `data` holds the fields of the named value of `model`.

    decision: a pool's wanted number or its deciding reason changed (PoolPlan: wanted, placed, pending, reasons)
    transition: a replica moved from one state to another (Transition)
    phase: a replica passed something on its way into or out of service, or was found sick (Mark)
    rollout: a pool's rollout moved from one phase to another (RolloutStep)
    ejection: a replica gets less, nothing or again all of its share of the requests (Ejection)
    action: something was done, and how it ended (an action's fields, `result`: "" or what went wrong)
    load: what a pool was asked over an interval (PoolLoad, several intervals added up)
    capacity: what a cluster had and used (ClusterSeen)
    specs: manifests were applied (the changes in words)
    operator: somebody asked for something (drain, down)
    fault: something could not be seen or done
    preview: from now on a forecast that is only looked at would want so many (`wanted`, `would`; equal: no more)
    """

    DECISION = "decision"
    TRANSITION = "transition"
    PHASE = "phase"
    ROLLOUT = "rollout"
    EJECTION = "ejection"
    ACTION = "action"
    LOAD = "load"
    CAPACITY = "capacity"
    SPECS = "specs"
    OPERATOR = "operator"
    FAULT = "fault"
    PREVIEW = "preview"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. `at` is epoch seconds; `service`, `pool`, `replica` are "" where they do not apply.

    `id` grows in the order of writing; 0 until it is written. `data` holds only what JSON can (see `store.codec`).
    """

    at: float
    kind: str
    service: str = ""
    pool: str = ""
    replica: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0
