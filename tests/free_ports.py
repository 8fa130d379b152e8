"""Ports for what tests start: below the kernel's range for outgoing connections, each handed out once by a process."""

from __future__ import annotations

import itertools
import random
import socket

from tidegate.runtimes.local.ports import port_range

# A port that was bound to 0 and let go may be an outgoing connection's before its new owner listens on it. These
# cannot; and they lie below those that replicas of the local runtime get.
_LOWEST, _PORTS = 10_000, range(10_000, max(10_100, port_range().start))
_NEXT = itertools.count(random.SystemRandom().randrange(len(_PORTS)))


def free_port() -> int:
    """A port on which nobody listens, not given by this process before."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ports on which nobody listens.

    Raises:
        OSError: there are none.
    """
    found: list[int] = []
    for _ in _PORTS:
        port = _PORTS[next(_NEXT) % len(_PORTS)]
        if _is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} free ports in {_PORTS}")


def _is_free(port: int) -> bool:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True
