"""Scaling: replicas between min and max, from the promise or from a target, with the HPA's behaviour.

Sources: autoscaling/v2 HorizontalPodAutoscalerBehavior
(https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior).
"""

from __future__ import annotations

import difflib
from datetime import date
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, model_validator

from tidegate.base.units import Ratio, Seconds
from tidegate.base.wording import shown
from tidegate.spec.common import Number, Strict, Whole, fault

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
MOST_REPLICAS = 100_000


def _is_time(text: str) -> str:
    hours, colon, minutes = text.partition(":")
    digits = hours.isascii() and hours.isdecimal() and minutes.isascii() and minutes.isdecimal()
    if not (colon and digits and len(hours) <= 2 and len(minutes) == 2 and int(hours) <= 23 and int(minutes) <= 59):
        end = '. A day ends at "00:00"' if text == "24:00" else ""
        raise ValueError(f'got {shown(text)}, expected a time of day "HH:MM" from "00:00" to "23:59"{end}')
    return f"{int(hours):02}:{minutes}"


def _is_date(text: str) -> str:
    try:
        parsed = date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        parsed = None
    if parsed is None:
        raise ValueError(f'got {shown(text)}, expected a date of the calendar as "YYYY-MM-DD"')
    return text


def _is_zone(text: str) -> str:
    if not _known_zone(text):
        near = difflib.get_close_matches(text, available_timezones(), n=1, cutoff=0.6)
        hint = f'. Did you mean "{near[0]}"?' if near else ""
        raise ValueError(f'got {shown(text)}, expected an IANA time zone such as "Asia/Shanghai"{hint}')
    return text


def _known_zone(text: str) -> bool:
    try:
        ZoneInfo(text)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; a directory such as "Asia" is an OSError
        return False
    except KeyError:
        return False
    return True


TimeOfDay = Annotated[str, AfterValidator(_is_time)]
IsoDate = Annotated[str, AfterValidator(_is_date)]
TimeZone = Annotated[str, AfterValidator(_is_zone)]


class RatePolicy(Strict):
    """At most `value` pods, or per cent of the current ones, per `periodSeconds`."""

    type: Literal["Pods", "Percent"] = Field(description="what `value` counts")
    value: Whole = Field(gt=0, le=1_000_000, description="pods, or per cent of the current ones")
    periodSeconds: Seconds = Field(default=15.0, gt=0, le=1800, description="the period it holds for")


class Rules(Strict):
    """How fast one direction may go."""

    stabilizationWindowSeconds: Seconds | None = Field(
        default=None, le=3600, description="the most cautious wish of this window counts"
    )
    selectPolicy: Literal["Max", "Min", "Disabled"] = Field(
        default="Max", description="which of several `policies` counts; `Disabled`: never go this way"
    )
    policies: tuple[RatePolicy, ...] = Field(default=(), description="how much per period")
    tolerance: Ratio | None = Field(default=None, description="smaller changes of the wanted number are ignored")


class Behavior(Strict):
    """`behavior:` as in the HPA; what is left out keeps the default of the scaling policy."""

    scaleUp: Rules = Field(default=Rules(), description="rules for more replicas")
    scaleDown: Rules = Field(default=Rules(), description="rules for fewer replicas")


class Target(Strict):
    """A fixed target instead of the promise; exactly one of the two."""

    inFlight: Ratio | None = Field(default=None, gt=0, description="share of slots in use, queue included: `70%`")
    rps: Number | None = Field(default=None, gt=0, description="requests a second per replica")

    @model_validator(mode="after")
    def _exactly_one(self) -> Target:
        if (self.inFlight is None) == (self.rps is None):
            raise fault("needs exactly one of inFlight, rps")
        return self


class Schedule(Strict):
    """A window of time in which bounds change; `to` at or before `from` runs over midnight."""

    name: str = Field(default="", max_length=80, description="shown in reasons")
    days: tuple[Day, ...] = Field(default=(), description="days on which it begins; neither days nor dates: every day")
    dates: tuple[IsoDate, ...] = Field(default=(), description='one-off days on which it begins: `"2026-11-11"`')
    exclude: tuple[IsoDate, ...] = Field(default=(), alias="except", description="days on which it does not begin")
    from_: TimeOfDay = Field(alias="from", description='local time it begins: `"19:30"`')
    to: TimeOfDay = Field(description='local time it ends: `"23:00"`')
    timeZone: TimeZone = Field(description="IANA time zone: `Asia/Shanghai`")
    minReplicas: Whole | None = Field(default=None, ge=0, le=MOST_REPLICAS, description="at least this many meanwhile")
    maxReplicas: Whole | None = Field(default=None, ge=0, le=MOST_REPLICAS, description="at most this many meanwhile")

    @model_validator(mode="after")
    def _bounds(self) -> Schedule:
        if self.minReplicas is None and self.maxReplicas is None:
            raise fault("changes nothing. Give minReplicas, maxReplicas or both")
        if self.minReplicas is not None and self.maxReplicas is not None and self.maxReplicas < self.minReplicas:
            raise fault(_below("maxReplicas", self.maxReplicas, "minReplicas", self.minReplicas), "maxReplicas")
        for i, day in enumerate(self.exclude):
            if day in self.dates:
                raise fault(f'"{day}" is in dates too. Take it out of one of them', "except", i)
        return self


class Scaling(Strict):
    """`scaling:` of a service or a pool."""

    minReplicas: Whole = Field(default=1, ge=0, le=MOST_REPLICAS, description="never fewer; 0: may scale to zero")
    maxReplicas: Whole = Field(default=10, ge=1, le=MOST_REPLICAS, description="never more")
    target: Target | None = Field(default=None, description="default: as many as the promise needs")
    behavior: Behavior = Field(default=Behavior(), description="how fast it may go; names and meaning of the HPA")
    scaleToZeroAfterSeconds: Seconds = Field(
        default=300.0, le=30 * 86400, description="with `minReplicas: 0`: idle time before the last replica goes"
    )
    schedules: tuple[Schedule, ...] = Field(default=(), description="windows with other bounds")
    forecast: Literal["auto", "preview", "off"] = Field(
        default="auto",
        description="`auto` opens capacity ahead of a learnt peak, `preview` only records what it would do",
    )

    @model_validator(mode="after")
    def _bounds(self) -> Scaling:
        if self.maxReplicas < self.minReplicas:
            raise fault(_below("maxReplicas", self.maxReplicas, "minReplicas", self.minReplicas), "maxReplicas")
        for i, window in enumerate(self.schedules):
            if window.minReplicas is not None and window.maxReplicas is None and window.minReplicas > self.maxReplicas:
                sentence = f"{window.minReplicas} is above scaling.maxReplicas: {self.maxReplicas}"
                raise fault(f"{sentence}. Lower it, or raise maxReplicas here or there", "schedules", i, "minReplicas")
            if window.maxReplicas is not None and window.minReplicas is None and window.maxReplicas < self.minReplicas:
                sentence = f"{window.maxReplicas} is below scaling.minReplicas: {self.minReplicas}"
                raise fault(f"{sentence}. Raise it, or lower minReplicas here or there", "schedules", i, "maxReplicas")
        return self


def _below(high: str, high_value: int, low: str, low_value: int) -> str:
    return f"{high_value} is below {low}: {low_value}. Raise {high} or lower {low}"
