"""How a new revision replaces the old one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tidegate.base.units import CountOrRatio, Ratio, Seconds, count_of
from tidegate.base.wording import shown
from tidegate.spec.common import (
    Flag,
    Name,
    Strict,
    fault,
)
from tidegate.spec.probes import Python
from tidegate.spec.requests import HeaderName, HeaderValue


class RollbackOn(Strict):
    """When a rollout goes back by itself."""

    success: str = Field(
        default="<99.9%", pattern=r"^<\d{1,2}(\.\d+)?%$", description="success of the new revision: `<99.9%`"
    )
    p95: str = Field(
        default=">1.5x", pattern=r"^>\d+(\.\d+)?x$", description="p95 as a multiple of the old revision's: `>1.5x`"
    )

    @property
    def least_success(self) -> float:
        """The share of requests of the new revision that must succeed.

        >>> RollbackOn(success="<99.5%").least_success
        0.995
        """
        return round(float(self.success[1:-1]) / 100, 12)

    @property
    def most_times_slower(self) -> float:
        """How many times slower than the old revision the new one may be.

        >>> RollbackOn().most_times_slower
        1.5
        """
        return float(self.p95[1:-1])


class CanaryStep(Strict):
    """One step of a canary: a share of the replicas, then a pause. They get as many requests, or chosen ones."""

    weight: Ratio = Field(gt=0, description="share of the replicas that run the new revision: `5%`")
    pause: Seconds = Field(default=0.0, le=7 * 86400, description="how long it stays there, at least `watchSeconds`")
    manual: Flag = Field(default=False, description="then waits for `tidegate rollout resume`")
    header: dict[HeaderName, HeaderValue] = Field(
        default={}, description="they get the requests with all of these headers, and no others"
    )
    tenants: tuple[Name, ...] = Field(default=(), description="they get the requests of these tenants, and no others")

    @property
    def only(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Headers by which its requests are told, each with the values of which one will do; empty: all requests."""
        headers = tuple((name.lower(), (value,)) for name, value in sorted(self.header.items()))
        return (*headers, ("x-tidegate-tenant", self.tenants)) if self.tenants else headers


class Canary(Strict):
    """A share of the replicas first, the rest when it has shown itself good."""

    steps: tuple[CanaryStep, ...] = Field(
        default=tuple(CanaryStep(weight=w) for w in (0.05, 0.25, 0.5, 1.0)),
        min_length=1,
        max_length=100,
        description="rising shares; after the last one everything is replaced",
    )

    @model_validator(mode="after")
    def _rising(self) -> Canary:
        for i, step in enumerate(self.steps[1:], start=1):
            if step.weight <= self.steps[i - 1].weight:
                sentence = f"{step.weight:g} is not above the step before it: {self.steps[i - 1].weight:g}"
                raise fault(f"{sentence}. Put the steps in rising order", "steps", i, "weight")
        return self


def _short_verify_in(schema: dict[str, Any]) -> None:
    long = next(part["$ref"] for part in schema["anyOf"] if "$ref" in part)
    script: dict[str, Any] = {"anyOf": [{"type": "string"}, {"$ref": long}]}
    schema["anyOf"].append({"type": "object", "properties": {"python": script}, "required": ["python"]})


class Rollout(Strict):
    """How a new revision replaces the old one; names are those of a Kubernetes Deployment where it has them."""

    strategy: Literal["rolling", "canary", "blueGreen"] = Field(
        default="rolling", description="in batches; a small share first; or all beside the old ones and one switch"
    )
    batch: CountOrRatio = Field(default=0.25, gt=0, description="replicas replaced per step: `25%` or `2`")
    maxSurge: CountOrRatio = Field(default=0.25, description="replicas above the wanted number: `25%` or `1`")
    maxUnavailable: CountOrRatio = Field(default=0.0, description="replicas below the wanted number: `25%` or `1`")
    verify: Python | None = Field(
        default=None,
        description="your test, run against each new replica before it gets requests (short: `verify: {python: FILE}`)",
        json_schema_extra=_short_verify_in,
    )
    watchSeconds: Seconds = Field(default=5.0, le=86400, description="how long each batch is watched under traffic")
    progressDeadlineSeconds: Seconds = Field(
        default=600.0, gt=0, le=7 * 86400, description="without progress for this long it counts as failed"
    )
    rollbackOn: RollbackOn = Field(default=RollbackOn(), description="when it goes back by itself")
    canary: Canary = Field(default=Canary(), description="the steps of the strategy `canary`")
    waves: Literal["byRegion", "together"] | tuple[Annotated[tuple[Name, ...], Field(min_length=1)], ...] = Field(
        default="byRegion",
        description="services in several clusters: one cluster first, then its region, then region by region; all "
        "`together`; or clusters in your order: `[[here], [there, far]]`",
    )
    wavePauseSeconds: Seconds = Field(
        default=0.0, le=7 * 86400, description="how long a wave is watched at its end, at least `watchSeconds`"
    )

    @model_validator(mode="before")
    @classmethod
    def _short_verify(cls, data: object) -> object:
        verify = data.get("verify") if isinstance(data, dict) else None
        if isinstance(data, dict) and isinstance(verify, dict) and isinstance(verify.get("python"), str):
            rest = {key: value for key, value in verify.items() if key != "python"}
            return data | {"verify": {"script": verify["python"]} | rest}
        if isinstance(data, dict) and isinstance(verify, dict) and isinstance(verify.get("python"), dict):
            return data | {"verify": verify["python"]}
        return data

    @model_validator(mode="after")
    def _some_way_forward(self) -> Rollout:
        if self.maxSurge == 0 and self.maxUnavailable == 0:
            raise fault("is 0 and maxUnavailable is 0, so nothing could move. Raise one of them", "maxSurge")
        return self

    @model_validator(mode="after")
    def _waves_and_chosen_requests(self) -> Rollout:
        for i, step in enumerate(self.canary.steps if self.strategy == "canary" else ()):
            if (
                step.only
                and self.surge_of(100) < count_of(step.weight, 100, up=True)
                and isinstance(self.maxSurge, float)
            ):
                sentence = f"{step.weight:g} is above maxSurge {self.maxSurge:g}: the old replicas stay for all others"
                raise fault(f"{sentence}. Lower it or raise maxSurge", "canary", "steps", i, "weight")
        named = [name for wave in self.waves if not isinstance(self.waves, str) for name in wave]
        for i, name in enumerate(named):
            if name in named[:i]:
                raise fault(f"{shown(name)} stands in two waves. Take one out", "waves")
        return self

    def batch_of(self, wanted: int) -> int:
        """Replicas replaced per step when `wanted` are wanted; at least 1."""
        return max(1, count_of(self.batch, wanted, up=True))

    def surge_of(self, wanted: int) -> int:
        """Replicas that may run above `wanted`; a share is rounded up, as in Kubernetes."""
        return count_of(self.maxSurge, wanted, up=True)

    def unavailable_of(self, wanted: int) -> int:
        """Replicas that may be missing from `wanted`; a share is rounded down, as in Kubernetes."""
        return min(wanted, count_of(self.maxUnavailable, wanted, up=False))
