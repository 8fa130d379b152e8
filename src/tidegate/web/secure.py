"""TLS for the TCP door, with a certificate that is read again when its files change."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

_LOOK_S = 10.0


async def follow(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Load the pair into the context again whenever it changes and fits; new connections get it. Never returns."""
    seen = _stamp(certificate, key)
    while True:
        await asyncio.sleep(_LOOK_S)
        now = _stamp(certificate, key)
        if now != seen:
            # A pair that does not fit, since only half of it is written yet, is read again next time.
            with contextlib.suppress(OSError, ssl.SSLError):
                context.load_cert_chain(certificate, key)
                seen = now


def _stamp(*files: Path) -> tuple[tuple[int, int], ...]:
    try:
        stats = [file.stat() for file in files]
    except OSError:
        return ()
    return tuple((s.st_ino, s.st_mtime_ns) for s in stats)
