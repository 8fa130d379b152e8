"""`tidegate up`: run it here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.options import JsonOption, OptionalFilesOption

Host = Annotated[str | None, typer.Option("--host", help="Address of the gateway [default: 127.0.0.1]")]
Port = Annotated[
    int | None,
    typer.Option("--port", min=1, max=65535, help="Port of the gateway [default: 8080]"),
]
ManagementHost = Annotated[
    str | None,
    typer.Option(
        "--management-host",
        help="Address of page, API and metrics; beyond loopback a token opens them (`tidegate token`) "
        "[default: 127.0.0.1]",
    ),
]
PagePort = Annotated[
    int | None,
    typer.Option("--page-port", min=0, max=65535, help="Port of the status page [default: 8081; 0: any]"),
]
State = Annotated[
    Path | None,
    typer.Option("--state", help="Directory of everything that must survive [default: .tidegate or TIDEGATE_HOME]"),
]
TlsCert = Annotated[
    list[Path] | None,
    typer.Option("--tls-cert", help="PEM certificate of the gateway, with its chain; several are chosen by name."),
]
TlsKey = Annotated[
    list[Path] | None,
    typer.Option("--tls-key", help="PEM key of the certificate given at the same place [default: in its file]"),
]
TlsClientCa = Annotated[
    Path | None,
    typer.Option("--tls-client-ca", help="PEM authorities; only clients with a certificate of theirs are let in."),
]
RedirectPort = Annotated[
    int | None,
    typer.Option("--redirect-port", min=1, max=65535, help="Plain HTTP port that redirects to the TLS one."),
]
WhenReady = Annotated[
    str | None,
    typer.Option("--when-ready", metavar="COMMAND", help="Shell command run once when everything answers."),
]


def register(app: typer.Typer) -> None:
    app.command("up")(up)


def up(
    files: OptionalFilesOption = None,
    host: Host = None,
    port: Port = None,
    management_host: ManagementHost = None,
    page_port: PagePort = None,
    state: State = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    redirect_port: RedirectPort = None,
    when_ready: WhenReady = None,
    as_json: JsonOption = False,
) -> None:
    """Run the services in the manifests here.

    Without -f, what was declared last in the same state directory runs again, changes by `apply` included.
    In the foreground, with a live table on a terminal and plain lines otherwise (with --json a line of JSON a second).
    Ctrl-C drains and stops everything. The command of --when-ready finds the addresses in TIDEGATE_GATEWAY and
    TIDEGATE_PAGE.
    """
    import os

    from tidegate.cli.output import warn
    from tidegate.control.settings import Settings
    from tidegate.spec.load import load

    loaded = load(files) if files else None
    warn(loaded.warnings if loaded else ())
    settings = Settings.from_env(
        os.environ,
        host=host,
        port=port,
        management_host=management_host,
        page_port=page_port,
        state=state,
        tls_cert=tuple(tls_cert or ()),
        tls_key=tuple(tls_key or ()),
        tls_client_ca=tls_client_ca,
        redirect_port=redirect_port,
    )
    # Every adapter comes with these: not before the manifests are right.
    from tidegate.cli.foreground import run_here
    from tidegate.control.run import serve

    run_here(loaded, settings, serve, as_json=as_json, when_ready=when_ready)
