"""The fleet before: static hosts sized for campaigns, one mixed process on each. Arithmetic, no policy to simulate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import assumptions as a
from after import LEAD_S, Class

from tidegate.sim.trace import Trace
from tidegate.spec.resolve import PoolKey


@dataclass(frozen=True, slots=True)
class Before:
    """One measured day."""

    utilisation_cpu: float
    utilisation_gpu: float
    cost: float
    requests: float
    lost: dict[str, float]

    @property
    def success(self) -> float:
        return 1 - math.fsum(self.lost.values()) / self.requests


def day(of: list[Class], loads: Mapping[PoolKey, Trace]) -> Before:
    """The same demand as after; lost is what dies with a process, is sent to a dead one, or is cut by an upgrade.

    At 60% of a host at most, with ten slots a host, nobody waits long enough to lose the promise (Erlang C: 1e-4 of
    the requests wait at all at 20% load, none for seconds), so queueing is left out, in favour of the static fleet.
    """
    mean = {c.key: loads[c.key].between(LEAD_S, loads[c.key].length_s).mean_rps for c in of}
    seconds = loads[of[0].key].length_s - LEAD_S
    cpu, gpu = [c for c in of if not c.gpu], [c for c in of if c.gpu]
    cores = math.fsum(c.busy_units * mean[c.key] / c.mean_rps for c in cpu)
    cards = math.fsum(c.busy_units * mean[c.key] / c.mean_rps for c in gpu)
    rate, in_flight = math.fsum(mean[c.key] for c in cpu), math.fsum(mean[c.key] * c.work.mean_s for c in cpu)
    gpu_rate, gpu_flight = math.fsum(mean[c.key] for c in gpu), math.fsum(mean[c.key] * c.work.mean_s for c in gpu)
    kills = math.fsum(mean[c.key] for c in cpu if c.key.pool == "large") * a.KILLS_PER_LARGE * seconds
    crashes = a.CPU_HOSTS * seconds / 86400 / a.HOST_CRASH_DAYS
    gpu_crashes = a.GPU_HOSTS * seconds / 86400 / a.HOST_CRASH_DAYS
    per_end = (in_flight + rate * a.DETECT_S) / a.CPU_HOSTS  # requests on one host, and those sent to it while dead
    gpu_per_end = (gpu_flight + gpu_rate * a.DETECT_S) / a.GPU_HOSTS
    # The blob: an upgrade of any CPU service restarts the process of every CPU host, whatever else is on it.
    upgrades = a.UPGRADES_PER_WEEK * a.CPU_SERVICES * seconds / 86400 / 7
    gpu_upgrades = a.UPGRADES_PER_WEEK * a.GPU_SERVICES * seconds / 86400 / 7
    return Before(
        utilisation_cpu=cores / a.CORES,
        utilisation_gpu=cards / a.CARDS,
        cost=(a.CORES * a.PRICE_CORE_H + a.CARDS * a.PRICE_CARD_H) * seconds / 3600,
        requests=(rate + gpu_rate) * seconds,
        lost={
            "processes ended by large media": kills * per_end,
            "hosts that crashed": crashes * per_end + gpu_crashes * gpu_per_end,
            "restarts without draining": upgrades * in_flight + gpu_upgrades * gpu_flight / a.GPU_SERVICES,
        },
    )
