"""Liveness: too little memory is a fault although the port still answers. For Linux: it reads /proc.

A replica short of memory does not fail its next health check; it fails its next large picture.
"""

from pathlib import Path

from tidegate.probe import replica, unknown

LEAST_MIB = 256  # a close-up in 4K needs about 110 MiB on top of what an idle replica holds; twice that, and some


def check() -> tuple[bool, str]:
    """Whether the machine has enough memory left for the replica's next picture."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        unknown("there is no /proc/meminfo here")
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    free, held = int(fields["MemAvailable"].split()[0]) >> 10, replica.memory_bytes >> 20
    return free >= LEAST_MIB, f"{free} MiB are free, the replica holds {held} MiB; {LEAST_MIB} MiB should be free"
