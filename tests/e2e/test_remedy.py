"""A remedy script with real processes: what it heals goes on, what it does not heal is replaced."""

from __future__ import annotations

import json
from pathlib import Path

from e2e.load import Clients
from e2e.system import System, cluster, service, system

ALIVE = """
from pathlib import Path
from tidegate.probe import healthy, replica, unhealthy
if Path(__file__).with_name(f"full-{replica.name}").exists():
    unhealthy("its cache is full")
healthy()
"""
FREE = """
from pathlib import Path
from tidegate.probe import healthy, replica, unhealthy
if Path(__file__).with_name(f"stuck-{replica.name}").exists():
    unhealthy("its cache cannot be emptied")
Path(__file__).with_name(f"full-{replica.name}").unlink()
healthy("emptied its cache")
"""


def told(live: System, replica: str) -> list[str]:
    events = [json.loads(line) for line in live.run("events", "--json").stdout.splitlines()]
    return [e["text"] for e in events if e["subject"] == replica]


def test_a_remedy_script_heals_one_replica_and_the_one_it_cannot_heal_is_replaced(tmp_path: Path):
    (tmp_path / "alive.py").write_text(ALIVE)
    (tmp_path / "free.py").write_text(FREE)
    liveness = {"python": "alive.py", "every": "0.5s", "timeout": "10s", "failureThreshold": 1}
    probes = {
        "readiness": {"http": "/healthz", "every": "1s"},
        "liveness": liveness | {"remedy": "script", "remedyScript": "free.py"},
    }
    spec = service(probes=probes, scaling={"minReplicas": 2, "maxReplicas": 2})
    with system(tmp_path, spec, cluster()) as live:
        live.ready(2)
        healed, lost = (r.id for r in live.pool().replicas)
        with Clients(live.url + "/echo/?sleep=0.02", count=2) as clients:
            full = tmp_path / f"full-{healed}"
            full.touch()
            live.wait(lambda: not full.exists(), "the script has emptied its cache")
            live.wait(lambda: "passes again" in told(live, healed)[-1], "its liveness passes again")
            (tmp_path / f"stuck-{lost}").touch()
            (tmp_path / f"full-{lost}").touch()
            live.wait(lambda: lost not in {r.id for r in live.pool().replicas}, "the other one is gone")
            live.ready(2)
        assert clients.failures == []
        assert healed in {r.id for r in live.pool().replicas}
        texts = told(live, healed)
        begins = next(i for i, t in enumerate(texts) if t.startswith("liveness failed"))
        assert texts[begins] == "liveness failed: its cache is full; remedy: script"
        assert texts[begins + 1] == f"remedy script {tmp_path / 'free.py'} runs"
        assert texts[begins + 2].startswith("its liveness probe passes again after")
        assert "serving" in live.run("logs", "echo", lost).stdout, "what it wrote can be read when it is gone"
        why = next(t for t in told(live, lost) if "-> draining" in t)
        assert "and its remedy script failed too: its cache is full" in why
