"""Putting the system together: where things are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.base.errors import GatewayError
from tidegate.gateway.process import prepare_folder
from tidegate.gateway.settings import GatewaySettings


def at(state: str | Path) -> GatewaySettings:
    return GatewaySettings(state_directory=Path(state) / "gateway")


def test_sockets_stand_in_the_state_folder_when_its_path_is_short():
    assert at("/srv/tidegate").socket_folder == Path("/srv/tidegate/gateway")


@pytest.mark.parametrize("state", ["/srv/" + "deep/" * 20 + "state", "/srv/a folder with spaces"])
def test_a_long_or_odd_path_gets_a_short_folder_that_is_found_again(state: str):
    folder = at(state).socket_folder
    assert folder == at(state).socket_folder
    assert len(str(folder)) < 65
    assert folder != at(state + "2").socket_folder


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[GatewaySettings]:
    it = at(tmp_path / "a folder with spaces")
    yield it
    if it.socket_folder.is_symlink():
        it.socket_folder.unlink()
    elif it.socket_folder.exists():
        it.socket_folder.rmdir()


def test_the_short_folder_is_private(odd: GatewaySettings):
    prepare_folder(odd)
    assert odd.socket_folder.stat().st_mode & 0o077 == 0


def test_a_short_folder_that_others_can_write_to_is_refused(odd: GatewaySettings):
    odd.socket_folder.mkdir(mode=0o700)
    odd.socket_folder.chmod(0o777)
    with pytest.raises(GatewayError, match="open to other users"):
        prepare_folder(odd)


def test_a_link_in_place_of_the_short_folder_is_refused(odd: GatewaySettings, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    odd.socket_folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(GatewayError, match="not a folder"):
        prepare_folder(odd)
