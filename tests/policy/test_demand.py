"""Counting arrivals in bins: where the bins of a pool begin and end."""

from __future__ import annotations

from tidegate.model.observed import PoolLoad
from tidegate.model.scaling import DemandMemory
from tidegate.policy import demand
from tidegate.spec.resolve import PoolKey

OCR = PoolKey("ocr")  # its bins begin seven seconds after a round ten


def half_a_minute(memory: DemandMemory, at: float = 0.0) -> tuple[list[float], list[float], DemandMemory]:
    """Ends and arrivals of the bins of thirty seconds with three requests each, and the memory after them."""
    done: list[demand.Bin] = []
    for second in range(1, 31):
        memory, bins = demand.take_in(memory, PoolLoad(at + second, 1.0, arrivals=3), OCR)
        done += bins
    return [b.end - at for b in done], [b.arrivals for b in done], memory


def test_bins_of_a_fleet_end_in_ten_different_seconds_and_those_of_a_pool_in_the_same_everywhere():
    assert {demand.phase_s(PoolKey(f"s{i}")) for i in range(100)} == set(range(10))
    assert demand.phase_s(OCR) == 7
    assert half_a_minute(DemandMemory())[:2] == ([7, 17, 27], [21, 30, 30])


def test_a_bin_that_has_begun_in_another_phase_goes_on():
    assert half_a_minute(DemandMemory(bin_at=0.0))[:2] == ([10, 20, 30], [30, 30, 30])


def test_bins_keep_their_phase_over_a_jump_of_the_clock():
    _, _, before = half_a_minute(DemandMemory())
    ends, arrivals, _ = half_a_minute(before, at=31_536_003.0)
    assert (ends[-2:], arrivals[-2:]) == ([14, 24], [30, 30])  # in absolute seconds they end in 7
