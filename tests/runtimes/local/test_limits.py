"""Shares of the machine, on made-up control group trees: what is written where, and what is said when it cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tidegate.runtimes.local import limits
from tidegate.runtimes.local.limits import Limits
from tidegate.runtimes.local.records import Order
from tidegate.spec.common import Resources

PLAIN = Order("r", "web", "default", "1", "T=1", 0, "h:1", [], {}, "/", [], 1, {"cpu": 1.0}, "log", 1)


def group(path: Path, controllers: str = "cpu io memory pids", on: str = "cpu memory") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "cgroup.controllers").write_text(controllers)
    (path / "cgroup.subtree_control").write_text(on)
    return path


def test_a_replica_is_limited_by_a_cgroup_where_one_can_be_written(tmp_path: Path):
    group(tmp_path)
    ours = group(tmp_path / "tidegate-here", on="")
    kept = Limits("here", {}, tmp_path)
    share = kept.share("web-1", Resources(cpu="250m", memory="64Mi"), ())
    assert share.cgroup == str(ours / "web-1") and share.cpus is None and share.memory_bytes == 0
    written = {name: (ours / "web-1" / name).read_text() for name in ("cpu.max", "memory.max", "memory.swap.max")}
    assert written == {"cpu.max": "25000 100000", "memory.max": str(64 * 2**20), "memory.swap.max": "0"}
    assert (ours / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert kept.detail == f"limits: cgroup v2 at {ours}"


@pytest.mark.parametrize(
    ("controllers", "says"),
    [("io pids", "no cpu and memory controller"), (None, "no cgroup v2 at")],
)
def test_without_cgroups_it_says_why_and_what_is_done_instead(tmp_path: Path, controllers, says):
    if controllers is not None:
        group(tmp_path, controllers, "")
    kept = Limits("here", {}, tmp_path)
    share = kept.share("web-1", Resources(cpu=1, memory="64Mi"), ())
    assert share.cgroup == "" and share.cpus is not None and share.memory_bytes == 64 * 2**20
    assert kept.detail.startswith("limits: cores by affinity, memory watched every second (") and says in kept.detail


def test_replicas_are_spread_over_the_least_used_cores(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    kept, others = Limits("here", {}, tmp_path), []
    for name, cpu in (("a", 2.0), ("b", 0.5), ("c", 0.5), ("d", 0.5), ("e", 1.0)):
        share = kept.share(name, Resources(cpu=cpu), others)
        others.append(replace(PLAIN, replica=name, cpus=share.cpus, resources={"cpu": cpu}))
    assert [o.cpus for o in others] == [[0, 1], [2], [3], [2], [3]]


def test_more_cores_than_there_are_means_all_of_them(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _: {4, 5})
    assert Limits("here", {}, tmp_path).share("a", Resources(cpu=16), ()).cpus == [4, 5]
