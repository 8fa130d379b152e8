"""Quick dataclasses behave as frozen ones do in everything but speed."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from tidegate.base.quick import quick


@quick
@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float = 2.0
    names: dict[str, int] = field(default_factory=dict)


@quick
@dataclass(frozen=True, slots=True)
class Marked(Point):
    mark: str = "none"


@pytest.mark.parametrize("made", [Point(1.0), Marked(1.0, mark="seen")])
def test_a_value_cannot_be_changed_and_is_copied_as_any_other(made: Point) -> None:
    with pytest.raises(FrozenInstanceError):
        made.x = 3.0  # type: ignore[misc]
    assert type(made) in (Point, Marked)
    assert copy.deepcopy(made) == made == pickle.loads(pickle.dumps(made)) == replace(made)
    assert replace(made, y=5.0) != made


def test_arguments_and_defaults_are_those_of_the_dataclass() -> None:
    assert Marked(1.0, names={"a": 1}) == Marked(x=1.0, y=2.0, names={"a": 1}, mark="none")
    assert Point(1.0).names is not Point(1.0).names
    assert list(inspect.signature(Marked).parameters) == ["x", "y", "names", "mark"]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        Point()  # type: ignore[call-arg]
