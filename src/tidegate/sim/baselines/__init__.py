"""The policies Tidegate is compared with, true to their sources, each usable in place of `policy.scaling.scale`.

A baseline is a frozen value with its settings; calling it with (`ScaleInput`, memory) gives a `ScaleResult` whose
memory is its own. Between its own evaluations it keeps its answer, so it can be asked at any interval; `period_s` is
how often its original evaluates. Used by the simulator only: nothing live calls them.
"""

from tidegate.sim.baselines.base import Baseline
from tidegate.sim.baselines.catalogue import NAMES, Case, baseline, is_name, title

__all__ = ["NAMES", "Baseline", "Case", "baseline", "is_name", "title"]
