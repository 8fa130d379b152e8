"""What-if: where everything would come to rest after a cluster is lost or shrinks."""

from __future__ import annotations

import pytest

from policy.world import World, cluster, service, wants
from tidegate.base.errors import SpecError
from tidegate.model.outlook import ClusterChange, Outlook
from tidegate.policy.whatif import outlook, parse


def two(there_cpu: float = 9, **placement: object) -> World:
    where = {"clusters": ["here", "there"], **placement}
    clusters = (cluster("here", 4, price={"cpu": 1}), cluster("there", there_cpu, price={"cpu": 3}))
    return World((service(placement=where),), clusters, wanted=4).ticks(until=10)


def ask(world: World, *changes: str) -> Outlook:
    parsed = [parse(c, world.clusters) for c in changes]
    return outlook(world.specs, world.observed(), world.memory, parsed, scale=wants(world.wanted))


def test_losing_a_cluster_moves_everything_to_the_other_and_says_what_it_costs():
    world = two()
    told = ask(world, "cluster=here:down")
    assert (told.survives, told.settled) == (True, True)
    assert (told.pools[0].before, told.pools[0].after) == ({"here": 4}, {"there": 4})
    assert (told.cost_per_hour_before, told.cost_per_hour_after) == (4, 12)


def test_what_no_longer_fits_is_pending_and_the_answer_is_no():
    told = ask(two(there_cpu=3), "cluster=here:down")
    assert (told.survives, told.pools[0].pending, told.pools[0].after) == (False, 1, {"there": 3})


def test_a_cluster_that_shrinks_keeps_what_it_can_hold():
    told = ask(two(), "cluster=here:cpu=1500m")
    assert (told.survives, told.pools[0].after) == (True, {"here": 1, "there": 3})


def test_losing_nothing_changes_nothing_and_asking_changes_nothing():
    world = two()
    before = (world.memory, world.observed())
    told = ask(world, "cluster=there:down")
    assert told.pools[0].before == told.pools[0].after == {"here": 4}
    assert (world.memory, world.observed()) == before


def test_what_others_use_of_a_cluster_stays_used():
    world = two()
    seen = world.observed()
    seen.clusters["there"].used["cpu"] = 7.0
    told = outlook(world.specs, seen, world.memory, [ClusterChange("here", down=True)], scale=wants(4))
    assert told.pools[0].pending == 2


@pytest.mark.parametrize(
    "text", ["here:down", "cluster=here", "cluster=here:up", "cluster=here:cpu=x", "region=a:down"]
)
def test_what_cannot_be_read_is_refused_with_what_can(text: str):
    with pytest.raises(SpecError, match="what-if"):
        parse(text, two().clusters)


def test_an_unknown_cluster_is_named_with_those_there_are():
    with pytest.raises(SpecError, match=r"no cluster is called x. There are: here, there"):
        parse("cluster=x:down", two().clusters)


def test_several_amounts_can_be_supposed():
    change = parse("cluster=here:cpu=2,memory=4Gi,gpu/a10=1", two().clusters)
    assert change.amounts == {"cpu": 2.0, "memory": 4.0 * 2**30, "gpu/a10": 1.0}
