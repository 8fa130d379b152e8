"""Who waits: exact where one tenant is alone, and together exact in any case."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.gateway.standing import waiting

tenants = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 50), max_size=6)


def test_places_are_given_out_by_what_replicas_did_for_each():
    assert waiting({"acme": 7}, 4, {}) == {"acme": 3}
    assert waiting({"acme": 7, "rival": 1}, 8, {}) == {"acme": 0, "rival": 0}
    assert waiting({"greedy": 30, "modest": 4}, 10, {"greedy": 6.0, "modest": 2.0}) == {"greedy": 22, "modest": 2}
    assert waiting({"greedy": 30, "modest": 1}, 10, {"greedy": 5.0, "modest": 5.0}) == {"greedy": 21, "modest": 0}
    assert waiting({"new": 3, "old": 9}, 4, {"old": 1.0}) == {"new": 3, "old": 5}


@given(tenants, st.integers(0, 400), st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1e6)))
def test_together_those_who_wait_are_those_without_a_place(inside: dict[str, int], places: int, busy: dict[str, float]):
    found = waiting(inside, places, busy)
    assert sum(found.values()) == max(0, sum(inside.values()) - places)
    assert all(0 <= found[name] <= inside[name] for name in inside)
