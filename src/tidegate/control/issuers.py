"""The keys that issuers of tokens publish: fetched, kept on disk, fetched again.

What was good once stays in force until something good takes its place, also over a restart; while it cannot be had,
that is told. Where there never was a key, nobody is let in.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from tidegate.base.clock import Clock
from tidegate.fetch.document import document
from tidegate.gateway.jwks import Algorithm, read_keys
from tidegate.model.admission import KeySet
from tidegate.spec.access import Jwt, on_this_machine
from tidegate.spec.resolve import Specs

REFRESH_S = 300.0
"""Between two looks at a set of keys. Issuers publish a key before they sign with it."""
RETRY_S = 10.0
"""After a look that failed."""
TIMEOUT_S = 5.0
MOST_BYTES = 256 * 1024
_THIS_MACHINE = ("127.0.0.0/8", "::1/128")

Place = tuple[str, tuple[str, ...]]
"""A URL, and the networks it may lead to although they are not public."""


@dataclass(slots=True)
class Issuers:
    """Looks at the sets of keys that are declared. `folder` keeps the last good ones; `tls` is who is trusted."""

    folder: Path
    clock: Clock
    on_change: Callable[[], None] = lambda: None
    tls: ssl.SSLContext | None = None
    _wanted: dict[Place, set[Algorithm]] = field(default_factory=dict)
    _sets: dict[str, KeySet] = field(default_factory=dict)
    _due: dict[Place, float] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def follow(self, specs: Specs) -> None:
        """These are declared now; new ones are looked at at once, after what is on disk."""
        wanted: dict[Place, set[Algorithm]] = {}
        for service in specs.services:
            jwt = service.spec.access.jwt if service.spec.access else None
            if jwt is not None and jwt.jwksUrl is not None:
                wanted.setdefault(_place(jwt.jwksUrl, jwt), set()).add(jwt.algorithm)
        if wanted == self._wanted:
            return
        for place in wanted.keys() - self._wanted.keys():
            self._sets.setdefault(place[0], KeySet(self._kept(place[0])))
            self._due[place] = 0.0
        self._wanted = wanted
        self._due = {place: due for place, due in self._due.items() if place in wanted}
        self._sets = {url: known for url, known in self._sets.items() if any(url == place[0] for place in wanted)}
        self._news.set()

    def known(self) -> Mapping[str, KeySet]:
        """By URL."""
        return dict(self._sets)

    async def run(self) -> None:
        """Look whenever one is due, for ever."""
        while True:
            self._news.clear()
            now = self.clock.monotonic()
            await asyncio.gather(*(self._look(place) for place, due in self._due.items() if due <= now))
            rest_s = min(self._due.values(), default=now + REFRESH_S) - self.clock.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, rest_s)):
                    await self._news.wait()

    async def _look(self, place: Place) -> None:
        url, networks = place
        before = self._sets.get(url, KeySet())
        try:
            data = await document(url, networks=networks, most_bytes=MOST_BYTES, timeout_s=TIMEOUT_S, tls=self.tls)
            text = data.decode("utf-8", "replace")
            for algorithm in self._wanted.get(place, ()):
                _, fault = read_keys(text, algorithm, url)
                if fault:
                    raise OSError(fault)
            now = KeySet(text, self._keep(url, text))
        except OSError as error:
            now = KeySet(before.document, before.fault or self._sentence(url, str(error), bool(before.document)))
        if place in self._wanted:
            self._due[place] = self.clock.monotonic() + (RETRY_S if now.fault else REFRESH_S)
            self._sets[url] = now
        if now != before:
            self.on_change()

    def _sentence(self, url: str, why: str, had: bool) -> str:
        """Told once, with the instant, so that it stays the same until it is over."""
        since = datetime.fromtimestamp(self.clock.wall(), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        what = "those fetched before stay in force" if had else "so no token of this issuer lets anybody in"
        return f"keys of tokens at {url} cannot be had since {since} ({why}); {what}. It is tried again every 10 s"

    def _kept(self, url: str) -> str:
        try:
            return self._file(url).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def _keep(self, url: str, text: str) -> str:
        """Write them down; what is wrong when that fails. They are in force all the same."""
        if text == self._kept(url):
            return ""
        file = self._file(url)
        draft = file.with_suffix(".new")
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.write_text(text, "utf-8")
            draft.replace(file)
        except OSError as error:
            return (
                f"keys of tokens at {url} are in force, but cannot be kept at {file} ({error.strerror or error}); "
                "after a restart they would have to be fetched before anybody is let in. It is tried again every 10 s"
            )
        return ""

    def _file(self, url: str) -> Path:
        return self.folder / f"{hashlib.blake2b(url.encode(), digest_size=12).hexdigest()}.json"


def _place(url: str, jwt: Jwt) -> Place:
    here = _THIS_MACHINE if on_this_machine(urlsplit(url).hostname or "") else ()
    return url, (*jwt.jwksNetworks, *here)
