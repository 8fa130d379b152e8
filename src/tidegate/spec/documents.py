"""From the text of a file to plain data with a line number for every value in it.

Reads YAML by its 1.2 core rules, whatever the parser's own habits: only `true` and `false` are booleans (`off`, `no`
and `on` are words), "19:30" is not a number of minutes, a date is text. Refuses what has no place in a manifest:
duplicate keys, tags, merge keys, more than `MOST_NODES` values (also when aliases multiply them), deeper nesting than
`DEEPEST`. No file is opened here.

Source: https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from tidegate.spec.faults import Fault, FieldPath

LARGEST_FILE = 2**20
MOST_NODES = 50_000
DEEPEST = 32

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS = {word: value for value, words in {True: "true True TRUE", False: "false False FALSE"}.items()
          for word in words.split()}  # fmt: skip
_NULLS = ("", "~", "null", "Null", "NULL")
_INTEGER = re.compile(r"[-+]?\d{1,30}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.\d+|\d{1,40}(\.\d*)?)([eE][-+]?\d{1,3})?", re.ASCII)
_CONTROL = re.compile(r"[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its data, and the line (from 1) on which each path in it begins."""

    file: str
    data: Any
    lines: dict[FieldPath, int] = field(default_factory=dict)

    def line(self, path: FieldPath) -> int:
        """The line of `path`, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


def read_documents(text: str, file: str) -> tuple[list[Document], list[Fault]]:
    """All documents of a text and every fault found in them; a syntax error ends the reading of the text."""
    if len(text) > LARGEST_FILE:
        return [], [Fault(file, 0, (), f"is larger than {LARGEST_FILE // 2**20} MiB. Split it into several files")]
    if file.endswith(".json"):
        text = text.replace("\t", " ")  # white space in JSON, and never inside its strings
    builder = _Builder(file)
    try:
        documents = list(builder.documents(yaml.parse(text, Loader=_PARSER)))
    except _Refused as stop:
        return [], [*builder.faults, stop.fault]
    except (yaml.YAMLError, ValueError) as error:
        return [], [*builder.faults, _syntax(error, text, file)]
    return documents, builder.faults


class _Refused(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class _Builder:
    """Turns parser events into data. `faults` are those after which reading could go on."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []
        self.nodes = 0
        self.lines: dict[FieldPath, int] = {}
        self.anchors: dict[str, Any] = {}

    def documents(self, events: Iterator[Any]) -> Iterator[Document]:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.nodes, self.lines, self.anchors = 0, {}, {}
                data = self.value(next(events), events, ())
                if data is not None:
                    yield Document(self.file, data, self.lines)

    def value(self, event: Any, events: Iterator[Any], path: FieldPath) -> Any:
        line = event.start_mark.line + 1
        self.lines.setdefault(path, line)
        self.count(line, path, 1)
        if len(path) > DEEPEST:
            raise _Refused(Fault(self.file, line, path[:4], f"is nested deeper than {DEEPEST} levels. Flatten it"))
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path, line)
        if getattr(event, "tag", None) not in (None, "!", "tag:yaml.org,2002:str"):
            self.fault(line, path, f"the tag {event.tag!r} has no place in a manifest. Take it out")
        if isinstance(event, yaml.ScalarEvent):
            data: Any = self.scalar(event, path, line)
        elif isinstance(event, yaml.SequenceStartEvent):
            data = self.sequence(events, path)
        else:
            data = self.mapping(events, path)
        if event.anchor is not None:
            self.anchors[event.anchor] = data
        return data

    def sequence(self, events: Iterator[Any], path: FieldPath) -> list[Any]:
        items: list[Any] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self.value(event, events, (*path, len(items))))
        return items

    def mapping(self, events: Iterator[Any], path: FieldPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent):
                raise _Refused(Fault(self.file, line, path, "a key must be a word. Write `key: value`"))
            key, at = event.value, (*path, event.value)
            if key == "<<" and event.implicit[0]:
                self.fault(line, path, "`<<` (merge) is not part of YAML 1.2. Write the keys out")
            if _CONTROL.search(key):
                raise _Refused(Fault(self.file, line, path, "a key holds a NUL or a broken character. Take it out"))
            if key in data:
                self.fault(line, at, f"stands here twice (first on line {self.lines[at]}). Take one out")
            self.lines.setdefault(at, line)
            value = self.value(next(events), events, at)
            data.setdefault(key, value)
        return data

    def scalar(self, event: Any, path: FieldPath, line: int) -> Any:
        text = event.value
        if _CONTROL.search(text):
            self.fault(line, path, "holds a NUL or a broken character. Take it out")
            return _CONTROL.sub("?", text)
        return text if not event.implicit[0] or event.tag is not None else plain_scalar(text)

    def alias(self, event: Any, path: FieldPath, line: int) -> Any:
        if event.anchor not in self.anchors:
            text = f"*{event.anchor} names no anchor that ends before it. Write the value out"
            raise _Refused(Fault(self.file, line, path, text))
        data = self.anchors[event.anchor]
        self.count(line, path, _size(data, MOST_NODES - self.nodes))
        return data

    def count(self, line: int, path: FieldPath, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MOST_NODES:
            text = f"the document has more than {MOST_NODES} values, aliases counted in full. Split it"
            raise _Refused(Fault(self.file, line, path[:4], text))

    def fault(self, line: int, path: FieldPath, text: str) -> None:
        self.faults.append(Fault(self.file, line, path, text))


def plain_scalar(text: str) -> Any:
    """The value of an unquoted word by the core rules: null, a boolean, a number, or the text itself.

    >>> plain_scalar("off"), plain_scalar("true"), plain_scalar("19:30"), plain_scalar("0x10"), plain_scalar("1e3")
    ('off', True, '19:30', 16, 1000.0)
    """
    if text in _NULLS:
        return None
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if re.fullmatch(r"0o[0-7]{1,20}|0x[0-9a-fA-F]{1,20}", text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _size(data: Any, limit: int) -> int:
    """Values in `data`, all levels; stops counting beyond `limit`, since shared parts can multiply without end."""
    total, rest = 0, [data]
    while rest and total <= limit:
        item = rest.pop()
        total += 1
        if isinstance(item, dict):
            rest.extend(item.values())
        elif isinstance(item, list):
            rest.extend(item)
    return total


def _syntax(error: Exception, text: str, file: str) -> Fault:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return Fault(file, 0, (), f"is not YAML: {str(error).splitlines()[0]}. Correct the character")
    line = mark.line + 1
    lines = text.splitlines()
    before = lines[mark.line][: mark.column + 1] if mark.line < len(lines) else ""
    if "\t" in before and not before.strip("\t -:[]{},"):
        return Fault(file, line, (), "a tab stands where YAML wants spaces. Indent with spaces")
    problem = getattr(error, "problem", None) or "it cannot be read"
    context = getattr(error, "context", None)
    where = f" ({context})" if context else ""
    return Fault(file, line, (), f"is not YAML: {problem}{where}. Correct this line or the one above it")
