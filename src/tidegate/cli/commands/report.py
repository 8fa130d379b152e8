"""`tidegate report`: what it cost and how good it was, beside a static fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, StateOption, complete_service


def register(app: typer.Typer) -> None:
    app.command("report")(report)


def report(
    since: Annotated[
        str | None, typer.Option(help='From when: "24h" ago, or 2026-10-01T18:00 (UTC). Default: the first entry.')
    ] = None,
    until: Annotated[str | None, typer.Option(help="Until when. Default: the last entry.")] = None,
    service: Annotated[str | None, typer.Option(help="Only this service.", autocompletion=complete_service)] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Play the same arrivals under other policies, too: all, or some of hpa, hpa-demand, kpa, cron-hpa, "
            "rayserve, skyserve, static-mean, static:N, by comma."
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to this file.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a line per pool and one for all.")] = False,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Say what it cost and how good it was.

    Cost, utilisation, requests answered in time, scale-out and upgrade times from the journal, beside a static fleet.
    """
    from tidegate.base.clock import SystemClock
    from tidegate.cli.output import console
    from tidegate.cli.report import CannotWrite, collect, moment, open_journal, policies, show, simulated, telling
    from tidegate.report.render import to_csv, to_html, to_json

    now = SystemClock().wall()
    begin, end = (moment(text, now) if text else None for text in (since, until))
    names = policies(against)
    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json do not go together.")
    with open_journal(state) as journal, telling() as tell:
        made = collect(journal, since=begin, until=end, service=service, simulate=simulated, against=names, tell=tell)
    if html is not None:
        try:
            html.write_text(to_html(made), "utf-8")
        except OSError as error:
            raise CannotWrite(f"cannot write {html}: {error.strerror}") from None
        typer.echo(f"wrote {html}", err=True)
    if as_json:
        typer.echo(to_json(made))
    elif as_csv:
        typer.echo(to_csv(made), nl=False)
    elif html is None:
        show(made, console())
