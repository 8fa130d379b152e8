"""What a greedy tenant does to a modest one beside it, with shares of the queue and without.

    python benchmarks/tenants/run.py [--seconds 20] [--mean 0.1] [--json]

16 replicas of one slot that sleep for an exponential service time behind the real proxy; both tenants send as Poisson
processes, whether earlier requests are answered or not. The promise is ten mean service times. The modest tenant asks
for a fifth of the capacity, the greedy one for ten times as much, so 2.2 times the capacity together. Cases:

    alone     the modest tenant without the other
    open      both on a service without keys: one queue, first come, first served
    shares    both as tenants of weight 1 and class normal
    low       the greedy one in the class `low`
    rate      the greedy one limited to half the capacity a second
    upside    the greedy one in the class `high`, the modest one in `low`: it must not starve

Per tenant: answered in time, as a share of what it sent; p50 and p95 of the answered ones, in mean service times;
what it was refused. `goodput`: answers in time of both, as a share of the capacity.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from one_pool import one_pool
from open_loop import Answer, Client, service_time, sleeping_replicas

from tidegate.model.admission import Admission, AdmittedKey, TenantRule

REPLICAS = 16
PROMISED_MEANS = 10
SEED = 11
SETTLING_S = 5.0  # not part of the figures: the pace is measured, the queue fills
NAMES = ("modest", "greedy")


@dataclass(frozen=True, slots=True)
class Case:
    """Rules of the greedy tenant; None: a service without keys. `greedy` 0: it is not there."""

    name: str
    greedy_load: float = 2.0
    rule: TenantRule | None = None
    modest: TenantRule = TenantRule("modest", ("*",))


def admission(case: Case) -> Admission | None:
    """The tenants of a case and a key for each."""
    if case.rule is None:
        return None
    keys = tuple(AdmittedKey(n, n, hashlib.sha256(f"tgk_{n}".encode()).hexdigest()) for n in NAMES)
    return Admission((case.modest, case.rule), keys)


async def send(client: Client, rate: float, mean_s: float, seconds: float, seed: int) -> list[tuple[float, Answer]]:
    """Poisson arrivals; when each was sent, and how it ended."""
    draw, loop = random.Random(seed), asyncio.get_running_loop()
    done: list[tuple[float, Answer]] = []
    start = loop.time()

    async def one(service_s: float) -> None:
        at_s = loop.time() - start
        done.append((at_s, await client.ask(service_s)))

    async with asyncio.TaskGroup() as group:
        at_s = 0.0
        while rate and (at_s := at_s + draw.expovariate(rate)) < seconds:
            await asyncio.sleep(max(0.0, start + at_s - loop.time()))
            group.create_task(one(service_time(draw, "exponential", mean_s)))
    return done


def figures(done: list[tuple[float, Answer]], within_s: float, mean_s: float) -> dict[str, object]:
    seen = [a for at_s, a in done if at_s >= SETTLING_S]
    took = sorted(a.took_s / mean_s for a in seen if a.status == 200)
    in_time = sum(t <= within_s / mean_s for t in took)
    return {
        "sent": len(seen),
        "in_time": in_time / max(1, len(seen)),
        "good": in_time,
        "p50_means": took[len(took) // 2] if took else 0.0,
        "p95_means": took[len(took) * 95 // 100] if took else 0.0,
        "refused": dict(sorted(Counter(a.status for a in seen if a.status != 200).items())),
    }


async def measure(case: Case, ports: list[int], a: argparse.Namespace) -> dict[str, object]:
    within_s, capacity = PROMISED_MEANS * a.mean, REPLICAS / a.mean
    loads = {"modest": 0.2 * capacity, "greedy": case.greedy_load * capacity}
    seconds = SETTLING_S + a.seconds
    async with one_pool(ports, within_s, admission(case)) as port:
        clients = {n: Client(port, "/bench", f"x-api-key: tgk_{n}\r\n") for n in NAMES}
        ends = await asyncio.gather(
            *(send(clients[n], loads[n], a.mean, seconds, SEED + i) for i, n in enumerate(NAMES))
        )
        for client in clients.values():
            client.close()
    told = {n: figures(done, within_s, a.mean) for n, done in zip(NAMES, ends, strict=True)}
    goodput = sum(int(str(f["good"])) for f in told.values()) / a.seconds / capacity
    return {"case": case.name, "goodput": goodput, **told}


def line(row: dict[str, object]) -> str:
    parts = [f"{row['case']:>7}  goodput {row['goodput']:.3f}"]
    for name in NAMES:
        f = row[name]
        assert isinstance(f, dict)
        if f["sent"]:
            parts.append(
                f"{name}: in time {100 * f['in_time']:.2f}% of {f['sent']}, p50 {f['p50_means']:.1f} "
                f"p95 {f['p95_means']:.1f} means, refused {f['refused']}"
            )
    return " | ".join(parts)


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--mean", type=float, default=0.1, help="mean service time, seconds")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    greedy = TenantRule("greedy", ("*",))
    half = 0.5 * REPLICAS / a.mean
    cases = (
        Case("alone", 0.0, greedy),
        Case("open"),
        Case("shares", rule=greedy),
        Case("low", rule=TenantRule("greedy", ("*",), priority="low")),
        Case("rate", rule=TenantRule("greedy", ("*",), rate_per_s=half, burst=round(half))),
        Case("upside", rule=replace(greedy, priority="high"), modest=TenantRule("modest", ("*",), priority="low")),
    )
    rows = []
    with sleeping_replicas(REPLICAS) as ports:
        for case in cases:
            rows.append(await measure(case, ports, a))
            if not a.json:
                print(line(rows[-1]), flush=True)
    if a.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    asyncio.run(main())
