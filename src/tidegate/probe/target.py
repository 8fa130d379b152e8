"""The replica a script is about. Facts are looked up when asked for, so that a script pays for what it uses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tidegate.base import process_tree
from tidegate.probe.answers import unknown
from tidegate.probe.requests import Response, request

ENVIRONMENT = "TIDEGATE_PROBE"
CARD_QUERY = ("--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Last:
    """An earlier result of this probe: "pass", "fail" or "unknown", its reason, how long it took, how long ago."""

    verdict: str
    reason: str
    took_s: float
    age_s: float


class Replica:
    """What is known of the replica. Reading a fact that cannot be had ends the script with `unknown`."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts

    @property
    def name(self) -> str:
        """The replica's id."""
        return str(self._facts.get("replica", ""))

    @property
    def service(self) -> str:
        return str(self._facts.get("service", ""))

    @property
    def address(self) -> str:
        """Where it listens, "host:port"."""
        return str(self._facts.get("address") or unknown("the replica's address is not known"))

    @property
    def url(self) -> str:
        """Its base URL, without a slash at the end."""
        return f"http://{self.address}"

    @property
    def pid(self) -> int:
        """Its process; known for replicas of this machine only."""
        pid = self._facts.get("pid")
        return int(pid) if pid else unknown("the replica's pid is not known: it does not run on this machine")

    @property
    def pids(self) -> list[int]:
        """Its process and all below it."""
        if process_tree.start_ticks(self.pid) is None:
            unknown(f"process {self.pid} has ended")
        return [self.pid, *process_tree.descendants(self.pid)]

    @property
    def gateway(self) -> str:
        """The base URL at which it reaches other services, "" when there is none."""
        return str(self._facts.get("gateway", ""))

    @property
    def probe(self) -> str:
        """Which probe this is: startup, readiness, liveness, prepare, verify or remedy."""
        return str(self._facts.get("probe", ""))

    @property
    def memory_bytes(self) -> int:
        """Resident memory of its process and all below it."""
        return process_tree.rss_bytes(self.pids)

    @property
    def gpu_memory_bytes(self) -> int:
        """Memory its processes hold on the machine's NVIDIA cards, asked of nvidia-smi."""
        tool = shutil.which("nvidia-smi") or unknown("there is no nvidia-smi on this machine")
        asked = subprocess.run([tool, *CARD_QUERY], capture_output=True, text=True, timeout=10, check=False)
        if asked.returncode != 0:
            unknown(f"nvidia-smi failed: {asked.stderr.strip() or asked.stdout.strip()}")
        return held_on_cards(asked.stdout, set(self.pids))

    @cached_property
    def last(self) -> tuple[Last, ...]:
        """Earlier results of this probe, the latest first, at most ten."""
        return tuple(Last(**entry) for entry in self._facts.get("last", ()))

    @property
    def traffic(self) -> Mapping[str, float]:
        """What the gateway measured of it lately: `in_flight`, `finished`, `failed`, `answer_s_mean`; may be empty."""
        return dict(self._facts.get("traffic", {}))

    def get(self, path: str = "/", *, timeout: float = 5.0, headers: Mapping[str, str] | None = None) -> Response:
        """GET `path` of the replica; see `requests.request`."""
        return request("GET", self.address, path, headers=headers, timeout=timeout)

    def post(
        self,
        path: str,
        body: bytes | str = b"",
        *,
        json_body: Any = None,
        timeout: float = 5.0,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """POST `body`, or `json_body` as JSON; see `requests.request`."""
        sent = dict(headers or {})
        if json_body is not None:
            body = json.dumps(json_body)
            sent.setdefault("Content-Type", "application/json")
        data = body.encode() if isinstance(body, str) else body
        return request("POST", self.address, path, body=data, headers=sent, timeout=timeout)


def held_on_cards(listing: str, pids: set[int]) -> int:
    """Bytes held by `pids` in nvidia-smi's "pid, MiB" lines; several cards add up."""
    total_mib = 0
    for line in listing.splitlines():
        pid, _, mib = line.partition(",")
        if pid.strip().isdigit() and int(pid) in pids and mib.strip().isdigit():
            total_mib += int(mib)
    return total_mib * 2**20


class _Current(Replica):
    """The replica of the running script; its facts come from the environment, at the first use."""

    def __init__(self) -> None:
        pass

    @cached_property
    def _facts(self) -> Mapping[str, Any]:  # type: ignore[override]
        facts = json.loads(os.environ.get(ENVIRONMENT) or "{}")
        return facts if isinstance(facts, dict) else {}


replica: Replica = _Current()
