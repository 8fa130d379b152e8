"""`kind: MediaService`: what a team declares."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from tidegate.base.units import Bytes, Ratio, Seconds
from tidegate.base.wording import shown
from tidegate.spec.access import Access
from tidegate.spec.by_url import MediaByUrl
from tidegate.spec.common import (
    API_VERSION,
    LARGEST_SCRIPT,
    DirectoryPath,
    Env,
    Flag,
    Metadata,
    Name,
    Port,
    Resources,
    Strict,
    Whole,
    Word,
    fault,
)
from tidegate.spec.placement import Placement
from tidegate.spec.probes import Probes
from tidegate.spec.requests import Accepts, Match, Route
from tidegate.spec.rollout import Rollout
from tidegate.spec.scaling import Scaling
from tidegate.spec.tls import ReplicaTls

# HAProxy keeps its timers in 32-bit milliseconds (24.8 days); a day is far beyond any request and well inside.
LONGEST_REQUEST_S = 86400.0


class Promise(Strict):
    """What callers may count on: `success` of the requests answered within `within`."""

    within: Seconds = Field(default=10.0, gt=0, le=LONGEST_REQUEST_S, description="longest answer time, wait included")
    success: Ratio = Field(default=0.999, gt=0, lt=1, description="share of requests that keep it: `99.95%`")


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
    scripts: dict[str, Annotated[str, StringConstraints(max_length=LARGEST_SCRIPT)]] = Field(
        default={},
        description="not written by you: the text of the Python scripts of probes and `verify` by path, filled in from "
        "the files when they are read; it is part of the revision",
    )

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
