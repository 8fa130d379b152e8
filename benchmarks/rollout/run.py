"""Upgrades of a fleet under open-loop load: what a good revision costs, what a bad one does before it is taken back.

    python benchmarks/rollout/run.py                      every case, one after the other, and a table at the end
    python benchmarks/rollout/run.py --chaos              the same while replicas, proxy and control process are killed
    python benchmarks/rollout/run.py --cases good,storm

Real control process, HAProxy and replicas on this machine. `--load` is the share of the capacity of the wanted
replicas; requests arrive at Poisson times whatever the answers do. A run is good when no request failed but on the bad
revision itself, ready replicas were never below the wanted number (without chaos), the rollout ended as it should, and
nothing is left running that nobody knows of.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests"), str(ROOT / "src")]

from chaos import Chaos  # noqa: E402

from e2e.system import System, cluster, service, system  # noqa: E402
from tidegate.cli.client import Client  # noqa: E402
from tidegate.spec.load import load_data  # noqa: E402

CASES: dict[str, dict[str, str]] = {
    "good": {},
    "verify": {"WRONG": "1"},
    "errors": {"ERRORS": "0.05"},
    "never-ready": {"FAIL_HEALTH": "1"},
    "slow": {"SLOWER": "2"},
    "storm": {},
}
HERE_CLUSTER = cluster(capacity={"cpu": 8, "memory": "32Gi"})
COLUMNS = ("case", "requests", "per_s", "failed", "by_bad", "took_s", "least_ready", "outcome", "ok")


def manifest(given: argparse.Namespace, version: str, env: dict[str, str], replicas: int) -> dict[str, Any]:
    return service(
        command=[sys.executable, str(HERE / "replica.py")],
        workingDir=given.folder,
        scaling={"minReplicas": replicas, "maxReplicas": replicas},
        resources={"cpu": 0.01, "memory": "64Mi"},
        env={"START_S": str(given.start_s), "SERVICE_S": str(given.service_s), "VERSION": version} | env,
        probes={"readiness": {"http": "/healthz", "every": "2s"}},
        promise={"within": "10s", "success": "99.9%"},
        rollout={
            "verify": {"python": "verify.py"},
            "watchSeconds": given.watch_s,
            "progressDeadlineSeconds": given.deadline_s,
        },
    )


@contextmanager
def load(live: System, rate: float, seed: int) -> Iterator[dict[str, Any]]:
    """Requests from a process of their own until the block ends; then the dict is filled with what they say."""
    told: dict[str, Any] = {}
    command = [sys.executable, str(HERE / "load.py"), "127.0.0.1", str(live.port), "/echo/", str(rate), str(seed)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield told
        out, _ = process.communicate(input="", timeout=90)
        told.update(json.loads(out))
    finally:
        process.kill()


def upgrade(name: str, given: argparse.Namespace, live: System) -> dict[str, Any]:
    rate = given.load * given.replicas / given.service_s
    old = live.pool().revision
    least, took_s = given.replicas, None
    with load(live, rate, given.seed) as told, ExitStack() as stack:
        time.sleep(given.before_s)
        chaos = stack.enter_context(Chaos(live, given.seed)) if given.chaos else None
        began = time.monotonic()
        apply(live, manifest(given, "2", CASES[name], given.replicas))
        while time.monotonic() < began + given.limit_s:
            pool = seen(live)
            if pool is not None:
                least = min(least, pool.ready)
                done = pool.rollout and pool.rollout.history
                if done and len({r.revision for r in pool.replicas}) == 1 and pool.ready == given.replicas:
                    took_s = round(time.monotonic() - began, 1)
                    break
            time.sleep(0.25)
        if chaos is not None:
            stack.close()
            live.ready(given.replicas)
        time.sleep(2.0)
    record = live.pool().rollout
    ended = record.history[-1] if record and record.history else None
    bad = "" if name == "good" else (ended.target if ended else live.pool().revision)[:4]
    result = judged(name, told, bad, old, least, given)
    result |= {
        "took_s": took_s,
        "outcome": ended.outcome if ended else "not ended",
        "reason": ended.reason if ended else "",
    }
    result |= {"chaos": chaos.done if chaos else {}, "orphans": orphans(live, given.replicas)}
    wanted = "done" if name == "good" else "rolled back"
    result["ok"] = bool(result["ok"] and result["outcome"] == wanted and took_s is not None and not result["orphans"])
    return result


def apply(live: System, service: dict[str, Any]) -> None:
    """Declare it, as `tidegate apply` does; and to the next start of a killed control process."""
    live.write(service, HERE_CLUSTER)
    with Client(live.state) as client:
        client.apply(load_data([service, HERE_CLUSTER]).manifests, prune=True)


def seen(live: System) -> Any:
    """The pool now; None while the control process is down."""
    status = live.status()
    return next((p for s in status.services for p in s.pools), None) if status else None


def judged(
    name: str, told: dict[str, Any], bad: str, old: str, least: int, given: argparse.Namespace
) -> dict[str, Any]:
    failed = {how: n for how, n in told["ended"].items() if not how.startswith("200")}
    by_bad = sum(n for how, n in failed.items() if bad and how.endswith(f" {bad}"))
    lost = sum(failed.values())
    return {
        "case": name,
        "requests": told["sent"],
        "per_s": round(told["per_s"], 1),
        "latest_s": round(told["latest_s"], 3),
        "p95_s": round(told["p95_s"], 3),
        "failed": lost,
        "by_bad": by_bad,
        "how": told["ended"],
        "least_ready": least,
        "ok": lost == by_bad and (given.chaos or least >= given.replicas),
    }


def orphans(live: System, replicas: int) -> int:
    """Processes of replicas beyond those that are known."""
    running = [
        p for p in live.processes() if "replica.py" in " ".join(p.cmdline()) and "shim" not in " ".join(p.cmdline())
    ]
    return max(0, len(running) - replicas)


def storm(given: argparse.Namespace, live: System) -> dict[str, Any]:
    """The target changes every second, between half of the replicas and all of them; the load is for half of them."""
    fewest = given.replicas // 2
    rate = given.load * fewest / given.service_s
    draw = random.Random(given.seed)
    least, changes = given.replicas, 0
    with load(live, rate, given.seed) as told:
        time.sleep(given.before_s)
        end = time.monotonic() + given.storm_s
        while (now := time.monotonic()) < end:
            target = draw.randint(fewest, given.replicas)
            apply(live, manifest(given, "1", {}, target))
            changes += 1
            least = min(least, live.pool().ready)
            time.sleep(max(0.0, now + 1.0 - time.monotonic()))
    result = judged("storm", told, "", "", least, given)
    result |= {"took_s": given.storm_s, "outcome": f"{changes} changes", "reason": ""}
    result["ok"] = result["failed"] == 0 and least >= fewest
    return result


def case(name: str, given: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="tidegate-rollout-") as folder:
        shutil.copy(HERE / "verify.py", folder)
        given.folder = folder
        with system(Path(folder), manifest(given, "1", {}, given.replicas), HERE_CLUSTER) as live:
            live.ready(given.replicas)
            return storm(given, live) if name == "storm" else upgrade(name, given, live)


def table(rows: list[dict[str, Any]]) -> str:
    cells = [COLUMNS, *([str(row.get(c, "")) for c in COLUMNS] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replicas", type=int, default=50)
    parser.add_argument("--load", type=float, default=0.7, help="share of the capacity of the wanted replicas")
    parser.add_argument("--service-s", type=float, default=1.0, help="time a replica works on a request")
    parser.add_argument("--start-s", type=float, default=5.0)
    parser.add_argument("--watch-s", type=float, default=5.0)
    parser.add_argument("--before-s", type=float, default=5.0, help="load before the manifest changes")
    parser.add_argument("--deadline-s", type=float, default=30.0, help="progressDeadlineSeconds")
    parser.add_argument("--storm-s", type=float, default=120.0)
    parser.add_argument("--limit-s", type=float, default=240.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--chaos", action="store_true", help="kill and reload meanwhile")
    parser.add_argument("--cases", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    given = parser.parse_args()
    rows = []
    for name in given.cases.split(","):
        rows.append(case(name, given))
        print(json.dumps(rows[-1]), flush=True)
    print(table(rows))
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
