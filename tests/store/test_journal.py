"""The journal keeps what it acknowledged, gives it back in order, stays within bounds and says what is wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tidegate.base.errors import StoreError
from tidegate.model.journal import Entry, Kind
from tidegate.model.memory import Memory
from tidegate.model.tenancy import Used
from tidegate.spec.load import load_text
from tidegate.store.journal import Journal, Retention
from tidegate.store.tenants import TenantStore

MANIFEST = """
apiVersion: tidegate.dev/v1
kind: MediaService
metadata: {name: chat}
spec: {command: [serve], rollout: {maxSurge: 2}}
"""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        yield journal


def entry(at: float, kind: str = Kind.LOAD, service: str = "chat") -> Entry:
    return Entry(at, kind, service, "default", data={"arrivals": int(at)})


def test_entries_come_back_in_order(journal: Journal) -> None:
    journal.append([entry(1), entry(2, Kind.DECISION), entry(3, service="ocr")])
    assert [e.at for e in journal.read()] == [1, 2, 3]
    assert journal.read(kind=Kind.DECISION)[0].data == {"arrivals": 2}
    assert [e.at for e in journal.read(service="ocr")] == [3]
    assert [e.at for e in journal.read(kind=[Kind.LOAD, Kind.DECISION], since=2, until=3)] == [2]
    assert [e.at for e in journal.read(limit=2)] == [2, 3]
    assert [e.at for e in journal.read(after=journal.read()[0].id)] == [2, 3]


def test_many_entries_are_read_in_chunks(journal: Journal) -> None:
    journal.append([entry(i) for i in range(12_001)])
    assert sum(1 for _ in journal.scan()) == 12_001


def test_memory_is_replaced_with_the_entries_it_belongs_to(journal: Journal) -> None:
    assert journal.load_memory() is None
    journal.append([entry(1)], Memory(addresses={"a": "1"}))
    with pytest.raises(TypeError):
        journal.append([Entry(2, Kind.LOAD, data={"x": object()})], Memory(addresses={"a": "2"}))
    assert journal.load_memory() == Memory(addresses={"a": "1"})
    journal.append([], Memory(), at=3)
    assert journal.load_memory() == Memory()
    assert len(journal.read()) == 1


def test_a_failed_write_leaves_nothing_and_the_memory_is_written_next_time(journal: Journal, tmp_path: Path) -> None:
    journal.append([entry(1)], Memory())
    with closing(sqlite3.connect(tmp_path / "journal.db")) as breaker:
        breaker.execute(
            "CREATE TRIGGER no BEFORE UPDATE ON memory BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
        breaker.commit()
        with pytest.raises(StoreError, match=r"disk is full\. Free space on the disk"):
            journal.append([entry(2)], Memory(addresses={"a": "1"}))
        assert len(journal.read()) == 1
        breaker.execute("DROP TRIGGER no")
        breaker.commit()
    journal.append([entry(2)], Memory(addresses={"a": "1"}))
    assert journal.load_memory() == Memory(addresses={"a": "1"})


def test_specs_are_kept_by_revision(journal: Journal) -> None:
    assert journal.load_specs() is None
    manifests = load_text(MANIFEST).manifests
    assert journal.save_specs(manifests, at=5, entries=[entry(5, Kind.SPECS)]) == 1
    assert journal.save_specs(manifests[:1], at=6) == 2
    newest, first = journal.load_specs(), journal.load_specs(1)
    assert newest is not None
    assert (newest.revision, newest.at, newest.manifests) == (2, 6, manifests[:1])
    assert first is not None
    assert first.manifests == manifests
    assert journal.load_specs(9) is None
    assert journal.read(kind=Kind.SPECS)


def test_old_revisions_and_entries_go(tmp_path: Path) -> None:
    retention = Retention(days=1, entries=100, revisions=3, every=50)
    with Journal(f"sqlite:///{tmp_path}/j.db", retention) as journal:
        journal.append([entry(float(i)) for i in range(400)])
        assert journal.read()[0].at == 300
        journal.append([entry(90_000.0) for _ in range(50)])
        assert {e.at for e in journal.read()} == {90_000.0}
        for at in range(9):
            journal.save_specs((), at=at)
        assert journal.load_specs(6) is None
        assert journal.load_specs(7) is not None


def test_a_reader_follows_what_another_journal_writes(journal: Journal, tmp_path: Path) -> None:
    async def follow() -> list[float]:
        seen = []
        with Journal(f"sqlite:///{tmp_path}/journal.db") as reader:
            async for found in reader.follow(every_s=0.01):
                seen.append(found.at)
                if len(seen) == 3:
                    return seen
                journal.append([entry(found.at + 1)])
        return seen

    journal.append([entry(1)])
    assert asyncio.run(asyncio.wait_for(follow(), 20)) == [1, 2, 3]


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from tidegate.model.journal import Entry
        from tidegate.model.memory import Memory
        from tidegate.store.journal import Journal
        journal = Journal(sys.argv[1])
        for i in range(100_000):
            journal.append([Entry(float(i), "load")], Memory(addresses={"last": str(i)}))
            print(i, flush=True)
    """)
    url = f"sqlite:///{tmp_path}/journal.db"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen([sys.executable, "-c", script, url], stdout=subprocess.PIPE, env=env) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(60)]
        writer.send_signal(signal.SIGKILL)
        said += writer.stdout.readlines()
    acknowledged = int([line for line in said if line.endswith(b"\n")][-1])
    with Journal(url) as journal:
        kept = [int(e.at) for e in journal.read()]
        memory = journal.load_memory()
    assert kept[: acknowledged + 1] == list(range(acknowledged + 1))
    assert memory is not None
    assert memory.addresses["last"] == str(kept[-1])


def test_a_locked_database_is_a_store_error_and_passes(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.store.tables.LOCK_WAIT_S", 0.05)
    journal.append([entry(1)])
    journal.close()
    with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"database is locked\. Another process holds it"):
            journal.append([entry(2)])
        assert len(journal.read()) == 1
        other.execute("COMMIT")
    journal.append([entry(2)])
    assert len(journal.read()) == 2


def test_a_full_database_is_a_store_error_and_passes(journal: Journal) -> None:
    journal.append([entry(1)])
    assert journal._engine is not None
    with journal._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        connection.commit()
    with pytest.raises(StoreError, match=r"disk is full\. Free space on the disk"):
        journal.append([Entry(2, Kind.FAULT, data={"text": "x" * 100_000})])
    with journal._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
        connection.commit()
    journal.append([Entry(2, Kind.FAULT, data={"text": "x" * 100_000})])
    assert len(journal.read()) == 2


def test_every_fault_of_the_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "noise.db").write_bytes(b"this is no database" * 100)
    for url, part in [
        (f"sqlite:///{tmp_path}/noise.db", "Move the file away; a new one is made."),
        (f"sqlite:///{tmp_path}/no/such/j.db", "Make sure its directory exists and can be written."),
        ("nonsense", "Check the database and its URL."),
        ("nonsense://x", "Check the database and its URL."),
    ]:
        with Journal(url) as journal, pytest.raises(StoreError, match=part):
            journal.read()


def test_tables_of_a_newer_version_are_left_alone(journal: Journal, tmp_path: Path) -> None:
    journal.append([entry(1)])
    journal.close()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as other:
        other.execute("UPDATE meta SET value = '99'")
        other.commit()
    with pytest.raises(StoreError, match="was written by a newer Tidegate"):
        journal.read()


def test_columns_that_came_later_are_added_to_what_an_older_version_wrote(tmp_path: Path) -> None:
    url, day = f"sqlite:///{tmp_path / 'journal.db'}", ("acme", "2026-11-28")
    with closing(sqlite3.connect(tmp_path / "journal.db")) as old, old:
        old.execute("CREATE TABLE usage (tenant TEXT, day TEXT, requests BIGINT, sent_bytes BIGINT)")
        old.execute("INSERT INTO usage VALUES ('acme', '2026-11-28', 3, 500)")
    for _ in range(2):
        with Journal(url) as journal:
            store = TenantStore(journal)
            assert store.usage([day]) == {day: Used(3, 500, 0, 0.0)}
    with Journal(url) as journal:
        TenantStore(journal).write({day: Used(4, 600, 7, 1.5)}, {})
        assert TenantStore(journal).usage([day]) == {day: Used(4, 600, 7, 1.5)}
