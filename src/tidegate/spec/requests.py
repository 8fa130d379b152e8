"""Which requests a service takes and how they are told apart: routes, conditions of pools, limits of media."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from tidegate.base.units import Bytes, Seconds
from tidegate.spec.common import Flag, NotNegative, Strict, Whole, fault

HOST_PATTERN = r"^(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62}))*$"
HEADER_PATTERN = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
SCREENED_KINDS = ("image", "audio", "video")
MEDIA_TYPE_PATTERN = r"^[A-Za-z0-9!#$&^_.+-]+/([A-Za-z0-9!#$&^_.+-]+|\*)$"
Host = Annotated[str, StringConstraints(pattern=HOST_PATTERN, max_length=253, to_lower=True)]
HeaderName = Annotated[str, StringConstraints(pattern=HEADER_PATTERN)]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[^\r\n]*$")]
MediaType = Annotated[str, StringConstraints(pattern=MEDIA_TYPE_PATTERN)]
MediaSubtype = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+$")]
# No backslash, quote, space, query or fragment: the prefix goes into the proxy's configuration as it is.
PathPrefix = Annotated[
    str,
    StringConstraints(pattern=r"^(/[A-Za-z0-9._~!$&()*+,;=:@%/-]*)?$", max_length=256),
    AfterValidator(lambda path: path if path in ("", "/") else path.rstrip("/") or "/"),
]


class Route(Strict):
    """Which requests are for this service: by host name, by path prefix, or both; the longest prefix wins.

    With neither, the prefix is `/` and the service's name. A prefix matches whole path segments: `/ocr` takes `/ocr`
    and `/ocr/page`, not `/ocrs`.
    """

    hosts: tuple[Host, ...] = Field(default=(), description="host names; `*.example.org` takes every name below it")
    pathPrefix: PathPrefix = Field(default="", description="`/ocr`; `/` takes every path")
    stripPrefix: Flag = Field(default=True, description="the replica sees the path without the prefix")


class Range(Strict):
    """A closed range; one end may be open."""

    min: NotNegative | None = Field(default=None, description="at least")
    max: NotNegative | None = Field(default=None, description="at most")

    @model_validator(mode="after")
    def _some_end(self) -> Range:
        if self.min is None and self.max is None:
            raise fault("needs min, max or both")
        if self.min is not None and self.max is not None and self.max < self.min:
            raise fault(f"{self.max:g} is below min: {self.min:g}. Raise max or lower min", "max")
        return self


class ByteRange(Range):
    """A closed range of bytes; one end may be open."""

    min: Bytes | None = Field(default=None, description="at least: `5M`")
    max: Bytes | None = Field(default=None, description="at most")


class SecondsRange(Range):
    """A closed range of durations; one end may be open."""

    min: Seconds | None = Field(default=None, description="at least: `30s`")
    max: Seconds | None = Field(default=None, description="at most")


class Match(Strict):
    """Which requests a pool takes; all given conditions must hold. `aggregate` says how several media count."""

    pixels: Range | None = Field(default=None, description="width times height of an image or a frame")
    bytes: ByteRange | None = Field(default=None, description="size of the body")
    seconds: SecondsRange | None = Field(default=None, description="length of sound or film")
    frames: Range | None = Field(default=None, description="frames of an animation or film")
    type: tuple[MediaType, ...] = Field(default=(), description="media types: `image/png`, `video/*`")
    header: dict[HeaderName, HeaderValue] = Field(default={}, description="request headers and their exact values")
    aggregate: Literal["max", "sum"] = Field(
        default="max", description="of several media in one request the largest or their sum counts"
    )

    @property
    def reads_media(self) -> bool:
        """True when the media of a request have to be read to tell whether it holds."""
        kinds = {t.partition("/")[0] for t in self.type}
        return bool(self.pixels or self.seconds or self.frames or kinds & set(SCREENED_KINDS))

    @property
    def empty(self) -> bool:
        """True when it has no condition, so that it would take every request."""
        return self == Match(aggregate=self.aggregate)


class Accepts(Strict):
    """What media the service takes; others are refused by the gateway before a replica is bothered.

    Of one medium, unless the name says total. A service that says nothing here and whose pools are not chosen by media
    gets its requests unread.
    """

    pixels: Whole | None = Field(default=None, ge=1, description="width times height, at most")
    side: Whole | None = Field(default=None, ge=1, description="longer edge in pixels, at most")
    frames: Whole | None = Field(default=None, ge=1, description="frames of an animation or film, at most")
    seconds: Seconds | None = Field(default=None, gt=0, description="length of sound or film, at most")
    count: Whole | None = Field(default=None, ge=1, description="media in one request, at most")
    totalPixels: Whole | None = Field(default=None, ge=1, description="pixels of all media of a request, at most")
    totalSeconds: Seconds | None = Field(default=None, gt=0, description="length of all media of a request, at most")
    kinds: tuple[Literal["image", "audio", "video"], ...] = Field(default=(), description="empty: any")
    types: tuple[MediaSubtype, ...] = Field(default=(), description="formats: `jpeg`, `png`, `wav`; empty: any")
    required: Flag = Field(default=False, description="a request without any medium is refused")
