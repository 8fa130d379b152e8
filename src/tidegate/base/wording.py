"""How a value is shown inside a sentence."""

from __future__ import annotations

import json
from typing import Any


def shown(value: Any) -> str:
    """A value as it stands in a manifest, cut to one short line.

    >>> shown("8080"), shown(8080), shown(None)
    ('"8080"', '8080', 'nothing')
    """
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "gap"), counted(1200, "gap")
    ('1 gap', '1,200 gaps')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
