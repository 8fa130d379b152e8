"""Asks the running control process over its unix socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from tidegate.base.errors import ControlError, SpecError
from tidegate.cli.exits import Unreachable
from tidegate.model.status import Status, parse_status
from tidegate.spec.checks import Manifest
from tidegate.web.ports import Diff, Event, Explanation, LogLine, Preview, manifest_json

SOCKET = "control.sock"
CONNECT_S = 2.0
T = TypeVar("T")


class Client:
    """The running system of one state directory.

    Every method raises `Unreachable` when nothing answers, `SpecError` when manifests are refused, and `ControlError`
    with the system's own sentence otherwise. `answer_s` is the longest wait for an answer.
    """

    def __init__(self, state: Path, *, answer_s: float = 40.0) -> None:
        self._socket = state / SOCKET
        transport = httpx.HTTPTransport(uds=str(self._socket))
        timeout = httpx.Timeout(answer_s, connect=CONNECT_S)
        # The base URL's name is only what stands in `Host`; the socket decides who is asked.
        self._http = httpx.Client(transport=transport, base_url="http://localhost", timeout=timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def status(self) -> Status:
        """Everything at this instant."""
        return self.status_text()[0]

    def status_text(self) -> tuple[Status, str]:
        """The status, and the JSON it came as."""
        text = self._ask("GET", "/v1/status").text
        try:
            return parse_status(text), text
        except ValueError as error:
            raise ControlError(_strange(error)) from None

    def apply(self, manifests: Sequence[Manifest], *, prune: bool) -> Diff:
        """Make these the declared manifests."""
        return self._read(Diff, self._ask("POST", "/v1/apply", _declared(manifests, prune)))

    def plan(self, manifests: Sequence[Manifest], *, prune: bool) -> Preview:
        """What `apply` would do."""
        return self._read(Preview, self._ask("POST", "/v1/plan", _declared(manifests, prune)))

    def explain(self, service: str) -> Explanation:
        """Why a service has the replicas it has."""
        return self._read(Explanation, self._ask("GET", f"/v1/explain/{_quoted(service)}"))

    def drain(self, subject: str) -> str:
        """Take a replica or a cluster out of service; what will happen, in a sentence."""
        return self._message(self._ask("POST", "/v1/drain", {"subject": subject}))

    def down(self) -> str:
        """Begin to stop everything."""
        return self._message(self._ask("POST", "/v1/down", {}))

    def running(self) -> bool:
        """Whether a control process is there."""
        try:
            self._reach()
        except Unreachable:
            return False
        return True

    def logs(self, service: str, replica: str | None, *, tail: int, follow: bool) -> Iterator[LogLine]:
        """The last lines of a service's replicas (or of one), and what follows when asked."""
        query = {"tail": tail, "follow": follow} | ({"replica": replica} if replica else {})
        return self._lines(LogLine, f"/v1/logs/{_quoted(service)}", query)

    def events(self, since: float, *, follow: bool) -> Iterator[Event]:
        """What happened after `since` (epoch seconds), and what follows when asked."""
        return self._lines(Event, "/v1/events", {"since": since, "follow": follow})

    # ------------------------------------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        self._reach()
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            raise self._unreachable(error) from None
        _refuse(answer)
        return answer

    def _lines(self, kind: type[T], path: str, query: Mapping[str, Any]) -> Iterator[T]:
        self._reach()
        adapter = TypeAdapter(kind)
        # A follower may wait for the next line as long as it likes.
        timeout = httpx.Timeout(None, connect=CONNECT_S) if query["follow"] else self._http.timeout
        try:
            with self._http.stream("GET", path, params=dict(query), timeout=timeout) as answer:
                if answer.is_error:
                    answer.read()
                    _refuse(answer)
                for line in answer.iter_lines():
                    if line:
                        yield adapter.validate_json(line)
        except ValidationError as error:
            raise ControlError(_strange(error)) from None
        except httpx.RemoteProtocolError:
            return  # the control process ended while it was being followed
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def _reach(self) -> None:
        """Knock once, so that what keeps us out is known by its own error and not by the HTTP library's words."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.settimeout(CONNECT_S)
            try:
                door.connect(str(self._socket))
            except OSError as error:
                raise self._unreachable(error) from None

    def _read(self, kind: type[T], answer: httpx.Response) -> T:
        try:
            value: T = TypeAdapter(kind).validate_json(answer.content)
        except ValidationError as error:
            raise ControlError(_strange(error)) from None
        return value

    def _message(self, answer: httpx.Response) -> str:
        try:
            return str(answer.json()["message"])
        except (ValueError, KeyError, TypeError) as error:
            raise ControlError(_strange(error)) from None

    def _unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, httpx.TimeoutException | TimeoutError | BlockingIOError):
            return Unreachable(f"Tidegate at {self._socket} does not answer. Look at its output, or try again.")
        if "too long" in str(error):
            return Unreachable(f"{self._socket} is too long for a socket. Use a shorter --state directory.")
        if isinstance(error, PermissionError):
            return Unreachable(f"{self._socket} may not be used by you. Run this as the user who started Tidegate.")
        return Unreachable(
            f"Tidegate is not running here (nothing answers at {self._socket}). "
            "Start it with `tidegate up -f DIR`, or name its state directory with --state."
        )


def _declared(manifests: Sequence[Manifest], prune: bool) -> dict[str, Any]:
    return {"manifests": [manifest_json(m) for m in manifests], "prune": prune}


def _refuse(answer: httpx.Response) -> None:
    """Raise what the system said when it did not do what it was asked."""
    if not answer.is_error:
        return
    try:
        said = json.loads(answer.content)["error"]
        message, faults = str(said["message"]), said.get("faults")
    except (ValueError, KeyError, TypeError, AttributeError):
        message, faults = f"Tidegate answered {answer.status_code} without a reason. Look at its output.", None
    if faults:
        raise SpecError(tuple(str(f) for f in faults))
    if answer.status_code == httpx.codes.GATEWAY_TIMEOUT:
        raise Unreachable(message)
    raise ControlError(message)


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")


def _strange(error: Exception) -> str:
    first = str(error).splitlines()[0]
    return f"the running Tidegate answered something this version cannot read ({first}). Use the same version for both."
