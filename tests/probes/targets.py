"""Targets for probes, with good defaults so that a test shows only what matters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from tidegate.probes.protocol import ProbeTarget
from tidegate.spec.probes import Probes
from tidegate.spec.rollout import Rollout


def target(address: str = "127.0.0.1:1", probes: dict[str, Any] | None = None, **over: Any) -> ProbeTarget:
    given: dict[str, Any] = {
        "replica": "web-1",
        "service": "web",
        "address": address,
        "pid": None,
        "directory": "/tmp",
        "env": {},
        "probes": Probes.model_validate(probes or {}),
        "rollout": Rollout(),
    }
    return ProbeTarget(**(given | over))


PATIENCE_S = 60.0


async def until(true: Callable[[], Any]) -> None:
    """Wait for a condition; the deadline is generous, the usual wait some milliseconds."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s"
        await asyncio.sleep(0.005)
