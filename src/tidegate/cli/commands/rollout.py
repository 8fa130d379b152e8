"""`tidegate rollout`: watch an upgrade, hold it, hurry it, take it back."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, StateOption, complete_service

if TYPE_CHECKING:
    from tidegate.model.status import PoolStatus

ServiceArgument = Annotated[str, typer.Argument(help="The service.", autocompletion=complete_service)]

_LOOK_S = 0.5
_COUNTDOWN = re.compile(r"next try in \d+ s")
_WISHES = {
    "pause": """Hold the upgrade.

    The batch under way is completed; no further one begins. A revision that fails is rolled back all the same.
    """,
    "resume": """Go on after a pause.

    Also after that of a canary step which waits for an operator.
    """,
    "promote": """Replace everything without watching.

    Batches, probes and verify stay; a revision that was rolled back is taken after all.
    """,
    "undo": """Go back to the revision before.

    An upgrade under way is rolled back. After one that is done, the revision before it comes back and stays until the
    manifest changes.
    """,
    "retry": """Try a revision again that was rolled back.""",
}


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Watch an upgrade, hold it, hurry it, take it back.")
    group.command("status")(status)
    group.command("history")(history)
    for verb, text in _WISHES.items():
        group.command(verb, help=text)(_wish(verb))
    app.add_typer(group, name="rollout")


def status(
    service: ServiceArgument,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Say it whenever it changes, until it has ended.")
    ] = False,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Say how far the upgrade of a service is.

    With --watch until none is under way: exit code 1 when a revision was rolled back. A control process that is
    restarted meanwhile is waited for.
    """
    from tidegate.cli.exits import Unreachable
    from tidegate.cli.output import until_interrupted
    from tidegate.cli.upgrades import GOES_ON, sentence

    said, away = "", False
    with until_interrupted():
        while True:
            try:
                pools = _pools(service, state)
            except Unreachable:
                if not (watch and said):
                    raise
                if not away:
                    typer.echo("Tidegate does not answer. Waiting until it is back; Ctrl-C ends this.", err=True)
                away = True
                time.sleep(_LOOK_S)
                continue
            away = False
            plain = [_plain(p) for p in pools]
            text = json.dumps(plain) if as_json else "\n".join(sentence(p) for p in pools)
            if (now := _COUNTDOWN.sub("", text)) != said:
                typer.echo(text)
            phases, said = {p.rollout.phase for p in pools if p.rollout}, now
            if not watch or not phases & GOES_ON:
                break
            time.sleep(_LOOK_S)
    if watch and "rolled back" in phases:
        raise typer.Exit(1)


def history(service: ServiceArgument, state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
    """List the upgrades of a service that have ended, newest last."""
    from datetime import datetime

    from tidegate.base.units import format_seconds
    from tidegate.cli.output import clean

    pools = _pools(service, state)
    if as_json:
        typer.echo(json.dumps([{"pool": p.pool, "history": _plain(p).get("history", [])} for p in pools]))
        return
    for pool in pools:
        for r in pool.rollout.history if pool.rollout else ():
            took = f" after {format_seconds(r.ended_at - r.began_at)}" if r.ended_at > r.began_at else ""
            when = f"{datetime.fromtimestamp(r.ended_at):%Y-%m-%d %H:%M:%S}  {service}/{pool.pool}"
            line = f"{when}  {r.source} -> {r.target}  {r.outcome}{took}"
            typer.echo(f"{line}  {clean(r.reason)}")


def _wish(verb: str) -> Callable[..., None]:
    def run(service: ServiceArgument, state: StateOption = DEFAULT_STATE, as_json: JsonOption = False) -> None:
        from tidegate.cli.client import Client

        with Client(state) as client:
            message = client.rollout(service, verb)
        typer.echo(json.dumps({"message": message}) if as_json else message)

    return run


def _pools(service: str, state: StateOption) -> tuple[PoolStatus, ...]:
    from tidegate.base.errors import ControlError
    from tidegate.cli.client import Client

    with Client(state) as client:
        found = client.status().services
    for s in found:
        if s.name == service:
            return s.pools
    raise ControlError(f"no service is called {service}. There are: {', '.join(s.name for s in found) or 'none'}")


def _plain(pool: PoolStatus) -> dict[str, object]:
    from dataclasses import asdict

    return {"pool": pool.pool, **(asdict(pool.rollout) if pool.rollout else {})}
