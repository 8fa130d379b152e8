"""Two local clusters behind one gateway: the second takes what the first cannot; losing one costs no answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

import psutil

from e2e.load import Clients
from e2e.system import System, cluster, service, system

BOTH = {"clusters": ["here", "there"]}
SIZE = {"cpu": 1, "memory": "64Mi"}


def small(name: str, cpu: float) -> dict[str, object]:
    return cluster(name, capacity={"cpu": cpu, "memory": "4Gi"}, price={"cpu": 0.5 if name == "here" else 2})


def fixed(count: int, **spec: object) -> dict[str, object]:
    return service(scaling={"minReplicas": count, "maxReplicas": count}, resources=SIZE, placement=BOTH, **spec)


def counts(live: System) -> dict[str, int]:
    """Ready replicas per cluster."""
    found: dict[str, int] = {"here": 0, "there": 0}
    for r in live.pool().replicas:
        found[r.cluster] += r.state == "ready"
    return found


def processes_of(live: System, name: str) -> list[psutil.Process]:
    """Everything that runs in a cluster: its replicas' processes and what watches over them."""
    ids = {r.id for r in live.pool().replicas if r.cluster == name}
    return [p for p in live.processes() if p.environ().get("TIDEGATE_REPLICA") in ids]


def test_the_second_cluster_takes_what_the_first_has_no_room_for(tmp_path: Path):
    with system(tmp_path, fixed(2), small("here", 3), small("there", 8)) as live:
        live.ready(2)
        assert counts(live) == {"here": 2, "there": 0}
        with Clients(live.url + "/echo/?sleep=0.02") as clients:
            live.write(fixed(5), small("here", 3), small("there", 8))
            live.run("apply", "-f", str(live.manifests))
            live.ready(5)
            sent = clients.total
            live.wait(lambda: clients.total > sent + 50, "requests are answered")
        assert clients.failures == [], clients.failures
        assert counts(live) == {"here": 3, "there": 2}
        table = live.run("clusters").stdout
        assert "there" in table
        told = json.loads(live.run("plan", "--what-if", "cluster=here:down", "--json").stdout)
        assert (told["survives"], told["pools"][0]["after"]) == (True, {"there": 5})
        told = json.loads(live.run("plan", "--what-if", "cluster=there:down", "--json").stdout)
        assert (told["survives"], told["pools"][0]["pending"]) == (False, 2)


def test_after_every_process_of_a_cluster_was_killed_at_once_the_traffic_flows_on(tmp_path: Path):
    """A request has six further tries: a dead one may break it on more than one kept connection, and refuse it."""
    with system(tmp_path, fixed(4), small("here", 2), small("there", 8)) as live:
        live.ready(4)
        with Clients(live.url + "/echo/?sleep=0.02") as clients:
            live.wait(lambda: clients.total > 50, "requests are answered")
            gone = {r.id for r in live.pool().replicas if r.cluster == "here"}
            pids = [p.pid for p in processes_of(live, "here")]
            for pid in pids:  # at once, as when a machine fails: nothing else between two of them
                with contextlib.suppress(ProcessLookupError):  # some die with the one that watches over them
                    os.kill(pid, signal.SIGKILL)
            live.wait(lambda: not gone & {r.id for r in live.pool().replicas}, "the loss was noticed")
            live.ready(4)
            sent = clients.total
            live.wait(lambda: clients.total > sent + 50, "requests are answered")
        assert clients.failures == [], clients.failures


def test_a_cluster_whose_processes_hang_is_left_by_the_traffic_and_used_again_when_they_wake(tmp_path: Path):
    quick = {"readiness": {"http": "/healthz", "every": "1s", "timeout": "1s", "failureThreshold": 1}}
    with system(
        tmp_path, fixed(4, probes=quick, requestTimeoutSeconds=60), small("here", 2), small("there", 8)
    ) as live:
        live.ready(4)
        there = {r.id for r in live.pool().replicas if r.cluster == "there"}
        stopped = processes_of(live, "here")
        with Clients(live.url + "/echo/?sleep=0.02") as clients:
            live.wait(lambda: clients.total > 50, "requests are answered")
            for p in stopped:
                p.send_signal(signal.SIGSTOP)
            try:
                seen = set(clients.answered) - there
                sent = clients.total
                live.wait(lambda: clients.total > sent + 50, "the others answer")
                assert {r.id for r in live.pool().replicas if r.cluster == "here"}, "nothing is deleted for hanging"
            finally:
                for p in stopped:
                    p.send_signal(signal.SIGCONT)
            again = {n: clients.answered[n] for n in seen}
            live.wait(lambda: any(clients.answered[n] > again[n] for n in seen), "the first cluster answers again")
        assert clients.failures == [], clients.failures
