"""How many connections a machine affords."""

from __future__ import annotations

import resource
from types import SimpleNamespace

import pytest

from tidegate.gateway.process import affordable_connections

KIB, GIB = 2**10, 2**30


@pytest.mark.parametrize(
    ("descriptors", "memory", "affordable"),
    [
        (resource.RLIM_INFINITY, 64 * GIB, 20_000),
        (20_000, 64 * GIB, 9_500),
        (resource.RLIM_INFINITY, 2 * GIB, 3_276),
        (500, GIB, 50),
    ],
)
def test_it_follows_from_descriptors_and_memory(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, memory: int, affordable: int
):
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, descriptors))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=memory))
    assert affordable_connections(20_000, 320 * KIB) == affordable
