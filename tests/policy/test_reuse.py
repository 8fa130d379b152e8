"""What is kept from tick to tick to save work changes no answer, and copies that are written out drop no field."""

from dataclasses import fields, replace

from tidegate.model.lifecycle import ReplicaState
from tidegate.model.memory import BalanceMemory, PoolMemory, ReplicaMemory, Vacancy
from tidegate.model.plan import PoolPlan
from tidegate.model.scaling import ScaleMemory, StabilityMemory
from tidegate.model.snapshot import Snapshot
from tidegate.policy import routing
from tidegate.spec.resolve import PoolKey, Specs
from tidegate.spec.service import MediaService

KEY = PoolKey("ocr")


def specs(concurrency: int = 1) -> Specs:
    spec = {"command": ["serve"], "concurrency": concurrency}
    return Specs.of([MediaService.model_validate({"metadata": {"name": "ocr"}, "spec": spec})], [])


def routed(of: Specs, *names: str, weight: int = 9, address: str = "h:1") -> Snapshot:
    known = ReplicaMemory(KEY, "r", "here", created_at=0.0, state=ReplicaState.READY, ready_at=1.0)
    weights = dict.fromkeys(names, weight)
    return routing.snapshot(
        of, {KEY: [(n, known, None) for n in names]}, dict.fromkeys(names, address), weights=weights
    )


def test_a_route_that_stays_is_the_same_object_and_one_that_changes_in_any_way_is_another():
    of = specs()
    first = routed(of, "a", "b")
    assert routed(of, "a", "b").services[0] is first.services[0]
    others = [
        routed(of, "a"),
        routed(of, "a", "b", weight=8),
        routed(of, "a", "b", address="h:2"),
        routed(specs(2), "a", "b"),
    ]
    assert len({first.version, *(o.version for o in others)}) == 5
    again = routed(of, "a", "b")
    assert (again, again.version) == (first, first.version)


def test_the_version_is_that_of_the_content_whether_or_not_its_text_is_known():
    shot = routed(specs(), "a", "b")
    for services in ((), shot.services, shot.services * 2):
        assert Snapshot.of(services, [repr(s) for s in services]).version == Snapshot.of(services).version


def odd(thing):
    """One with another value in every field; no type fits, so none can be a default by chance."""
    return thing(**{f.name: f"odd {f.name}" for f in fields(thing)})  # type: ignore[arg-type]


def test_copies_that_are_written_out_keep_every_field():
    scale, pool, plan = odd(ScaleMemory), odd(PoolMemory), odd(PoolPlan)
    held, balance, gone = StabilityMemory(highs=((1.0, 2),)), BalanceMemory(at=3.0), (Vacancy(1, 2.0, "crashed"),)
    assert scale.decided(7, held) == replace(scale, wanted=7, stability=held)
    assert pool.now(balance=balance) == replace(pool, balance=balance)
    assert pool.now(scale=scale, vacancies=gone) == replace(pool, scale=scale, vacancies=gone)
    assert plan.weighted(()) == replace(plan, weights=())
