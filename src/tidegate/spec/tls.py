"""`tls:` of a service: how the gateway and the probes speak to its replicas."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from tidegate.spec.common import FilePath, Flag, Strict, fault

HOST_NAME = r"^[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62}))*$"


class ReplicaTls(Strict):
    """The replicas of this service speak TLS: the gateway and the HTTP probes do so with them, fixed hosts included.

    `tls: {}` trusts the authorities of the system. With `certificate` the replicas can tell that it is the gateway.
    """

    ca: FilePath | None = Field(default=None, description="PEM authorities of the replicas; default: the system's")
    certificate: FilePath | None = Field(default=None, description="PEM certificate shown to the replicas")
    key: FilePath | None = Field(default=None, description="PEM key of `certificate`; default: it is in the same file")
    serverName: Annotated[str, StringConstraints(pattern=HOST_NAME, max_length=253, to_lower=True)] | None = Field(
        default=None, description="asked for, and must be in the replica's certificate; default: any name will do"
    )
    verify: Flag = Field(default=True, description="`false`: whoever answers is believed to be the replica")

    @model_validator(mode="after")
    def _nothing_in_vain(self) -> ReplicaTls:
        if self.key is not None and self.certificate is None:
            raise fault("belongs to a certificate. Add certificate or take it out", "key")
        if not self.verify and self.ca is not None:
            raise fault("has no effect with verify: false. Take one of them out", "ca")
        return self
