"""The runs of a cell with several seeds as one: success of all requests, cost on average, and how sure that is.

A promise that is kept or broken by a few thousandths of a percent may be luck of one draw. The success of the seeds is
taken for normally distributed about that of the cell; `unsure` is half the width of its 95% interval (Student's t).
"""

from __future__ import annotations

import math
import statistics
from typing import Any

# Quantiles 0.975 of Student's t with 1, 2, ... degrees of freedom; Student, Biometrika 6 (1908), and any table since.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
NORMAL = 1.96

Row = dict[str, Any]


def rows(found: list[Row]) -> list[Row]:
    """One row a cell, in the order in which the cells came; a cell with one run stays as it is."""
    cells: dict[tuple[Any, ...], list[Row]] = {}
    for row in found:
        cells.setdefault((row["trace"], row["startup_s"], row["policy"], row["queue"]), []).append(row)
    return [runs[0] if len(runs) == 1 else _pooled(runs) for runs in cells.values()]


def _pooled(runs: list[Row]) -> Row:
    requests = sum(r["requests"] for r in runs)
    means = {
        key: statistics.fmean(r[key] for r in runs)
        for key in ("replica_hours", "utilization", "starts", "broken_s", "wait_p95_s")
    }
    success = sum(r["success"] * r["requests"] for r in runs) / requests
    half = unsure([r["success"] for r in runs])
    return {**runs[0], **means, "success": success, "requests": requests, "unsure": half}


def unsure(values: list[float]) -> float:
    """Half the width of the 95% interval of the mean.

    99.94%, 99.95% and 99.96%: their deviation is 0.01%, so 4.303 x 0.01% / sqrt(3) = 0.025%.
    """
    n = len(values)
    quantile = STUDENT[n - 2] if n - 2 < len(STUDENT) else NORMAL
    return quantile * statistics.stdev(values) / math.sqrt(n)
