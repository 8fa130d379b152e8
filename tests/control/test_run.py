"""Putting the system together: where things are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.base.errors import ControlError
from tidegate.control.run import gateway_folder


def test_the_proxy_lives_in_the_state_folder_when_its_path_is_short():
    assert gateway_folder(Path("/srv/tidegate")) == Path("/srv/tidegate/gateway")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("state", ["/srv/" + "deep/" * 20 + "state", "/srv/a folder with spaces"])
def test_a_long_or_odd_path_gets_a_private_folder_that_is_found_again(temporary: Path, state: str):
    folder = gateway_folder(Path(state))
    assert folder == gateway_folder(Path(state))
    assert folder.parent == temporary
    assert folder.stat().st_mode & 0o077 == 0
    assert folder != gateway_folder(Path(state + "2"))


def test_a_folder_that_others_can_write_to_is_refused(temporary: Path):
    long = Path("/srv/" + "deep/" * 20)
    gateway_folder(long).chmod(0o777)
    with pytest.raises(ControlError, match="not a private folder"):
        gateway_folder(long)
