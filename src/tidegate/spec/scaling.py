"""Scaling: replicas between min and max, from the promise or from a target, with the HPA's behaviour.

Sources: autoscaling/v2 HorizontalPodAutoscalerBehavior
(https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tidegate.base.units import Ratio, Seconds
from tidegate.spec.common import Strict

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class RatePolicy(Strict):
    """At most `value` pods, or per cent of the current ones, per `periodSeconds`."""

    type: Literal["Pods", "Percent"]
    value: int = Field(gt=0)
    periodSeconds: Seconds = Field(default=15.0, gt=0, le=1800)


class Rules(Strict):
    """How fast one direction may go; `tolerance` is the HPA's (a share of the wanted number)."""

    stabilizationWindowSeconds: Seconds | None = Field(default=None, le=3600)
    selectPolicy: Literal["Max", "Min", "Disabled"] = "Max"
    policies: tuple[RatePolicy, ...] = ()
    tolerance: Ratio | None = None


class Behavior(Strict):
    """`behavior:` as in the HPA; what is left out keeps the default of the scaling policy."""

    scaleUp: Rules = Rules()
    scaleDown: Rules = Rules()


class Target(Strict):
    """A fixed target instead of the promise: `inFlight` is the share of slots in use, `rps` requests/s per replica."""

    inFlight: Ratio | None = Field(default=None, gt=0)
    rps: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _exactly_one(self) -> Target:
        if (self.inFlight is None) == (self.rps is None):
            raise ValueError("needs exactly one of inFlight, rps")
        return self


class Schedule(Strict):
    """A window of time in which bounds change; `from`/`to` are local times, `to` <= `from` runs over midnight.

    `dates` (ISO dates) makes one-off windows; `except` takes dates out. `timeZone` is an IANA name, required.
    """

    name: str = ""
    days: tuple[Day, ...] = ()
    dates: tuple[str, ...] = ()
    exclude: tuple[str, ...] = Field(default=(), alias="except")
    from_: str = Field(alias="from")
    to: str
    timeZone: str
    minReplicas: int | None = Field(default=None, ge=0)
    maxReplicas: int | None = Field(default=None, ge=0)


class Scaling(Strict):
    """`scaling:` of a service or a pool."""

    minReplicas: int = Field(default=1, ge=0)
    maxReplicas: int = Field(default=10, ge=1)
    target: Target | None = None
    behavior: Behavior = Behavior()
    scaleToZeroAfterSeconds: Seconds = 300.0
    schedules: tuple[Schedule, ...] = ()
    forecast: Literal["auto", "preview", "off"] = "auto"

    @model_validator(mode="after")
    def _min_below_max(self) -> Scaling:
        if self.maxReplicas < self.minReplicas:
            raise ValueError(
                f"maxReplicas: {self.maxReplicas} is below minReplicas: {self.minReplicas}. "
                "Raise maxReplicas or lower minReplicas"
            )
        return self
