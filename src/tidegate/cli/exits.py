"""How a command ends: exit codes, and errors as one sentence instead of a traceback."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, cast

import typer
from typer.core import TyperGroup

from tidegate.base.errors import ControlError, SpecError, TidegateError, UnitError

OK: Final = 0
FAILED: Final = 1
REFUSED: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130  # what shells use for a program that was ended by Ctrl-C

CODES = {
    OK: "done",
    FAILED: "failed",
    REFUSED: "wrong usage or manifests with faults",
    UNREACHABLE: "Tidegate is not running or does not answer",
}


class Unreachable(ControlError):
    """No control process answers."""


def code_of(error: BaseException) -> int:
    """The exit code for an error."""
    if isinstance(error, SpecError | UnitError):
        return REFUSED
    return UNREACHABLE if isinstance(error, Unreachable) else FAILED


# Wrong options and arguments; typer has no name of its own for it.
_Usage = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])


class Guarded(TyperGroup):
    """A group whose commands end with a sentence and a code when they raise, with the traceback under `--debug`."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        as_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except TidegateError as error:
            if ctx.params.get("debug"):
                raise
            complain(error, as_json=as_json)
            raise typer.Exit(code_of(error)) from None
        except _Usage as error:
            if not as_json:
                raise
            typer.echo(_as_json(error.format_message(), REFUSED), err=True)
            raise typer.Exit(REFUSED) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


def complain(error: TidegateError, *, as_json: bool) -> None:
    """Say what went wrong on the standard error stream."""
    faults = list(error.faults) if isinstance(error, SpecError) else []
    if as_json:
        typer.echo(_as_json(str(error), code_of(error), faults), err=True)
        return
    if len(faults) > 1:
        typer.echo(f"{len(faults)} faults:", err=True)
    typer.echo(str(error), err=True)


def _as_json(message: str, code: int, faults: Sequence[str] = ()) -> str:
    body: dict[str, Any] = {"message": message, "exit": code} | ({"faults": list(faults)} if faults else {})
    return json.dumps({"error": body})
