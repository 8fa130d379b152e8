"""Mutated requests: replicas, with a reader of their own, see exactly the requests that the proxy says it sent.

The same for longer: `cd tests && python -m gateway.test_live_framing_fuzz SECONDS [SEED]`.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from pathlib import Path

from gateway.test_live_hardening import HIDDEN, POST, SMUGGLED, two_services
from gateway.world import Replica, World, until

WHOLE = (
    b"content-length: 5\r\n\r\nabcde",
    b"transfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nx: y\r\n\r\n",
    b"connection: upgrade\r\nupgrade: h2c\r\n\r\n",
)
SEEDS = [POST + rest for rest in SMUGGLED.values()] + [POST + rest + HIDDEN for rest in WHOLE]
BITS = (
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b"\x0b", b"\x85", b"\xa0", b"\xff", b":", b";", b",", b'"', b"("),
    *(b"chunked", b"0\r\n\r\n", b"5\r\n", b"HTTP/1.1", b"transfer-encoding: chunked\r\n", b"content-length: 0\r\n"),
    *(b"content-length: 38\r\n", b"expect: 100-continue\r\n", b"connection: close\r\n", HIDDEN),
)
AT_ONCE = 40
# What is mutated often does not end; the honest client at the end opens the first connection of its own.
CUT = {"header_timeout_s": 0.5, "body_timeout_s": 0.5, "idle_timeout_s": 0.5}


def mutated(seed: bytes, rnd: random.Random) -> bytes:
    """A seed with one to four changes: something inserted, taken out, overwritten, repeated."""
    data = bytearray(seed)
    for _ in range(rnd.randint(1, 4)):
        how, at = rnd.random(), rnd.randrange(len(data) + 1)
        if how < 0.5:
            data[at:at] = rnd.choice(BITS)
        elif how < 0.7:
            del data[at : at + rnd.randint(1, 6)]
        elif how < 0.85 and data:
            data[min(at, len(data) - 1)] = rnd.randrange(256)
        else:
            data[at:at] = data[at : at + rnd.randint(1, 40)]
    return bytes(data)


async def sent(here: World, worker: int) -> int:
    """Requests the proxy says it has sent to replicas."""
    lines = (await here.gateway.main.master.worker(worker, "show stat")).splitlines()
    column = lines[0][2:].split(",").index("stot")
    rows = (line.split(",") for line in lines[1:] if line)
    return sum(int(row[column]) for row in rows if row[1] in ("face-1", "ocr-1"))


async def feed(here: World, replicas: tuple[Replica, ...], rounds: int, rnd: random.Random) -> None:
    workers = await here.gateway.main.master.workers()
    assert workers.current is not None
    for _ in range(rounds):
        inputs = [mutated(rnd.choice(SEEDS), rnd) for _ in range(AT_ONCE)]
        await asyncio.gather(*(here.raw(data) for data in inputs))

        async def agreed() -> bool:
            return await sent(here, workers.current or 0) == sum(len(r.seen) for r in replicas)

        try:
            await until(agreed)
        except TimeoutError:
            raise AssertionError(f"replicas saw other requests than were sent; one of: {inputs!r}") from None
    assert (await here.client.get("/face")).status_code == 200
    assert await here.gateway.main.master.workers() == workers, "the worker has not ended"


async def test_replicas_see_what_was_sent_and_nothing_else(tmp_path: Path):
    async with two_services(tmp_path, **CUT) as (here, *replicas):
        await feed(here, tuple(replicas), 2, random.Random(1))


async def long(seconds: float, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with two_services(Path(folder), **CUT) as (here, *replicas):
            await feed(here, tuple(replicas), max(1, int(seconds)), random.Random(seed))


if __name__ == "__main__":
    asyncio.run(long(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
