"""The command line over the network: a URL in place of the state directory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from cli.running import run
from gateway.pki import authority, written
from tidegate.cli.remote import remote
from tidegate.web.server import Listen, serving
from web.world import FakeControl


@contextmanager
def reachable(listen: Listen) -> Iterator[str]:
    """Serve a made-up system in a thread; gives its URL."""
    url, started, over = [""], threading.Event(), threading.Event()

    async def serve() -> None:
        async with serving(FakeControl(), listen) as served:
            url[0] = served.page.rstrip("/")
            started.set()
            while not over.is_set():
                await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert started.wait(120)
        yield url[0]
    finally:
        over.set()
        thread.join()


def test_commands_ask_another_machine_with_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ca = trustme.CA()
    files = written(tmp_path, ca.issue_cert("127.0.0.1"))
    listen = Listen(host="0.0.0.0", token="s3cret", certificate=files.certificate, key=files.key)
    with reachable(listen) as url:
        assert url.startswith("https://")
        untrusted = run("status", "--state", url)
        assert (untrusted.exit_code, "certificate" in untrusted.stderr) == (3, True)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority(tmp_path, ca)))
        closed = run("status", "--state", url)
        assert (closed.exit_code, "token" in closed.stderr) == (1, True)
        monkeypatch.setenv("TIDEGATE_TOKEN", "s3cret")
        assert run("status", "--json", "--state", url).exit_code == 0
        assert run("drain", "face-fusion-default-1", "--state", url + "/").exit_code in (0, 1)
    gone = run("status", "--state", url)
    assert (gone.exit_code, url in gone.stderr) == (3, True)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("https://gate.example.org", "https://gate.example.org:8081"),
        ("http://10.0.0.7:9", "http://10.0.0.7:9"),
        ("https://[2001:db8::1]:81", "https://[2001:db8::1]:81"),
        (".tidegate", None),
        ("/srv/https", None),
        ("https", None),
    ],
)
def test_what_is_a_url_and_what_a_directory(text: str, meant: str | None):
    found = remote(Path(text))
    assert (found and str(found)) == meant
