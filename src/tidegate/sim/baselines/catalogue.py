"""The baselines by the name a user gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tidegate.base.errors import TidegateError
from tidegate.sim.baselines.base import Baseline
from tidegate.sim.baselines.fixed import Static, static_mean, static_peak
from tidegate.sim.baselines.hpa import CronHpa, Hpa, cron_floors
from tidegate.sim.baselines.kpa import Kpa
from tidegate.sim.baselines.rayserve import RayServe
from tidegate.sim.baselines.skyserve import SkyServe
from tidegate.sim.trace import Trace


@dataclass(frozen=True, slots=True)
class Case:
    """What some baselines must be told: the load, an earlier part of it (or the same), and one pool's service."""

    trace: Trace
    before: Trace
    mean_service_s: float
    slots: int


_MAKERS: dict[str, tuple[str, Callable[[Case], Baseline]]] = {
    "static": ("the highest five minutes at 70%", lambda c: static_peak(c.trace, c.mean_service_s, c.slots)),
    "static-mean": ("the mean load at 70%", lambda c: static_mean(c.trace, c.mean_service_s, c.slots)),
    "hpa": ("Kubernetes HPA v2 on utilisation 70%", lambda c: Hpa()),
    "hpa-demand": ("Kubernetes HPA v2 on in flight + queued", lambda c: Hpa(metric="demand")),
    "kpa": ("Knative KPA", lambda c: Kpa()),
    "cron-hpa": (
        "hourly floors of the week before, and the HPA",
        lambda c: CronHpa(cron_floors(c.before, c.mean_service_s, c.slots)),
    ),
    "rayserve": ("Ray Serve's autoscaler", lambda c: RayServe.for_slots(c.slots)),
    "skyserve": ("SkyServe's request-rate autoscaler", lambda c: SkyServe.at_share(c.mean_service_s, c.slots)),
}
NAMES = tuple(_MAKERS)


def is_name(name: str) -> bool:
    """Whether there is such a baseline."""
    return name in _MAKERS or (name.startswith("static:") and name[7:].isdecimal())


def baseline(name: str, case: Case) -> Baseline:
    """The baseline `name`; `static:N` is N replicas.

    Raises:
        TidegateError: there is no such baseline.
    """
    if name.startswith("static:") and name[7:].isdecimal():
        return Static(int(name[7:]))
    if name not in _MAKERS:
        raise TidegateError(f"no baseline {name!r}; there are {', '.join(NAMES)} and static:N.")
    return _MAKERS[name][1](case)


def title(name: str) -> str:
    """A few words for a table."""
    return _MAKERS[name][0] if name in _MAKERS else name
