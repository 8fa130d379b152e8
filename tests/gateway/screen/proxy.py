"""A real HAProxy with the screen and a backend that answers with the headers it was given."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from free_ports import free_port
from tidegate.gateway.binary import find
from tidegate.gateway.screening import SIZE_LINE, MediaLimits, fact_lines, load_lines, media_sample, screen_lines

CONFIG = """
global
  tune.bufsize 16777216
  nbthread 2
  {load}
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 60s
frontend screened
  bind 127.0.0.1:{port}
  http-request wait-for-body time 60s
  http-request del-header x-media- -m beg
  {screen}
  acl huge {pixels} -m int gt 1000000
  http-request set-header x-huge yes if huge
  acl fine var(txn.media_code) -m str ok
  http-request return status 422 content-type text/plain lf-string "%[var(txn.media_code)]" unless fine
  default_backend echo
backend echo
  http-request set-var(txn.next) {total_pixels},add(1)
  http-request return status 200 content-type text/plain lf-string "%[req.hdrs] pixels:%[var(txn.next)]"
"""


@contextlib.contextmanager
def screened(folder: Path, limits: MediaLimits | None = None) -> Iterator[httpx.Client]:
    """A client of the proxy; its answers' bodies are the request headers, or the refusal."""
    port, binary = free_port(), find()
    lines = (load_lines(), (SIZE_LINE, *screen_lines(limits or MediaLimits()), *fact_lines()))
    load, screen = ("\n  ".join(some) for some in lines)
    config = folder / "haproxy.cfg"
    samples = {name: media_sample(name) for name in ("pixels", "total_pixels")}
    config.write_text(CONFIG.format(**samples, port=port, load=load, screen=screen))
    environment = os.environ | binary.environment
    with (folder / "haproxy.log").open("wb") as log:
        command = [binary.path, "-db", "-f", config]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait(port, process)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        process.kill()
        process.wait()
    assert "media screen:" not in (folder / "haproxy.log").read_text(), "the screen reported a fault of its own"


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the proxy ended; see haproxy.log"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=60):
            return
        time.sleep(0.02)
    raise AssertionError("the proxy does not listen")


def media_headers(answer: httpx.Response) -> dict[str, str]:
    """The `x-media-*` headers that the backend was given, by what follows `x-media-`."""
    lines = answer.text.replace("%0D%0A", "\n").splitlines()
    return {
        name.removeprefix("x-media-"): value
        for name, _, value in (line.partition(": ") for line in lines)
        if name.startswith("x-media-")
    }
