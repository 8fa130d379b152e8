"""docs/lifecycle.md shows the tables as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tidegate.model.lifecycle import REPLICA_MOVES, ROLLOUT_MOVES

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"


def diagram(moves: Mapping[str, Mapping[str, str]]) -> str:
    """A Mermaid state diagram; causes that lead from one state to the same other one share an arrow."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {_id(next(iter(moves)))}"]
    for before, causes in moves.items():
        for after in dict.fromkeys(causes.values()):
            why = ", ".join(cause for cause, to in causes.items() if to == after)
            lines.append(f"    {_id(before)} --> {_id(after)}: {why}")
        if not causes:
            lines.append(f"    {_id(before)} --> [*]")
    return "\n".join([*lines, "```"])


def _id(state: str) -> str:
    return str(state).replace(" ", "_")


def test_the_page_shows_the_tables_as_they_are(rewrite_golden: bool) -> None:
    wanted = text = PAGE.read_text()
    for name, moves in (("replica", REPLICA_MOVES), ("rollout", ROLLOUT_MOVES)):
        part = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        drawn = diagram(moves)
        wanted = part.sub(lambda m, drawn=drawn: f"{m[1]}{drawn}\n{m[2]}", wanted)
    if rewrite_golden:
        PAGE.write_text(wanted)
    assert PAGE.read_text() == wanted, "docs/lifecycle.md is behind the tables: run this test with --rewrite-golden"
    assert text.count("<!-- end of") == 2
