"""What a live system decided comes out the same when it is decided again, over a kill of the control process too."""

from __future__ import annotations

import json
from pathlib import Path

from e2e.load import Clients
from e2e.system import cluster, service, system


def test_a_live_run_replays_to_identical_decisions(tmp_path: Path):
    echo = service(scaling={"minReplicas": 1, "maxReplicas": 4}, promise={"within": "1s", "success": "99%"})
    with system(tmp_path, echo, cluster()) as live:
        live.ready(1)
        with Clients(live.url + "/echo/?sleep=0.2", count=6):
            live.wait(lambda: live.pool().wanted > 1, "load brings more replicas")
            live.kill()
            live.up()
            live.wait(lambda: live.pool().ready > 1, "they serve after a restart")
        live.interrupt()
        found = json.loads(live.run("replay", "--json").stdout)
        assert (found["identical"], found["gaps"]) == (True, [])
        assert found["ticks"] > 10
        other = tmp_path / "other"
        other.mkdir()
        live.manifests = other / "manifests.yaml"
        live.write(service(scaling={"minReplicas": 1, "maxReplicas": 1}), cluster())
        (pool,) = json.loads(live.run("replay", "-f", str(live.manifests), "--json").stdout)
        assert pool["wanted_mean_now"] <= 1 < pool["wanted_mean_then"]
