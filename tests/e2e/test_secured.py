"""A gateway as it stands on the network: TLS in front, management with a token, through a crash of its control."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import trustme

from e2e.system import PATIENCE_S, System, cluster, service
from free_ports import free_ports
from gateway.pki import authority, written
from tidegate.control.token import kept_token
from tidegate.model.status import Status, parse_status


class Secured(System):
    """With a certificate, and management that other machines reach."""

    def __init__(self, folder: Path, ca: trustme.CA) -> None:
        super().__init__(folder, service(), cluster())
        self.ca = authority(folder / "pki", ca)
        self.files = written(folder / "pki", ca.issue_cert("127.0.0.1", "localhost"))
        self.redirect_port, self.internal_port = free_ports(2)
        context = ssl.create_default_context(cafile=str(self.ca))
        self.https = httpx.Client(verify=context, http2=True, timeout=PATIENCE_S, trust_env=False)

    def _env(self) -> dict[str, str]:
        return super()._env() | {
            "TIDEGATE_TLS_CERT": str(self.files.certificate),
            "TIDEGATE_TLS_KEY": str(self.files.key),
            "TIDEGATE_REDIRECT_PORT": str(self.redirect_port),
            "TIDEGATE_INTERNAL_PORT": str(self.internal_port),
            "TIDEGATE_MANAGEMENT_HOST": "0.0.0.0",
        }

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def status(self) -> Status | None:
        try:
            answer = self.https.get(f"https://localhost:{self.page_port}/v1/status", headers=self.token())
        except httpx.HTTPError:
            return None
        return parse_status(answer.content) if answer.status_code == 200 else None

    def token(self) -> dict[str, str]:
        return {"authorization": f"Bearer {kept_token(self.state)}"}


def test_a_gateway_on_the_network(tmp_path: Path):
    ca = trustme.CA()
    live = Secured(tmp_path, ca)
    try:
        live.up().ready(1)
        status = live.status()
        assert status is not None
        assert status.gateway.url == f"https://127.0.0.1:{live.port}"
        assert (status.gateway.warnings, list(status.gateway.certificates)) == ((), [str(live.files.certificate)])
        answer = live.https.get(f"{live.url}/echo/")
        assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
        assert httpx.get(f"http://localhost:{live.redirect_port}/echo/").status_code == 308
        for port, path in (
            (live.page_port, "/v1/status"),
            (live.page_port, "/metrics"),
            (live.metrics_port, "/metrics"),
        ):
            where = f"https://localhost:{port}{path}"
            assert live.https.get(where).status_code == 401, where
            assert live.https.get(where, headers=live.token()).status_code == 200, where
        live.kill()
        written(tmp_path / "pki", ca.issue_cert("localhost", "renewed.example.org"))
        assert live.https.get(f"{live.url}/echo/").status_code == 200
        live.up()
        assert live.https.get(f"{live.url}/echo/").status_code == 200
        shown = ssl.get_server_certificate(("127.0.0.1", live.port), ca_certs=str(live.ca))
        assert shown in live.files.certificate.read_text().replace("\r", ""), "renewed while nobody drove it"
    finally:
        live.https.close()
        live.clean()
