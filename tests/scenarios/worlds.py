"""Worlds for scenarios, with good defaults."""

from __future__ import annotations

from typing import Any

from tidegate.sim.faults import parsed
from tidegate.sim.requests import ServiceTime
from tidegate.sim.result import Result
from tidegate.sim.scenario import Scenario, Startup
from tidegate.sim.trace_files import read
from tidegate.sim.world import World
from tidegate.spec.load import load_data
from tidegate.spec.resolve import PoolKey, Specs

REPEAT = "tidegate simulate --seed 1"


def service(name: str = "ocr", **spec: Any) -> dict[str, Any]:
    """A service manifest as data."""
    base = {
        "image": "registry/ocr",
        "command": ["python"],
        "concurrency": 2,
        "resources": {"cpu": 1, "memory": "1Gi"},
        "promise": {"within": "5s", "success": 0.999},
        "scaling": {"minReplicas": 1, "maxReplicas": 40},
        "route": {"pathPrefix": f"/{name}"},
    }
    return {"apiVersion": "tidegate.dev/v1", "kind": "MediaService", "metadata": {"name": name}, "spec": base | spec}


def cluster(name: str, cpu: float = 64, price: float = 0.03) -> dict[str, Any]:
    """A cluster manifest as data."""
    spec = {
        "runtime": "kubernetes",
        "region": name,
        "capacity": {"cpu": cpu, "memory": "512Gi"},
        "price": {"cpu": price},
    }
    return {"apiVersion": "tidegate.dev/v1", "kind": "Cluster", "metadata": {"name": name}, "spec": spec}


def specs(*manifests: dict[str, Any]) -> Specs:
    return load_data(manifests or (service(), cluster("here"))).specs


def scenario(
    *manifests: dict[str, Any],
    shape: str | dict[str, str] = "constant:mean=10,length=1h",
    mean_s: float = 0.8,
    startup_s: float = 30.0,
    faults: list[dict[str, Any]] | None = None,
    tick_s: float = 5.0,
    **more: Any,
) -> Scenario:
    """A run of one hour at ten requests a second, unless told otherwise."""
    made = specs(*manifests)
    named = shape if isinstance(shape, dict) else {s.name: shape for s in made.services}
    loads = {PoolKey(name): read(what) for name, what in named.items()}
    return Scenario(
        made,
        loads,
        {key: ServiceTime(mean_s, 0.5) for key in loads},
        Startup(startup_s, 0.2),
        parsed(faults or []),
        repeat=REPEAT,
        tick_s=tick_s,
        **more,
    )


def run(*manifests: dict[str, Any], **settings: Any) -> Result:
    return World(scenario(*manifests, **settings)).run()
