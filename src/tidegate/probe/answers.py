"""The three answers of a script. Each prints its reason and ends the script, also from deep inside a call.

They work in any Python: without Tidegate around, the script prints the reason and exits with 0, 1 or 2.
"""

from __future__ import annotations

from typing import NoReturn

HEALTHY, UNHEALTHY, UNKNOWN = 0, 1, 2


class Verdict(SystemExit):
    """Ends the script with a verdict; not an `Exception`, so that a broad `except` of the script's lets it through."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code)
        self.reason = reason


def _say(code: int, reason: str) -> NoReturn:
    if reason:
        print(" ".join(str(reason).split()), flush=True)
    raise Verdict(code, reason)


def healthy(reason: str = "") -> NoReturn:
    """The replica is well."""
    _say(HEALTHY, reason)


def unhealthy(reason: str) -> NoReturn:
    """The replica is not well; `reason` is shown to people, so put numbers into it."""
    _say(UNHEALTHY, reason)


def unknown(reason: str) -> NoReturn:
    """The script cannot tell; nothing is done to the replica."""
    _say(UNKNOWN, reason)
