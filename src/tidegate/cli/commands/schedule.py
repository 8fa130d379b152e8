"""`tidegate schedule suggest`: windows that the traffic of a service calls for."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli.options import JsonOption


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Schedules of a service.", no_args_is_help=True)
    group.callback()(_group)
    group.command("suggest")(suggest)
    app.add_typer(group, name="schedule")


def _group() -> None:
    """Keeps `suggest` a subcommand although it is the only one."""


def suggest(
    service: Annotated[str, typer.Argument(help="The service the windows are for.")],
    trace: Annotated[str, typer.Option(help="Its traffic: a trace with a start time, or an access log.")],
    time_zone: Annotated[str, typer.Option(help="IANA time zone of the windows, as Europe/Berlin.")],
    service_seconds: Annotated[float, typer.Option(help="Mean service time of a request, seconds.", min=0.0001)],
    concurrency: Annotated[int, typer.Option(help="Requests a replica works on at a time.", min=1)] = 1,
    busy: Annotated[float, typer.Option(help="Share of the slots meant to be busy.", min=0.05, max=1.0)] = 0.8,
    as_json: JsonOption = False,
) -> None:
    """Propose schedule windows from a trace.

    Half hours of the week that regularly need half as much again as the median one, as YAML to put under `scaling:`.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from tidegate.base.errors import TraceError
    from tidegate.cli.output import print_json
    from tidegate.policy import suggest as policy
    from tidegate.sim import trace_files

    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise TraceError(f"--time-zone {time_zone}: no such IANA time zone; write one such as Europe/Berlin") from None
    found = trace_files.read(trace)
    if found.start is None:
        raise TraceError(f"{trace}: its start is not known; add a line `# start=2024-05-01T00:00:00Z`")
    start, step_s = found.start, min(found.bin_s, policy.HALF_HOUR_S)
    load = (
        (start + i * found.bin_s + (j + 0.5) * step_s, rate * service_seconds)
        for i, rate in enumerate(found.rates)
        for j in range(max(1, int(found.bin_s / step_s)))
    )
    windows = policy.suggest(load, time_zone, concurrency * busy)
    if as_json:
        print_json(windows)
        return
    if not windows:
        typer.echo(f"{service}: no half hour regularly needs more than the others, or less than a week was seen")
        return
    typer.echo(f"# {service}\nschedules:")
    for w in windows:
        days = ", ".join(w.days)
        typer.echo(
            f'  - {{days: [{days}], from: "{w.from_}", to: "{w.to}", timeZone: {time_zone}, minReplicas: {w.replicas}}}'
        )
