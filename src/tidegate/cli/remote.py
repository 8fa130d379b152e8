"""The control API of another machine: where `--state` names a URL instead of a directory."""

from __future__ import annotations

import http.client
import os
import re
from pathlib import Path
from typing import NamedTuple

_URL = re.compile(r"(https?):/{1,2}(\[[^\]]+\]|[^/:]+)(?::(\d+))?/?")  # a Path has lost one of the two slashes
_PORT = 8081


class Remote(NamedTuple):
    """Where a control API answers over the network."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    def connection(self, answer_s: float | None) -> http.client.HTTPConnection:
        """A new connection; certificates are verified by the system's authorities (`SSL_CERT_FILE` for others)."""
        kind = http.client.HTTPSConnection if self.scheme == "https" else http.client.HTTPConnection
        return kind(self.host.strip("[]"), self.port, timeout=answer_s)

    def headers(self) -> dict[str, str]:
        """What opens it: the token in `TIDEGATE_TOKEN`."""
        token = os.environ.get("TIDEGATE_TOKEN", "")
        return {"Authorization": f"Bearer {token}"} if token else {}


def remote(state: Path) -> Remote | None:
    """What `state` means when it is a URL; None for a directory.

    >>> str(remote(Path("https://gate.example.org")))
    'https://gate.example.org:8081'
    """
    found = _URL.fullmatch(str(state))
    return Remote(found[1], found[2], int(found[3] or _PORT)) if found else None
