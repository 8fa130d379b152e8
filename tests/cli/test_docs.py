"""Every command and option is on the page, has a help text, and takes --json."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tidegate.cli.app import build_app
from tidegate.cli.exits import CODES

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
COMMANDS = re.compile(r"(<!-- commands: .*? -->\n).*(<!-- end of commands -->)", re.DOTALL)


def all_commands(group: Any, before: str = "tidegate") -> Iterator[tuple[str, Any]]:
    """Every command with its full name, those of groups included."""
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from all_commands(command, f"{before} {name}")
        else:
            yield f"{before} {name}", command


FOUND = list(all_commands(typer.main.get_command(build_app())))
each_command = pytest.mark.parametrize("command", [c for _, c in FOUND], ids=[n for n, _ in FOUND])


def arguments(command: Any) -> list[Any]:
    return [p for p in command.params if p.param_type_name == "argument"]


def options(command: Any) -> list[Any]:
    return [p for p in command.params if p.param_type_name == "option" and p.name != "help"]


def shown(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def section(name: str, command: Any) -> str:
    given = [shown(a) if a.required else f"[{shown(a)}]" for a in arguments(command)]
    usage = " ".join([name, *given, "[OPTIONS]"])
    rows = [f"| `{shown(a).replace('|', ' or ')}` | {a.help} |" for a in arguments(command)]
    rows += [f"| {', '.join(f'`{form}`' for form in o.opts)} | {o.help}{default(o)} |" for o in options(command)]
    table = "\n".join(["| argument or option | meaning |", "|---|---|", *rows])
    return f"### {name}\n\n`{usage}`\n\n{inspect.cleandoc(command.help)}\n\n{table}"


def default(option: Any) -> str:
    told = option.default in (None, False) or "[default" in option.help
    return "" if told else f" [default: {option.default}]"


def test_the_page_lists_every_command_as_it_is(rewrite_golden: bool) -> None:
    text = PAGE.read_text()
    made = "\n\n".join(section(name, command) for name, command in FOUND)
    wanted = COMMANDS.sub(lambda m: f"{m[1]}\n{made}\n\n{m[2]}", text)
    if rewrite_golden:
        PAGE.write_text(wanted)
    assert PAGE.read_text() == wanted, "docs/commands.md is behind the program: run this test with --rewrite-golden"


@each_command
def test_every_command_takes_json(command: Any) -> None:
    assert any("--json" in option.opts for option in options(command))


@each_command
def test_every_option_and_argument_says_what_it_is(command: Any) -> None:
    assert command.help
    assert [p.name for p in (*arguments(command), *options(command)) if not getattr(p, "help", "")] == []


@each_command
def test_the_first_sentence_fits_into_the_list_of_commands(command: Any) -> None:
    assert len(command.help.partition("\n")[0]) <= 60


def test_every_exit_code_is_on_the_page() -> None:
    assert all(f"| {code} |" in PAGE.read_text() for code in CODES)
