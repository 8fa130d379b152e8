"""What must hold between manifests: names, references, routes, room. Pure: told what the machine has, never looks.

Each check yields findings; a finding with `warning` does not refuse the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tidegate.base.units import format_bytes, format_seconds
from tidegate.spec.cluster import Capacity, Cluster
from tidegate.spec.faults import FieldPath, meant
from tidegate.spec.requests import Route
from tidegate.spec.resolve import DEFAULT_POOL, PoolSpec, pools_of
from tidegate.spec.service import MediaService
from tidegate.spec.tenant import Tenant

Manifest = MediaService | Cluster | Tenant


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, or only worth a word, with one manifest."""

    manifest: Manifest
    path: FieldPath
    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """All manifests that are valid by themselves.

    `names` also holds those that were refused, so that a reference to one is not a second fault. `machine` is what a
    local cluster has of the resources its manifest leaves out. `partial`: there are more manifests that are not here.
    """

    services: tuple[MediaService, ...]
    clusters: tuple[Cluster, ...]
    names: frozenset[tuple[str, str]]
    machine: Capacity
    partial: bool = False
    tenants: tuple[Tenant, ...] = ()

    def known(self, kind: str) -> list[str]:
        return sorted(name for k, name in self.names if k == kind)


def find_all(world: World) -> list[Finding]:
    """Every finding of every check, each once."""
    found: dict[tuple[int, FieldPath, str], Finding] = {}
    for check in (c for c in CHECKS if not (world.partial and c in NEED_ALL)):
        for finding in check(world):
            found.setdefault((id(finding.manifest), finding.path, finding.text), finding)
    return list(found.values())


def duplicates(world: World) -> Iterator[Finding]:
    """Two manifests of one kind with the same name."""
    seen: set[tuple[str, str]] = set()
    manifests: tuple[Manifest, ...] = (*world.services, *world.clusters, *world.tenants)
    for manifest in manifests:
        if (manifest.kind, manifest.name) in seen:
            text = f'a second {manifest.kind} is named "{manifest.name}". Rename one of them'
            yield Finding(manifest, ("metadata", "name"), text)
        seen.add((manifest.kind, manifest.name))


def references(world: World) -> Iterator[Finding]:
    """Names of services, pools and clusters that do not exist."""
    clusters, services = world.known("Cluster"), world.known("MediaService")
    for service in world.services:
        for pool, place in _with_paths(service, "placement"):
            for i, name in enumerate(pool.placement.clusters):
                if name not in clusters:
                    yield Finding(service, (*place, "clusters", i), _no_such("Cluster", name, clusters))
        for i, name in enumerate(service.spec.uses):
            if name == service.name:
                yield Finding(service, ("spec", "uses", i), "a service cannot use itself. Take it out")
            elif name not in services:
                yield Finding(service, ("spec", "uses", i), _no_such("MediaService", name, services))
    pools = {s.name: [p.key.pool for p in pools_of(s)] for s in world.services}
    for cluster in world.clusters:
        for name in cluster.spec.quota:
            if name not in services:
                yield Finding(cluster, ("spec", "quota", name), _no_such("MediaService", name, services))
        for i, host in enumerate(cluster.spec.hosts):
            if host.service not in services:
                text = _no_such("MediaService", host.service, services)
                yield Finding(cluster, ("spec", "hosts", i, "service"), text)
            elif host.service in pools and host.pool not in pools[host.service]:
                text = _no_such(f"pool of {host.service}", host.pool, pools[host.service])
                yield Finding(cluster, ("spec", "hosts", i, "pool"), text)


def routes(world: World) -> Iterator[Finding]:
    """Two services that claim the same requests: the same prefix under the same host, or under any host."""
    owners: dict[tuple[str, str], str] = {}
    for service in world.services:
        route = service.spec.route
        for host in route.hosts or ("",):
            owner = owners.setdefault((host, _prefix(route)), service.name)
            if owner != service.name:
                where = f"{host}{_prefix(route) or '/'}"
                text = f"{where} already belongs to the service {owner}. Give one of them another prefix or host"
                yield Finding(service, ("spec", "route"), text)


def runnable(world: World) -> Iterator[Finding]:
    """A command for this machine, an image for Kubernetes, hosts in a static cluster."""
    for service in world.services:
        for pool, place in _with_paths(service, "placement"):
            clusters = _allowed(pool, world.clusters)
            needs = {c.spec.runtime: c.name for c in reversed(clusters)}
            if "local" in needs and not service.spec.command:
                text = f"is missing; the local cluster {needs['local']} runs commands. {_remedy('command', place)}"
                yield Finding(service, ("spec", "command"), text)
            if "kubernetes" in needs and not service.spec.image:
                text = (
                    f"is missing; the kubernetes cluster {needs['kubernetes']} runs images. {_remedy('image', place)}"
                )
                yield Finding(service, ("spec", "image"), text)
            yield from _static_homes(service, pool, place, world)


def _static_homes(service: MediaService, pool: PoolSpec, place: FieldPath, world: World) -> Iterator[Finding]:
    by_name = {c.name: c for c in world.clusters if c.spec.runtime == "static"}
    for i, name in enumerate(pool.placement.clusters):
        cluster = by_name.get(name)
        if cluster and not any((h.service, h.pool) == (service.name, pool.key.pool) for h in cluster.spec.hosts):
            text = f"the static cluster {name} has no host for {pool.key}. Add one to its hosts or take it out here"
            yield Finding(service, (*place, "clusters", i), text)


def room(world: World) -> Iterator[Finding]:
    """A replica that fits into no cluster it may go to; a minimum that does not fit into all of them."""
    for service in world.services:
        for pool, place in _with_paths(service, "resources", "placement", "scaling"):
            clusters = _allowed(pool, world.clusters)
            if not clusters or any(c.spec.runtime == "static" for c in clusters):
                continue
            lacks = [_lack(pool, cluster, world.machine) for cluster in clusters]
            if all(lacks):
                text = f"a replica fits into no cluster: {'; '.join(lacks)}. Ask for less or add a bigger cluster"
                yield Finding(service, place, text)
            elif not any(lacks):
                yield from _minimum(service, pool, clusters, world.machine)


def _minimum(
    service: MediaService, pool: PoolSpec, clusters: Iterable[Cluster], machine: Capacity
) -> Iterator[Finding]:
    limits = [_limits(pool, cluster, machine) for cluster in clusters]
    for name, amount in pool.resources.amounts().items():
        if amount and all(name in limit for limit in limits):
            fits = sum(int(limit[name] / amount + 1e-9) for limit in limits)
            if fits < pool.scaling.minReplicas:
                text = f"{pool.scaling.minReplicas} replicas of {pool.key} need more {name} than there is: {fits} fit"
                index = [i for i, p in enumerate(service.spec.pools) if p.name == pool.key.pool and p.scaling]
                own: FieldPath = ("spec", "pools", *index) if index else ("spec",)
                path = (*own, "scaling", "minReplicas")
                yield Finding(service, path, f"{text}. The others will stay pending", warning=True)


def promises(world: World) -> Iterator[Finding]:
    """Settings under which a promise cannot be kept, or a request is cut off by our own hand."""
    for service in world.services:
        spec = service.spec
        if spec.queue.maxWaitSeconds is not None and spec.queue.maxWaitSeconds > spec.promise.within:
            text = (
                f"{format_seconds(spec.queue.maxWaitSeconds)} is longer than promise.within: "
                f"{format_seconds(spec.promise.within)}; who waits that long is answered too late. Lower it"
            )
            yield Finding(service, ("spec", "queue", "maxWaitSeconds"), text, warning=True)
        if spec.promise.within > spec.requestTimeoutSeconds:
            text = (
                f"{format_seconds(spec.requestTimeoutSeconds)} is shorter than promise.within: "
                f"{format_seconds(spec.promise.within)}; requests are cut off while still in time. Raise it"
            )
            yield Finding(service, ("spec", "requestTimeoutSeconds"), text, warning=True)
        for pool, place in _with_paths(service, "scaling"):
            if pool.scaling.minReplicas == 0 and not pool.scaling.schedules and pool.promise.success > 0.9999:
                text = (
                    f"with 0 the first request after an idle time waits for a start; a promise of "
                    f"{pool.promise.success:.6g} leaves no room for that. Set it to 1"
                )
                yield Finding(service, (*place, "minReplicas"), text, warning=True)


def grants(world: World) -> Iterator[Finding]:
    """Tenants that are let into services that do not exist or let in everybody; services that let in nobody."""
    services, open_ones = world.known("MediaService"), {s.name for s in world.services if _is_open(s)}
    for tenant in world.tenants:
        for i, name in enumerate(tenant.spec.services):
            if name != "*" and name not in services:
                yield Finding(tenant, ("spec", "services", i), _no_such("MediaService", name, services))
            elif name in open_ones:
                text = f"{name} asks for no key, so this tenant's limits do not hold there. Give it access: {{}}"
                yield Finding(tenant, ("spec", "services", i), text, warning=True)
    granted = {name for tenant in world.tenants for name in tenant.spec.services}
    for service in world.services:
        access = service.spec.access
        if access is not None and access.keys == "required" and not granted & {"*", service.name}:
            text = "asks for a key, and no Tenant may use the service. Name it in the services of one"
            yield Finding(service, ("spec", "access"), text, warning=True)


def _is_open(service: MediaService) -> bool:
    access = service.spec.access
    return access is None or access.keys == "none"


Check = Callable[[World], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (duplicates, references, routes, runnable, room, promises, grants)
NEED_ALL = (references, runnable, room, grants)


def cluster_limits(cluster: Cluster, machine: Capacity) -> dict[str, float]:
    """What a cluster has per resource name; a resource that is not known is not in it.

    A local cluster has what the machine has where its manifest is silent, and no cards but those it names.
    """
    given = cluster.spec.capacity
    local = cluster.spec.runtime == "local"
    cpu = given.cpu or (machine.cpu if local else None)
    memory = given.memory or (machine.memory if local else None)
    limits = {"cpu": cpu, "memory": float(memory) if memory else None}
    limits |= {f"gpu/{kind}": float(cards) for kind, cards in given.gpu.items()}
    return {name: amount for name, amount in limits.items() if amount is not None}


def _limits(pool: PoolSpec, cluster: Cluster, machine: Capacity) -> dict[str, float]:
    """What one pool may take of a cluster: all of it, or its service's quota."""
    limits = cluster_limits(cluster, machine)
    if cluster.spec.runtime == "local" or cluster.spec.capacity.gpu:
        limits |= {name: 0.0 for name in pool.resources.amounts() if name not in limits}
    quota = cluster.spec.quota.get(pool.key.service)
    if quota is not None:
        given = {"cpu": quota.cpu, "memory": quota.memory} | {f"gpu/{k}": n for k, n in quota.gpu.items()}
        limits |= {n: min(float(a), limits.get(n, float(a))) for n, a in given.items() if a is not None}
    return limits


def _lack(pool: PoolSpec, cluster: Cluster, machine: Capacity) -> str:
    """Why a replica does not fit into a cluster; "" when it does."""
    limits = _limits(pool, cluster, machine)
    for name, amount in pool.resources.amounts().items():
        if amount > limits.get(name, amount):
            return f"{cluster.name} has {_amount(name, limits[name])} of {name}, it needs {_amount(name, amount)}"
    return ""


def _amount(name: str, amount: float) -> str:
    return format_bytes(int(amount)) if name == "memory" else f"{amount:g}"


def _allowed(pool: PoolSpec, clusters: Iterable[Cluster]) -> list[Cluster]:
    """The clusters a pool may go to; a static one only where it has a host for it."""
    key = (pool.key.service, pool.key.pool)
    usable = [
        c for c in clusters if c.spec.runtime != "static" or any((h.service, h.pool) == key for h in c.spec.hosts)
    ]
    return [c for c in usable if not pool.placement.clusters or c.name in pool.placement.clusters]


def _with_paths(service: MediaService, *fields: str) -> list[tuple[PoolSpec, FieldPath]]:
    """The default pool and every pool that has one of `fields` of its own, with the path of the first it has."""
    index = {pool.name: i for i, pool in enumerate(service.spec.pools)}
    found: list[tuple[PoolSpec, FieldPath]] = []
    for pool in pools_of(service):
        i = index.get(pool.key.pool)
        own = [f for f in fields if i is not None and getattr(service.spec.pools[i], f) is not None]
        if own and i is not None:
            found.append((pool, ("spec", "pools", i, own[0])))
        elif pool.key.pool == DEFAULT_POOL:
            found.append((pool, ("spec", fields[0])))
    return found


def _prefix(route: Route) -> str:
    return "" if route.pathPrefix == "/" else route.pathPrefix


def _no_such(kind: str, name: str, known: list[str]) -> str:
    have = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
    rest = f" There is: {have}." if have else ""
    return f'there is no {kind} "{name}".{meant(name, known) or rest or " Add one."}'


def _remedy(field: str, place: FieldPath) -> str:
    return f"Add {field}, or name other clusters in {'.'.join(str(p) for p in place)}.clusters"
