"""What this machine has is never more than what a container allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.base import machine


def test_this_machine_has_something() -> None:
    assert machine.cores() > 0
    assert machine.memory_bytes() > 2**20


@pytest.mark.parametrize(
    ("quota", "limit", "cores", "memory"),
    [("50000 100000", "1048576", 0.5, 2**20), ("max 100000", "max", None, None), ("junk", "", None, None)],
    ids=["limited", "not limited", "unreadable"],
)
def test_a_container_s_limits_count(
    tmp_path: Path, quota: str, limit: str, cores: float | None, memory: int | None
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    (tmp_path / "memory.max").write_text(limit)
    assert machine.cores(tmp_path) == (cores or machine.cores(tmp_path / "none"))
    assert machine.memory_bytes(tmp_path) == (memory or machine.memory_bytes(tmp_path / "none"))
