"""How many replicas a pool wants; for now the declared minimum (the real policy replaces this file)."""

from __future__ import annotations

from tidegate.model.reasons import Reason
from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult


def scale(inp: ScaleInput, memory: ScaleMemory) -> ScaleResult:
    """Want the declared minimum."""
    wanted = inp.spec.scaling.minReplicas
    return ScaleResult(wanted, memory, (Reason("minimum", f"minReplicas is {wanted}", wanted),))
