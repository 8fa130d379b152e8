"""`tidegate schedule suggest`: windows that the traffic of a service calls for."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, StateOption, complete_service


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Schedules of a service.", no_args_is_help=True)
    group.callback()(_group)
    group.command("suggest")(suggest)
    app.add_typer(group, name="schedule")


def _group() -> None:
    """Keeps `suggest` a subcommand although it is the only one."""


def suggest(
    service: Annotated[str, typer.Argument(help="The service the windows are for.", autocompletion=complete_service)],
    time_zone: Annotated[str, typer.Option(help="IANA time zone of the windows, as Europe/Berlin.")],
    trace: Annotated[
        str | None,
        typer.Option(help="Its traffic: a trace with a start time, or an access log. Default: the journal."),
    ] = None,
    service_time: Annotated[
        str | None,
        typer.Option(help="With --trace: seconds of work a request is. Default: as measured here."),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(help="With --trace: requests a replica works on at a time. Default: as declared here.", min=1),
    ] = None,
    pool: Annotated[str, typer.Option(help="With --trace: its size class.")] = "default",
    busy: Annotated[float, typer.Option(help="Share of the slots meant to be busy.", min=0.05, max=1.0)] = 0.8,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Propose schedule windows from the journal or a trace.

    Half hours of the week that regularly need half as much again as the median one, as YAML to put under `scaling:`.
    """
    from tidegate.cli import learning as work
    from tidegate.cli.output import print_json, warn

    if trace is not None:
        found = work.from_trace(service, pool, trace, service_time, concurrency, busy, state)
    elif service_time is not None or concurrency is not None:
        raise typer.BadParameter("--service-time and --concurrency go with --trace; the journal has its own.")
    else:
        found = work.from_journal(service, state, busy)
    told = work.suggested(found, time_zone)
    warn(f"{service}/{one.pool}: {one.beyond}" for one in told if one.beyond)
    if as_json:
        print_json(told)
        return
    for one in told:
        name = service if one.pool == "default" else f"{service}/{one.pool}"
        if one.windows:
            typer.echo("\n".join((f"# {name}", *work.yaml_lines(one, time_zone))))
        else:
            typer.echo(f"{name}: no window to propose: {one.why_none}")
