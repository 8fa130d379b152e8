"""How exact and how fast the simulator's engine is.

    python benchmarks/simulator/run.py [--requests 20000000] [--quick] [--speed]

Exactness: mean wait against Erlang C (M/M/c), Crommelin's chain (M/D/c) and Pollaczek-Khinchine (M/G/1), over numbers
of slots and loads; each with the half width of its 95% confidence interval (20 batches), runs made longer until that is
small. Speed: simulated requests a second on one core, arrivals and service times drawn included.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from sim.queues import batches, erlang_c, mdc_wait_s, mmc_wait_s, pollaczek_khinchine_s
from tidegate.sim.engine import Pool
from tidegate.sim.requests import Requests, ServiceTime

SLOTS = (1, 4, 16, 64)
LOADS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
T_95, T_99 = 2.093, 2.861  # Student's t with 19 degrees of freedom; tests/sim uses the wider one
RARE = 1e-4  # where fewer requests than this wait, no run of sensible length measures how long


def exactness(requests: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    exponential, fixed = ServiceTime(1.0, kind="exponential"), ServiceTime(1.0, kind="fixed")
    for slots in SLOTS:
        for load in LOADS:
            if erlang_c(slots, slots * load) > RARE:
                rows.append(row("M/M/c", slots, load, exponential, mmc_wait_s(slots, load), requests))
                rows.append(row("M/D/c", slots, load, fixed, mdc_wait_s(slots, load), requests))
    for load in LOADS:
        for cv in (0.5, 1.5):
            rows.append(row(f"M/G/1 cv {cv}", 1, load, ServiceTime(1.0, cv), pollaczek_khinchine_s(load, cv), requests))
    return rows


def row(model: str, slots: int, load: float, work: ServiceTime, exact: float, requests: int) -> dict[str, object]:
    """One cell; high loads need longer runs, as their waits are correlated over (1 - load)^-2."""
    longer = 1 if load < 0.9 else 3
    waits, _ = batches(slots, load, work, requests * longer, seed=slots)
    half = waits.half_width * T_95 / T_99
    error = waits.mean / exact - 1
    made = {"model": model, "slots": slots, "load": load, "exact_s": exact, "error": error, "half_width": half / exact}
    inside = abs(error) <= half / exact
    print(
        f"{model:12} c={slots:<3} load {load:.2f}: {error:+.2%} ± {half / exact:.2%}{'' if inside else '  outside'}",
        flush=True,
    )
    return made


def speed(requests: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    shapes = {"exponential": ServiceTime(1.0, kind="exponential"), "lognormal": ServiceTime(1.0, 0.5)}
    for slots in SLOTS:
        for name, work in shapes.items():
            best = max(one_speed(slots, work, requests) for _ in range(3))
            rows.append({"slots": slots, "service": name, "requests_per_s": best})
            print(f"{slots:>3} slots, {name:11}: {best / 1e6:.2f} million requests a second", flush=True)
    return rows


def one_speed(slots: int, work: ServiceTime, requests: int) -> float:
    length = requests / (0.8 * slots)
    pool = Pool(slots=1, patience_s=100.0)
    for number in range(slots):
        pool.add(f"r{number}")
    source = Requests([(0.0, 0.8 * slots), (length, 0.8 * slots)], work, 1)
    pool.advance(0.01 * length, source)
    pool.measure()
    began = time.process_time()
    pool.advance(length, source)
    return pool.measure().arrivals / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000_000, help="per cell of the exactness table")
    parser.add_argument("--quick", action="store_true", help="a tenth of that")
    parser.add_argument("--speed", action="store_true", help="only the speed, half a minute")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.speed:
        speed(2_000_000)
        return
    requests = args.requests // 10 if args.quick else args.requests
    made = {"speed": speed(2_000_000), "exactness": exactness(requests)}
    worst = max(abs(float(str(r["error"]))) for r in made["exactness"])
    outside = sum(abs(float(str(r["error"]))) > float(str(r["half_width"])) for r in made["exactness"])
    count = len(made["exactness"])
    print(f"largest difference {worst:.2%}; {outside} of {count} outside their 95% interval")
    if args.json:
        args.json.write_text(json.dumps(made, indent=1))


if __name__ == "__main__":
    main()
