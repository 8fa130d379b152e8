"""The face-fusion example under a mix of small and 5% large pictures, with screening by size and without.

    python benchmarks/mix/run.py [--seconds 60] [--rate 5] [--large 0.05] [--json]

A real `tidegate up` with three replicas of the example in both cases. With screening, one of them is a pool of its own
for pictures of 8 million pixels and more (as the example's manifest has it); without, all take everything. Requests
arrive as a Poisson process at `--rate` per second, the same ones in both cases; a large one has 5755 x 4320 pixels
and takes some ten times the processor time of a small one. The cases run one after the other, in one run. Needs the
extra `examples` and the test dependencies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from e2e.system import System, cluster, system

EXAMPLE = Path(__file__).parents[2] / "examples" / "face-fusion"
PORTRAITS = EXAMPLE / "face_fusion" / "portraits"
LARGE = (5755, 4320)
SMALL_WITHIN_S, LARGE_WITHIN_S = 2.0, 15.0
SEED = 11


def pictures() -> tuple[bytes, bytes, bytes]:
    """JPEGs: the user's portrait, a small template and a large one (the small one scaled up)."""
    import cv2

    user, small = (PORTRAITS / "astronaut.jpg").read_bytes(), (PORTRAITS / "hopper.jpg").read_bytes()
    picture = cv2.imread(str(PORTRAITS / "hopper.jpg"))
    scale = min(LARGE[0] / picture.shape[1], LARGE[1] / picture.shape[0])
    grown = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    done, large = cv2.imencode(".jpg", grown, [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert done
    return user, small, large.tobytes()


def manifest(screening: bool) -> dict[str, object]:
    """The example's own, with a fixed number of replicas: two and one, or three."""
    service = next(
        d for d in yaml.safe_load_all((EXAMPLE / "tidegate.yaml").read_text()) if d["kind"] == "MediaService"
    )
    spec = service["spec"]
    spec |= {"workingDir": str(EXAMPLE), "command": [sys.executable, "-m", "face_fusion"]}
    spec["scaling"] = {"minReplicas": 2 if screening else 3, "maxReplicas": 2 if screening else 3}
    spec["probes"] = {"readiness": {"http": "/readyz", "every": "1s"}}
    del spec["rollout"]
    if screening:
        spec["pools"][0]["scaling"] = {"minReplicas": 1, "maxReplicas": 1}
    else:
        # The promise of the large pool, so that its requests are not refused for being slow.
        del spec["pools"]
        spec["promise"] = {"within": "15s", "success": "99.9%"}
    return service


@dataclass
class Tally:
    """Of one size: outcomes, and the times of those that succeeded."""

    outcomes: Counter[str] = field(default_factory=Counter)
    times_s: list[float] = field(default_factory=list)

    def row(self, within_s: float) -> dict[str, object]:
        sent, times = sum(self.outcomes.values()), sorted(self.times_s)
        return {
            "sent": sent,
            "outcomes": dict(self.outcomes),
            "success": self.outcomes["200"] / max(1, sent),
            "in_time": sum(t <= within_s for t in times) / max(1, sent),
            **{
                f"p{q}_ms": round(1000 * times[min(len(times) - 1, len(times) * q // 100)]) if times else math.nan
                for q in (50, 95, 99)
            },
        }


async def load(url: str, a: argparse.Namespace) -> dict[str, Tally]:
    """Send the mix; the same requests at the same times in each call."""
    user, *templates = pictures()
    bodies = [
        httpx.Request(
            "POST", url, files={"template": ("t.jpg", t, "image/jpeg"), "user": ("u.jpg", user, "image/jpeg")}
        )
        for t in templates
    ]
    for body in bodies:
        body.read()
    tallies = {"small": Tally(), "large": Tally()}
    draw, loop = random.Random(SEED), asyncio.get_running_loop()

    async def ask(client: httpx.AsyncClient, size: str) -> None:
        tally, begun = tallies[size], time.perf_counter()
        body = bodies[size == "large"]
        try:
            answer = await client.post(
                url, content=body.content, headers={"content-type": body.headers["content-type"]}
            )
        except httpx.HTTPError as error:
            tally.outcomes[type(error).__name__] += 1
            return
        tally.outcomes[str(answer.status_code)] += 1
        if answer.status_code == 200:
            tally.times_s.append(time.perf_counter() - begun)

    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        await ask(client, "small")
        tallies["small"] = Tally()
        start, at_s = loop.time(), 0.0
        async with asyncio.TaskGroup() as group:
            while (at_s := at_s + draw.expovariate(a.rate)) < a.seconds:
                await asyncio.sleep(max(0.0, start + at_s - loop.time()))
                group.create_task(ask(client, "large" if draw.random() < a.large else "small"))
    return tallies


def large_ready(live: System) -> bool:
    return live.pool("face-fusion", "large").ready == 1


def measure(a: argparse.Namespace) -> list[dict[str, object]]:
    rows = []
    for screening in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            room = cluster(capacity={"cpu": 4, "memory": "8Gi"})
            with system(Path(folder), manifest(screening), room) as live:
                live.ready(2 if screening else 3, "face-fusion")
                if screening:
                    live.wait(partial(large_ready, live), "the large pool is ready")
                tallies = asyncio.run(load(f"{live.url}/face-fusion/v1/fuse", a))
        for size, tally in tallies.items():
            within_s = SMALL_WITHIN_S if size == "small" else LARGE_WITHIN_S
            rows.append({"screening": screening, "size": size, **tally.row(within_s)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=5.0)
    parser.add_argument("--large", type=float, default=0.05)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    rows = measure(a)
    if a.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{a.rate:g} requests/s, {a.large:.0%} of them large, three replicas; in time: small 2 s, large 15 s\n")
    print(
        f"{'screening':>9} {'size':6} {'sent':>5} {'success':>8} {'in time':>8} {'p50 ms':>7} {'p95 ms':>7} {'p99':>7}"
    )
    for r in rows:
        print(
            f"{'on' if r['screening'] else 'off':>9} {r['size']:6} {r['sent']:>5} {r['success']:>8.2%}"
            f" {r['in_time']:>8.2%} {r['p50_ms']:>7} {r['p95_ms']:>7} {r['p99_ms']:>7}  {r['outcomes']}"
        )


if __name__ == "__main__":
    main()
