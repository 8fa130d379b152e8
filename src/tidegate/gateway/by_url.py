"""Media named by URL: the lines that have their first bytes fetched and screened, and the rules for the helper. Pure.

The helper is `tidegate.fetch`, a process of its own; the proxy asks it over a socket while other requests go on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from tidegate.gateway.screening import MediaLimits, lua_path
from tidegate.gateway.settings import GatewaySettings
from tidegate.gateway.text import quoted
from tidegate.model.snapshot import ServiceRoute, Snapshot

SOCKET, RULES = "fetch", "fetch.json"
_OPENING = quoted(r"^[\s\xEF\xBB\xBF]*[\[{]")
# The helper keeps the time itself; this is for a helper that hangs.
_GRACE_S = 1.0


def used(snapshot: Snapshot) -> bool:
    """Whether any service has its media fetched."""
    return any(s.media_by_url is not None for s in snapshot.services)


def load_lines(snapshot: Snapshot) -> Iterator[str]:
    """For the `global` section, behind those that load the screen."""
    if used(snapshot):
        yield f"lua-load-per-thread {lua_path()}/by_url.lua"


def screen_lines(service: ServiceRoute, limits: MediaLimits, settings: GatewaySettings) -> Iterator[str]:
    """Behind the screen of the body: the record of what was fetched takes its place."""
    rules = service.media_by_url
    if rules is None:
        return
    here = f"{{ var(txn.service) -m str {service.service} }}"
    # JSON by name or by its first letter: some services never look at the name.
    yield f"http-request set-var(txn.json) bool(true) if {here} {{ req.hdr(content-type) -m sub -i json }}"
    yield f"http-request set-var(txn.json) bool(true) if {here} {{ req.body,bytes(0,64) -m reg {_OPENING} }}"
    here += " { var(txn.json) -m bool }"
    within_ms = math.ceil((rules.timeoutSeconds + _GRACE_S) * 1000)
    arguments = (
        limits.text() or "-",
        service.service,
        "+".join(rules.fields),
        rules.maxUrls,
        int(rules.required),
        within_ms,
        settings.socket(SOCKET),
    )
    yield f"http-request lua.media_by_url {' '.join(map(str, arguments))} if {here}"


def rules_json(snapshot: Snapshot) -> str:
    """What the helper reads: the rules by service."""
    rules = {
        service.service: {
            "hosts": list(by_url.hosts),
            "networks": list(by_url.networks),
            "ports": list(by_url.ports),
            "redirects": by_url.redirects,
            "head_bytes": by_url.headBytes,
            "max_bytes": by_url.maxBytes,
            "timeout_s": by_url.timeoutSeconds,
            "at_once": by_url.atOnce,
        }
        for service in snapshot.services
        if (by_url := service.media_by_url) is not None
    }
    return json.dumps(rules, indent=1, sort_keys=True) + "\n"
