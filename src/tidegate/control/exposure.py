"""What anybody can reach who should perhaps not: services without keys on an address beyond this machine."""

from __future__ import annotations

from tidegate.spec.resolve import Specs
from tidegate.web.guard import is_loopback


def open_services(specs: Specs, host: str) -> tuple[str, ...]:
    """A sentence when the gateway listens beyond loopback and services there say nothing about access."""
    if is_loopback(host):
        return ()
    names = [s.name for s in specs.services if s.spec.access is None]
    if not names:
        return ()
    which = f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
    verb = "answers" if len(names) == 1 else "answer"
    return (
        f"{which} {verb} everybody who can reach {host}: no key is asked for. Add access: {{keys: required}} and a "
        "Tenant, or access: {keys: none} when that is meant",
    )
