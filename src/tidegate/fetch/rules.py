"""What each service allows, as the gateway wrote it down; read again when the file changes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one service; see `tidegate.spec.by_url` for what each means. Sizes in bytes, times in seconds."""

    hosts: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    ports: tuple[int, ...] = (80, 443)
    redirects: int = 3
    head_bytes: int = 256 * 1024
    max_bytes: int = 64 * 2**20
    timeout_s: float = 3.0
    at_once: int = 32


class RuleBook:
    """The rules by service, from a JSON file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp: tuple[int, int] | None = None
        self._rules: dict[str, Rules] = {}

    def of(self, service: str) -> Rules | None:
        """The rules of a service, None when it has none."""
        try:
            stat = self._file.stat()
            stamp = (stat.st_ino, stat.st_mtime_ns)
            if stamp != self._stamp:
                found: dict[str, dict[str, Any]] = json.loads(self._file.read_text())
                self._rules = {name: _rules(fields) for name, fields in found.items()}
                self._stamp = stamp
        except FileNotFoundError:
            self._rules, self._stamp = {}, None
        return self._rules.get(service)


def _rules(fields: dict[str, Any]) -> Rules:
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
    return Rules(**values)
