"""What the contract suite and the tests of real runtimes start: small programs and the orders for them."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tidegate.model.observed import ReplicaSeen
from tidegate.runtimes.protocol import Runtime, StartOrder
from tidegate.spec.resolve import PoolSpec, pools_of
from tidegate.spec.service import MediaService

T = TypeVar("T")

# Opens its port, says so, and ends on SIGTERM.
SERVER = """
import http.server, os
class Ok(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Ok)
print("listening", flush=True)
server.serve_forever()
"""
SLEEPER = "import time; print('up', flush=True); time.sleep(600)"


def pool(code: str = SLEEPER, *, service: str = "web", **spec: Any) -> PoolSpec:
    """A pool whose replicas run `code`."""
    spec = {"command": [sys.executable, "-c", code], "resources": {"cpu": "100m", "memory": "256Mi"}} | spec
    return pools_of(MediaService(metadata={"name": service}, spec=spec))[-1]


def order(name: str = "web-1", code: str = SLEEPER, **spec: Any) -> StartOrder:
    return StartOrder(name, pool(code, **spec))


PATIENCE_S = 60.0


async def until(look: Callable[[], Awaitable[T]], true: Callable[[T], Any]) -> T:
    """Look again and again until it is `true`; the deadline is generous, the usual wait some milliseconds."""
    deadline = time.monotonic() + PATIENCE_S
    while not true(seen := await look()):
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s; last seen: {seen}"
        await asyncio.sleep(0.005)
    return seen


async def one(runtime: Runtime, name: str = "web-1") -> ReplicaSeen | None:
    """The replica as the runtime sees it now."""
    replicas, _ = await runtime.observe()
    return next((r for r in replicas if r.id == name), None)


async def running(runtime: Runtime, name: str = "web-1") -> ReplicaSeen:
    """The replica once it has an address."""
    seen = await until(lambda: one(runtime, name), lambda r: r is not None and (r.address or not r.running))
    assert seen is not None and seen.running, seen
    return seen


async def ended(runtime: Runtime, name: str = "web-1") -> ReplicaSeen:
    """The replica once it has ended."""
    seen = await until(lambda: one(runtime, name), lambda r: r is not None and not r.running)
    assert seen is not None
    return seen
