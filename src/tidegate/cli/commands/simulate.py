"""`tidegate simulate`: what a policy would cost and keep, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, FilesOption, JsonOption, StateOption

Many = list[str] | None

Trace = Annotated[
    list[str],
    typer.Option(
        help="Requests: a CSV, access log or Prometheus answer (- for standard input), or a shape such as "
        "sine:mean=20,period=1d; SERVICE=... for one of several services. journal: what was measured here."
    ),
]
ServiceTime = Annotated[
    Many,
    typer.Option(help="Seconds of work a request is: MEAN[,CV], or a file of measured ones; [SERVICE[/POOL]=]..."),
]
Startup = Annotated[str, typer.Option(help="Time from the order to a ready replica: MEAN[,CV].")]
Share = Annotated[
    Many, typer.Option(help="Share of a service's requests that are for one of its pools: SERVICE/POOL=10%.")
]
Scale = Annotated[float, typer.Option(help="Play the trace at so many times its rate.")]
Begin = Annotated[
    str | None,
    typer.Option("--from", help="Leave out what comes before: such as 2h from its beginning, or a date and time."),
]
Until = Annotated[str | None, typer.Option(help="Leave out what comes after.")]
MeasureFrom = Annotated[
    str | None,
    typer.Option(help="Count from this time of the run on. Default: after 5% of it, at most 30 minutes."),
]
Patience = Annotated[str | None, typer.Option(help="Clients leave after this time.")]
Baseline = Annotated[
    str | None,
    typer.Option(help="Another policy in place of Tidegate's (see --compare), or manifests to compare with."),
]
Compare = Annotated[
    str | None,
    typer.Option(
        help="Play the same requests under other policies, too: all, or some of static, static-mean, static:N, "
        "hpa, hpa-demand, kpa, cron-hpa, rayserve, skyserve, clairvoyant, by comma."
    ),
]
Faults = Annotated[Path | None, typer.Option(help="What goes wrong and when, a YAML file.")]
Tick = Annotated[str | None, typer.Option(help="Longest time between two decisions. Default: by length.")]
Seed = Annotated[int, typer.Option(help="The same seed is the same run.")]
Cold = Annotated[
    bool,
    typer.Option("--cold", help="A system that never ran: minReplicas stand, nothing was measured. Default: it ran."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Fail when the promise is not kept.")]
Html = Annotated[Path | None, typer.Option(help="Write a page with charts to this file.")]


def register(app: typer.Typer) -> None:
    app.command("simulate")(simulate)


def simulate(
    files: FilesOption,
    trace: Trace,
    service_time: ServiceTime = None,
    startup: Startup = "30s,0.2",
    share: Share = None,
    scale: Scale = 1.0,
    begin: Begin = None,
    until: Until = None,
    measure_from: MeasureFrom = None,
    patience: Patience = None,
    baseline: Baseline = None,
    compare: Compare = None,
    faults: Faults = None,
    tick: Tick = None,
    seed: Seed = 1,
    cold: Cold = False,
    strict: Strict = False,
    html: Html = None,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Say what a policy would cost and keep on a load.

    Every request is simulated, and the policy that decides is the very one that runs live.
    """
    from tidegate.cli import scenario
    from tidegate.cli import simulate as work
    from tidegate.cli import simulation_text as text
    from tidegate.cli.output import warn

    asked = scenario.Asked(
        files=tuple(files),
        traces=tuple(trace),
        service_times=tuple(service_time or ()),
        startup=startup,
        shares=tuple(share or ()),
        scale=scale,
        begin=begin,
        until=until,
        measure_from=measure_from,
        patience=patience,
        faults=faults,
        tick=tick,
        seed=seed,
        cold=cold,
        state=state,
    )
    if html is not None:
        text.check_page(html)
    runs = work.play_all(asked, baseline, compare, work.command_line(seed))
    result = runs[0].result
    if html is not None:
        text.write_page(html, runs, asked)
        typer.echo(f"wrote {html}", err=True)
    warn(result.warnings)
    if as_json:
        typer.echo(text.as_json(runs))
    else:
        text.show(runs)
    if strict and not result.kept:
        raise typer.Exit(1)
