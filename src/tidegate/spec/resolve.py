"""From what is written to what each pool is: service and pool merged, revision named.

A revision is the content hash of what defines a running replica (command, image, env, directory, port, resources,
concurrency, probes, the scripts of probes and verify); scaling, placement and routing are not part of it, so changing
them starts no rollout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic_core import core_schema

from tidegate.spec.cluster import Cluster
from tidegate.spec.common import Resources
from tidegate.spec.placement import Placement
from tidegate.spec.requests import Match
from tidegate.spec.scaling import Scaling
from tidegate.spec.service import MediaService, MediaServiceSpec, Pool, Promise
from tidegate.spec.tenant import Tenant

DEFAULT_POOL = "default"


class PoolKey(NamedTuple):
    """Names a pool: one size class of a service. A tuple, since it is looked up dozens of times a tick and pool."""

    service: str
    pool: str = DEFAULT_POOL

    def __str__(self) -> str:
        return f"{self.service}/{self.pool}"

    @staticmethod
    def parse(value: object) -> PoolKey:
        """Read "service/pool"; a key stays what it is.

        Raises:
            ValueError: it is neither.
        """
        if isinstance(value, PoolKey):
            return value
        service, slash, pool = value.partition("/") if isinstance(value, str) else ("", "", "")
        if not (service and slash and pool):
            raise ValueError(f'got {value!r}, expected "service/pool"')
        return PoolKey(service, pool)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> core_schema.CoreSchema:
        """In JSON a key is "service/pool", so that it can be the key of a mapping."""
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """One pool with everything it inherits from its service.

    `match` is None for the default pool (it takes what no other pool takes). `service` keeps the whole spec for what
    is not size-dependent: probes, queue, route, rollout, grace.
    """

    key: PoolKey
    revision: str
    concurrency: int
    resources: Resources
    promise: Promise
    scaling: Scaling
    placement: Placement
    env: dict[str, str]
    match: Match | None
    fallback: str | None
    service: MediaServiceSpec


@dataclass(frozen=True, slots=True)
class Specs:
    """All that has been declared; what `policy.tick` is told to bring about.

    `kept` is no part of it: what a caller worked out of these manifests and may need again, thrown away with them.
    """

    services: tuple[MediaService, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    pools: tuple[PoolSpec, ...] = field(default=())
    tenants: tuple[Tenant, ...] = ()
    kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @staticmethod
    def of(services: Iterable[MediaService], clusters: Iterable[Cluster], tenants: Iterable[Tenant] = ()) -> Specs:
        """Resolve every pool; all are sorted by name, the pools of a service in match order, the default one last."""
        ordered = tuple(sorted(services, key=lambda s: s.name))
        pools = tuple(pool for service in ordered for pool in pools_of(service))
        by_name = tuple(sorted(clusters, key=lambda c: c.name))
        return Specs(ordered, by_name, pools, tuple(sorted(tenants, key=lambda t: t.name)))


def pools_of(service: MediaService) -> tuple[PoolSpec, ...]:
    """The pools of a service in the order they are tried; the default pool is always there and last."""
    spec = service.spec
    named = {p.name: p for p in spec.pools}
    default = named.pop(DEFAULT_POOL, Pool(name=DEFAULT_POOL))
    return tuple(_resolve(service, p) for p in (*named.values(), default))


def _resolve(service: MediaService, pool: Pool) -> PoolSpec:
    spec = service.spec
    return PoolSpec(
        key=PoolKey(service.name, pool.name),
        revision=_revision(service, pool),
        concurrency=pool.concurrency or spec.concurrency,
        resources=pool.resources or spec.resources,
        promise=pool.promise or spec.promise,
        scaling=pool.scaling or spec.scaling,
        placement=pool.placement or spec.placement,
        env=spec.env | pool.env,
        match=None if pool.name == DEFAULT_POOL else pool.match,
        fallback=pool.fallback,
        service=spec,
    )


def _revision(service: MediaService, pool: Pool) -> str:
    spec = service.spec
    return _hash(
        spec.model_dump_json(include={"command", "image", "workingDir", "port", "probes", "preStop"}),
        repr(sorted((spec.env | pool.env).items())),
        (pool.resources or spec.resources).model_dump_json(),
        str(pool.concurrency or spec.concurrency),
        *_tests(spec),
    )


def _tests(spec: MediaServiceSpec) -> list[str]:
    """What probes and verify run: a revision is tested by what it was applied with, as long as it lives."""
    texts = [f"{path} {hashlib.blake2b(text.encode()).hexdigest()}" for path, text in sorted(spec.scripts.items())]
    return [*texts, spec.rollout.verify.model_dump_json()] if texts and spec.rollout.verify else texts


@lru_cache(maxsize=4096)
def _hash(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=4).hexdigest()
