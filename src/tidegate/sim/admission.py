"""How many requests may wait in a made-up gateway: the very rule of the real one (`gateway.pace`).

Who comes when the room is used up is refused at once. The pace of service is measured as the gateway measures it; until
something was, the manifest's `queue.maxLengthPerSlot` is all there is.
"""

from __future__ import annotations

from tidegate.gateway import pace
from tidegate.model.observed import PoolLoad
from tidegate.policy.routing import pool_route
from tidegate.spec.resolve import PoolSpec


class Admission:
    """The rule for one pool, and the pace it has measured."""

    def __init__(self, spec: PoolSpec) -> None:
        self._route = pool_route(spec, ())
        self._pace = pace.Pace()

    def after(self, load: PoolLoad) -> None:
        """Take in what an interval showed."""
        if load.interval_s > 0:
            self._pace = self._pace.after(load)

    def room(self, slots: int) -> int:
        """How many requests may wait in front of so many slots."""
        return pace.room(self._route, slots, self._pace)
