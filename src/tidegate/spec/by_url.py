"""`mediaByUrl:` of a service: requests that name their media instead of carrying them."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from tidegate.base.units import Bytes, Seconds
from tidegate.base.wording import shown
from tidegate.spec.common import Flag, Port, Strict, Whole, fault

_HOST = r"^(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62}))*$"
_MOST_BYTES = 16 * 2**20  # that the proxy holds of a request's media at a time
_KEY = r"^[A-Za-z0-9_.$-]{1,64}$"


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError(f"got {shown(text)}, expected a network: `10.1.0.0/16`, `fd00:1::/48`") from None


Network = Annotated[str, AfterValidator(_network)]
HostPattern = Annotated[str, StringConstraints(pattern=_HOST, max_length=253, to_lower=True)]


class MediaByUrl(Strict):
    """Fields of JSON bodies that hold URLs of media: the first bytes are fetched and screened as if they were the body.

    Only `http` and `https`, and only public addresses, unless `networks` says otherwise.
    """

    fields: tuple[Annotated[str, StringConstraints(pattern=_KEY)], ...] = Field(
        min_length=1, description="keys, at any depth; every URL below such a key counts: `[image_url]`"
    )
    hosts: tuple[HostPattern, ...] = Field(default=(), description="only these: `*.example.org`; empty: any")
    networks: tuple[Network, ...] = Field(
        default=(), description="networks of yours that may be reached although they are not public: `10.1.0.0/16`"
    )
    ports: tuple[Port, ...] = Field(default=(80, 443), min_length=1, description="ports that may be reached")
    required: Flag = Field(default=False, description="a JSON body without such a URL is refused")
    redirects: Whole = Field(default=3, ge=0, le=10, description="followed at most, each checked like the first URL")
    headBytes: Bytes = Field(default=256 * 1024, ge=1024, le=4 * 2**20, description="fetched of each medium")
    maxBytes: Bytes = Field(default=64 * 2**20, gt=0, le=2**40, description="a larger medium is refused")
    maxUrls: Whole = Field(default=8, ge=1, le=64, description="in one request; more are refused")
    timeoutSeconds: Seconds = Field(default=3.0, gt=0, le=30, description="for all media of a request, redirects too")
    atOnce: Whole = Field(default=32, ge=1, le=1000, description="media fetched at a time; more are told 503 at once")

    @model_validator(mode="after")
    def _fits_in_memory(self) -> MediaByUrl:
        if self.headBytes * self.maxUrls > _MOST_BYTES:
            sentence = f"{self.headBytes} bytes of each of {self.maxUrls} media are more than 16 MiB a request"
            raise fault(f"{sentence}. Lower headBytes or maxUrls", "headBytes")
        return self
