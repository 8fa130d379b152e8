"""A port for every replica, and for nobody else.

A port is reserved by binding a name in the abstract unix namespace: it belongs to the same network namespace as
the ports themselves, so it is seen by every Tidegate that could collide, and it goes away with the process that
holds it (the replica's supervisor), so nothing has to be cleaned up. Ports lie below the range the kernel takes
for outgoing connections, where no client socket can sit on them before a slow replica has bound its own.
"""

from __future__ import annotations

import errno
import random
import socket
from pathlib import Path

from tidegate.base.errors import RuntimeFault

SPAN = 10_000
LOWEST = 10_000
RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def port_range(range_file: Path = RANGE_FILE) -> range:
    """The `SPAN` ports below the kernel's own range; above it when it begins too low.

    With the usual 32768-60999 that is 22768-32767.
    """
    try:
        low, high = map(int, range_file.read_text().split())
    except (OSError, ValueError):
        low, high = 32768, 60999
    if low > LOWEST + 1000:
        return range(max(LOWEST, low - SPAN), low)
    return range(min(high + 1, 65000), 65536)


class Ports:
    """Hands out ports one after another, so that one just given back is not used again at once."""

    def __init__(self, ports: range | None = None) -> None:
        self._range = port_range() if ports is None else ports
        self._next = random.randrange(len(self._range))

    def reserve(self, host: str) -> tuple[int, socket.socket]:
        """A free port and the socket that keeps it reserved for as long as somebody holds it.

        Raises:
            RuntimeFault: every port of the range is taken.
        """
        for _ in range(len(self._range)):
            port = self._range[self._next % len(self._range)]
            self._next += 1
            hold = _hold(port)
            if hold is None:
                continue
            if _is_free(host, port):
                return port, hold
            hold.close()
        raise RuntimeFault(f"no free port in {self._range.start}-{self._range.stop - 1}. End what holds them.")


def _hold(port: int) -> socket.socket | None:
    hold = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        hold.bind(f"\0tidegate-port-{port}")
    except OSError as error:
        hold.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return hold


def _is_free(host: str, port: int) -> bool:
    """Whether a server could bind it now. SO_REUSEADDR as servers set it: connections in TIME_WAIT do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            # a listener elsewhere on 0.0.0.0 with SO_REUSEADDR is only noticed when listening
            probe.listen(1)
        except OSError:
            return False
    return True
