"""The commands about tenants and keys."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cli.running import run, running
from web.world import FakeControl


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[FakeControl, str]]:
    control = FakeControl()
    with running(control) as state:
        yield control, str(state)


def test_a_key_is_printed_alone_so_that_it_can_be_piped(world: tuple[FakeControl, str]) -> None:
    result = run("keys", "add", "acme", "--note", "camera 7", "--expires", "90d", "--state", world[1])
    assert result.stdout == "tgk_secret\n"
    assert "k1 of acme is in force" in result.stderr
    assert world[0].told[-1] == ("add_key", "acme", "camera 7", 90 * 86400.0)
    made = json.loads(run("keys", "add", "acme", "--json", "--state", world[1]).stdout)
    assert (made["secret"], made["key"]["tenant"]) == ("tgk_secret", "acme")


def test_an_expiry_that_is_no_duration_is_refused(world: tuple[FakeControl, str]) -> None:
    result = run("keys", "add", "acme", "--expires", "soon", "--state", world[1])
    assert result.exit_code == 2
    assert "expected a duration" in result.stderr


def test_keys_are_listed_without_those_that_are_over(world: tuple[FakeControl, str]) -> None:
    shown = run("keys", "list", "--state", world[1]).stdout
    assert "k1" in shown
    assert "tgk_3fA9..." in shown
    assert "k2" not in shown
    listed = json.loads(run("keys", "list", "--all", "--json", "--state", world[1]).stdout)
    assert [k["id"] for k in listed] == ["k1", "k2", "k3"]


def test_a_key_is_revoked_by_its_id(world: tuple[FakeControl, str]) -> None:
    assert run("keys", "revoke", "k9", "--state", world[1]).stdout == "k9 of acme is revoked.\n"
    assert world[0].told[-1] == ("revoke_key", "k9")
    assert json.loads(run("keys", "revoke", "k9", "--json", "--state", world[1]).stdout)["state"] == "revoked"


def test_tenants_show_limits_use_and_refusals(world: tuple[FakeControl, str]) -> None:
    shown = run("tenants", "--state", world[1]).stdout
    for part in ("acme", "20/s, burst 40", "3 of 8, 2 waiting", "900 of 1000", "5 MiB", "412.5 of 1000 MP", "99.89%",
                 "rate_limited 7", "batch", "key_missing 2"):  # fmt: skip
        assert part in shown, part
    told = json.loads(run("tenants", "--json", "--state", world[1]).stdout)
    assert told["tenants"][0]["refused"] == {"rate_limited": 7}
