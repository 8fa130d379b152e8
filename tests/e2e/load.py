"""Clients for tests: open- and closed-loop requests from threads, every answer counted."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

import httpx

from e2e.system import PATIENCE_S


@dataclass
class Clients:
    """`count` clients that send one request after another until told to stop; failures are kept with their text."""

    url: str
    count: int = 4
    headers: dict[str, str] = field(default_factory=dict)
    answered: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Clients:
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(self.count)]
        for t in self._threads:
            t.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for t in self._threads:
            t.join(PATIENCE_S)

    def _client(self) -> None:
        with httpx.Client(timeout=PATIENCE_S, headers=self.headers) as client:
            while not self._stop.is_set():
                try:
                    answer = client.get(self.url)
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                if answer.status_code == 200:
                    self.answered[answer.json()["replica"]] += 1
                else:
                    self.failures.append(f"{answer.status_code} {answer.text[:200]}")

    @property
    def total(self) -> int:
        return sum(self.answered.values())
