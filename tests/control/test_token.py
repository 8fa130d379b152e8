"""The token of the management addresses: made when it is needed, kept where only its owner reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.running import run
from tidegate.base.errors import ControlError
from tidegate.control.settings import Settings
from tidegate.control.token import kept_token, management_token, new_token


def test_it_is_made_when_other_machines_can_reach_management_and_stays_the_same(tmp_path: Path):
    assert management_token(Settings(tmp_path)) == ""
    made = management_token(Settings(tmp_path, management_host="0.0.0.0"))
    assert len(made) >= 43, "256 bits"
    assert management_token(Settings(tmp_path, management_host="10.0.0.7")) == made
    assert management_token(Settings(tmp_path)) == made, "then it opens loopback for writing as well"
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


def test_a_given_one_is_used_and_not_kept(tmp_path: Path):
    assert management_token(Settings(tmp_path, management_host="0.0.0.0", token="given")) == "given"
    assert not (tmp_path / "token").exists()


def test_one_that_others_can_read_is_refused(tmp_path: Path):
    new_token(tmp_path)
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(ControlError, match="tidegate token --new"):
        kept_token(tmp_path)
    new_token(tmp_path)
    assert kept_token(tmp_path)


def test_the_command_prints_it_or_says_how_to_get_one(tmp_path: Path):
    state = ("--state", str(tmp_path))
    none = run("token", *state)
    assert (none.exit_code, "tidegate token --new" in none.stderr) == (1, True)
    made = run("token", "--new", *state).stdout.strip()
    assert run("token", *state).stdout.strip() == kept_token(tmp_path) == made
    assert json.loads(run("token", "--json", *state).stdout) == {"token": made}
    assert run("token", "--new", *state).stdout.strip() != made
