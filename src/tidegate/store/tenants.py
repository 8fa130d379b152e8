"""Keys and usage of tenants, in the journal's database.

What a method has returned from survives the end of the process (see `tables.open_engine`). Keys are kept by their
digest alone; revoked ones stay, so that what was once given out can be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from sqlalchemy import Row, bindparam, delete, insert, select, update

from tidegate.model.tenancy import Key, Used
from tidegate.store import tables
from tidegate.store.journal import Journal


class TenantStore:
    """Reads and writes through the journal; every method may raise StoreError."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def load_keys(self) -> tuple[Key, ...]:
        """Every key there ever was, oldest first."""
        with self._journal.transaction("read") as connection:
            rows = connection.execute(select(tables.keys).order_by(tables.keys.c.created_at, tables.keys.c.id)).all()
        return tuple(_key(row) for row in rows)

    def add_key(self, key: Key) -> None:
        with self._journal.transaction("written") as connection:
            connection.execute(insert(tables.keys).values(**_columns(key)))

    def revoke_key(self, key_id: str, at: float) -> None:
        column = tables.keys.c
        with self._journal.transaction("written") as connection:
            where = (column.id == key_id) & column.revoked_at.is_(None)
            connection.execute(update(tables.keys).where(where).values(revoked_at=at))

    def usage(self, days: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Used]:
        """What was used on these days (tenant and date); those without use are left out."""
        wanted = set(days)
        dates = sorted({date for _, date in wanted})
        column = tables.usage.c
        with self._journal.transaction("read") as connection:
            rows = connection.execute(select(tables.usage).where(column.day.in_(dates))).all()
        found = {(row.tenant, row.day): Used(row.requests, row.sent_bytes, row.pixels, row.media_s) for row in rows}
        return {day: used for day, used in found.items() if day in wanted}

    def write(self, usage: Mapping[tuple[str, str], Used], last_used: Mapping[str, float]) -> None:
        """Keep these totals, and when keys were last used, all or nothing."""
        column, key = tables.usage.c, tables.keys.c
        days = [{"of": tenant, "on": day} for tenant, day in usage]
        totals = [{"tenant": tenant, "day": day, **asdict(used)} for (tenant, day), used in usage.items()]
        times = [{"the": key_id, "at": at} for key_id, at in last_used.items()]
        with self._journal.transaction("written") as connection:
            if totals:
                where = (column.tenant == bindparam("of")) & (column.day == bindparam("on"))
                connection.execute(delete(tables.usage).where(where), days)
                connection.execute(insert(tables.usage), totals)
            if times:
                used_at = update(tables.keys).where(key.id == bindparam("the")).values(last_used_at=bindparam("at"))
                connection.execute(used_at, times)


def _columns(key: Key) -> dict[str, object]:
    return {name: getattr(key, name) for name in tables.keys.c.keys()}  # noqa: SIM118  column names, not values


def _key(row: Row[tuple[object, ...]]) -> Key:
    return Key(**row._mapping)
