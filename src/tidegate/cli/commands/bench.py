"""`tidegate bench`: send a load to a running service and count what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, StateOption, complete_service

Trace = Annotated[
    str,
    typer.Option(help="Requests: a CSV, access log or Prometheus answer, or a shape such as step:mean=5,length=2m."),
]
Bodies = Annotated[
    list[Path] | None,
    typer.Option("--body", help="File to send as the whole body; of several each request takes one by lot."),
]
Parts = Annotated[
    list[str] | None, typer.Option("--part", help="NAME=FILE: a part of multipart/form-data; all go into each request.")
]
Headers = Annotated[list[str] | None, typer.Option("--header", "-H", help="NAME: VALUE, e.g. x-api-key: tgk_...")]


def register(app: typer.Typer) -> None:
    app.command("bench")(bench)


def bench(
    service: Annotated[str, typer.Argument(help="Whose address is asked.", autocompletion=complete_service)],
    trace: Trace = "constant:mean=5,length=30s",
    path: Annotated[str, typer.Option(help="What follows the service's address.")] = "",
    body: Bodies = None,
    part: Parts = None,
    method: Annotated[str | None, typer.Option(help="Default: POST with a body, GET without.")] = None,
    header: Headers = None,
    timeout: Annotated[str, typer.Option(help="Give a request up after this time.")] = "60s",
    scale: Annotated[float, typer.Option(help="Play the trace at so many times its rate.")] = 1.0,
    begin: Annotated[
        str | None,
        typer.Option("--from", help="Leave out what comes before: such as 2h from its beginning, or a date and time."),
    ] = None,
    until: Annotated[str | None, typer.Option(help="Leave out what comes after.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed sends at the same instants.")] = 1,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail when a promise is not kept or nothing was measured.")
    ] = False,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Send a load to a running service, and count what comes back.

    Requests go out at the trace's instants whether earlier ones were answered or not, as from many clients that know
    nothing of each other, through the gateway like anybody's. Good for some hundred requests a second; it says when it
    could not keep up. Ctrl-C ends the sending and tells what there is.
    """
    from tidegate.cli import bench as work
    from tidegate.cli.bench_result import show

    asked = work.Asked(
        service=service,
        trace=trace,
        path=path,
        bodies=tuple(body or ()),
        parts=tuple(part or ()),
        method=method,
        headers=tuple(header or ()),
        timeout=timeout,
        scale=scale,
        begin=begin,
        until=until,
        seed=seed,
    )
    result = work.play(asked, state)
    show(result, as_json=as_json)
    if strict and not result.kept:
        raise typer.Exit(1)
