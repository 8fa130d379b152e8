"""What the environment may set, read once at the start.

| variable | meaning | default |
|---|---|---|
| HOST, PORT | where to listen | 127.0.0.1, 8080 |
| THREADS | fusions worked on at the same time | 1 |
| OMP_NUM_THREADS, CPU | threads OpenCV may use inside one fusion | 1 |
| FACE_FUSION_MAX_PIXELS | largest picture, width x height | 50000000 |
| FACE_FUSION_MAX_BYTES | largest request body | 67108864 |
| FACE_FUSION_MAX_WAITING | requests that may wait for a free thread | 16 |
| TIDEGATE_REPLICA | name shown in `x-served-by` | host name and process id |
| LOG_LEVEL | of the server's log | warning |
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the service takes from its surroundings. Sizes in pixels and bytes."""

    host: str = "127.0.0.1"
    port: int = 8080
    threads: int = 1
    opencv_threads: int = 1
    max_pixels: int = 50_000_000
    max_bytes: int = 64 * 1024 * 1024
    max_waiting: int = 16
    replica: str = "face-fusion"
    log_level: str = "warning"


_DEFAULT = Settings()


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from environment variables; ValueError names the variable that cannot be used."""
    return Settings(
        host=environ.get("HOST") or "127.0.0.1",
        port=_number(environ, "PORT", 8080, least=0),
        threads=_number(environ, "THREADS", 1),
        opencv_threads=_number(environ, "OMP_NUM_THREADS", _cores(environ.get("CPU", ""))),
        max_pixels=_number(environ, "FACE_FUSION_MAX_PIXELS", _DEFAULT.max_pixels),
        max_bytes=_number(environ, "FACE_FUSION_MAX_BYTES", _DEFAULT.max_bytes),
        max_waiting=_number(environ, "FACE_FUSION_MAX_WAITING", _DEFAULT.max_waiting, least=0),
        replica=environ.get("TIDEGATE_REPLICA") or f"{socket.gethostname()}:{os.getpid()}",
        log_level=(environ.get("LOG_LEVEL") or "warning").lower(),
    )


def _number(environ: Mapping[str, str], name: str, default: int, *, least: int = 1) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdigit() or int(text) < least:
        raise ValueError(f"{name}: got {text!r}, expected a whole number >= {least}")
    return int(text)


def _cores(text: str) -> int:
    """Threads for a quota such as `2`, `0.5` or `1500m`; 1 when there is none.

    Rounded up: with 1.5 cores two threads use what there is, one thread cannot.
    """
    try:
        cores = float(text[:-1]) / 1000 if text.endswith("m") else float(text)
    except ValueError:
        return 1
    return max(1, math.ceil(cores)) if math.isfinite(cores) else 1
