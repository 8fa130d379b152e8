"""For scripts that look after a replica: `from tidegate.probe import replica, healthy, unhealthy, unknown`.

A script says how the replica is by calling one of the three (which ends it), by what its `check()` function returns,
or by its exit code: 0 healthy, 1 unhealthy, anything else unknown. See docs/probes.md.

What belongs here: what such scripts import, with the standard library only, so that starting one stays cheap. What
runs the scripts is in `tidegate.probes`.
"""

from tidegate.probe.answers import healthy, unhealthy, unknown
from tidegate.probe.requests import Response
from tidegate.probe.target import Last, Replica, replica

__all__ = ["Last", "Replica", "Response", "healthy", "replica", "unhealthy", "unknown"]
