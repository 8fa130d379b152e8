"""`kind: Tenant`: who uses services, and how much of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from tidegate.base.units import Bytes, Seconds
from tidegate.spec.access import Priority
from tidegate.spec.common import API_VERSION, NAME_PATTERN, Metadata, Number, Strict, Whole, fault
from tidegate.spec.scaling import TimeZone

GRANT_PATTERN = rf"^\*$|{NAME_PATTERN}"
# A bucket that takes longer to fill could not be told from one that is long forgotten (see gateway.access).
LONGEST_REFILL_S = 600.0

Grant = Annotated[str, StringConstraints(pattern=GRANT_PATTERN)]


class Rate(Strict):
    """A bucket of `burst` requests that fills at `requestsPerSecond`; a request that finds it empty is refused."""

    requestsPerSecond: Number = Field(gt=0, le=100_000, description="in the long run")
    burst: Whole | None = Field(
        default=None, ge=1, le=1_000_000, description="at once after a pause; default: those of one second, at least 1"
    )

    @property
    def depth(self) -> int:
        """Requests that a full bucket holds."""
        return self.burst or max(1, round(self.requestsPerSecond))

    @model_validator(mode="after")
    def _fills_in_time(self) -> Rate:
        refill_s = self.depth / self.requestsPerSecond
        if refill_s > LONGEST_REFILL_S:
            most = max(1, int(LONGEST_REFILL_S * self.requestsPerSecond))
            text = f"{self.depth} at {self.requestsPerSecond:g} a second take {refill_s:g} s to fill, 600 s at most"
            raise fault(f"{text}. Set burst to {most} or less, or use a quota per day", "burst")
        return self


class Quota(Strict):
    """What a tenant may use per day; at midnight of `timeZone` it begins anew."""

    requestsPerDay: Whole | None = Field(default=None, ge=0, description="requests that a replica worked on")
    bytesPerDay: Bytes | None = Field(default=None, ge=0, description="bytes sent by the tenant, headers included")
    megapixelsPerDay: Number | None = Field(
        default=None,
        ge=0,
        description="megapixels of the media in them; what cannot be read counts by its bytes",
    )
    mediaSecondsPerDay: Seconds | None = Field(
        default=None, ge=0, description="seconds of the sound and film in them, counted in the same way"
    )
    timeZone: TimeZone = Field(default="UTC", description="whose midnight ends the day: an IANA name")


class TenantSpec(Strict):
    """`spec:` of a Tenant."""

    services: tuple[Grant, ...] = Field(description="services it may use; `*`: all")
    rate: Rate | None = Field(default=None, description="requests per second over all its services; default: no limit")
    concurrency: Whole | None = Field(
        default=None, ge=1, le=100_000, description="requests in progress, waiting ones included; default: no limit"
    )
    quota: Quota = Field(default=Quota(), description="what it may use per day; default: no limit")
    priority: Priority = Field(default="normal", description="who is served first when requests wait")
    weight: Whole = Field(default=1, ge=1, le=100, description="its share against other tenants when requests wait")


class Tenant(Strict):
    """A tenant: who may use which services, how fast, how much, and how urgently."""

    apiVersion: Literal["tidegate.dev/v1"] = Field(default=API_VERSION, description="`tidegate.dev/v1`")
    kind: Literal["Tenant"] = Field(default="Tenant", description="`Tenant`")
    metadata: Metadata = Field(description="its name")
    spec: TenantSpec = Field(description="what it may do")

    @property
    def name(self) -> str:
        return self.metadata.name
