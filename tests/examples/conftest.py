"""The examples are programs of their own: their folders are put on the path, and each is also run as a process.

What they need is not part of Tidegate, so each test module skips itself when its extra is not installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from free_ports import free_port

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
for _folder in ("face-fusion", "speech"):
    sys.path.insert(0, str(EXAMPLES / _folder))


SENT = "send_request_body.complete"


@dataclass(frozen=True)
class Service:
    """A running example."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path


@pytest.fixture(scope="session")
def running() -> Callable[..., object]:
    """A context manager that runs `python -m MODULE` in FOLDER with ENV until its /readyz says yes."""
    return _running


@contextmanager
def _running(folder: str, module: str, **env: str) -> Iterator[Service]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=EXAMPLES / folder,
        env=os.environ | {"PORT": str(port), "TIDEGATE_REPLICA": "replica-1"} | env,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _until_ready(f"{url}/readyz", process)
        yield Service(url, process, EXAMPLES / folder)
    finally:
        process.kill()
        process.wait(10)


def _until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the service ended with {process.returncode} before it was ready")
        try:
            if httpx.get(url, timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.02)  # between two looks at the condition, not instead of one
    raise AssertionError(f"{url} did not say ready within 120 s")


@pytest.fixture
def counting() -> Callable[[str], tuple[httpx.Client, list[str]]]:
    """A client of a URL, and a list that grows by one with each request that has been sent to its end."""

    def client(url: str) -> tuple[httpx.Client, list[str]]:
        sent: list[str] = []

        def watch(request: httpx.Request) -> None:
            request.extensions["trace"] = lambda event, _: sent.append(event) if event.endswith(SENT) else None

        return httpx.Client(base_url=url, timeout=120, event_hooks={"request": [watch]}), sent

    return client


@pytest.fixture(scope="session")
def probe() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a probe script of a service by hand: against the service itself, or another address."""
    return _probe


def _probe(service: Service, script: str, address: str | None = None) -> subprocess.CompletedProcess[str]:
    told = ["--address", address or service.url.removeprefix("http://"), "--pid", str(service.process.pid)]
    run = [sys.executable, "-m", "tidegate.probe", *told, str(service.folder / script)]
    env = os.environ | {"PYTHONPATH": str(EXAMPLES.parent / "src")}
    return subprocess.run(run, env=env, capture_output=True, text=True, timeout=120, check=False)
