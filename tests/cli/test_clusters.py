"""`tidegate clusters` and `tidegate plan --what-if`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from cli.running import run, running
from tidegate.model.plan import ClusterWeight
from tidegate.model.status import ClusterStatus
from web.world import FakeControl, pool, replica, status

MANIFESTS = """
{apiVersion: tidegate.dev/v1, kind: MediaService, metadata: {name: chat},
 spec: {command: [serve], scaling: {minReplicas: 3}, resources: {cpu: 1, memory: 1Gi}, placement: {clusters: [a, b]}}}
---
{apiVersion: tidegate.dev/v1, kind: Cluster, metadata: {name: a},
 spec: {capacity: {cpu: 4, memory: 8Gi}, price: {cpu: 0.5}}}
---
{apiVersion: tidegate.dev/v1, kind: Cluster, metadata: {name: b},
 spec: {capacity: {cpu: 2, memory: 8Gi}, price: {cpu: 2}}}
"""


def test_clusters_shows_room_waiting_replicas_and_money() -> None:
    gib = 2.0**30
    here = ClusterStatus(
        "here", "local", "gz", {"cpu": 8.0, "memory": 16 * gib}, {"cpu": 3.0, "memory": 2 * gib},
        zone="z1", replicas=3, pending=2, prices={"cpu": 0.03}, cost_per_hour=0.09,
        quotas={"face-fusion": {"cpu": 4.0}}, distance_s=0.03,
    )  # fmt: skip
    lost = ClusterStatus("there", "local", "sh", healthy=False, detail="no answer within 2 s")
    faces = pool("face-fusion", [replica("face-fusion-1")])
    with running(FakeControl(status(faces, clusters=(here, lost)))) as state:
        table = run("clusters", "--state", str(state)).stdout
        data = json.loads(run("clusters", "--json", "--state", str(state)).stdout)
    for part in [
        "gz/z1",
        "memory",
        "14 GiB",
        "0.03 per core",
        "0.09",
        "face-fusion: cpu 4",
        "30 ms",
        "cannot be seen: no answer within 2 s",
    ]:
        assert part in table
    assert (data[0]["pending"], data[1]["capacity"]) == (2, None)


def test_what_if_asks_the_running_system_and_answers_first() -> None:
    control = FakeControl()
    with running(control) as state:
        told = run("plan", "--what-if", "cluster=here:down", "--state", str(state)).stdout
        data = json.loads(run("plan", "--what-if", "cluster=here:down", "--json", "--state", str(state)).stdout)
    assert control.told[0] == ("what_if", ("cluster=here:down",))
    assert told.startswith("survives: no\n")
    assert "face-fusion/default: 4 wanted, 1 pending, 4 in here -> 3 in there" in told
    assert "cost per hour: 4 -> 12.5" in told
    assert data["survives"] is False


def test_what_if_of_manifests_needs_nothing_that_runs(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(MANIFESTS)
    told = run("plan", "-f", str(tmp_path), "--what-if", "cluster=a:down").stdout
    assert "survives: no" in told
    assert "chat/default: 3 wanted, 1 pending, 3 in a -> 2 in b" in told
    assert "cost per hour: 1.5 -> 4" in told
    assert "survives: yes" in run("plan", "-f", str(tmp_path), "--what-if", "cluster=b:down").stdout


def test_what_if_names_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(MANIFESTS)
    result = run("plan", "-f", str(tmp_path), "--what-if", "cluster=c:down")
    assert (result.exit_code, "There are: a, b" in result.stderr) == (2, True)
    assert run("plan").exit_code == 2


def test_explain_shows_the_three_parts_of_every_weight() -> None:
    faces = replace(
        pool("face-fusion", [replica("face-fusion-1")]),
        weights=(
            ClusterWeight("here", 0.8, 8, 1.0, 0.5, 0.1, 0.0),
            ClusterWeight("there", 0.2, 4, 0.0, 1.0, None, 0.03),
        ),
    )
    with running(FakeControl(status(faces))) as state:
        told = run("explain", "face-fusion", "--state", str(state)).stdout
    assert "here 80.0%: 8 slots, near for 100% of the calls, health 50%, 100 ms an answer without the way" in told
    assert "there 20.0%: 4 slots, near for 0% of the calls, health 100%, 30 ms away" in told
