"""Compiled inner loops are kept for the next process, and who has to wait for them is told."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tidegate.sim.compiling import compiled, is_kept

pytest.importorskip("numba")


def test_a_function_is_kept_once_it_was_compiled(tmp_path: Path) -> None:
    source = tmp_path / "doubling.py"
    source.write_text("def double(x):\n    return 2 * x\n")
    spec = importlib.util.spec_from_file_location("doubling", source)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    fresh = compiled(module, ["double"])
    assert not is_kept(fresh.double)
    assert fresh.double(2.0) == 4.0
    assert is_kept(compiled(module, ["double"]).double)
