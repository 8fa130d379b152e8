"""The real proxy: reloads under load, the driver killed, the proxy killed, start faults."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from free_ports import free_port
from gateway.world import PATIENCE_S, Replica, World, holds, pool, service, settings, snapshot, stop_now, until, world
from tidegate.base.errors import GatewayError
from tidegate.gateway.haproxy import HaproxyGateway
from tidegate.model.snapshot import Snapshot
from tidegate.spec.resolve import PoolKey

FACE = PoolKey("face")


def with_others(one: Replica, others: int) -> Snapshot:
    extra = [service(pool(f"other-{i}"), name=f"other-{i}") for i in range(others)]
    return snapshot(service(pool(servers=(one.server(slots=8),))), *extra)


async def client(here: World, stop: asyncio.Event, counts: dict[int, int]) -> None:
    while not stop.is_set():
        answer = await here.client.post("/face", content=b"x" * 20_000)
        counts[answer.status_code] = counts.get(answer.status_code, 0) + 1


async def test_reloads_under_load_fail_no_request_and_lose_no_count(tmp_path: Path):
    async with world(tmp_path) as here:
        one = await here.replica("face-1", 0.002)
        await here.gateway.publish(with_others(one, 0))
        await here.gateway.observe()
        stop, counts = asyncio.Event(), {}
        clients = [asyncio.create_task(client(here, stop, counts)) for _ in range(12)]
        finished = arrivals = 0
        for others in range(1, 6):
            before = sum(counts.values())
            await here.gateway.publish(with_others(one, others))

            async def served(before: int = before) -> bool:
                return sum(counts.values()) > before + 50

            await until(served)
            now = (await here.gateway.observe())[1][FACE]
            finished, arrivals = finished + now.finished, arrivals + now.arrivals
        stop.set()
        await asyncio.gather(*clients)
        assert set(counts) == {200}

        async def all_counted() -> bool:
            nonlocal finished, arrivals
            now = (await here.gateway.observe())[1][FACE]
            finished, arrivals = finished + now.finished, arrivals + now.arrivals
            return finished >= counts[200]

        await until(all_counted)
        assert finished == counts[200]
        assert arrivals == counts[200]


async def test_servers_added_without_reload_survive_one(tmp_path: Path):
    async with world(tmp_path) as here:
        one, two = await here.replica("face-1"), await here.replica("face-2")
        await here.gateway.publish(with_others(one, 0))
        master = here.gateway.main.master
        worker = (await master.workers()).current
        both = service(pool(servers=(one.server(), two.server())))
        await here.gateway.publish(snapshot(both))
        assert (await master.workers()).current == worker
        await here.gateway.publish(snapshot(both, service(pool("ocr"), name="ocr")))
        assert (await master.workers()).current != worker
        seen, _ = await here.gateway.observe()
        assert set(seen.servers) == {"face-1", "face-2"}
        assert {(await here.client.get("/face")).text for _ in range(4)} == {"face-1", "face-2"}


async def test_a_draining_replica_is_watched_in_the_old_worker_too(tmp_path: Path):
    async with world(tmp_path) as here:
        release = asyncio.Event()
        one, two = await here.replica("face-1", answer=holds(release)), await here.replica("face-2")
        await here.gateway.publish(with_others(one, 0))
        running = asyncio.create_task(here.client.get("/face"))

        async def busy() -> bool:
            return one.busy == 1

        await until(busy)
        servers = (one.server(draining=True, slots=8), two.server())
        await here.gateway.publish(snapshot(service(pool(servers=servers)), service(pool("ocr"), name="ocr")))
        seen, loads = await here.gateway.observe()
        assert (seen.servers["face-1"].draining, seen.servers["face-1"].in_flight) == (True, 1)
        assert loads[FACE].in_flight == 1
        release.set()
        assert (await running).status_code == 200

        async def done() -> bool:
            servers = (await here.gateway.observe())[0].servers
            return "face-1" not in servers or servers["face-1"].in_flight == 0

        await until(done)


async def test_what_an_old_worker_has_is_not_taken_for_gone_while_it_stands_still(tmp_path: Path):
    release = asyncio.Event()
    async with world(tmp_path) as here:
        one = await here.replica("face-1", answer=holds(release))
        await here.gateway.publish(with_others(one, 0))
        running = asyncio.create_task(here.client.get("/face"))
        await until(lambda: asyncio.sleep(0, one.busy == 1))
        await here.gateway.publish(
            snapshot(service(pool(servers=(one.server(draining=True),))), service(pool("ocr"), name="ocr"))
        )

        async def in_flight() -> int:
            return (await here.gateway.observe())[0].servers["face-1"].in_flight

        (old,) = (await here.gateway.main.master.workers()).old
        psutil.Process(old).suspend()
        try:
            with contextlib.suppress(GatewayError, TimeoutError):  # not seen, which stops nothing
                async with asyncio.timeout(1.0):
                    assert await in_flight() == 1
        finally:
            psutil.Process(old).resume()
        assert await in_flight() == 1
        release.set()
        assert (await running).status_code == 200


async def test_a_refused_configuration_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with world(tmp_path) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(with_others(one, 0))
        from tidegate.gateway import config

        monkeypatch.setattr(config, "_HEALTHY", "status nonsense")
        with pytest.raises(GatewayError, match="refused its new configuration"):
            await here.gateway.publish(with_others(one, 1))
        monkeypatch.undo()
        assert (await here.client.get("/face")).status_code == 200
        assert "nonsense" not in here.gateway.main.process.config_file.read_text()
        await here.gateway.publish(with_others(one, 1))
        assert (await here.client.get("/face")).status_code == 200


DRIVER = """
import asyncio, sys
from pathlib import Path
from tidegate.gateway.haproxy import HaproxyGateway
from tidegate.gateway.settings import GatewaySettings
from tidegate.model.snapshot import PoolRoute, Server, ServiceRoute, Snapshot
from tidegate.spec.resolve import PoolKey
from tidegate.spec.requests import Route

async def main(folder, port, management, replica):
    settings = GatewaySettings(Path(folder), "127.0.0.1", int(port), management_port=int(management),
                               threads=2, max_connections=2000)
    gateway = HaproxyGateway(settings)
    await gateway.start()
    servers = (Server("face-1", f"127.0.0.1:{replica}", 1),)
    pool = PoolRoute(PoolKey("face"), None, servers, 1, 60.0, 64, 60.0, 60.0, 60.0)
    await gateway.publish(Snapshot.of((ServiceRoute("face", Route(), (pool,), 2**20, True),)))
    print("published", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_the_proxy_outlives_its_driver_and_the_next_one_adopts_it(tmp_path: Path):
    one = await Replica("face-1").start()
    mine = settings(tmp_path)
    arguments = [str(tmp_path), str(mine.listen_port), str(mine.management_port), str(one.port)]
    driver = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        DRIVER,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "src"},
    )
    gateway = HaproxyGateway(mine)
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert driver.stdout is not None
            assert await driver.stdout.readline() == b"published\n"
        pid = gateway.main.pid()
        assert pid is not None
        with pytest.raises(GatewayError, match="another process drives"):
            await HaproxyGateway(mine).start()
        driver.send_signal(signal.SIGKILL)
        await driver.wait()
        here = World(gateway, httpx.AsyncClient(base_url=mine.url, timeout=PATIENCE_S, trust_env=False))
        async with here.client:
            assert (await here.client.get("/face")).text == "face-1"
            await gateway.start()
            assert gateway.main.pid() == pid
            worker = (await gateway.main.master.workers()).current
            seen, _ = await gateway.observe()
            assert (seen.version, set(seen.servers)) == (None, {"face-1"})
            same = snapshot(service(pool(servers=(one.server(),)), max_body_bytes=2**20))
            await gateway.publish(same)
            assert (await gateway.main.master.workers()).current == worker, "the same shape needs no reload"
            assert (await here.client.get("/face")).text == "face-1"
            seen, loads = await gateway.observe()
            assert seen.version == same.version
            assert loads[FACE].arrivals == loads[FACE].finished == 1
    finally:
        with contextlib.suppress(ProcessLookupError):
            driver.kill()
        one.kill()
        await gateway.close(stop=False)
        await stop_now(gateway)


@pytest.mark.parametrize("who", ["all of it", "the master", "the worker"])
async def test_a_proxy_that_was_killed_comes_back_with_its_servers(tmp_path: Path, who: str):
    async with world(tmp_path) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(with_others(one, 1))
        master = psutil.Process(here.gateway.main.pid())
        workers = master.children()
        for process in {"all of it": [master, *workers], "the master": [master], "the worker": workers}[who]:
            process.kill()

        async def answered() -> bool:
            try:
                return (await here.client.get("/face")).status_code == 200
            except httpx.TransportError:
                return False

        await until(answered)

        async def counted() -> bool:
            return here.gateway.main.restarts == 1

        await until(counted)
        seen, _ = await here.gateway.observe()
        assert set(seen.servers) == {"face-1"}
        left = [w for w in workers if w.is_running() and w.status() != psutil.STATUS_ZOMBIE]
        assert left == [], "no worker of the old master is left to accept connections"


async def test_a_taken_address_is_told_in_words(tmp_path: Path):
    taken = await Replica("taken", port=free_port()).start()
    try:
        gateway = HaproxyGateway(settings(tmp_path, listen_port=taken.port))
        with pytest.raises(GatewayError, match=f"cannot listen.*127.0.0.1:{taken.port}"):
            await gateway.start()
    finally:
        taken.kill()


async def test_stop_lets_the_running_request_finish(tmp_path: Path):
    async with world(tmp_path) as here:
        release = asyncio.Event()
        one = await here.replica("face-1", answer=holds(release))
        await here.gateway.publish(with_others(one, 0))
        running = asyncio.create_task(here.client.get("/face"))

        async def busy() -> bool:
            return one.busy == 1

        await until(busy)
        ending = asyncio.create_task(here.gateway.close(stop=True))

        async def stopping() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", here.gateway.settings.listen_port)
            except ConnectionRefusedError:
                return True
            writer.close()
            return False

        await until(stopping)
        assert not ending.done(), "it waits for the request"
        release.set()
        await ending
        assert (await running).status_code == 200
        assert here.gateway.main.pid() is None


async def test_a_state_directory_of_any_name_will_do(tmp_path: Path):
    folder = tmp_path / ("a long name with blanks and 'quotes' " * 3)
    async with world(folder) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(with_others(one, 0))
        assert (await here.client.post("/face", content=b"x" * 2**20)).status_code == 200
        assert here.gateway.settings.socket_folder != folder


async def test_who_looks_while_it_ends_does_not_bring_it_back(tmp_path: Path):
    async with world(tmp_path, stop_grace_s=0.5) as here:
        one = await here.replica("face-1")
        await here.gateway.publish(with_others(one, 0))
        assert (await here.client.post("/face", content=b"x" * 2**20)).status_code == 200
        instances = [here.gateway.main, *here.gateway._every_lane()]
        assert len(instances) > 1
        ending = asyncio.create_task(here.gateway.close(stop=True))
        while not ending.done():
            with contextlib.suppress(GatewayError):
                await here.gateway.observe()
            await asyncio.sleep(0)
        await ending
        with pytest.raises(GatewayError, match="has ended"):
            await here.gateway.observe()
        assert [i.pid() for i in instances] == [None] * len(instances)
