"""The token that opens the management addresses: given, kept in the state directory, or made there."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from tidegate.base.errors import ControlError
from tidegate.control.settings import Settings
from tidegate.web.guard import is_loopback

FILE = "token"
_BYTES = 32


def management_token(settings: Settings) -> str:
    """The token in force; one is made when other machines can reach the management addresses and there is none.

    "" when there is none: then loopback is open to read, and nothing can be written over TCP.

    Raises:
        ControlError: others may read the file it is kept in.
    """
    if settings.token:
        return settings.token
    kept = kept_token(settings.state)
    if kept or is_loopback(settings.management_host):
        return kept
    return new_token(settings.state)


def kept_token(state: Path) -> str:
    """The token kept in a state directory, "" when there is none.

    Raises:
        ControlError: others may read it, or it cannot be read.
    """
    file = state / FILE
    try:
        if file.stat().st_mode & 0o077:
            raise ControlError(f"{file} can be read by other users. Make a new one: tidegate token --new")
        return file.read_text().strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ControlError(f"{file}: {error.strerror}") from None


def new_token(state: Path) -> str:
    """Make a token, in place of the one before; a running system takes it over when it is started again."""
    token = secrets.token_urlsafe(_BYTES)
    draft = state / f"{FILE}.new"
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    draft.replace(state / FILE)
    return token
