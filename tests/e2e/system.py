"""A real system for a test: the control process, HAProxy and replicas, on free ports, with nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from free_ports import free_ports
from tidegate.gateway.settings import GatewaySettings
from tidegate.model.status import PoolStatus, Status, parse_status

ECHO = Path(__file__).with_name("echo_service.py")


def service(name: str = "echo", **spec: Any) -> dict[str, Any]:
    """A manifest of the echo service; `spec` overrides."""
    body: dict[str, Any] = {
        "command": [sys.executable, str(ECHO)],
        "resources": {"cpu": 0.1, "memory": "64Mi"},
        "probes": {"readiness": {"http": "/healthz", "every": "1s"}},
        "scaling": {"minReplicas": 1, "maxReplicas": 8},
        "terminationGracePeriodSeconds": 10,
    }
    return {"apiVersion": "tidegate.dev/v1", "kind": "MediaService", "metadata": {"name": name}, "spec": body | spec}


def cluster(name: str = "here", **spec: Any) -> dict[str, Any]:
    body = {"runtime": "local", "capacity": {"cpu": 8, "memory": "8Gi"}} | spec
    return {"apiVersion": "tidegate.dev/v1", "kind": "Cluster", "metadata": {"name": name}, "spec": body}


# The longest that a test waits for what will come. Machines stand still for seconds, so it is only ever reached by
# what has gone wrong, and no test may depend on anything being faster.
PATIENCE_S = 180.0


class System:
    """Drives one control process in `folder`. Everything waits for conditions with a deadline."""

    def __init__(self, folder: Path, *manifests: dict[str, Any]) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.manifests = folder / "manifests.yaml"
        self.faults = folder / "faults.json"
        self.write(*manifests)
        self.port, self.page_port, self.metrics_port = free_ports(3)
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, *manifests: dict[str, Any]) -> None:
        self.manifests.write_text(yaml.safe_dump_all(manifests))

    def up(self) -> System:
        log = (self.folder / "up.log").open("ab")
        command = ("up", "-f", str(self.manifests), "--port", str(self.port), "--page-port", str(self.page_port))
        self.process = subprocess.Popen(
            self._command(*command), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._env()
        )
        log.close()
        self.wait(lambda: self.status() is not None, "the control process answers")
        return self

    def run(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A `tidegate` command against this system."""
        done = subprocess.run(
            self._command(*args), capture_output=True, text=True, env=self._env(), timeout=PATIENCE_S, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def _command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "tidegate", *args]

    def _env(self) -> dict[str, str]:
        source = str(Path(__file__).parents[2] / "src")
        return os.environ | {
            "PYTHONPATH": source,
            "TIDEGATE_HOME": str(self.state),
            "TIDEGATE_METRICS_PORT": str(self.metrics_port),
            "TIDEGATE_FAULTS": str(self.faults),
        }

    # -- looking -------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def status(self) -> Status | None:
        try:
            return parse_status(httpx.get(f"http://127.0.0.1:{self.page_port}/v1/status", timeout=PATIENCE_S).content)
        except httpx.HTTPError:
            return None

    def pool(self, service: str = "echo", pool: str = "default") -> PoolStatus:
        """The pool as it is now, or as soon as the control process has heard of it."""
        found: list[PoolStatus] = []

        def there() -> bool:
            status = self.status()
            services = status.services if status else ()
            found.extend(p for s in services if s.name == service for p in s.pools if p.pool == pool)
            return bool(found)

        self.wait(there, f"pool {service}/{pool}")
        return found[0]

    def ready(self, count: int, service: str = "echo") -> System:
        def reached() -> bool:
            status = self.status()
            pools = [p for s in status.services if s.name == service for p in s.pools] if status else []
            return bool(pools) and pools[-1].ready == count  # the default pool is the last one

        self.wait(reached, f"{count} ready replicas of {service}")
        return self

    def get(self, path: str = "/echo/", **kwargs: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=PATIENCE_S, **kwargs)

    def log(self) -> str:
        return (self.folder / "up.log").read_text(errors="replace")[-4000:]

    def processes(self) -> list[psutil.Process]:
        """Everything that belongs to this system, by its folder in the command line or environment."""
        found = []
        for p in psutil.process_iter():
            try:
                mine = str(self.state) in " ".join(p.cmdline()) or str(self.state) in p.environ().get(
                    "TIDEGATE_RUN", ""
                )
                if mine and p.status() != psutil.STATUS_ZOMBIE and p.pid != os.getpid():
                    found.append(p)
            except psutil.Error:
                continue
        return found

    def wait(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if condition():
                return
            if self.process is not None and self.process.poll() not in (None, 0):
                raise AssertionError(f"the control process ended with {self.process.returncode}: {self.log()}")
            time.sleep(0.05)
        raise AssertionError(f"not within {PATIENCE_S:g} s: {what}")

    def told(self) -> str:
        """For who reads of a failure: the last events in order, what is so now, and the end of the log."""
        events = self.run("events", "--since", "10m", check=False).stdout.splitlines()[-60:]
        seen = json.dumps(str(self.status()))[:3000]
        return "\n".join(["what happened:", *events, f"status: {seen}", f"log: {self.log()}"])

    # -- ending --------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """kill -9 of the control process alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)

    def clean(self) -> None:
        if self.process is not None and self.process.poll() is None:
            try:
                self.interrupt()
            except subprocess.TimeoutExpired:
                self.kill()
        for p in self.processes():
            p.kill()
        sockets = GatewaySettings(state_directory=self.state / "gateway").socket_folder
        if not sockets.is_relative_to(self.state):
            shutil.rmtree(sockets, ignore_errors=True)


@contextmanager
def system(folder: Path, *manifests: dict[str, Any]) -> Iterator[System]:
    it = System(folder, *manifests)
    try:
        yield it.up()
    except Exception as fault:
        fault.add_note(it.told())
        raise
    finally:
        it.clean()
