"""`kind: MediaService`: what a team declares."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tidegate.base.units import Bytes, Ratio, Seconds
from tidegate.spec.common import API_VERSION, NAME_PATTERN, Metadata, Resources, Strict
from tidegate.spec.probes import Probes, Python
from tidegate.spec.scaling import Scaling


class Promise(Strict):
    """What callers may count on: `success` of the requests answered within `within`."""

    within: Seconds = Field(default=10.0, gt=0)
    success: Ratio = Field(default=0.999, gt=0, lt=1)


class Route(Strict):
    """Which requests are for this service: by host name, by path prefix, or both; the longest prefix wins.

    `stripPrefix` takes the prefix off before the replica sees the path.
    """

    hosts: tuple[str, ...] = ()
    pathPrefix: str = Field(default="", pattern=r"^(/[^\s?#]*)?$")
    stripPrefix: bool = True


class Range(Strict):
    """A closed range; one end may be open."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _some_end(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("needs min, max or both")
        if self.min is not None and self.max is not None and self.max < self.min:
            raise ValueError(f"max: {self.max} is below min: {self.min}")
        return self


class Match(Strict):
    """Which requests a pool takes; all given conditions must hold. `aggregate` says how several media count."""

    pixels: Range | None = None
    bytes: Range | None = None
    seconds: Range | None = None
    frames: Range | None = None
    type: tuple[str, ...] = ()
    header: dict[str, str] = {}
    aggregate: Literal["max", "sum"] = "max"


class Overflow(Strict):
    """How a pool may use other clusters when its first one is full."""

    afterSeconds: Seconds = 5.0


class Spread(Strict):
    """At least `minClusters` clusters, at most `maxShare` of the replicas in one."""

    minClusters: int = Field(default=1, ge=1)
    maxShare: Ratio = Field(default=1.0, gt=0)


class Placement(Strict):
    """Where replicas may run: clusters in order of preference (empty: all), spread, latency class."""

    clusters: tuple[str, ...] = ()
    latencyClass: Literal["interactive", "batch"] = "interactive"
    spread: Spread = Spread()
    overflow: Overflow = Overflow()


class RollbackOn(Strict):
    """When a rollout goes back by itself: success below a share, p95 above a multiple of the old revision's."""

    success: str = "<99.9%"
    p95: str = ">1.5x"


class Rollout(Strict):
    """How a new revision replaces the old one; names are those of a Kubernetes Deployment where it has them."""

    strategy: Literal["rolling", "canary", "blueGreen"] = "rolling"
    batch: Ratio = Field(default=0.25, gt=0)
    maxSurge: Ratio = 0.25
    maxUnavailable: Ratio = 0.0
    verify: Python | None = None
    watchSeconds: Seconds = 5.0
    progressDeadlineSeconds: Seconds = 600.0
    rollbackOn: RollbackOn = RollbackOn()

    @model_validator(mode="before")
    @classmethod
    def _short_verify(cls, data: object) -> object:
        if isinstance(data, dict) and isinstance(data.get("verify"), dict) and "python" in data["verify"]:
            return data | {"verify": {"script": data["verify"]["python"]}}
        return data


class Queue(Strict):
    """The queue at the gateway: how many requests may wait (per slot), and how long (default: the promise)."""

    maxLengthPerSlot: int = Field(default=64, ge=1)
    maxWaitSeconds: Seconds | None = Field(default=None, gt=0)
    startWaitSeconds: Seconds = Field(default=60.0, gt=0, description="longest wait for a first replica")


class Pool(Strict):
    """A size class of a service; what it leaves out it takes from the service."""

    name: str = Field(pattern=NAME_PATTERN)
    match: Match = Match()
    resources: Resources | None = None
    concurrency: int | None = Field(default=None, ge=1)
    promise: Promise | None = None
    scaling: Scaling | None = None
    placement: Placement | None = None
    env: dict[str, str] = {}
    fallback: str | None = None


class MediaServiceSpec(Strict):
    """`spec:` of a MediaService; see docs/manifest.md for every field."""

    command: tuple[str, ...] = ()
    image: str | None = None
    workingDir: str | None = None
    env: dict[str, str] = {}
    port: int | None = Field(default=None, ge=1, le=65535)
    concurrency: int = Field(default=1, ge=1)
    resources: Resources = Resources()
    promise: Promise = Promise()
    probes: Probes = Probes()
    route: Route = Route()
    pools: tuple[Pool, ...] = ()
    scaling: Scaling = Scaling()
    placement: Placement = Placement()
    rollout: Rollout = Rollout()
    queue: Queue = Queue()
    idempotent: bool = True
    uses: tuple[str, ...] = ()
    maxBodyBytes: Bytes = Field(default=16 * 2**20, gt=0)
    requestTimeoutSeconds: Seconds = Field(default=300.0, gt=0)
    terminationGracePeriodSeconds: Seconds = Field(default=30.0, ge=0)
    preStop: tuple[str, ...] = ()


class MediaService(Strict):
    """A service manifest."""

    apiVersion: Literal["tidegate.dev/v1"] = API_VERSION
    kind: Literal["MediaService"] = "MediaService"
    metadata: Metadata
    spec: MediaServiceSpec

    @property
    def name(self) -> str:
        return self.metadata.name
