"""`tidegate replay`: decide once more what was recorded, with the same manifests or with others."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, OptionalFilesOption, StateOption


def register(app: typer.Typer) -> None:
    app.command("replay")(replay)


def replay(
    files: OptionalFilesOption = None,
    since: Annotated[
        str | None, typer.Option(help='From when: "2h" ago, or 2026-10-01T18:00 (UTC). Default: all that is recorded.')
    ] = None,
    until: Annotated[str | None, typer.Option(help="Until when. Default: the last recorded decision.")] = None,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Decide once more what was recorded.

    Without --file every decision is compared with the recorded one: the same inputs must give the same output (exit
    code 1 when they do not). With --file: what those manifests would have wanted at the same observations.
    """
    from tidegate.base.clock import SystemClock
    from tidegate.cli import replay as work
    from tidegate.cli.output import print_json
    from tidegate.cli.report import moment, open_journal

    now = SystemClock().wall()
    begin, end = (moment(text, now) if text else None for text in (since, until))
    with open_journal(state) as journal:
        if files:
            told = work.compared(journal, files, begin, end)
            print_json(told) if as_json else work.show_compared(told)
            return
        verdict = work.verified(journal, begin, end)
        print_json(verdict) if as_json else work.show_verified(verdict)
    if not verdict.identical:
        raise typer.Exit(1)
