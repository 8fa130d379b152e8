"""A gateway with one service of one pool, for benchmarks of what happens when much is asked of it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from open_loop import free_port

from tidegate.gateway.haproxy import HaproxyGateway
from tidegate.gateway.settings import GatewaySettings
from tidegate.model.admission import Admission
from tidegate.model.snapshot import PoolRoute, Server, ServiceRoute, Snapshot
from tidegate.spec.access import Access
from tidegate.spec.requests import Route
from tidegate.spec.resolve import PoolKey


@asynccontextmanager
async def one_pool(ports: list[int], within_s: float, admission: Admission | None = None) -> AsyncIterator[int]:
    """A gateway in front of replicas of one slot, looked at as in service; yields its port.

    The service is at /bench, and asks for keys when there is an `admission`.
    """
    folder = Path(tempfile.mkdtemp(prefix="tg-pool-"))
    settings = GatewaySettings(
        folder, "127.0.0.1", free_port(), management_port=free_port(), threads=1, max_connections=9000, stop_grace_s=1.0
    )
    proxy = HaproxyGateway(settings)
    await proxy.start()
    if admission is not None:
        await proxy.admit(admission)
    servers = tuple(Server(f"r{i}", f"127.0.0.1:{p}", 1) for i, p in enumerate(ports))
    pool = PoolRoute(PoolKey("bench"), None, servers, 1, within_s, 64, 30.0, 60.0, within_s)
    access = None if admission is None else Access()
    service = ServiceRoute("bench", Route(pathPrefix="/bench"), (pool,), 65536, True, access=access)
    await proxy.publish(Snapshot.of((service,)))

    async def look() -> None:
        while True:
            await asyncio.sleep(0.5)
            await proxy.observe()

    looking = asyncio.create_task(look())
    try:
        yield settings.listen_port
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
        await proxy.close(stop=True)
        shutil.rmtree(folder, ignore_errors=True)
