"""Faults are read in their short form, and all that is wrong with them is said at once."""

from __future__ import annotations

import pytest

from tidegate.base.errors import SpecError
from tidegate.sim.faults import parsed, read


def test_short_forms_come_in_order_of_time(tmp_path):
    path = tmp_path / "faults.yaml"
    path.write_text(
        "- {at: 3h, for: 20m, outage: {cluster: here}}\n"
        "- {at: 2h, crash: {service: ocr, count: 2}}\n"
        "- {at: 7h, for: 10m, failing-starts: {share: 50%}}\n"
    )
    crash, outage, starts = read(path)
    assert (crash.kind, crash.at, crash.where.count) == ("crash", 7200.0, 2)
    assert (outage.ends, outage.on(10_900), outage.on(12_000.0)) == (12_000.0, True, False)
    assert starts.where.share == 0.5


def test_everything_wrong_is_said_at_once():
    entries = [{"at": "1h", "earthquake": {}}, {"at": "1h", "outage": {}}, {"at": "1h", "slow": {"factor": 2}}]
    with pytest.raises(SpecError) as caught:
        parsed(entries)
    said = str(caught.value)
    for part in ("faults: [0]", "exactly one of", "outage needs a cluster", "slow needs `for`"):
        assert part in said


def test_a_file_that_is_no_list_is_refused(tmp_path):
    path = tmp_path / "faults.yaml"
    path.write_text("at: 1h\n")
    with pytest.raises(SpecError, match="expected a list"):
        read(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- {at: 1h, crash: {conut: 2}}", "faults.yaml:1: [0].crash.conut: is not a field here. Did you mean count?"),
        ("- {at: 1h, blind: {}, for: 1m}\n- {at: 1h, crsh: {}}", "faults.yaml:2: [1]: needs exactly one of crash"),
        ("- {at: 1h, crsh: {}}", "Did you mean crash?"),
        ("- {at: soon, crash: {}}", '[0].at: got "soon", expected a duration'),
        ("- {at: 1h, crash: {count: 0}}", "[0].crash.count: got 0, expected a number >= 1."),
        ("- {at: 1h, for: 1m, slow: {factor: 0}}", "slow needs a factor above 0"),
        ("- {at: 1h, upgrade: {service: ocr, bad: odd}}", '[0].upgrade.bad: got "odd", expected'),
        ("- crash", '[0]: got "crash", expected a mapping'),
        ("- {at: 1h, crash: {}", "faults.yaml:"),
    ],
)
def test_each_fault_of_a_file_has_its_line_its_place_and_a_remedy(tmp_path, text, says):
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        read(path)
    assert says in str(caught.value)
    assert "Value error" not in str(caught.value)
