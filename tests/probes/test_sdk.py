"""The SDK by itself: quick to import, and usable without anything of Tidegate around."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tidegate.probe.target import held_on_cards

SRC = Path(__file__).parents[2] / "src"


def python(*args: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SRC)}
    return subprocess.run([sys.executable, *args], env=env, capture_output=True, text=True, timeout=60, check=False)


def test_importing_it_loads_the_standard_library_only():
    code = (
        "import sys; before = set(sys.modules); import tidegate.probe\n"
        "new = {m.partition('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names)\n"
        "print(sorted(new), 'asyncio' in sys.modules)"
    )
    assert python("-S", "-c", code).stdout == "['tidegate'] False\n"


def test_a_script_runs_by_itself_too(tmp_path: Path):
    script = tmp_path / "p.py"
    script.write_text("from tidegate.probe import unhealthy\nunhealthy('no  good\\nat all')")
    ran = python(str(script))
    assert (ran.returncode, ran.stdout) == (1, "no good at all\n")


def test_a_script_can_be_tried_by_hand(tmp_path: Path):
    script = tmp_path / "p.py"
    script.write_text(
        "import sys\nfrom tidegate.probe import replica, healthy\nhealthy(f'{replica.address} {sys.argv[1:]}')"
    )
    ran = python("-m", "tidegate.probe", str(script), "--address", "h:1", "--", "x")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "h:1 ['x']\n", "healthy\n")


def test_memory_on_cards_is_added_up_for_the_replicas_processes_only():
    listing = "101, 300\n102, 200\n101, 24\n[N/A], 5\n103, [N/A]\n"
    assert held_on_cards(listing, {101, 103}) == 324 * 2**20
