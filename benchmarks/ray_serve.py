"""Ray Serve as a yardstick, in a virtual environment of its own outside the repository.

`environment()` makes it in a cache folder the first time (some 500 MB, a minute or two), or takes the one named by
TIDEGATE_RAY_PYTHON. `running()` starts an application in one of its two modes: `default` (Ray's own HTTP proxy in
Python) and `haproxy` (RAY_SERVE_ENABLE_HA_PROXY=1: HAProxy in front of the replicas' own HTTP servers).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from open_loop import free_port

MODES = ("default", "haproxy")
_START_S = 120.0

# One replica that reads the body and says ok; the same handler runs under uvicorn alone as `app` (see ASGI).
READS_BODY = """
from starlette.responses import PlainTextResponse
@serve.deployment(num_replicas=1, max_ongoing_requests=64, ray_actor_options={"num_cpus": 0})
class Handler:
    async def __call__(self, request):
        await request.body()
        return PlainTextResponse("ok")
app = Handler.bind()
"""
ASGI = """
from starlette.requests import Request
from starlette.responses import PlainTextResponse
async def app(scope, receive, send):
    if scope["type"] == "http":
        await Request(scope, receive).body()
        await PlainTextResponse("ok")(scope, receive, send)
"""
# Replicas of one slot that sleep as long as the last part of the path says.
SLEEPS = """
import asyncio
from starlette.responses import PlainTextResponse
@serve.deployment(num_replicas={replicas}, max_ongoing_requests=1, ray_actor_options={{"num_cpus": 0}})
class Handler:
    async def __call__(self, request):
        await asyncio.sleep(float(request.url.path.rpartition("/")[2]))
        return PlainTextResponse("ok")
app = Handler.bind()
"""
_MAIN = """
import logging, ray, time
from ray import serve
from ray.serve.config import HTTPOptions
ray.init(num_cpus=4, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
serve.start(http_options=HTTPOptions(host="127.0.0.1", port={port}))
{source}
serve.run(app, name="bench", route_prefix="/")
print("READY", flush=True)
time.sleep(3600)
"""


def environment() -> Path:
    """The Python of a virtual environment with `ray[serve]`."""
    if named := os.environ.get("TIDEGATE_RAY_PYTHON"):
        return Path(named)
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tidegate" / "ray"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"making {folder} with ray[serve] (once)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "ray[serve]"], check=True)
        (folder / "complete").touch()
    return python


@contextmanager
def running(mode: str, port: int, source: str, scratch: Path) -> Iterator[None]:
    """The application in `source` at 127.0.0.1:`port`, until the context ends.

    Raises:
        RuntimeError: it was not ready in time; the log is in `scratch`.
    """
    script, log = scratch / f"ray-{mode}.py", scratch / f"ray-{mode}.log"
    script.write_text(_MAIN.format(port=port, source=source))
    variables = {"RAY_AUTH_MODE": "disabled", "RAY_SERVE_ENABLE_HA_PROXY": str(int(mode == "haproxy"))}
    ports = {"RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()), "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port())}
    usage = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1))}
    with log.open("w") as out:
        process = subprocess.Popen(
            [environment(), script],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **variables, **ports, **usage},
            start_new_session=True,
        )
        try:
            _wait(process, log)
            yield
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, then end whatever it started and left."""
    started = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    for one in started:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.kill()
    process.wait()


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while "READY" not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Ray Serve did not start: {log.read_text()[-2000:]}")
        time.sleep(0.2)
    time.sleep(2.0)  # its proxies learn of the replicas a moment later
