"""`kind: MediaService`: what a team declares."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from tidegate.base.units import Bytes, CountOrRatio, Ratio, Seconds, count_of
from tidegate.base.wording import shown
from tidegate.spec.access import Access
from tidegate.spec.by_url import MediaByUrl
from tidegate.spec.common import (
    API_VERSION,
    DirectoryPath,
    Env,
    Flag,
    Metadata,
    Name,
    Number,
    Port,
    Resources,
    Strict,
    Whole,
    Word,
    fault,
)
from tidegate.spec.probes import Probes, Python
from tidegate.spec.scaling import Scaling
from tidegate.spec.tls import ReplicaTls

# HAProxy keeps its timers in 32-bit milliseconds (24.8 days); a day is far beyond any request and well inside.
LONGEST_REQUEST_S = 86400.0
HOST_PATTERN = r"^(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62}))*$"
HEADER_PATTERN = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
SCREENED_KINDS = ("image", "audio", "video")
MEDIA_TYPE_PATTERN = r"^[A-Za-z0-9!#$&^_.+-]+/([A-Za-z0-9!#$&^_.+-]+|\*)$"

Host = Annotated[str, StringConstraints(pattern=HOST_PATTERN, max_length=253, to_lower=True)]
HeaderName = Annotated[str, StringConstraints(pattern=HEADER_PATTERN)]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[^\r\n]*$")]
MediaType = Annotated[str, StringConstraints(pattern=MEDIA_TYPE_PATTERN)]
MediaSubtype = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+$")]
NotNegative = Annotated[Number, Field(ge=0)]
# No backslash, quote, space, query or fragment: the prefix goes into the proxy's configuration as it is.
PathPrefix = Annotated[
    str,
    StringConstraints(pattern=r"^(/[A-Za-z0-9._~!$&()*+,;=:@%/-]*)?$", max_length=256),
    AfterValidator(lambda path: path if path in ("", "/") else path.rstrip("/") or "/"),
]


class Promise(Strict):
    """What callers may count on: `success` of the requests answered within `within`."""

    within: Seconds = Field(default=10.0, gt=0, le=LONGEST_REQUEST_S, description="longest answer time, wait included")
    success: Ratio = Field(default=0.999, gt=0, lt=1, description="share of requests that keep it: `99.95%`")


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


class Overflow(Strict):
    """How a pool may use other clusters when its first one is full."""

    afterSeconds: Seconds = Field(default=5.0, le=86400, description="how long replicas stay pending before they move")


class Spread(Strict):
    """Protection against the loss of a cluster."""

    minClusters: Whole = Field(default=1, ge=1, le=1000, description="at least this many clusters")
    maxShare: Ratio = Field(default=1.0, gt=0, description="at most this share of the replicas in one cluster")


class Placement(Strict):
    """Where replicas may run."""

    clusters: tuple[Name, ...] = Field(default=(), description="in order of preference; empty: all clusters")
    latencyClass: Literal["interactive", "batch"] = Field(
        default="interactive", description="`batch` leaves a full cluster first and goes farthest"
    )
    spread: Spread = Field(default=Spread(), description="protection against the loss of a cluster")
    overflow: Overflow = Field(default=Overflow(), description="when to use the next cluster")
    clusterSelector: dict[str, str] = Field(default={}, description="labels a cluster must have")
    tolerations: tuple[str, ...] = Field(default=(), description="taints of clusters this service may use all the same")
    users: dict[str, NotNegative] = Field(
        default={}, description="by region: share of the callers there; default: all where the gateway is"
    )

    @model_validator(mode="after")
    def _each_once(self) -> Placement:
        for i, name in enumerate(self.clusters):
            if name in self.clusters[:i]:
                raise fault(f"{shown(name)} stands here twice. Take one out", "clusters", i)
        if self.clusters and self.spread.minClusters > len(self.clusters):
            sentence = f"{self.spread.minClusters} is above the number of clusters named: {len(self.clusters)}"
            raise fault(f"{sentence}. Name more clusters or lower minClusters", "spread", "minClusters")
        return self


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


class Queue(Strict):
    """The queue at the gateway: how many requests may wait, and how long."""

    maxLengthPerSlot: Whole = Field(default=64, ge=1, le=100_000, description="requests that may wait, per slot")
    maxWaitSeconds: Seconds | None = Field(
        default=None, gt=0, le=LONGEST_REQUEST_S, description="longest wait; default: `promise.within`"
    )
    startWaitSeconds: Seconds = Field(
        default=60.0, gt=0, le=LONGEST_REQUEST_S, description="longest wait for a first replica"
    )


class Pool(Strict):
    """A size class of a service; what it leaves out it takes from the service."""

    name: Name = Field(description="`default` is the pool of all requests that no other pool takes")
    match: Match = Field(default=Match(), description="which requests it takes; the first pool that matches wins")
    resources: Resources | None = Field(default=None, description="per replica")
    concurrency: Whole | None = Field(default=None, ge=1, le=10_000, description="slots of each replica")
    promise: Promise | None = Field(default=None, description="what callers of this pool may count on")
    scaling: Scaling | None = Field(default=None, description="its own bounds")
    placement: Placement | None = Field(default=None, description="its own clusters")
    env: Env = Field(default={}, description="added to the service's variables")
    fallback: Name | None = Field(default=None, description="a bigger pool that helps when this one has no capacity")

    @model_validator(mode="after")
    def _match_and_default(self) -> Pool:
        if self.name == "default" and not self.match.empty:
            raise fault("belongs to other pools; default takes what no other pool takes. Take it out", "match")
        if self.name != "default" and self.match.empty:
            sentence = "has no condition, so it would take every request"
            raise fault(f"{sentence}. Add one, such as pixels: {{min: 8000000}}", "match")
        return self


class MediaServiceSpec(Strict):
    """`spec:` of a MediaService."""

    command: tuple[Word, ...] = Field(default=(), description="program and arguments; no shell. Needed on this machine")
    image: Word | None = Field(default=None, description="container image. Needed in Kubernetes")
    workingDir: DirectoryPath | None = Field(
        default=None, description="directory it runs in, relative to the manifest; default: the manifest's directory"
    )
    env: Env = Field(default={}, description="environment variables; `PORT` and `HOST` are set by Tidegate")
    port: Port | None = Field(default=None, description="port it listens on; default: a free one, given as `$PORT`")
    concurrency: Whole = Field(default=1, ge=1, le=10_000, description="requests one replica works on at a time")
    resources: Resources = Field(default=Resources(), description="per replica")
    promise: Promise = Field(default=Promise(), description="what callers may count on; decides how many replicas run")
    probes: Probes = Field(default=Probes(), description="how a replica is asked how it is")
    route: Route = Field(default=Route(), description="which requests are for it; default: path prefix `/NAME`")
    pools: tuple[Pool, ...] = Field(default=(), description="size classes with resources and scaling of their own")
    scaling: Scaling = Field(default=Scaling(), description="how many replicas")
    placement: Placement = Field(default=Placement(), description="where they run")
    rollout: Rollout = Field(default=Rollout(), description="how a new revision replaces the old one")
    queue: Queue = Field(default=Queue(), description="the queue at the gateway")
    accepts: Accepts = Field(default=Accepts(), description="what media it takes; the gateway refuses others")
    access: Access | None = Field(default=None, description="who may use it; default: everybody who can reach it")
    mediaByUrl: MediaByUrl | None = Field(
        default=None, description="media named by URL in JSON are fetched in part and screened; default: not looked at"
    )
    tls: ReplicaTls | None = Field(default=None, description="its replicas speak TLS; default: plain HTTP")
    idempotent: Flag = Field(default=True, description="a request may be sent again to another replica if one dies")
    uses: tuple[Name, ...] = Field(default=(), description="services it calls through the gateway")
    maxBodyBytes: Bytes = Field(default=16 * 2**20, gt=0, le=2**31 - 1, description="larger requests are refused")
    requestTimeoutSeconds: Seconds = Field(
        default=300.0, gt=0, le=LONGEST_REQUEST_S, description="longest time a replica may work on one request"
    )
    terminationGracePeriodSeconds: Seconds = Field(
        default=30.0, ge=0, le=LONGEST_REQUEST_S, description="time a replica has to end after it was told to stop"
    )
    preStop: tuple[Word, ...] = Field(default=(), description="command run before a replica is told to stop")

    @property
    def reads_media(self) -> bool:
        """True when the gateway reads the media of its requests."""
        by_pool = any(pool.match.reads_media for pool in self.pools)
        return by_pool or self.accepts != Accepts() or self.mediaByUrl is not None

    @model_validator(mode="after")
    def _pool_names_and_fallbacks(self) -> MediaServiceSpec:
        by_name = {pool.name: pool for pool in reversed(self.pools)}
        for i, pool in enumerate(self.pools):
            if by_name[pool.name] is not pool:
                raise fault(f"{shown(pool.name)} names two pools. Rename one of them", "pools", i, "name")
            if pool.fallback is not None:
                self._check_fallback(i, pool, by_name)
        return self

    def _check_fallback(self, i: int, pool: Pool, by_name: dict[str, Pool]) -> None:
        """A fallback exists and is bigger: it has at least as much of everything and more of something."""
        other = by_name.get(pool.fallback or "")
        if other is None and pool.fallback != "default":
            names = ", ".join(sorted({*by_name, "default"} - {pool.name}))
            raise fault(f"got {shown(pool.fallback)}, expected one of: {names}", "pools", i, "fallback")
        own = (pool.resources or self.resources).amounts()
        theirs = ((other.resources if other else None) or self.resources).amounts()
        smaller = [name for name in own if theirs.get(name, 0) < own[name]]
        if smaller or theirs == own:
            what = f"has less {smaller[0]}" if smaller else "is no bigger"
            sentence = f"{shown(pool.fallback)} {what} than {shown(pool.name)}, so it could not take its requests"
            raise fault(f"{sentence}. Name a bigger pool", "pools", i, "fallback")


class MediaService(Strict):
    """A service: what runs, how much of it, where, and what callers may count on."""

    apiVersion: Literal["tidegate.dev/v1"] = Field(default=API_VERSION, description="`tidegate.dev/v1`")
    kind: Literal["MediaService"] = Field(default="MediaService", description="`MediaService`")
    metadata: Metadata = Field(description="its name")
    spec: MediaServiceSpec = Field(description="what it is")

    @model_validator(mode="after")
    def _route_by_name(self) -> MediaService:
        """A service with neither hosts nor a prefix is found under `/NAME`; nobody who reads the route need know."""
        route = self.spec.route
        if not route.hosts and not route.pathPrefix:
            named = route.model_copy(update={"pathPrefix": f"/{self.metadata.name}"})
            # The model is not handed out yet: this is still its construction, which frozen models have no hook for.
            self.__dict__["spec"] = self.spec.model_copy(update={"route": named})
        return self

    @property
    def name(self) -> str:
        return self.metadata.name
