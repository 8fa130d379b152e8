"""What a page that is opened now is told of the minutes before."""

from __future__ import annotations

from tidegate.control.past import KEPT_S, Past
from tidegate.model.status import History, PoolHistory, PoolStatus, ServiceStatus, Status


def status(at: float, *pools: PoolStatus) -> Status:
    return Status(at, uptime_s=0.0, version="0", services=tuple(ServiceStatus(p.service, pools=(p,)) for p in pools))


def ocr(**numbers: float) -> PoolStatus:
    return PoolStatus("ocr", "default", "a", **({"wanted": 2} | numbers))  # type: ignore[arg-type]


def test_a_row_every_few_seconds_however_often_is_looked():
    past = Past()
    for tenth in range(100):
        past.add(status(1000 + tenth / 10, ocr(ready=tenth)))
    assert past.told().at == (1000, 1005)
    assert past.told().pools[0].ready == (0, 50)


def test_numbers_stand_below_the_instants_they_were_seen_at():
    past = Past()
    past.add(status(1000, ocr(queued=1)))
    past.add(
        status(
            1005,
            ocr(queued=2, arrival_per_s=3.5, wait_ms_mean=7.0, service_ms_mean=80.0),
            PoolStatus("face", "large", "b", 0),
        )
    )
    assert past.told() == History(
        (1000, 1005),
        (
            PoolHistory("ocr", "default", (0, 0), (2, 2), (1, 2), (None, 3.5), (None, 7.0), (None, 80.0)),
            PoolHistory("face", "large", (None, 0), (None, 0), (None, 0), (None, None), (None, None), (None, None)),
        ),
    )


def test_what_is_older_than_five_minutes_is_forgotten():
    past = Past()
    for second in range(0, 3600, 5):
        past.add(status(1000 + second, ocr()))
    assert len(past.told().at) == 1 + KEPT_S / 5
    assert past.told().at[0] == past.told().at[-1] - KEPT_S


def test_a_clock_that_is_set_back_begins_anew():
    past = Past()
    past.add(status(5000, ocr(ready=1)))
    past.add(status(1000, ocr(ready=2)))
    assert past.told().at == (1000,)
    assert past.told().pools[0].ready == (2,)


def test_nothing_is_told_of_nothing():
    assert Past().told() == History()
