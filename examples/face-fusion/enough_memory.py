"""Liveness: too little memory is a fault although the port still answers. Linux only: it reads /proc.

A replica short of memory does not fail its next health check; it fails its next large picture.
"""

import json
import os
import sys
from pathlib import Path

LEAST_MIB = 256  # a close-up in 4K needs about 110 MiB on top of what an idle replica holds; twice that, and some

fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
free = int(fields["MemAvailable"].split()[0]) // 1024
replica = json.loads(os.environ["TIDEGATE_PROBE"])
used = 0
if replica.get("pid"):
    status = Path(f"/proc/{replica['pid']}/status").read_text().splitlines()
    used = next((int(line.split()[1]) // 1024 for line in status if line.startswith("VmRSS")), 0)
print(f"{free} MiB free on the machine, the replica holds {used} MiB; at least {LEAST_MIB} MiB should be free")
sys.exit(0 if free >= LEAST_MIB else 1)
