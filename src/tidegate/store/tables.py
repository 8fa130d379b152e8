"""The tables, and how a database is opened so that an acknowledged write survives the end of the process."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    inspect,
    make_url,
    text,
)
from sqlalchemy.pool import StaticPool

SCHEMA_VERSION = 1
# Long enough for another process to end its transaction, short enough that a tick is not held up for long.
LOCK_WAIT_S = 2.0

metadata = MetaData()
_Id = BigInteger().with_variant(Integer, "sqlite")  # only an INTEGER key of SQLite counts up by itself

entries = Table(
    "entries",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("at", Float(53), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("service", String(64), nullable=False),
    Column("pool", String(64), nullable=False),
    Column("replica", String(200), nullable=False),
    Column("data", Text, nullable=False),
    Index("entries_at", "at"),
    Index("entries_kind_at", "kind", "at"),
    Index("entries_service_at", "service", "at"),
)
specs = Table(
    "specs",
    metadata,
    Column("revision", _Id, primary_key=True, autoincrement=True),
    Column("at", Float(53), nullable=False),
    Column("manifests", Text, nullable=False),
)
memory = Table(
    "memory",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("at", Float(53), nullable=False),
    Column("value", Text, nullable=False),
)
recordings = Table(
    "recordings",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("at", Float(53), nullable=False),
    Column("until", Float(53), nullable=False),
    Column("ticks", Integer, nullable=False),
    Column("anew", Boolean, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Index("recordings_at", "at"),
)
keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("hint", String(16), nullable=False),
    Column("note", Text, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("expires_at", Float(53)),
    Column("revoked_at", Float(53)),
    Column("last_used_at", Float(53)),
)
usage = Table(
    "usage",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("sent_bytes", BigInteger, nullable=False),
    Column("pixels", BigInteger, nullable=False, server_default="0"),
    Column("media_s", Float(53), nullable=False, server_default="0"),
)
meta = Table(
    "meta",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)


def add_columns(connection: Connection) -> None:
    """Columns that came later, with a default so that an older version can go on writing beside them."""
    there = {column["name"] for column in inspect(connection).get_columns(usage.name)}
    for column in usage.columns:
        if column.name not in there:
            kind = column.type.compile(connection.dialect)
            connection.execute(text(f"ALTER TABLE {usage.name} ADD COLUMN {column.name} {kind} DEFAULT 0 NOT NULL"))


def open_engine(url: str) -> Engine:
    """An engine for a database URL; nothing is opened yet.

    SQLite is put into WAL mode with `synchronous=NORMAL`: what was committed survives `kill -9` of the process (it is
    with the operating system by then) and is never torn; a power cut may cost the last commits. Source:
    https://www.sqlite.org/pragma.html#pragma_synchronous
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    in_memory = parsed.database in (None, "", ":memory:")
    options: dict[str, Any] = {"connect_args": {"timeout": LOCK_WAIT_S, "check_same_thread": False}}
    if in_memory:
        options["poolclass"] = StaticPool
    engine = create_engine(parsed, **options)

    def prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "journal_size_limit=16777216"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine, "connect", prepare)
    return engine
