"""Asks the running control process over its unix socket.

With the standard library's HTTP client: the usual ones take three times as long to import as a whole command may take.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from pydantic import TypeAdapter, ValidationError

from tidegate.base.errors import ControlError, SpecError
from tidegate.cli.exits import Unreachable
from tidegate.cli.remote import remote
from tidegate.model.status import Status, parse_status

if TYPE_CHECKING:
    from tidegate.model.outlook import Outlook
    from tidegate.model.tenancy import KeyStatus, NewKey, TenancyStatus
    from tidegate.spec.checks import Manifest
    from tidegate.web.ports import Diff, Event, Explanation, LogLine, Preview

SOCKET = "control.sock"
CONNECT_S = 2.0
T = TypeVar("T")


class Client:
    """The running system of one state directory, or at the URL given in its place.

    Every method raises `Unreachable` when nothing answers, `SpecError` when manifests are refused, and `ControlError`
    with the system's own sentence otherwise. `answer_s` is the longest wait for an answer. Each question has a
    connection of its own, so nothing need be closed.
    """

    def __init__(self, state: Path, *, answer_s: float = 40.0) -> None:
        self._remote = remote(state)
        self._socket = state / SOCKET
        self._answer_s = answer_s

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def status(self) -> Status:
        """Everything at this instant."""
        return self.status_text()[0]

    def status_text(self) -> tuple[Status, str]:
        """The status, and the JSON it came as."""
        text = self._ask("GET", "/v1/status").decode()
        try:
            return parse_status(text), text
        except ValueError as error:
            raise ControlError(_strange(error)) from None

    def apply(self, manifests: Sequence[Manifest], *, prune: bool) -> Diff:
        """Make these the declared manifests."""
        from tidegate.web.ports import Diff

        return _read(Diff, self._ask("POST", "/v1/apply", _declared(manifests, prune)))

    def plan(self, manifests: Sequence[Manifest], *, prune: bool) -> Preview:
        """What `apply` would do."""
        from tidegate.web.ports import Preview

        return _read(Preview, self._ask("POST", "/v1/plan", _declared(manifests, prune)))

    def what_if(self, changes: Sequence[str]) -> Outlook:
        """How everything would stand after the changes."""
        from tidegate.model.outlook import Outlook

        return _read(Outlook, self._ask("POST", "/v1/what-if", {"changes": list(changes)}))

    def explain(self, service: str) -> Explanation:
        """Why a service has the replicas it has."""
        from tidegate.web.ports import Explanation

        return _read(Explanation, self._ask("GET", f"/v1/explain/{quote(service, safe='')}"))

    def drain(self, subject: str) -> str:
        """Take a replica or a cluster out of service; what will happen, in a sentence."""
        return _message(self._ask("POST", "/v1/drain", {"subject": subject}))

    def undrain(self, subject: str) -> str:
        """Take a drain back; what follows, in a sentence."""
        return _message(self._ask("POST", "/v1/undrain", {"subject": subject}))

    def rollout(self, service: str, verb: str) -> str:
        """Pause, resume, promote, undo or retry the rollout of a service; what will happen, in a sentence."""
        return _message(self._ask("POST", "/v1/rollout", {"service": service, "verb": verb}))

    def tenants(self) -> TenancyStatus:
        """Every tenant: limits, use, quota left, refusals."""
        from tidegate.model.tenancy import TenancyStatus

        return _read(TenancyStatus, self._ask("GET", "/v1/tenants"))

    def key_list(self) -> tuple[KeyStatus, ...]:
        """Every key there ever was, oldest first."""
        from tidegate.model.tenancy import KeyStatus

        return _read(tuple[KeyStatus, ...], self._ask("GET", "/v1/keys"))

    def add_key(self, tenant: str, note: str, expires_s: float | None) -> NewKey:
        """A new key, in force; its text is told this once."""
        from tidegate.model.tenancy import NewKey

        return _read(NewKey, self._ask("POST", "/v1/keys", {"tenant": tenant, "note": note, "expires_s": expires_s}))

    def revoke_key(self, key_id: str) -> KeyStatus:
        """Take a key out of force."""
        from tidegate.model.tenancy import KeyStatus

        return _read(KeyStatus, self._ask("POST", "/v1/keys/revoke", {"id": key_id}))

    def learn(self, service: str, pool: str, lesson: str, text: str) -> str:
        """Teach a pool's forecast what was learned elsewhere."""
        body = {"service": service, "pool": pool, "lesson": lesson, "text": text}
        return _message(self._ask("POST", "/v1/learn", body))

    def down(self) -> str:
        """Begin to stop everything."""
        return _message(self._ask("POST", "/v1/down", {}))

    def running(self) -> bool:
        """Whether a control process is there."""
        connection = self._connection(CONNECT_S)
        try:
            connection.connect()
        except OSError:
            return False
        finally:
            connection.close()
        return True

    def logs(self, service: str, replica: str | None, *, tail: int, follow: bool) -> Iterator[LogLine]:
        """The last lines of a service's replicas (or of one), and what follows when asked."""
        from tidegate.web.ports import LogLine

        query = {"tail": tail, "follow": follow} | ({"replica": replica} if replica else {})
        return self._lines(LogLine, f"/v1/logs/{quote(service, safe='')}", query)

    def events(self, since: float, *, follow: bool) -> Iterator[Event]:
        """What happened after `since` (epoch seconds), and what follows when asked."""
        from tidegate.web.ports import Event

        return self._lines(Event, "/v1/events", {"since": since, "follow": follow})

    # ------------------------------------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        connection = self._connection(self._answer_s)
        try:
            return self._answer(connection, method, path, body).read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()

    def _lines(self, kind: type[T], path: str, query: Mapping[str, Any]) -> Iterator[T]:
        # A follower may wait for the next line as long as it likes.
        connection = self._connection(None if query["follow"] else self._answer_s)
        adapter = TypeAdapter(kind)
        try:
            for line in self._answer(connection, "GET", f"{path}?{urlencode(query)}", None):
                if line.strip():
                    yield adapter.validate_json(line)
        except ValidationError as error:
            raise ControlError(_strange(error)) from None
        except (ConnectionResetError, http.client.IncompleteRead):
            return  # the control process ended while it was being followed
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()

    def _connection(self, answer_s: float | None) -> http.client.HTTPConnection:
        if self._remote is not None:
            return self._remote.connection(answer_s)
        return _SocketConnection(self._socket, answer_s)

    def _answer(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Mapping[str, Any] | None
    ) -> http.client.HTTPResponse:
        """The answer to a question, its body not yet read; a refusal is raised."""
        headers = {} if body is None else {"Content-Type": "application/json"}
        if self._remote is not None:
            headers |= self._remote.headers()
        connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
        answer = connection.getresponse()
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            _refuse(answer.status, answer.read())
        return answer

    def _unreachable(self, error: Exception) -> Unreachable:
        if self._remote is not None:
            return Unreachable(f"Tidegate does not answer at {self._remote}: {error}. Check address, port and scheme.")
        if isinstance(error, TimeoutError | BlockingIOError):
            return Unreachable(f"Tidegate at {self._socket} does not answer. Look at its output, or try again.")
        if "too long" in str(error):
            return Unreachable(f"{self._socket} is too long for a socket. Use a shorter --state directory.")
        if isinstance(error, PermissionError):
            return Unreachable(f"{self._socket} may not be used by you. Run this as the user who started Tidegate.")
        return Unreachable(
            f"Tidegate is not running here (nothing answers at {self._socket}). "
            "Start it with `tidegate up -f DIR`, or name its state directory with --state."
        )


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a unix socket. The host is only what stands in the `Host` header; the socket decides who is asked."""

    def __init__(self, path: Path, answer_s: float | None) -> None:
        super().__init__("localhost")
        self._path = path
        self._answer_s = answer_s

    def connect(self) -> None:
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        door.settimeout(CONNECT_S)
        try:
            door.connect(str(self._path))
        except OSError:
            door.close()
            raise
        door.settimeout(self._answer_s)
        self.sock = door


def _declared(manifests: Sequence[Manifest], prune: bool) -> dict[str, Any]:
    from tidegate.web.ports import manifest_json

    return {"manifests": [manifest_json(m) for m in manifests], "prune": prune}


def _refuse(status: int, body: bytes) -> None:
    """Raise what the system said when it did not do what it was asked."""
    try:
        said = json.loads(body)["error"]
        message, faults = str(said["message"]), said.get("faults")
    except (ValueError, KeyError, TypeError, AttributeError):
        message, faults = f"Tidegate answered {status} without a reason. Look at its output.", None
    if faults:
        raise SpecError(tuple(str(f) for f in faults))
    if status == http.HTTPStatus.GATEWAY_TIMEOUT:
        raise Unreachable(message)
    raise ControlError(message)


def _read(kind: type[T], answer: bytes) -> T:
    try:
        value: T = TypeAdapter(kind).validate_json(answer)
    except ValidationError as error:
        raise ControlError(_strange(error)) from None
    return value


def _message(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError) as error:
        raise ControlError(_strange(error)) from None


def _strange(error: Exception) -> str:
    first = str(error).splitlines()[0]
    return f"the running Tidegate answered something this version cannot read ({first}). Use the same version for both."
