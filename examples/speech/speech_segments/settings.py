"""What the environment may set, read once at the start.

| variable | meaning | default |
|---|---|---|
| HOST, PORT | where to listen | 127.0.0.1, 8080 |
| THREADS | recordings worked on at the same time; each uses one core | 1 |
| SPEECH_MAX_SECONDS | longest recording | 7200 |
| SPEECH_MAX_BYTES | largest request body | 67108864 |
| SPEECH_MAX_WAITING | requests that may wait for a free thread | 16 |
| TIDEGATE_REPLICA | name shown in `x-served-by` | host name and process id |
| LOG_LEVEL | of the server's log | warning |
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the service takes from its surroundings."""

    host: str
    port: int
    threads: int
    max_seconds: int
    max_bytes: int
    max_waiting: int
    replica: str
    log_level: str


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from environment variables; ValueError names the variable that cannot be used."""
    return Settings(
        host=environ.get("HOST") or "127.0.0.1",
        port=_number(environ, "PORT", 8080, least=0),
        threads=_number(environ, "THREADS", 1),
        max_seconds=_number(environ, "SPEECH_MAX_SECONDS", 7200),
        max_bytes=_number(environ, "SPEECH_MAX_BYTES", 64 * 1024 * 1024),
        max_waiting=_number(environ, "SPEECH_MAX_WAITING", 16, least=0),
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
