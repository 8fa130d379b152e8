"""Running one script to its verdict, as an exit code: 0 healthy, 1 unhealthy, 2 unknown.

Errors that say something about the replica (no connection, no answer, an `assert` that does not hold) make it
unhealthy; every other error is the script's own and makes the verdict unknown, so that a slip in a script never
restarts a fleet.
"""

from __future__ import annotations

import linecache
import os
import runpy
import sys
import traceback
from types import ModuleType
from typing import Any

from tidegate.probe.answers import HEALTHY, UNHEALTHY, UNKNOWN, healthy, unhealthy, unknown

ENTRY = "check"


def run_script(script: str, args: list[str], text: str | None = None) -> int:
    """Run `script` with `args`, then its `check()` if it has one; the exit code.

    With `text`, that is run as if it stood in the file.
    """
    sys.argv = [script, *args]
    sys.path.insert(0, os.path.dirname(os.path.abspath(script)))  # noqa: PTH100, PTH120 - pathlib is slow to import
    try:
        names = runpy.run_path(script, run_name="__main__") if text is None else _run_text(script, text)
        if callable(names.get(ENTRY)):
            _answer(names[ENTRY]())
    except SystemExit as end:
        return _code(end.code)
    except (OSError, AssertionError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        print(str(error) or f"assertion failed: {where.line}")
        return UNHEALTHY
    except BaseException:
        traceback.print_exc()
        return UNKNOWN
    return HEALTHY


def _run_text(script: str, text: str) -> dict[str, Any]:
    """What `runpy.run_path` does, with a text; tracebacks show its lines and not those of the file."""
    linecache.cache[script] = (len(text), None, text.splitlines(keepends=True), script)
    main = ModuleType("__main__")
    main.__file__ = script
    sys.modules["__main__"] = main
    exec(compile(text, script, "exec"), main.__dict__)
    return main.__dict__


def _answer(value: Any) -> None:
    """What `check()` returned, as one of the three answers."""
    reason = ""
    if isinstance(value, tuple) and len(value) == 2:
        value, reason = value
    if value is None or value is True:
        healthy(reason)
    if value is False:
        unhealthy(reason or "check() returned False")
    unknown(f"check() returned {value!r:.80}; expected True, False or (True or False, reason)")


def _code(code: Any) -> int:
    if code is None:
        return HEALTHY
    if isinstance(code, int):
        return code
    print(code)  # sys.exit("reason")
    return UNHEALTHY
