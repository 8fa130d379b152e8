"""The journal: append what happened, keep the policies' memory with it, read it back.

All methods block for the length of a database transaction (usually well under a millisecond). One writer at a time; any
number of readers, also in other processes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Select, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from tidegate.base.errors import SpecError, StoreError
from tidegate.model.journal import Entry
from tidegate.model.memory import Memory
from tidegate.spec.checks import Manifest
from tidegate.spec.load import read_stored, write_stored
from tidegate.store import codec, tables
from tidegate.store.faults import name, sentence
from tidegate.store.tape import Stretch

DAY_S = 86400.0
CHUNK = 5_000
MEMORY = "policies"


@dataclass(frozen=True, slots=True)
class Retention:
    """How much is kept: entries younger than `days`, at most `entries` of them; `revisions` of the specs.

    A pool's load every 10 s is 8640 entries a day of about 300 bytes: a million entries is one pool for 116 days or
    ten pools for 11, in about 400 MB. `every` says after how many new entries the old ones are looked at. Of the
    recording the last `recording_days` are kept, and at most `recording_bytes` of them.
    """

    days: float = 60.0
    entries: int = 2_000_000
    revisions: int = 100
    every: int = 2_000
    recording_days: float = 14.0
    recording_bytes: int = 256 * 2**20


@dataclass(frozen=True, slots=True)
class StoredSpecs:
    """The manifests of one revision; `revision` grows by one with every change, `at` is when it was applied."""

    revision: int
    at: float
    manifests: tuple[Manifest, ...]


class Journal:
    """The journal in the database at `url` (`sqlite:///path`, `postgresql+psycopg://...`).

    Nothing is opened before the first use. Every method may raise StoreError with a sentence; after one the journal
    can be used again as soon as the cause is gone.
    """

    def __init__(self, url: str, retention: Retention | None = None) -> None:
        self._url = url
        self._retention = retention or Retention()
        self._engine: Engine | None = None
        self._since_pruned = 0
        self._memory_text: str | None = None

    # -- writing -------------------------------------------------------------------------------------------------

    def append(
        self,
        entries: Sequence[Entry],
        memory: Memory | None = None,
        *,
        at: float | None = None,
        recorded: Sequence[Stretch] = (),
    ) -> None:
        """Write entries, the ticks `recorded`, and the memory they lead to, in one transaction: all of it or nothing.

        Memory that has not changed since the last call is not written again. `at` is the time of the memory; the last
        entry's when left out.
        """
        rows = [_row(entry) for entry in entries]
        text = None if memory is None else codec.encode(memory)
        if text == self._memory_text:
            text = None
        if not rows and text is None and not recorded:
            return
        with self.transaction("written") as connection:
            if rows:
                connection.execute(insert(tables.entries), rows)
            if recorded:
                connection.execute(insert(tables.recordings), [_recording(stretch) for stretch in recorded])
            if text is not None:
                _put_memory(connection, text, at if at is not None else (entries[-1].at if entries else 0.0))
        if text is not None:
            self._memory_text = text
        self._since_pruned += len(rows) + len(recorded)
        if self._since_pruned >= self._retention.every:
            self.prune()

    def save_specs(self, manifests: Sequence[Manifest], *, at: float, entries: Sequence[Entry] = ()) -> int:
        """Make these the declared manifests; returns their revision. `entries` are written with them."""
        text = json.dumps([write_stored(m) for m in manifests])
        with self.transaction("written") as connection:
            row = connection.execute(insert(tables.specs).values(at=at, manifests=text))
            if entries:
                connection.execute(insert(tables.entries), [_row(entry) for entry in entries])
            revision = int((row.inserted_primary_key or (0,))[0])
            oldest = revision - self._retention.revisions
            connection.execute(delete(tables.specs).where(tables.specs.c.revision <= oldest))
        return revision

    def prune(self) -> int:
        """Delete what is beyond the retention, in short transactions; returns how many entries."""
        self._since_pruned = 0
        self._prune_recordings()
        gone = 0
        column = tables.entries.c
        with self.transaction("read") as connection:
            newest = connection.execute(select(func.max(column.id), func.max(column.at))).one()
        if newest[0] is None:
            return 0
        too_many = column.id <= newest[0] - self._retention.entries
        too_old = column.at < newest[1] - self._retention.days * DAY_S
        for condition in (too_many, too_old):
            while True:
                some = select(column.id).where(condition).limit(CHUNK)
                with self.transaction("written") as connection:
                    count = connection.execute(delete(tables.entries).where(column.id.in_(some))).rowcount
                gone += count
                if count < CHUNK:
                    break
        return gone

    def _prune_recordings(self) -> None:
        """Delete the oldest stretches, as many as are too old or too much."""
        column = tables.recordings.c
        with self.transaction("written") as connection:
            newest, total = connection.execute(select(func.max(column.until), func.sum(column.bytes))).one()
            if newest is None:
                return
            too_old = column.until < newest - self._retention.recording_days * DAY_S
            connection.execute(delete(tables.recordings).where(too_old))
            excess = int(total) - self._retention.recording_bytes
            if excess <= 0:
                return
            for ident, size in connection.execute(select(column.id, column.bytes).order_by(column.id)):
                excess -= size
                if excess <= 0:
                    connection.execute(delete(tables.recordings).where(column.id <= ident))
                    return

    # -- reading -------------------------------------------------------------------------------------------------

    def recording(self, *, since: float | None = None, until: float | None = None) -> Iterator[Stretch]:
        """The recorded ticks, oldest first, from the last beginning at or before `since` (the first there is)."""
        column = tables.recordings.c
        query = select(column.id, column.at, column.until, column.ticks, column.anew, column.data)
        after = 0
        if since is not None:
            begins = select(func.max(column.id)).where(column.anew, column.at <= since)
            with self.transaction("read") as connection:
                after = int(connection.execute(begins).scalar_one_or_none() or 1) - 1
        if until is not None:
            query = query.where(column.at < until)
        while True:
            with self.transaction("read") as connection:
                rows = connection.execute(query.where(column.id > after).order_by(column.id).limit(100)).all()
            for row in rows:
                yield Stretch(row.at, row.until, row.ticks, row.anew, row.data)
            if not rows:
                return
            after = rows[-1].id

    def recording_size(self) -> tuple[int, int, float]:
        """How much is recorded: ticks, bytes, seconds from the first to the last."""
        column = tables.recordings.c
        what = select(func.sum(column.ticks), func.sum(column.bytes), func.min(column.at), func.max(column.until))
        with self.transaction("read") as connection:
            ticks, size, first, last = connection.execute(what).one()
        return int(ticks or 0), int(size or 0), (last or 0.0) - (first or 0.0)

    def read(
        self,
        *,
        kind: str | Sequence[str] = (),
        service: str | None = None,
        since: float | None = None,
        until: float | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> list[Entry]:
        """Entries, oldest first; with `limit` the newest that many.

        Args:
            kind: one kind or several; none: all.
            since, until: epoch seconds, `since` included and `until` not.
            after: only entries with a greater id, so that a reader can go on where it stopped.
        """
        query = _query(kind, service, since, until, after)
        if limit is not None:
            with self.transaction("read") as connection:
                rows = connection.execute(query.order_by(tables.entries.c.id.desc()).limit(limit)).all()
            return [_entry(row) for row in reversed(rows)]
        return list(self.scan(kind=kind, service=service, since=since, until=until, after=after))

    def scan(
        self,
        *,
        kind: str | Sequence[str] = (),
        service: str | None = None,
        since: float | None = None,
        until: float | None = None,
        after: int = 0,
    ) -> Iterator[Entry]:
        """Like `read` without a limit, a chunk at a time: months of entries in little memory."""
        while True:
            query = _query(kind, service, since, until, after).order_by(tables.entries.c.id).limit(CHUNK)
            with self.transaction("read") as connection:
                rows = connection.execute(query).all()
            yield from (_entry(row) for row in rows)
            if len(rows) < CHUNK:
                return
            after = rows[-1].id

    async def follow(
        self, *, kind: str | Sequence[str] = (), service: str | None = None, after: int = 0, every_s: float = 0.5
    ) -> AsyncIterator[Entry]:
        """Entries after the id `after` as they are written, also by other processes; looks every `every_s` seconds."""
        while True:
            fresh = await asyncio.to_thread(self.read, kind=kind, service=service, after=after)
            for entry in fresh:
                yield entry
                after = entry.id
            if not fresh:
                await asyncio.sleep(every_s)

    def load_memory(self) -> Memory | None:
        """What the policies remembered last; None in a new journal."""
        query = select(tables.memory.c.value).where(tables.memory.c.name == MEMORY)
        with self.transaction("read") as connection:
            text = connection.execute(query).scalar_one_or_none()
        return None if text is None else codec.decode(Memory, text)

    def load_specs(self, revision: int | None = None) -> StoredSpecs | None:
        """The manifests of a revision, the newest when left out; None when there is none."""
        query = select(tables.specs).order_by(tables.specs.c.revision.desc()).limit(1)
        if revision is not None:
            query = query.where(tables.specs.c.revision == revision)
        with self.transaction("read") as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        try:
            manifests = [read_stored(text) for text in json.loads(row.manifests)]
        except SpecError as error:
            raise StoreError(f"revision {row.revision} of the specs: {error}") from None
        return StoredSpecs(row.revision, row.at, tuple(m for m in manifests if m is not None))

    def close(self) -> None:
        """Let go of the database."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self, verb: str) -> Iterator[Connection]:
        """A transaction that ends as a whole; every fault of the database becomes a StoreError."""
        try:
            if self._engine is None:
                self._engine = _open(self._url)
            with self._engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError, ImportError) as error:
            raise StoreError(sentence(self._url, verb, error)) from error


def _open(url: str) -> Engine:
    engine = tables.open_engine(url)
    try:
        with engine.begin() as connection:
            tables.metadata.create_all(connection)
            _check_version(connection, url)
            tables.add_columns(connection)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _check_version(connection: Connection, url: str) -> None:
    found = connection.execute(select(tables.meta.c.value).where(tables.meta.c.name == "schema")).scalar_one_or_none()
    if found is None:
        connection.execute(insert(tables.meta).values(name="schema", value=str(tables.SCHEMA_VERSION)))
    elif int(found) > tables.SCHEMA_VERSION:
        raise StoreError(f"{name(url)} was written by a newer Tidegate (tables {found}). Use that version to read it.")


def _put_memory(connection: Connection, text: str, at: float) -> None:
    changed = connection.execute(
        update(tables.memory).where(tables.memory.c.name == MEMORY).values(at=at, value=text)
    ).rowcount
    if not changed:
        connection.execute(insert(tables.memory).values(name=MEMORY, at=at, value=text))


def _query(
    kind: str | Sequence[str], service: str | None, since: float | None, until: float | None, after: int
) -> Select[tuple[int, float, str, str, str, str, str]]:
    column = tables.entries.c
    query = select(column.id, column.at, column.kind, column.service, column.pool, column.replica, column.data)
    kinds = [kind] if isinstance(kind, str) else list(kind)
    if kinds:
        query = query.where(column.kind.in_(kinds))
    if service is not None:
        query = query.where(column.service == service)
    if since is not None:
        query = query.where(column.at >= since)
    if until is not None:
        query = query.where(column.at < until)
    return query.where(column.id > after) if after else query


def _recording(stretch: Stretch) -> dict[str, object]:
    return {
        "at": stretch.at,
        "until": stretch.until,
        "ticks": stretch.ticks,
        "anew": stretch.anew,
        "bytes": len(stretch.data),
        "data": stretch.data,
    }


def _row(entry: Entry) -> dict[str, object]:
    return {
        "at": entry.at,
        "kind": str(entry.kind),
        "service": entry.service,
        "pool": entry.pool,
        "replica": entry.replica,
        "data": json.dumps(dict(entry.data), separators=(",", ":")),
    }


def _entry(row: Select[tuple[int, float, str, str, str, str, str]] | object) -> Entry:
    ident, at, kind, service, pool, replica, data = row  # type: ignore[misc]
    return Entry(at, kind, service, pool, replica, json.loads(data), ident)
