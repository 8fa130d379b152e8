"""TLS for checks: the same trust as the gateway has, or none where a manifest only says `scheme: HTTPS`."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tidegate.spec.tls import ReplicaTls


@dataclass(frozen=True, slots=True)
class Secured:
    """How a look speaks TLS: the name asked for (None: the address) and what is believed."""

    context: ssl.SSLContext
    name: str | None = None


def unverified() -> Secured:
    """Whoever answers is believed, as the kubelet does."""
    return Secured(_context(ReplicaTls(verify=False), ()))


def secured(tls: ReplicaTls) -> Secured:
    """As the gateway speaks to the replicas; files are read again when they have changed.

    Raises:
        OSError: a file cannot be read (ssl.SSLError: or holds nothing of use).
    """
    files = tuple(f for f in (tls.ca, tls.certificate, tls.key) if f is not None)
    return Secured(_context(tls, tuple(Path(f).stat().st_mtime_ns for f in files)), tls.serverName)


@lru_cache(maxsize=64)
def _context(tls: ReplicaTls, _read_at: tuple[int, ...]) -> ssl.SSLContext:
    """Loading the system's authorities takes some 20 ms, so contexts are kept."""
    context = ssl.create_default_context(cafile=tls.ca) if tls.verify else ssl.create_default_context()
    context.check_hostname = tls.verify and tls.serverName is not None
    if not tls.verify:
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    return context
