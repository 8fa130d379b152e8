"""What this machine has is never more than what a container allows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tidegate.base import machine


def test_this_machine_has_something() -> None:
    assert machine.cores() > 0
    assert machine.memory_bytes() > 2**20


@pytest.mark.parametrize(
    ("groups", "files", "cores", "memory_mib"),
    [
        pytest.param("0::/a/b", {}, 8, 1024, id="no limits"),
        pytest.param("0::/a/b", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 1.5, 1024, id="v2, above"),
        pytest.param("0::/a/b", {"a/b/memory.max": str(512 * 2**20)}, 8, 512, id="v2 memory"),
        pytest.param("0::/a/b", {"a/b/memory.max": "junk", "a/b/cpu.max": "junk"}, 8, 1024, id="unreadable"),
        pytest.param("0::/", {"cpu.max": "50000 100000", "memory.max": "1048576"}, 0.5, 1, id="in a container"),
        pytest.param(
            "4:memory:/m\n3:cpu,cpuacct:/c",
            {
                "cpu/c/cpu.cfs_quota_us": "200000",
                "cpu/c/cpu.cfs_period_us": "100000",
                "memory/m/memory.limit_in_bytes": str(256 * 2**20),
                "memory/memory.limit_in_bytes": str(2**63 - 4096),
            },
            2,
            256,
            id="v1",
        ),
    ],
)
def test_the_limits_of_the_control_group_and_of_those_above_count(
    tmp_path, monkeypatch, groups, files, cores, memory_mib
):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups + "\n")
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(total=2**30))
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert machine.cores(tmp_path) == cores
    assert machine.memory_bytes(tmp_path) == memory_mib * 2**20
