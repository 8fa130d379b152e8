"""The control loop on fakes: what it does with adapters that fail, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tidegate.base.clock import ManualClock
from tidegate.base.errors import ControlError, SpecError, StoreError
from tidegate.control.act import Actor
from tidegate.control.issuers import Issuers
from tidegate.control.live import Live
from tidegate.control.observe import Observer
from tidegate.control.record import Recorder
from tidegate.control.replay import replay, verify
from tidegate.control.settings import Settings
from tidegate.control.status import Addresses
from tidegate.control.tenancy import Tenancy
from tidegate.gateway.fake import FakeGateway
from tidegate.model.actions import Remedy
from tidegate.model.lifecycle import PHASES
from tidegate.model.memory import Memory
from tidegate.model.plan import PoolPlan
from tidegate.model.reasons import Reason
from tidegate.model.scaling import ScaleMemory, SeasonMemory
from tidegate.probes.fake import FakeProber
from tidegate.runtimes.fake import FakeRuntime
from tidegate.spec.checks import Manifest
from tidegate.spec.load import load_data, together
from tidegate.spec.resolve import PoolKey, Specs
from tidegate.store.codec import encode
from tidegate.store.journal import Journal
from tidegate.store.tenants import TenantStore
from tidegate.web.ports import NotFound


def manifests(**services: int) -> tuple[Manifest, ...]:
    """Services by name with their minReplicas, and one cluster."""
    data = [
        {
            "apiVersion": "tidegate.dev/v1",
            "kind": "MediaService",
            "metadata": {"name": name},
            "spec": {"command": ["serve"], "scaling": {"minReplicas": least, "maxReplicas": 9}},
        }
        for name, least in services.items()
    ]
    capacity = {"cpu": 64, "memory": "64Gi"}
    here = {
        "apiVersion": "tidegate.dev/v1",
        "kind": "Cluster",
        "metadata": {"name": "here"},
        "spec": {"capacity": capacity},
    }
    return load_data([*data, here]).manifests


def resolved(given: Sequence[Manifest]) -> Specs:
    return together(given).specs


@dataclass
class Fakes:
    clock: ManualClock
    runtime: FakeRuntime
    gateway: FakeGateway
    prober: FakeProber
    journal: Journal
    live: Live

    async def steps(self, count: int = 5) -> None:
        for _ in range(count):
            self.clock.advance(1)
            await self.live.step()

    async def asked(self, question: Coroutine[Any, Any, str]) -> str:
        """The answer to a wish, which is given after the next tick."""
        answer = asyncio.create_task(question)
        await asyncio.sleep(0)
        await self.steps(1)
        return await asyncio.wait_for(answer, 60)

    @property
    def said(self) -> list[str]:
        return [e.text for e in self.live.recorder.events]


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fakes]:
    monkeypatch.setattr("tidegate.control.observe.LOOK_S", 60.0)  # a machine that stands still hides nothing here
    clock = ManualClock(at=1000)
    runtime, gateway, prober = FakeRuntime(clock, "here"), FakeGateway(), FakeProber()
    observer = Observer(clock, {}, prober, gateway)
    journal = Journal(f"sqlite:///{tmp_path / 'journal.db'}")
    live = Live(
        specs=resolved(manifests(ocr=2)),
        memory=Memory(),
        observer=observer,
        actor=Actor(observer),
        recorder=Recorder(journal),
        tenancy=Tenancy(TenantStore(journal), gateway, clock),
        issuers=Issuers(tmp_path / "issuers", clock),
        clock=clock,
        where=Addresses("http://gateway", "http://page"),
        tick_s=0.01,
        connect=lambda _: runtime,
        check=resolved,
    )
    observer.know(live.specs.pools)
    yield Fakes(clock, runtime, gateway, prober, journal, live)
    journal.close()


async def test_declared_replicas_come_to_serve(fakes: Fakes):
    await fakes.steps()
    assert len(fakes.gateway.serving()) == 2
    (ocr,) = (await fakes.live.status()).services
    assert (ocr.pools[0].ready, ocr.url) == (2, "http://gateway/ocr/")


async def test_apply_adds_a_service_and_says_what_changed(fakes: Fakes):
    await fakes.steps()
    diff = await fakes.live.apply(manifests(speech=1), prune=False)
    assert [(c.verb, c.name) for c in diff.changes] == [("same", "here"), ("same", "ocr"), ("add", "speech")]
    await fakes.steps()
    assert len(fakes.gateway.serving()) == 3


async def test_apply_with_prune_removes_what_is_not_named(fakes: Fakes):
    await fakes.steps()
    await fakes.live.apply(manifests(speech=1), prune=True)
    await fakes.steps(8)
    assert {n.split("-")[0] for n in fakes.live.memory.replicas} == {"speech"}


async def test_an_apply_that_cannot_be_kept_changes_nothing(fakes: Fakes, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> int:
        raise StoreError("no space left on device")

    monkeypatch.setattr(fakes.journal, "save_specs", full)
    with pytest.raises(StoreError):
        await fakes.live.apply(manifests(speech=1), prune=False)
    assert [s.name for s in fakes.live.specs.services] == ["ocr"]


async def test_a_journal_that_cannot_be_written_costs_no_traffic_and_is_said_once(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object, **__: object) -> None:
        raise StoreError("the journal cannot be written: no space left on device")

    monkeypatch.setattr(fakes.journal, "append", full)
    await fakes.steps(8)
    assert len(fakes.gateway.serving()) == 2
    assert sum("no space left" in text for text in fakes.said) == 1


async def test_a_dry_run_tells_and_changes_nothing(fakes: Fakes):
    await fakes.steps()
    before = fakes.live.memory
    preview = await fakes.live.plan(manifests(ocr=4), prune=False)
    assert (preview.pools[0].wanted_now, preview.pools[0].wanted) == (2, 4)
    assert len([a for a in preview.actions if a.startswith("start ")]) == 2
    assert fakes.live.memory is before


async def test_a_contradiction_is_refused_as_a_whole(fakes: Fakes):
    (ocr,) = (m for m in manifests(ocr=2) if m.kind == "MediaService")
    lost = ocr.model_copy(update={"spec": ocr.spec.model_copy(update={"uses": ("nobody",)})})
    with pytest.raises(SpecError):
        await fakes.live.apply([lost], prune=False)


async def test_a_start_that_fails_is_a_crash_with_its_reason(fakes: Fakes):
    fakes.runtime.fail_next_start = "no such program: serve"
    await fakes.steps(2)
    assert any("no such program: serve" in text for text in fakes.said)
    await fakes.steps(20)
    assert len(fakes.gateway.serving()) == 2


async def test_a_cluster_that_vanishes_loses_nothing(fakes: Fakes):
    await fakes.steps()
    serving = fakes.gateway.serving()
    fakes.runtime.vanished = True
    await fakes.steps(30)
    assert fakes.gateway.serving() == serving
    status = await fakes.live.status()
    assert (status.clusters[0].healthy, status.clusters[0].capacity) == (False, None)
    fakes.runtime.vanished = False
    await fakes.steps(3)
    assert fakes.gateway.serving() == serving


async def test_a_silent_gateway_stops_no_replica(fakes: Fakes):
    await fakes.steps()
    fakes.gateway.silent = True
    await fakes.live.apply(manifests(ocr=1), prune=False)
    await fakes.steps(20)
    assert len((await fakes.runtime.observe())[0]) == 2
    assert (await fakes.live.status()).gateway.up is False


async def test_a_refusing_proxy_is_told_again_at_every_tick(fakes: Fakes):
    fakes.gateway.refuses = True
    await fakes.steps()
    assert any("refused its configuration" in text for text in fakes.said)
    fakes.gateway.refuses = False
    await fakes.steps(2)
    assert len(fakes.gateway.serving()) == 2


async def test_memory_survives_a_restart(fakes: Fakes):
    await fakes.steps()
    kept = fakes.journal.load_memory()
    assert kept is not None
    assert kept.replicas == fakes.live.memory.replicas


async def test_an_unknown_service_is_named_with_what_there_is(fakes: Fakes):
    await fakes.steps()
    with pytest.raises(NotFound, match=r"no service is called orc\. There are: ocr"):
        await fakes.live.explain("orc")


async def test_an_operators_drain_replaces_first(fakes: Fakes):
    await fakes.steps()
    old = fakes.gateway.serving()[0]
    assert old in await fakes.asked(fakes.live.drain(old))
    for _ in range(10):
        await fakes.steps(1)
        assert len(fakes.gateway.serving()) >= 2
    assert old not in fakes.gateway.serving()


async def test_a_drain_is_in_the_journal_when_it_is_answered_and_can_be_taken_back(fakes: Fakes):
    await fakes.steps()
    await fakes.asked(fakes.live.drain("here"))
    stored = fakes.journal.load_memory()
    assert stored is not None
    assert set(stored.drained) == {"here"}
    assert fakes.live.intents == ()
    assert (await fakes.live.status()).clusters[0].drained
    assert "here may be used again" in await fakes.asked(fakes.live.undrain("here"))
    assert fakes.live.memory.drained == {}
    with pytest.raises(NotFound, match="here is not drained"):
        await fakes.live.undrain("here")


async def test_events_of_the_process_before_are_told_too(fakes: Fakes):
    await fakes.steps()
    before = [e for e in fakes.live.recorder.events if e.kind in ("transition", "phase")]
    after = Recorder(fakes.journal)
    after.recall(fakes.clock.wall())
    assert [e for e in after.events if e.kind in ("transition", "phase")] == before
    assert any("serves after" in e.text for e in before)


async def test_phases_of_a_start_are_shown(fakes: Fakes):
    await fakes.steps()
    pool = (await fakes.live.status()).services[0].pools[0]
    assert [p.name for p in pool.phases] == [*PHASES, "start-up"]
    assert all(list(r.phases_s) == list(PHASES) for r in pool.replicas)


async def test_a_remedy_script_is_run_by_the_prober_and_probes_know_the_traffic(fakes: Fakes):
    await fakes.steps()
    name = fakes.gateway.serving()[0]
    await fakes.live.actor.do([Remedy(name, "here")])
    assert fakes.prober.remedied == [name]
    assert fakes.live.observer.traffic.of(name)["in_flight"] == 0
    assert fakes.live.observer.traffic.of("nobody") == {}


@pytest.mark.parametrize(
    ("variable", "good", "bad"),
    [
        ("max_connections", "100000", ("0", "many", "-1", "1e5")),
        ("connection_rate", "500", ("-1", "fast", "2000000")),
        ("address_connection_rate", "50", ("-1", "0.5")),
    ],
)
def test_limits_on_connections_come_from_the_environment(variable: str, good: str, bad: tuple[str, ...]):
    name = f"TIDEGATE_{variable.upper()}"
    assert getattr(Settings.from_env({name: good}), variable) == int(good)
    for text in bad:
        with pytest.raises(ControlError, match=f"{name} is '{text}', expected a number"):
            Settings.from_env({name: text})


def test_settings_come_from_the_environment_and_are_overridden_by_what_is_given():
    settings = Settings.from_env({"TIDEGATE_HOME": "/tmp/x", "TIDEGATE_PORT": "81"}, port=82, host=None)
    assert (settings.state, settings.port, settings.host) == (Path("/tmp/x"), 82, "127.0.0.1")


async def test_a_forecast_is_taught_while_it_runs_and_a_restart_remembers(fakes: Fakes):
    await fakes.steps()
    lesson = ScaleMemory(season=SeasonMemory(shape=(3.0,) * 336, slots_seen=336))
    await fakes.live.learn("ocr", "default", encode(lesson), "forecast import: two weeks of trace.csv")
    await fakes.steps()
    kept = fakes.journal.load_memory()
    assert kept is not None
    assert kept.pools[PoolKey("ocr")].scale.season.shape == lesson.season.shape
    assert any("two weeks of trace.csv" in text for text in fakes.said)
    verdict = verify(replay(fakes.journal.recording(), lambda _: fakes.live.specs))
    assert (verdict.identical, verdict.gaps) == (True, [])
    with pytest.raises(NotFound):
        await fakes.live.learn("chat", "default", encode(lesson), "nothing")


def test_what_a_preview_would_want_is_recorded_when_it_changes(fakes: Fakes):
    def plan(would: int | None) -> PoolPlan:
        told = (Reason("forecast", "preview", would, "preview"),) if would else ()
        return PoolPlan(PoolKey("ocr"), "r1", 2, {}, 0, 2, 0, 0, told)

    recorder = fakes.live.recorder
    for at, would in enumerate((None, 5, 5, 6, 2, None)):
        recorder._preview(float(at), plan(would))
    assert fakes.said == [
        "forecast preview: would want 5 instead of 2",
        "forecast preview: would want 6 instead of 2",
        "forecast preview: no more than the 2 wanted",
    ]
    recorder.remember(Memory(), 9.0)
    assert [e.data["would"] for e in fakes.journal.read(kind="preview")] == [5, 6, 2]
