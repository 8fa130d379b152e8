"""Put the live system together, run it until told to stop, take it apart again.

The only module that knows every adapter by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from tidegate.base.clock import Clock, SystemClock
from tidegate.base.errors import ControlError
from tidegate.control.act import Actor
from tidegate.control.diff import changes
from tidegate.control.issuers import Issuers
from tidegate.control.live import Live
from tidegate.control.observe import Observer
from tidegate.control.record import Recorder
from tidegate.control.revisions import recalled
from tidegate.control.settings import Settings
from tidegate.control.status import Addresses
from tidegate.control.tenancy import Tenancy
from tidegate.control.token import management_token
from tidegate.control.traffic import Traffic
from tidegate.gateway.haproxy import HaproxyGateway
from tidegate.gateway.settings import GatewaySettings
from tidegate.gateway.tls import CertificateFiles, Tls
from tidegate.model.memory import Memory
from tidegate.model.status import Status
from tidegate.probes.prober import AsyncProber
from tidegate.runtimes.faulty import FaultyRuntime
from tidegate.runtimes.local.runtime import LocalRuntime
from tidegate.runtimes.protocol import Runtime
from tidegate.runtimes.static import StaticRuntime
from tidegate.spec.cluster import Cluster
from tidegate.spec.load import Loaded, together
from tidegate.spec.resolve import Specs
from tidegate.store.journal import Journal
from tidegate.store.tenants import TenantStore
from tidegate.web.guard import is_loopback
from tidegate.web.server import Listen, serving


async def serve(
    manifests: Loaded | None,
    settings: Settings,
    *,
    on_status: Callable[[Status], None] = lambda _: None,
    on_ready: Callable[[Live], None] = lambda _: None,
    clock: Clock | None = None,
) -> None:
    """Run what is declared until SIGINT, SIGTERM or `down`; then drain and stop everything.

    Args:
        manifests: what is declared; None runs what was declared last in this state folder.
        on_status: called after every tick.
        on_ready: called once when the API answers.

    Raises:
        TidegateError: it cannot be started; the message says what to do.
    """
    clock = clock or SystemClock()
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        journal = Journal(settings.database_url)
        stack.callback(journal.close)
        specs = _declared(manifests, journal, settings)
        gateway = HaproxyGateway(_gateway_settings(settings), clock)
        await gateway.start()
        stack.push_async_callback(gateway.close, stop=False)
        live = _assemble(specs, journal, gateway, settings, clock, on_status)
        await live.tenancy.open(specs.tenants)
        stack.push_async_callback(_let_go, live)
        served = await stack.enter_async_context(serving(live, _listen(settings)))
        live.where = Addresses(gateway.settings.url, served.page, _open_doors(settings), settings.host)
        before = journal.load_specs()
        stored = together(before.manifests).specs if before else Specs()
        live.recorder.applied(clock.wall(), specs, changes(stored, specs))
        live.recorder.recall(clock.wall())
        live.observer.know(recalled(journal, live.memory, specs))
        with _signals(live):
            loop = asyncio.create_task(live.run(), name="loop")
            fetching = asyncio.create_task(live.issuers.run(), name="keys of issuers")
            on_ready(live)
            try:
                await _until_stopped(live, loop, settings)
            finally:
                for task in (loop, fetching):
                    task.cancel()
                await asyncio.wait((loop, fetching))


def _assemble(
    specs: Specs,
    journal: Journal,
    gateway: HaproxyGateway,
    settings: Settings,
    clock: Clock,
    on_status: Callable[[Status], None],
) -> Live:
    wake = asyncio.Event()
    traffic = Traffic()
    prober = AsyncProber(on_change=wake.set, traffic=traffic.of)
    observer = Observer(clock, {}, prober, gateway, gateway.settings.internal_url, traffic=traffic)
    return Live(
        specs=specs,
        memory=journal.load_memory() or Memory(),
        observer=observer,
        actor=Actor(observer),
        recorder=Recorder(journal),
        tenancy=Tenancy(TenantStore(journal), gateway, clock),
        issuers=Issuers(settings.state / "issuers", clock, wake.set),
        clock=clock,
        where=Addresses(gateway.settings.url, ""),
        tick_s=settings.tick_s,
        connect=lambda cluster: _faulty(connect(cluster, settings.state, clock, wake.set), settings, clock),
        check=lambda manifests: together(manifests).specs,
        on_status=on_status,
        wake=wake,
    )


def _faulty(runtime: Runtime, settings: Settings, clock: Clock) -> Runtime:
    """With the faults that somebody wants to try out, when there are any."""
    return FaultyRuntime(runtime, settings.faults, clock) if settings.faults else runtime


def connect(cluster: Cluster, state: Path, clock: Clock, on_change: Callable[[], None]) -> Runtime:
    """The runtime of a cluster.

    Raises:
        ControlError: its kind is not available here.
    """
    match cluster.spec.runtime:
        case "local":
            return LocalRuntime(cluster, state, clock, on_change)
        case "static":
            return StaticRuntime(cluster, clock)
        case kind:
            raise ControlError(f"cluster {cluster.name}: runtime {kind} is not available yet; use local or static")


def _declared(loaded: Loaded | None, journal: Journal, settings: Settings) -> Specs:
    if loaded is not None:
        return loaded.specs
    stored = journal.load_specs()
    if stored is None:
        raise ControlError(f"nothing was ever declared in {settings.state}. Name manifests: tidegate up -f DIR")
    return together(stored.manifests).specs


def _gateway_settings(settings: Settings) -> GatewaySettings:
    return GatewaySettings(
        state_directory=settings.state / "gateway",
        listen_address=settings.host,
        listen_port=settings.port,
        management_address=settings.management_host,
        management_port=settings.metrics_port,
        management_token="" if is_loopback(settings.management_host) else management_token(settings),
        tls=_tls(settings),
        max_connections=settings.max_connections,
        connections_per_s=settings.connection_rate,
        connections_per_s_of_one=settings.address_connection_rate,
    )


def _listen(settings: Settings) -> Listen:
    """Management beyond loopback speaks TLS when the gateway has a certificate."""
    tls = _tls(settings)
    files = tls.certificates[0] if tls is not None and not is_loopback(settings.management_host) else None
    return Listen(
        settings.socket,
        settings.management_host,
        settings.page_port,
        management_token(settings) or None,
        certificate=files.certificate if files is not None else None,
        key=files.key if files is not None else None,
    )


def _open_doors(settings: Settings) -> tuple[str, ...]:
    if is_loopback(settings.management_host) or settings.tls_cert:
        return ()
    return (
        f"the token for management on {settings.management_host} travels unencrypted: add --tls-cert, or listen on "
        "127.0.0.1 and come through a tunnel (ssh -L)",
    )


def _tls(settings: Settings) -> Tls | None:
    certificates, keys = settings.tls_cert, settings.tls_key
    if not certificates:
        if keys or settings.tls_client_ca or settings.redirect_port:
            raise ControlError("TLS settings were given without a certificate. Add --tls-cert FILE, or take them out")
        return None
    if len(keys) not in (0, len(certificates)):
        raise ControlError(
            f"{len(certificates)} certificates and {len(keys)} keys were given. Give a key for each, in the same "
            "order, or none when each certificate's file holds its key"
        )
    pairs = zip(certificates, keys or certificates, strict=True)
    files = tuple(CertificateFiles(certificate.absolute(), key.absolute()) for certificate, key in pairs)
    return Tls(files, settings.tls_client_ca, settings.redirect_port, settings.internal_port)


async def _until_stopped(live: Live, loop: asyncio.Task[None], settings: Settings) -> None:
    """Wait for the wish to stop; let the gateway end its requests, then replicas drain and stop."""
    asked = asyncio.create_task(live.stop_asked.wait())
    await asyncio.wait({asked, loop}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if loop.done():
        loop.result()
        return
    live.stopping = True
    live.announce()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(live.observer.gateway.close(stop=True), settings.drain_s)
    live.observer.gateway_closed = True
    live.emptying = True
    live.wake.set()
    _, late = await asyncio.wait({loop}, timeout=settings.drain_s)
    if late:
        left = ", ".join(sorted(live.memory.replicas))
        raise ControlError(f"not stopped within {settings.drain_s:g} s: {left}. Run `tidegate down` again to end them.")


async def _let_go(live: Live) -> None:
    """Close what observes and acts; whatever still runs goes on running and is adopted by the next start."""
    await live.actor.close()
    await live.observer.prober.close()
    for runtime in live.observer.runtimes.values():
        await runtime.close()


@contextlib.contextmanager
def _signals(live: Live) -> Iterator[None]:
    """SIGINT and SIGTERM ask to stop; the handlers that were there before come back afterwards."""
    loop = asyncio.get_running_loop()
    wanted = (signal.SIGINT, signal.SIGTERM)
    for number in wanted:
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):  # not in the main thread (tests)
            loop.add_signal_handler(number, live.stop_asked.set)
    try:
        yield
    finally:
        for number in wanted:
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.remove_signal_handler(number)
