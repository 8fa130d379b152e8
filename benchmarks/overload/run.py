"""What happens when more is asked than can be served: goodput, promises kept, refusals, recovery.

    python benchmarks/overload/run.py [--loads 1 1.5 3 10] [--seconds 25] [--mean 0.1] [--json]

16 replicas of one slot that sleep for a drawn service time behind the real proxy; requests arrive as a Poisson process
at a multiple of the capacity (slots / mean service time), whether earlier ones are answered or not. The promise is ten
mean service times. For each load, without and with clients that come back when the gateway says so (`Retry-After`, up
to three times):

    goodput      answers within the promise per second, as a share of the capacity
    kept         share of the answered ones that were answered within the promise
    refused      share of the requests told 503, and how long they waited for that (p99)
    told         median of `Retry-After`, seconds
    other        neither answered nor refused: must be 0
    recovery     after the surge the load is half the capacity: seconds until the last refusal or late answer

The first seconds of a surge (as long as the promise, and two more for the pace to be measured) are not part of the
shares. `slowdown` is a load of 0.8 at which replicas become three times slower in the middle: the gateway's idea of the
pace is wrong then. Some of its service times alone are longer than the promise, and who waits already when it begins
waits too long, so two more numbers are told: the share in time of the answered ones whose own service time keeps the
promise (`queue`), and how many of those sent in its first two seconds were late because of the queue (`begun`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from one_pool import one_pool
from open_loop import Answer, Client, service_time, sleeping_replicas

REPLICAS = 16
SEED = 7
PROMISED_MEANS = 10
COMES_BACK = 3
AFTER_S = 8.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One request: when it was sent, seconds after the start, whether it was a first try, what it takes a replica, and
    how it ended.
    """

    at_s: float
    first: bool
    service_s: float
    answer: Answer


async def send(
    client: Client, rate: Callable[[float], float], draw_s: Callable[[float], float], seconds: float, comes_back: int
) -> list[Sent]:
    """Poisson arrivals at `rate(t)` per second; service times from `draw_s(t)`."""
    draw, loop = random.Random(SEED), asyncio.get_running_loop()
    done: list[Sent] = []
    start = loop.time()

    async def one(service_s: float) -> None:
        for attempt in range(comes_back + 1):
            at_s = loop.time() - start
            answer = await client.ask(service_s)
            done.append(Sent(at_s, attempt == 0, service_s, answer))
            if answer.status != 503 or at_s + answer.retry_after_s > seconds:
                return
            await asyncio.sleep(answer.retry_after_s)

    async with asyncio.TaskGroup() as group:
        at_s = 0.0
        while (at_s := at_s + draw.expovariate(rate(at_s))) < seconds:
            await asyncio.sleep(max(0.0, start + at_s - loop.time()))
            group.create_task(one(draw_s(at_s)))
    return done


def summary(done: list[Sent], from_s: float, until_s: float, capacity: float, within_s: float) -> dict[str, float]:
    """The shares over what was sent between the two times."""
    seen = [s for s in done if from_s <= s.at_s < until_s]
    answered = [s.answer.took_s for s in seen if s.answer.status == 200]
    # Goodput counts answers by when they were given: what was sent before and answered now is served capacity, too.
    given = sum(
        from_s <= s.at_s + s.answer.took_s < until_s and s.answer.took_s <= within_s
        for s in done
        if s.answer.status == 200
    )
    refused = [s.answer for s in seen if s.answer.status == 503]
    return {
        "sent_per_s": len(seen) / (until_s - from_s),
        "goodput": given / (until_s - from_s) / capacity,
        "kept": sum(t <= within_s for t in answered) / max(1, len(answered)),
        "refused": len(refused) / max(1, len(seen)),
        "refused_p99_ms": 1000 * (sorted(a.took_s for a in refused)[len(refused) * 99 // 100] if refused else 0.0),
        "told_s": statistics.median(a.retry_after_s for a in refused) if refused else 0.0,
        "other": sum(s.answer.status not in (200, 503) for s in seen),
    }


async def surge(ports: list[int], load: float, kind: str, comes_back: int, a: argparse.Namespace) -> dict[str, object]:
    """Some seconds at half the capacity, the surge, half the capacity again."""
    within_s, capacity = PROMISED_MEANS * a.mean, REPLICAS / a.mean
    calm_s, end_s = 4.0, 4.0 + a.seconds
    draw = random.Random(SEED + 1)
    async with one_pool(ports, within_s) as port:
        client = Client(port, "/bench")
        done = await send(
            client,
            lambda t: capacity * (load if calm_s <= t < end_s else 0.5),
            lambda _: service_time(draw, kind, a.mean),
            end_s + AFTER_S,
            comes_back,
        )
        client.close()
    got = summary(done, calm_s + 2.0 + within_s, end_s, capacity, within_s)
    after = [s.at_s - end_s for s in done if s.at_s >= end_s and s.first]
    bad = [s.at_s - end_s for s in done if s.at_s >= end_s and s.first and not good(s, within_s)]
    return {
        "case": f"{load:g}x",
        "service": kind,
        "retries": comes_back,
        **got,
        "recovery_s": max(bad, default=0.0),
        "lost_after": len(bad) / max(1, len(after)),
    }


def good(sent: Sent, within_s: float) -> bool:
    return sent.answer.status == 200 and sent.answer.took_s <= within_s


async def slowdown(ports: list[int], kind: str, a: argparse.Namespace) -> dict[str, object]:
    """A load of 0.8; after `seconds` replicas take three times as long, so that it becomes one of 2.4."""
    within_s, capacity = PROMISED_MEANS * a.mean, REPLICAS / a.mean
    draw = random.Random(SEED + 1)
    turn_s, end_s = 12.0, 12.0 + a.seconds
    async with one_pool(ports, within_s) as port:
        client = Client(port, "/bench")
        done = await send(
            client,
            lambda _: 0.8 * capacity,
            lambda t: service_time(draw, kind, a.mean * (1 if t < turn_s else 3)),
            end_s,
            0,
        )
        client.close()
    got = summary(done, turn_s + 2.0, end_s, capacity / 3, within_s)
    possible = [s for s in done if s.answer.status == 200 and s.service_s <= within_s]
    begun = [s for s in possible if turn_s <= s.at_s < turn_s + 2.0]
    after = [s for s in possible if s.at_s >= turn_s + 2.0]
    return {
        "case": "slowdown", "service": kind, "retries": 0, **got, "recovery_s": 0.0, "lost_after": 0.0,
        "queue": sum(good(s, within_s) for s in after) / max(1, len(after)),
        "begun": sum(not good(s, within_s) for s in begun),
    }  # fmt: skip


async def measure(a: argparse.Namespace) -> list[dict[str, object]]:
    rows = []
    with sleeping_replicas(REPLICAS) as ports:
        for kind in a.services:
            for load in a.loads:
                for comes_back in a.comes_back:
                    rows.append(await surge(ports, load, kind, comes_back, a))
                    print(line(rows[-1]) if not a.json else "", end="\n" if not a.json else "", flush=True)
            if a.slowdown:
                rows.append(await slowdown(ports, kind, a))
                print(line(rows[-1]) if not a.json else "", end="\n" if not a.json else "", flush=True)
    return rows


def line(r: dict[str, object]) -> str:
    return (
        f"{r['case']:>9} {r['service']:12} {r['retries']:>7} {r['sent_per_s']:>7.0f} {r['goodput']:>8.1%}"
        f" {r['kept']:>8.2%} {r['refused']:>8.1%} {r['refused_p99_ms']:>8.1f} {r['told_s']:>5.0f} {r['other']:>6}"
        f" {r['recovery_s']:>9.1f} {r['lost_after']:>8.2%}"
        + (f"  queue {r['queue']:.2%}, begun {r['begun']}" if "queue" in r else "")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--loads", type=float, nargs="*", default=[1, 1.5, 3, 10])
    parser.add_argument("--services", nargs="*", default=["exponential", "lognormal"])
    parser.add_argument("--comes-back", type=int, nargs="*", default=[0, COMES_BACK])
    parser.add_argument("--seconds", type=float, default=25.0)
    parser.add_argument("--mean", type=float, default=0.1)
    parser.add_argument("--slowdown", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    if not a.json:
        print(f"{REPLICAS} replicas, {a.mean * 1000:g} ms a request, promise {PROMISED_MEANS * a.mean:g} s\n")
        print(
            f"{'case':>9} {'service':12} {'retries':>7} {'sent/s':>7} {'goodput':>8} {'kept':>8} {'refused':>8}"
            f" {'p99 ms':>8} {'told':>5} {'other':>6} {'recovery':>9} {'lost':>8}"
        )
    with contextlib.suppress(KeyboardInterrupt):
        rows = asyncio.run(measure(a))
        if a.json:
            print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
