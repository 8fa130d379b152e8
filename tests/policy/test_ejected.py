"""A replica that is out serves nobody: as many more stand while it is, and no longer."""

from dataclasses import replace

import pytest

from .world import KEY, World, service

TIMES = 10  # as long as its peers the sick one takes


class Sick(World):
    """`sick` ones take ten times as long as the others; each answers four requests between two looks."""

    sick: frozenset[str] = frozenset()

    def _counted(self):
        assert self.gateway is not None
        servers = {
            name: server
            if server.draining
            else replace(server, finished=4, service_s_sum=0.4 * (TIMES if name in self.sick else 1))
            for name, server in self.gateway.servers.items()
        }
        return replace(self.gateway, servers=servers)


def world(most: int = 20, wanted: int = 6) -> Sick:
    spec = service(scaling={"minReplicas": 1, "maxReplicas": most})
    made = Sick(services=(spec,), wanted=wanted, startup_s=2.0)
    made.ticks(until=20)
    assert len(made.serving) == wanted
    return made


def until(made: Sick, holds, within_s: float = 30) -> None:
    end = made.at + within_s
    while not holds():
        assert made.at < end, f"not within {within_s} s: {made.plan()}"
        made.tick()


def test_a_pool_with_one_replica_out_has_one_more():
    made = world()
    made.sick = frozenset(made.serving[:1])
    until(made, lambda: made.plan().wanted == 7)
    assert any("1 of 6 out or on the way back" in r.text for r in made.plan().reasons)
    until(made, lambda: len(made.serving) == 6 and not made.sick & set(made.serving))


def test_when_it_is_well_again_there_are_as_many_as_before():
    made = world()
    made.sick = frozenset(made.serving[:1])
    until(made, lambda: made.plan().wanted == 7)
    made.sick = frozenset()
    until(made, lambda: len(made.alive()) == 6 and made.plan().wanted == 6, within_s=60)


def test_there_is_one_order_and_not_one_for_each_time_that_it_is_out():
    made = world()
    made.sick = frozenset(made.serving[:1])
    until(made, lambda: made.plan().wanted == 7)
    before = len(made.started())
    made.ticks(until=made.at - 1000 + 25)  # out, back, out again
    assert len(made.started()) - before <= 1


@pytest.mark.parametrize("most", [6, 7])
def test_never_above_the_maximum(most: int):
    made = world(most)
    made.sick = frozenset(made.serving[:1])
    until(made, lambda: made.last is not None and any(e.after == "out" for e in made.last.ejections))
    for _ in range(60):
        assert made.tick().plan().wanted <= most


def test_a_replica_that_is_replaced_for_good_is_not_made_up_for_twice():
    made = world()
    made.sick = frozenset(made.serving[:1])
    until(made, lambda: not made.sick & set(made.alive()), within_s=300)
    made.ticks(until=made.at - 1000 + 20)
    assert (made.plan(KEY).wanted, len(made.alive())) == (6, 6)
    assert len(made.started()) <= 6 + 2
