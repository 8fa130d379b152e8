"""The texts of a report: golden files, and what must not get into them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from report.story import WINDOW, entries, specs
from tidegate.cli.report import show
from tidegate.report.measure import report
from tidegate.report.render import to_csv, to_html, to_json
from tidegate.report.table import headline, money, share
from tidegate.report.values import Report

FOLDER = Path(__file__).parents[1] / "golden" / "report"


@pytest.fixture(scope="module")
def hour() -> Report:
    return report(entries(), specs(), WINDOW, lambda *_: 0.9991)


def as_text(hour: Report) -> str:
    console = Console(width=120, record=True, file=StringIO())
    show(hour, console)
    return "\n".join(line.rstrip() for line in console.export_text().splitlines()) + "\n"


TEXTS = {"txt": as_text, "csv": to_csv, "json": to_json, "html": to_html}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_as_reviewed(hour, name, rewrite_golden):
    path, text = FOLDER / f"out.{name}", TEXTS[name](hour)
    if rewrite_golden:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8"), f"see {path.name}; pytest --rewrite-golden rewrites it"


def test_json_and_csv_say_the_same(hour):
    lines = list(csv.DictReader(to_csv(hour).splitlines()))
    data = json.loads(to_json(hour))
    assert [line["pool"] for line in lines] == [p["pool"] for p in data["pools"]] + [""]
    for line, measured in zip(lines, [*data["pools"], data["total"]], strict=True):
        assert line["cost"] == ("" if measured["cost"] is None else str(measured["cost"]))
        assert line["requests"] == str(measured["traffic"]["arrivals"])


def test_names_stay_text_in_html(hour):
    evil = replace(hour.pools[0], service="<script>alert(1)</script>")
    text = to_html(replace(hour, pools=(evil, *hour.pools[1:])))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_the_headline_compares_money_only_when_all_of_it_is_known(hour):
    assert headline(hour).endswith("of the replica-hours of a static fleet for the peak.")
    priced = replace(hour, total=replace(hour.pools[1], service="", pool=""))
    assert headline(priced).endswith("at 68% of what a static fleet for the peak would have cost.")


def test_a_share_is_never_rounded_up():
    assert [share(x) for x in (0.99949, 0.999999, 1.0, 0.5, None)] == ["99.949%", "99.999%", "100%", "50.0%", "–"]


def test_money():
    assert [money(x) for x in (0.081, 1234.5, 0, None)] == ["0.0810", "1,234.50", "0.00", "no price known"]
