"""Following a log while it is written and rotated."""

from __future__ import annotations

from pathlib import Path

from tidegate.runtimes.local import logs


async def test_a_line_that_is_being_written_is_told_when_it_is_whole(tmp_path: Path):
    log = tmp_path / "web-1.log"
    log.write_text("old\nhal")
    over = False

    def write_the_rest() -> bool:
        nonlocal over
        over_now, over = over, True
        if not over_now:
            with log.open("a") as more:
                more.write("f\nlast")
        return over_now

    told = [line async for line in logs.follow(log, 1, write_the_rest)]
    assert told == ["old", "half", "last"]


async def test_nothing_is_lost_between_the_old_lines_and_the_new(tmp_path: Path):
    log = tmp_path / "web-1.log"
    log.with_name("web-1.log.1").write_text("0\n1\n")
    log.write_text("2\n")
    told = []
    async for line in logs.follow(log, 2, lambda: len(told) >= 4):
        told.append(line)
        if len(told) == 1:
            with log.open("a") as more:
                more.write("3\n4\n")
    assert told == ["1", "2", "3", "4"]


async def test_what_is_rotated_away_meanwhile_is_read(tmp_path: Path):
    log = tmp_path / "web-1.log"
    log.write_text("1\n")
    told = []
    async for line in logs.follow(log, 10, lambda: len(told) >= 3):
        told.append(line)
        if len(told) == 1:
            with log.open("a") as more:
                more.write("2\n")
            log.rename(log.with_name("web-1.log.1"))
            log.write_text("3\n")
    assert told == ["1", "2", "3"]
