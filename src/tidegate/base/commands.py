"""From a command as written in a manifest to the program that is run.

`$(NAME)` stands for a variable of the replica's environment, `$$(NAME)` for the text itself, as in a Kubernetes
container's `command`. The first word `python` or `python3` is the interpreter Tidegate itself runs under, so that a
manifest means the same on every machine; a path (`.venv/bin/python`) or a PATH in the manifest's `env` names another.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tidegate.base.errors import CommandError

_REFERENCE = re.compile(r"\$(\$?)\(([A-Za-z_][A-Za-z0-9_]*)\)")
_PYTHON = ("python", "python3")


def expand(word: str, env: Mapping[str, str]) -> str:
    """Put in the variables; a reference to an unknown one stays as it is.

    >>> expand("--port=$(PORT) $$(PORT) $(NOPE)", {"PORT": "80"})
    '--port=80 $(PORT) $(NOPE)'
    """

    def value(match: re.Match[str]) -> str:
        return match[0][1:] if match[1] else env.get(match[2], match[0])

    return _REFERENCE.sub(value, word)


def resolve(command: Sequence[str], env: Mapping[str, str], directory: str, *, own_path: bool = False) -> list[str]:
    """The argument list to run in `directory`, its first word an absolute path.

    Args:
        own_path: `env` brings a PATH of its own, so `python` is looked up there like any other program.

    Raises:
        CommandError: no such folder or program, or not one that may be run; the message names it.
    """
    if not Path(directory).is_dir():
        raise CommandError(f"working directory {directory} does not exist. Create it or correct workingDir.")
    words = [expand(w, env) for w in command]
    if not words:
        raise CommandError("the command is empty. Give the program and its arguments as a list.")
    return [_program(words[0], env, directory, own_path), *words[1:]]


def _program(word: str, env: Mapping[str, str], directory: str, own_path: bool) -> str:
    if word in _PYTHON and not own_path:
        return sys.executable
    if "/" not in word:
        found = shutil.which(word, path=env.get("PATH", os.defpath))
        if found is None:
            raise CommandError(f"program {word!r} is not on PATH. Install it or write its path in command.")
        return found
    path = Path(directory, word)
    if not path.is_file():
        raise CommandError(f"program {path} does not exist. Correct the first word of command.")
    if not os.access(path, os.X_OK):
        raise CommandError(f"program {path} is not executable. Run chmod +x on it, or name its interpreter in command.")
    return str(path)
