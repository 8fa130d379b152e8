"""Probes: Kubernetes' fields and defaults, the project's short forms, Python scripts, prepare steps.

Short forms: `http: /healthz`, `tcp: true`, `exec: [cmd]`, `python: script.py`, `every: 1s`, `timeout: 500ms`.
Source of fields and defaults: https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.33/#probe-v1-core
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from tidegate.base.units import Bytes, Ratio, Seconds
from tidegate.spec.common import Flag, Port, ScriptPath, Strict, Whole, Word, fault

UrlPath = Annotated[str, StringConstraints(pattern=r"^/[^\s]*$")]


class HttpHeader(Strict):
    """One header of a probe's request."""

    name: str = Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", description="header name")
    value: str = Field(pattern=r"^[^\r\n]*$", description="header value")


class HttpGet(Strict):
    """`httpGet` (short: `http: /path`): healthy when the answer's status is 200 to 399."""

    path: UrlPath = Field(default="/", description="path to ask for")
    port: Port | None = Field(default=None, description="default: the replica's port")
    scheme: Literal["HTTP", "HTTPS"] = Field(default="HTTP", description="`HTTP` or `HTTPS` (not verified)")
    httpHeaders: tuple[HttpHeader, ...] = Field(default=(), description="headers to send: `{name: ..., value: ...}`")


class TcpSocket(Strict):
    """`tcpSocket` (short: `tcp: true`): healthy when the port accepts a connection."""

    port: Port | None = Field(default=None, description="default: the replica's port")


class Grpc(Strict):
    """`grpc`: healthy when grpc.health.v1.Health/Check answers SERVING."""

    port: Port | None = Field(default=None, description="default: the replica's port")
    service: str = Field(default="", description="the service name put into the health request")


class Exec(Strict):
    """`exec` (short: `exec: [cmd, arg]`): healthy when the command exits with 0."""

    command: tuple[str, ...] = Field(min_length=1, description="program and arguments; no shell")


class Python(Strict):
    """`python` (short: `python: script.py`): a script of yours, run outside the control process."""

    script: ScriptPath = Field(description="path, relative to the manifest")
    memory: Bytes = Field(default=512 * 2**20, gt=0, description="the most memory the script may take")
    args: tuple[str, ...] = Field(default=(), description="arguments given to the script")


KINDS: Final = ("httpGet", "tcpSocket", "grpc", "exec", "python")
SHORT_FORMS: Final = {
    "http": "httpGet",
    "tcp": "tcpSocket",
    "every": "periodSeconds",
    "timeout": "timeoutSeconds",
}


def _short_forms_in(schema: dict[str, Any]) -> None:
    """Editors must not underline the short forms, and they offer them first."""
    fields = schema["properties"]
    text, yes = {"type": "string"}, {"const": True}
    short = {
        "http": text | {"description": "path to ask for over HTTP; short for httpGet"},
        "tcp": {"anyOf": [yes, {"type": "integer"}], "description": "open a connection; short for tcpSocket"},
        "timeout": fields["timeoutSeconds"] | {"description": "short for timeoutSeconds"},
    }
    if "periodSeconds" in fields:
        short["every"] = fields["periodSeconds"] | {"description": "short for periodSeconds"}
    fields["grpc"]["anyOf"] += [text, yes]
    fields["exec"]["anyOf"].append({"type": "array", "items": text, "minItems": 1})
    fields["python"]["anyOf"].append(text)
    schema["properties"] = short | fields


class Check(Strict):
    """One way of asking a replica how it is; exactly one of the five kinds."""

    model_config = ConfigDict(json_schema_extra=_short_forms_in)

    httpGet: HttpGet | None = Field(default=None, description="ask over HTTP (short: `http: /path`)")
    tcpSocket: TcpSocket | None = Field(default=None, description="open a connection (short: `tcp: true`)")
    grpc: Grpc | None = Field(default=None, description="the gRPC health service")
    exec: Exec | None = Field(default=None, description="run a command in the replica's environment")
    python: Python | None = Field(default=None, description="run a Python script of yours")
    timeoutSeconds: Seconds = Field(
        default=1.0, gt=0, le=86400, description="longest time one try may take (short: `timeout`)"
    )

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        return _expand(data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _exactly_one_kind(self) -> Check:
        kinds = [k for k in self.kinds() if getattr(self, k)]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none"
            wanted = ", ".join({"httpGet": "http", "tcpSocket": "tcp"}.get(k, k) for k in self.kinds())
            raise fault(f"needs exactly one of {wanted}; got {found}")
        return self

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """The fields of which exactly one is given."""
        return KINDS

    @property
    def kind(self) -> str:
        """Which one it is, by its Kubernetes field name where it has one."""
        return next(k for k in self.kinds() if getattr(self, k))


class Probe(Check):
    """A check that is repeated, with Kubernetes' thresholds."""

    initialDelaySeconds: Seconds = Field(default=0.0, le=86400, description="wait before the first try")
    periodSeconds: Seconds = Field(
        default=10.0, ge=0.05, le=86400, description="time between two tries (short: `every`)"
    )
    successThreshold: Whole = Field(default=1, ge=1, le=1000, description="passes in a row before it counts as passed")
    failureThreshold: Whole = Field(default=3, ge=1, le=100_000, description="failures in a row before it has failed")


class Once(Probe):
    """A startup probe: one pass is enough, as in Kubernetes."""

    @model_validator(mode="after")
    def _one_pass(self) -> Once:
        if self.successThreshold != 1:
            raise fault(f"got {self.successThreshold}, expected 1 for a startup probe. Take it out", "successThreshold")
        return self


class Liveness(Probe):
    """A probe with a remedy: what to do when it fails."""

    remedy: Literal["restart", "drain", "script", "event"] = Field(
        default="restart",
        description="`restart` stops and replaces it at once, `drain` lets its requests end first, `script` runs "
        "`remedyScript` and probes again, `event` only records",
    )
    remedyScript: ScriptPath | None = Field(default=None, description="`remedy: script` only: relative to the manifest")
    maxShare: Ratio = Field(default=0.34, gt=0, description="largest share of a pool under remedy at a time")

    @model_validator(mode="after")
    def _remedy_and_its_script(self) -> Liveness:
        if self.successThreshold != 1:
            raise fault(
                f"got {self.successThreshold}, expected 1 for a liveness probe. Take it out", "successThreshold"
            )
        if self.remedy == "script" and self.remedyScript is None:
            raise fault('got "script", but there is no remedyScript. Add remedyScript: FILE', "remedy")
        if self.remedy != "script" and self.remedyScript is not None:
            raise fault(f"is given, but remedy is {self.remedy}. Set remedy: script or take it out", "remedyScript")
        return self


class PrepareStep(Check):
    """A step that must succeed once per start before a replica is ready; exactly one of seven kinds."""

    name: str = Field(default="", max_length=80, description="shown while it runs; default: what it does")
    files: tuple[Word, ...] = Field(default=(), description="files that must exist, relative to the working directory")
    routes: Flag = Field(default=False, description="`true`: every service in `uses` must answer through the gateway")
    timeoutSeconds: Seconds = Field(
        default=60.0, gt=0, le=86400, description="longest time one try may take (short: `timeout`)"
    )
    retries: Whole = Field(default=2, ge=0, le=1000, description="further tries after a failure")

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        return (*KINDS, "files", "routes")


def _one_or_many(schema: dict[str, Any]) -> None:
    listed = {key: schema.pop(key) for key in ("type", "items")}
    schema["anyOf"] = [listed["items"], listed]


class Probes(Strict):
    """`probes:` of a service; a replica with none is ready when its port accepts connections."""

    startup: Once | None = Field(default=None, description="until it passes, nothing else is asked")
    readiness: Probe | None = Field(default=None, description="while it fails, no new requests are sent")
    liveness: Liveness | None = Field(default=None, description="when it fails, its remedy is applied")
    prepare: tuple[PrepareStep, ...] = Field(
        default=(),
        description="one step or a list, run in order once per start after `startup` has passed",
        json_schema_extra=_one_or_many,
    )

    @model_validator(mode="before")
    @classmethod
    def _one_step_is_a_list(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("prepare"), dict):
            return data | {"prepare": [data["prepare"]]}
        return data


def _expand(data: dict[str, Any]) -> dict[str, Any]:
    """Turn the short forms into Kubernetes' own; what is already long stays as it is.

    A short form next to its long one is left in, so that it is refused as an unknown key rather than silently lost.
    """
    out = dict(data)
    if isinstance(out.get("http"), str) and "httpGet" not in out:
        out["httpGet"] = {"path": out.pop("http")}
    if out.get("tcp") is True and "tcpSocket" not in out:
        out["tcpSocket"] = {}
        del out["tcp"]
    elif isinstance(out.get("tcp"), int) and "tcpSocket" not in out and out["tcp"] is not False:
        out["tcpSocket"] = {"port": out.pop("tcp")}
    if isinstance(out.get("grpc"), str):
        out["grpc"] = {"service": out["grpc"]}
    if out.get("grpc") is True:
        out["grpc"] = {}
    if isinstance(out.get("exec"), list):
        out["exec"] = {"command": out["exec"]}
    if isinstance(out.get("python"), str):
        out["python"] = {"script": out["python"]}
    for short, long in (("every", "periodSeconds"), ("timeout", "timeoutSeconds")):
        if short in out and long not in out:
            out[long] = out.pop(short)
    return out
