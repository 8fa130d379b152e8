"""`tidegate forecast import`: teach a service's forecast from traffic that Tidegate did not see."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, StateOption, complete_service


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Forecast of a service.", no_args_is_help=True)
    group.callback()(_group)
    group.command("import")(import_)
    app.add_typer(group, name="forecast")


def _group() -> None:
    """Keeps `import` a subcommand although it is the only one."""


def import_(
    service: Annotated[str, typer.Argument(help="The service that learns.", autocompletion=complete_service)],
    trace: Annotated[str, typer.Option(help="Its traffic: a trace with a start time, or an access log.")],
    pool: Annotated[str, typer.Option(help="Its size class.")] = "default",
    service_time: Annotated[
        str | None, typer.Option(help="Seconds of work a request is: MEAN[,CV]. Default: as measured here.")
    ] = None,
    startup: Annotated[
        str | None, typer.Option(help="Time from the order to a ready replica. Default: as measured here.")
    ] = None,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Teach a service's forecast from a trace.

    The shape of the week and the margins that would have kept the promise, as if the service had seen the last four
    weeks of the trace. What it has seen itself stays. Works while the system runs, and while it does not.
    """
    from tidegate.cli import learning as work
    from tidegate.cli.output import print_json

    told = work.imported(service, pool, trace, service_time, startup, state)
    print_json(told) if as_json else typer.echo(told.text)
