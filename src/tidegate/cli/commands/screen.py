"""`tidegate screen`: what the gateway sees in files, and which pool they would go to."""

from __future__ import annotations

import json
import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.options import DEFAULT_STATE, JsonOption, OptionalFilesOption, StateOption, parse_header

if TYPE_CHECKING:
    from tidegate.gateway.tryout import Asked, Tried
    from tidegate.model.snapshot import Snapshot
    from tidegate.spec.resolve import Specs


def register(app: typer.Typer) -> None:
    app.command("screen")(screen)


def screen(
    bodies: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files to send as bodies; - for stdin.")],
    files: OptionalFilesOption = None,
    service: Annotated[str | None, typer.Option("--service", "-s", help="Only what this service would do.")] = None,
    content_type: Annotated[
        str | None, typer.Option("--content-type", "-t", help="As the sender would say; else by the file's name.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="NAME: VALUE, for pools chosen by a header.")
    ] = None,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Say what the gateway sees in files, and their pool.

    Each file is sent as the body of one request to a proxy that is started for this, with the rules and the Lua of the
    gateway; nothing that runs is touched. The services are those of the manifests given with --file, else those last
    applied here. The exit code is 1 when a service would refuse a file.
    """
    from dataclasses import asdict

    from tidegate.gateway.tryout import tried

    snapshot = _snapshot(files, state, service)
    found = tried([_asked(path, content_type, header or []) for path in bodies], snapshot)
    if as_json:
        told = [asdict(one) for one in found]
        for one in told:
            del one["facts"]["media"]  # the proxy tells the largest and the sum, not one by one
        typer.echo(json.dumps(told))
    else:
        _print(found)
    if any(taken.code for one in found for taken in one.services):
        raise typer.Exit(1)


def _snapshot(files: list[str] | None, state: Path, service: str | None) -> Snapshot:
    """The services as they would be routed, without replicas."""
    from dataclasses import replace

    from tidegate.policy.routing import snapshot
    from tidegate.spec.resolve import Specs

    specs = _specs(files, state)
    if service is not None:
        chosen = tuple(s for s in specs.services if s.name == service)
        if not chosen:
            known = ", ".join(s.name for s in specs.services) or "none"
            raise typer.BadParameter(f"no service is called {service!r}; there are: {known}.", param_hint="--service")
        pools = tuple(p for p in specs.pools if p.key.service == service)
        specs = replace(specs, services=chosen, pools=pools)
    return snapshot(specs if specs.services else Specs(), {}, {})


def _specs(files: list[str] | None, state: Path) -> Specs:
    from tidegate.cli.output import warn
    from tidegate.cli.report import NothingRecorded, open_journal
    from tidegate.spec.load import load
    from tidegate.spec.resolve import Specs
    from tidegate.spec.service import MediaService

    if files:
        loaded = load(files, partial=True)
        warn(loaded.warnings)
        return loaded.specs
    try:
        stored = open_journal(state).load_specs()
    except NothingRecorded:
        stored = None
    if stored is None:
        typer.echo("No services are known here: name manifests with --file to see the pools.", err=True)
        return Specs()
    return Specs.of((m for m in stored.manifests if isinstance(m, MediaService)), ())


def _asked(path: str, content_type: str | None, header: list[str]) -> Asked:
    """The request with this file as its body; of a file that the gateway would not hold, the front."""
    import sys

    from tidegate.gateway.tryout import STREAMED_FRONT_BYTES, Asked, held_bytes

    if path == "-":
        body = sys.stdin.buffer.read()
        size = len(body)
    else:
        try:
            size = Path(path).stat().st_size
            with Path(path).open("rb") as file:
                body = file.read(STREAMED_FRONT_BYTES if size > held_bytes() else -1)
        except OSError as error:
            raise typer.BadParameter(f"{path}: {error.strerror}.", param_hint="FILE") from None
    said = content_type if content_type is not None else mimetypes.guess_type(path)[0] or ""
    return Asked(path, body, said, size, tuple(map(parse_header, header)))


def _print(found: tuple[Tried, ...]) -> None:
    from tidegate.cli.output import clean

    for one in found:
        typer.echo(f"{clean(one.name)}: {_seen(one)}")
        for taken in one.services:
            if taken.code:
                typer.secho(f"  {taken.service}: refused with {taken.status} {taken.code}", fg="red")
            else:
                unread = "" if taken.screens else "  (this service reads no media)"
                typer.echo(f"  {taken.service}: pool {taken.pool}{unread}")


def _seen(one: Tried) -> str:
    """One line: `image/jpeg, 4000 x 3000 = 12.0 megapixels, 2 102 030 bytes`."""
    facts = one.facts
    if facts.count == 0:
        return "no media" if not facts.refusal else f"no media; {facts.refusal}"
    parts = [f"{facts.kind}/{facts.type}"]
    if facts.width:
        parts.append(f"{facts.width} x {facts.height} = {facts.pixels / 1e6:.2f} megapixels")
    elif facts.pixels:
        parts.append(f"at most {facts.pixels / 1e6:.2f} megapixels")
    if facts.frames > 1:
        parts.append(f"{facts.frames} frames")
    if facts.seconds:
        parts.append(f"{facts.seconds:.3f} s")
    if facts.sample_rate:
        parts.append(f"{facts.sample_rate} Hz, {facts.channels} channels")
    parts.append(f"{facts.bytes} bytes")
    if facts.count > 1:
        parts.append(f"largest of {facts.count}: together {facts.total_pixels / 1e6:.2f} megapixels")
    if not facts.known:
        parts.append("not read to the end: judged by its bytes")
    if facts.refusal:
        parts.append(facts.refusal)
    return ", ".join(parts)
