"""The stream of statuses, frame by frame."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace

import pytest

from tidegate.base.clock import SystemClock
from tidegate.base.errors import ControlError
from tidegate.model.tenancy import TenancyStatus
from tidegate.web import stream
from tidegate.web.ports import Event
from tidegate.web.stream import StatusStream, until
from web.world import AT, TENANCY, FakeControl

DECISION = Event(AT, "decision", "face/default", "4 -> 6 replicas")


def parsed(frame: bytes) -> tuple[str, object]:
    name, data = frame.decode().strip().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def heard(frames, count: int) -> list[tuple[str, object]]:
    return [parsed(await asyncio.wait_for(anext(frames), 60)) for _ in range(count)]


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


@pytest.fixture
def closing() -> asyncio.Event:
    return asyncio.Event()


async def test_a_status_comes_at_once_and_again_without_any_event(control, closing, monkeypatch):
    monkeypatch.setattr(stream, "PERIOD_S", 0.06)
    async with aclosing(StatusStream(control, SystemClock(), closing).frames()) as frames:
        assert await anext(frames) == b"retry: 1000\n\n"
        assert [name for name, _ in await heard(frames, 3)] == ["status", "tenants", "status"]


async def test_of_many_tenants_the_busiest_are_told(control, closing, monkeypatch):
    monkeypatch.setattr(stream, "MOST_TENANTS", 3)
    acme, _ = TENANCY.tenants
    idle = [replace(acme, name=f"t{n}", in_progress=0, requests_today=n) for n in range(5)]
    control.tenancy = TenancyStatus(AT, (*idle, replace(idle[0], name="spent", spent=True), replace(acme, name="busy")))
    async with aclosing(StatusStream(control, SystemClock(), closing).frames()) as frames:
        await anext(frames)
        _, (_, told) = await heard(frames, 2)
    assert [t["name"] for t in told["tenants"]] == ["spent", "busy", "t4"]
    assert told["more"] == 4


async def test_an_event_brings_itself_and_a_fresh_status_long_before_the_period(control, closing, monkeypatch):
    monkeypatch.setattr(stream, "PERIOD_S", 3600)
    async with aclosing(StatusStream(control, SystemClock(), closing).frames()) as frames:
        await anext(frames)
        await heard(frames, 2)
        following = asyncio.create_task(heard(frames, 2))
        while not control.followers:
            await asyncio.sleep(0)
        control.happen(DECISION)
        control.happen(DECISION)
        (first, events), (second, _) = await following
        assert (first, second) == ("journal", "status")
        assert [e["text"] for e in events] == ["4 -> 6 replicas"] * 2
    assert control.followers == []


async def test_followers_share_the_work(control, closing, monkeypatch):
    monkeypatch.setattr(stream, "PERIOD_S", 3600)
    shared = StatusStream(control, SystemClock(), closing)
    many = [shared.frames() for _ in range(20)]
    for frames in many:
        await anext(frames)
    await asyncio.gather(*(heard(frames, 1) for frames in many))
    assert control.asked <= 3
    for frames in many:
        await frames.aclose()


async def test_trouble_is_said_before_the_stream_ends(control, closing):
    control.fail = ControlError("the journal cannot be written")
    frames = StatusStream(control, SystemClock(), closing).frames()
    await anext(frames)
    assert await heard(frames, 1) == [("trouble", "the journal cannot be written")]
    assert await anext(frames, None) is None


async def test_it_ends_when_the_server_closes(control, closing, monkeypatch):
    monkeypatch.setattr(stream, "PERIOD_S", 3600)
    frames = StatusStream(control, SystemClock(), closing).frames()
    await anext(frames)
    await heard(frames, 1)
    closing.set()

    async def rest() -> int:
        return len([frame async for frame in frames])

    assert await asyncio.wait_for(rest(), 60) <= 1


async def test_until_closes_the_source_it_leaves():
    ended = asyncio.Event()

    async def source():
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            ended.set()

    closing = asyncio.Event()
    items = until(closing, source())
    assert await anext(items) == 1
    closing.set()
    assert await anext(items, None) is None
    assert ended.is_set()
