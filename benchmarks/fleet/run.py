"""The article's before/after table from a simulated fleet of its size.

    python benchmarks/fleet/run.py [--hours 24] [--seed 1] [--small] [--json]

Before is arithmetic on a static fleet; after is a day in the simulator: 60 000 cores and 1000 cards' worth of services,
every request simulated, decided by the `policy.tick` of the live system. Minutes on one core; needs the extra `sim`.
`--small` is a tenth of it with all that happens within two hours: a minute, to see that everything is counted.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import after
import assumptions as a
import before
from counting import Order

from tidegate.base.collector import collect_seldom


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.small:
        a.small()
    hours = 2.0 if args.small else args.hours
    began = time.process_time()
    last = [time.monotonic()]

    def progress(second: float) -> None:
        if time.monotonic() - last[0] > 10:
            last[0] = time.monotonic()
            print(
                f"{second / 3600:5.1f} h simulated, {time.process_time() - began:.0f} s of processor time",
                file=sys.stderr,
            )

    collect_seldom()  # as `tidegate simulate` does
    found = after.play(args.seed, progress, hours)
    was = before.day(after.classes(), found.loads)
    result = numbers(was, found) | {"processor_s": round(time.process_time() - began)}
    if args.json:
        print(json.dumps(result))
        return 0
    for line in table(result):
        print(line)
    print()
    for name, value in result.items():
        print(f"{name:32} {value}")
    print()
    for line in a.told():
        print(f"- {line}")
    return 0


def numbers(was: before.Before, found: after.After) -> dict[str, object]:
    pools = found.result.pools
    cpu, gpu = (
        [p for p in pools if not p.key.service.startswith("gpu")],
        [p for p in pools if p.key.service.startswith("gpu")],
    )
    requests = sum(p.total.ended for p in pools)
    small = [o for o in found.orders.done if cores(found, o) < 2000]
    done: dict[str, object] = {
        "utilisation_cpu_before": was.utilisation_cpu,
        "utilisation_cpu_after": _utilisation(cpu),
        "utilisation_gpu_before": was.utilisation_gpu,
        "utilisation_gpu_after": _utilisation(gpu),
        "cost_before": was.cost,
        "cost_after": found.result.cost,
        "cost_after_on_demand": found.result.cost * a.ON_DEMAND,
        "success_before": was.success,
        "success_after": found.result.success,
        "requests": requests,
        "lost_before": {k: round(v) for k, v in was.lost.items()},
        "lost_after": {
            "gave up or too late": sum(p.total.gave_up + p.total.finished - p.total.in_time for p in pools),
            "refused": sum(p.total.refused for p in pools),
            "failed": sum(p.total.failed for p in pools),
        },
        "pools_that_broke_the_promise": [f"{p.key} {p.success:.3%}" for p in pools if not p.kept],
        "orders": len(found.orders.done),
        "scale_out_small_p50_s": _quantile([o.took_s for o in small], 0.5),
        "scale_out_small_p95_s": _quantile([o.took_s for o in small], 0.95),
        "scale_out_small_longest_s": max((o.took_s for o in small), default=math.nan),
        **_campaign(found),
        "upgrades": {
            name: {"instances": u.instances, "minutes": round(u.took_s / 60, 1), "outcome": u.outcome}
            for name, u in found.upgrades.items()
        },
        "most_cores": max_cores(found),
        "decisions": found.decisions,
    }
    return {k: round(v, 5) if isinstance(v, float) else v for k, v in done.items()}


BEFORE_S = 900.0  # a schedule's order goes out a start-up time ahead: within this time before the campaign


def cores(found: after.After, order: Order) -> float:
    """What an order asked for, in cores."""
    return order.replicas * found.per_replica[order.key]


def _campaign(found: after.After) -> dict[str, float | int]:
    """The scale-out for the campaign: from the largest order shortly before it to when all are ready.

    What its services order after the largest one and before the campaign begins is part of it.
    """
    names = {f"cpu-{i:02d}" for i in range(a.CAMPAIGN_SERVICES)}
    begins = after.LEAD_S + a.CAMPAIGN_FROM_H * 3600
    orders = [*found.orders.done, *(o for of in found.orders.open.values() for o in of)]
    orders = [o for o in orders if o.key.service in names and begins - BEFORE_S <= o.at_s < begins]
    if not orders:
        return {"scale_out_campaign_cores": 0.0, "scale_out_campaign_s": math.nan}
    first_s = max(orders, key=lambda o: cores(found, o)).at_s
    orders = [o for o in orders if o.at_s >= first_s]
    total = math.fsum(cores(found, o) for o in orders)
    return {
        "scale_out_campaign_cores": total,
        "scale_out_campaign_s": max(o.done_s for o in orders) - first_s,
        "scale_out_campaign_ordered_before_s": begins - first_s,
    }


def _utilisation(pools: list[object]) -> float:
    busy = math.fsum(p.total.busy_slot_s for p in pools)  # type: ignore[attr-defined]
    paid = math.fsum(p.replica_s * p.slots for p in pools)  # type: ignore[attr-defined]
    return busy / paid


def max_cores(found: after.After) -> float:
    """The most cores that ran at a time (in bins of a minute or so)."""
    totals: dict[int, float] = {}
    for p in found.result.pools:
        per = a.LARGE_CORES if p.key.pool == "large" else a.SLOTS * a.SLOT_CORES
        if p.key.service.startswith("gpu"):
            continue
        for i, b in enumerate(p.series.bins):
            if b.seconds:
                totals[i] = totals.get(i, 0.0) + per * (b.ready_s + b.starting_s + b.draining_s) / b.seconds
    return max(totals.values())


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[int(share * len(ordered))] if ordered else math.nan


def table(r: dict[str, object]) -> list[str]:
    """Row by row, as Markdown."""

    def percent(name: str, digits: int = 0) -> str:
        return f"{float(r[name]):.{digits}%}"  # type: ignore[arg-type]

    def minutes(name: str) -> str:
        return f"{float(r[name]) / 60:.1f} min"  # type: ignore[arg-type]

    saved = 1 - float(r["cost_after"]) / float(r["cost_before"])  # type: ignore[arg-type]
    dear = 1 - float(r["cost_after_on_demand"]) / float(r["cost_before"])  # type: ignore[arg-type]
    ups = sorted(r["upgrades"].values(), key=lambda u: u["instances"])  # type: ignore[attr-defined]
    told = [f"{u['minutes']:g} min ({u['instances']} instances, {u['outcome']})" for u in ups]
    rows = [
        ("utilisation, CPU", "10%", "30%", percent("utilisation_cpu_before"), percent("utilisation_cpu_after")),
        ("utilisation, GPU", "", "", percent("utilisation_gpu_before"), percent("utilisation_gpu_after")),
        (
            "cost",
            "",
            "-40%",
            f"{float(r['cost_before']):.0f}",
            f"{float(r['cost_after']):.0f} (-{saved:.0%}; at 1.3x the price -{dear:.0%})",
        ),  # type: ignore[arg-type]
        ("success", "99.9%", "99.95%", percent("success_before", 3), percent("success_after", 3)),
        (
            "scale-out, fewer than 2000 cores",
            "3 h",
            "10 min",
            "3 h (taken over)",
            f"p50 {minutes('scale_out_small_p50_s')}, p95 {minutes('scale_out_small_p95_s')}, "
            f"longest {minutes('scale_out_small_longest_s')}",
        ),
        (
            "scale-out, more",
            "2 days",
            "6 h",
            "2 days (taken over)",
            f"{minutes('scale_out_campaign_s')} for {float(r['scale_out_campaign_cores']):.0f} cores",
        ),  # type: ignore[arg-type]
        ("upgrade, fewer than 50 instances", "6 h", "30 min", "6 h (taken over)", told[0] if told else ""),
        ("upgrade, more", "2 days", "6 h", "2 days (taken over)", told[-1] if told else ""),
    ]
    head = "| | article before | article after | simulated before | simulated after |\n|---|---|---|---|---|"
    return [head, *("| " + " | ".join(row) + " |" for row in rows)]


if __name__ == "__main__":
    sys.exit(main())
