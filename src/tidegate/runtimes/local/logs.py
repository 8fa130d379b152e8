"""Reading a replica's log while its supervisor writes and rotates it."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path

FOLLOW_S = 0.1
KEEP = 50  # logs of replicas that were forgotten, per cluster; the oldest go first


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` lines of `path`.1 and `path` together (each at most a few MiB)."""
    lines: deque[str] = deque(maxlen=count)
    for part in (path.with_name(f"{path.name}.1"), path):
        if part.exists():
            lines.extend(part.read_text(errors="replace").splitlines())
    return list(lines)


async def follow(path: Path, tail: int, is_over: Callable[[], bool]) -> AsyncIterator[str]:
    """The last `tail` lines and those written from now on, until `is_over` and everything is read.

    What is rotated away meanwhile is read too. A line that is being written is told when it is whole.
    """
    file = path.open(errors="replace")
    try:
        before = path.with_name(f"{path.name}.1")
        older = before.exists() and not os.path.samestat(before.stat(), os.fstat(file.fileno()))
        rest = (before.read_text(errors="replace") if older else "") + file.read()
        *lines, rest = rest.split("\n")
        for line in deque(lines, maxlen=tail):
            yield line
        while True:
            over = is_over()
            rest += file.read()
            *lines, rest = rest.split("\n")
            for line in lines:
                yield line
            if path.exists() and path.stat().st_ino != os.fstat(file.fileno()).st_ino:
                rest += file.read()
                file.close()
                file = path.open(errors="replace")
                continue
            if over:
                if rest:
                    yield rest
                return
            await asyncio.sleep(FOLLOW_S)
    finally:
        file.close()


def prune(folder: Path, living: set[str], keep: int = KEEP) -> None:
    """Delete the oldest logs of replicas that are not `living`, down to `keep` of them."""
    old = [p for p in folder.glob("*.log") if p.name.removesuffix(".log") not in living]
    old.sort(key=lambda p: p.stat().st_mtime, reverse=True)
    for path in old[keep:]:
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.1").unlink(missing_ok=True)
