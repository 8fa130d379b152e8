"""Probes: Kubernetes' fields and defaults, the project's short forms, Python scripts, prepare steps.

Short forms: `http: /healthz`, `tcp: true`, `exec: [cmd]`, `python: script.py`, `every: 1s`, `timeout: 500ms`.
Source of fields and defaults: https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.33/#probe-v1-core
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from tidegate.base.units import Bytes, Seconds
from tidegate.spec.common import Strict


class HttpGet(Strict):
    """`httpGet`: healthy when the answer's status is 200 to 399."""

    path: str = "/"
    port: int | None = Field(default=None, ge=1, le=65535)
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    httpHeaders: tuple[dict[str, str], ...] = ()


class TcpSocket(Strict):
    """`tcpSocket`: healthy when the port accepts a connection."""

    port: int | None = Field(default=None, ge=1, le=65535)


class Grpc(Strict):
    """`grpc`: healthy when grpc.health.v1.Health/Check answers SERVING."""

    port: int | None = Field(default=None, ge=1, le=65535)
    service: str = ""


class Exec(Strict):
    """`exec`: healthy when the command exits with 0."""

    command: tuple[str, ...] = Field(min_length=1)


class Python(Strict):
    """`python`: a script of the user's, run outside the control process with bounded time and memory."""

    script: str
    memory: Bytes = 512 * 2**20
    args: tuple[str, ...] = ()


class Check(Strict):
    """One way of asking a replica how it is; exactly one of the five kinds."""

    httpGet: HttpGet | None = None
    tcpSocket: TcpSocket | None = None
    grpc: Grpc | None = None
    exec: Exec | None = None
    python: Python | None = None
    timeoutSeconds: Seconds = Field(default=1.0, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        return _expand(data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _exactly_one_kind(self) -> Check:
        kinds = [k for k in KINDS if getattr(self, k) is not None]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none"
            raise ValueError(f"needs exactly one of http, tcp, grpc, exec, python; got {found}")
        return self

    @property
    def kind(self) -> str:
        """Which of the five it is, by its Kubernetes field name."""
        return next(k for k in KINDS if getattr(self, k) is not None)


KINDS = ("httpGet", "tcpSocket", "grpc", "exec", "python")


class Probe(Check):
    """A check that is repeated, with Kubernetes' thresholds."""

    initialDelaySeconds: Seconds = 0.0
    periodSeconds: Seconds = Field(default=10.0, gt=0)
    successThreshold: int = Field(default=1, ge=1)
    failureThreshold: int = Field(default=3, ge=1)


class Liveness(Probe):
    """A probe with a remedy: what to do when it fails.

    `restart` stops and replaces the replica at once, `drain` lets its requests end first, `event` only records;
    `script` runs `remedyScript` and probes again.
    """

    remedy: Literal["restart", "drain", "script", "event"] = "restart"
    remedyScript: str | None = None
    maxShare: float = Field(default=0.34, gt=0, le=1, description="largest share of a pool under remedy at a time")


class PrepareStep(Check):
    """A step that must succeed once per start before a replica is ready.

    `files` (paths that must exist, relative to the working directory) and `routes` (services that must answer through
    the gateway) are kinds of their own beside the five of a check.
    """

    name: str = ""
    timeoutSeconds: Seconds = Field(default=60.0, gt=0)
    retries: int = Field(default=2, ge=0)


class Probes(Strict):
    """`probes:` of a service; a replica with none is ready when its port accepts connections."""

    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Liveness | None = None
    prepare: tuple[PrepareStep, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _one_step_is_a_list(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("prepare"), dict):
            return data | {"prepare": [data["prepare"]]}
        return data


def _expand(data: dict[str, Any]) -> dict[str, Any]:
    """Turn the short forms into Kubernetes' own; what is already long stays as it is."""
    out = dict(data)
    if isinstance(out.get("http"), str):
        out["httpGet"] = {"path": out.pop("http")}
    if "tcp" in out:
        port = out.pop("tcp")
        out["tcpSocket"] = {} if port is True else {"port": port}
    if isinstance(out.get("grpc"), str):
        out["grpc"] = {"service": out["grpc"]}
    if isinstance(out.get("exec"), list):
        out["exec"] = {"command": out["exec"]}
    if isinstance(out.get("python"), str):
        out["python"] = {"script": out["python"]}
    for short, long in (("every", "periodSeconds"), ("timeout", "timeoutSeconds")):
        if short in out:
            out[long] = out.pop(short)
    return out
