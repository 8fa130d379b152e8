"""Prepare: lock accounts that have no password or a weak one, before the replica takes traffic.

Argument: the shadow file. There is no default on purpose: name a scratch file to try it, `/etc/shadow` on a machine
image of yours (and run as root). Repeating changes nothing. The file is replaced whole, with its owner and mode.

Passwords are checked with the system's own crypt(3), so every hash it knows is understood.
"""

import ctypes
import ctypes.util
import os
import sys
from pathlib import Path

from tidegate.probe import healthy, unhealthy, unknown

WEAK = ("", "123456", "12345678", "admin", "changeme", "password", "qwerty", "root", "test", "toor")
LOCKED = ("!", "*")  # how shadow(5) marks an account that cannot log in with a password


def library() -> ctypes.CDLL:
    """The system's libcrypt."""
    name = ctypes.util.find_library("crypt") or "libcrypt.so.1"
    try:
        found = ctypes.CDLL(name)
    except OSError as error:
        unknown(f"no libcrypt on this machine: {error}")
    found.crypt.restype = ctypes.c_char_p
    return found


def is_weak(crypt: ctypes.CDLL, user: str, hashed: str) -> bool:
    """Whether one of the weak passwords, or the user's own name, gives this hash."""
    if not hashed:
        return True
    return any(crypt.crypt(word.encode(), hashed.encode()) == hashed.encode() for word in (*WEAK, user))


def lock(lines: list[str], crypt: ctypes.CDLL) -> list[str]:
    """Lock the weak accounts in place; their names."""
    names = []
    for number, line in enumerate(lines):
        user, hashed, *rest = line.split(":")
        if not hashed.startswith(LOCKED) and is_weak(crypt, user, hashed):
            lines[number] = ":".join([user, f"!{hashed}", *rest])
            names.append(user)
    return names


def replace(path: Path, text: str) -> None:
    """Write the whole file or nothing, keeping its mode and owner."""
    before = path.stat()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), before.st_mode & 0o7777)
        if os.geteuid() == 0:
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
    temporary.replace(path)


def check() -> None:
    """Lock what is weak and say whom."""
    if len(sys.argv) != 2:
        unhealthy("give the shadow file as the only argument")
    path = Path(sys.argv[1])
    lines = [line for line in path.read_text().splitlines() if line]
    if any(line.count(":") < 2 for line in lines):
        unhealthy(f"{path} is no shadow file; nothing was changed")
    names = lock(lines, library())
    if names:
        replace(path, "\n".join(lines) + "\n")
    healthy(f"locked {', '.join(names)}" if names else f"{len(lines)} accounts, none weak")
