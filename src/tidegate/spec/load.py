"""Reading manifests: files, directories, standard input, or data that came over the API.

All faults of all files are found before anything is refused. Only this module and `accept` open files.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from tidegate.base import machine
from tidegate.base.errors import SpecError
from tidegate.base.wording import shown
from tidegate.spec.accept import KINDS, accept, place
from tidegate.spec.checks import Manifest, World, find_all
from tidegate.spec.cluster import Capacity, Cluster
from tidegate.spec.common import API_VERSION, Metadata
from tidegate.spec.documents import LARGEST_FILE, Document, read_documents
from tidegate.spec.faults import Fault
from tidegate.spec.resolve import Specs
from tidegate.spec.service import MediaService
from tidegate.spec.tenant import Tenant

GROUP = API_VERSION.partition("/")[0]
SUFFIXES = (".yaml", ".yml", ".json")
MOST_FILES = 5_000
DEFAULT_CLUSTER = "here"
_SKIPPED_DIRECTORIES = ("node_modules", "__pycache__")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Manifests that are valid by themselves and together, sorted by name. `warnings` are sentences."""

    services: tuple[MediaService, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    warnings: tuple[str, ...] = ()
    tenants: tuple[Tenant, ...] = ()

    @property
    def specs(self) -> Specs:
        """The manifests with every pool resolved; what the policy is given."""
        return Specs.of(self.services, self.clusters, self.tenants)

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        return (*self.clusters, *self.services, *self.tenants)


def load(
    paths: Iterable[str | Path], *, partial: bool = False, here: Capacity | None = None, stdin: TextIO | None = None
) -> Loaded:
    """Read and check every manifest under `paths` ("-" is standard input; directories are read with all below them).

    Args:
        partial: the manifests are to join others that run already: references to what is not among them are left to
            be checked there, and no cluster is made up.
        here: what this machine has; measured when None.
        stdin: read for "-" instead of the process's own.

    Raises:
        SpecError: with every fault found.
    """
    reading = _Reading()
    for path in paths:
        if str(path) == "-":
            reading.text((stdin or sys.stdin).read(LARGEST_FILE + 1), "<stdin>", Path.cwd(), strict=True)
        else:
            reading.path(Path(path))
    if not reading.faults and not reading.read:
        where = ", ".join(str(p) for p in paths) or "nothing"
        fault = Fault(where, 0, (), "holds no manifest of Tidegate. Name a file or a directory with manifests")
        reading.faults.append(fault)
    return reading.finish(partial=partial, here=here)


def load_text(text: str, name: str = "<text>", *, partial: bool = False, here: Capacity | None = None) -> Loaded:
    """Read manifests from a text; paths in it are relative to the current directory.

    Raises:
        SpecError: with every fault found.
    """
    reading = _Reading()
    reading.text(text, name, Path.cwd(), strict=True)
    return reading.finish(partial=partial, here=here)


def load_data(
    manifests: Sequence[Any], *, source: str = "manifests", partial: bool = False, here: Capacity | None = None
) -> Loaded:
    """Check manifests that came as data (the body of an API request); paths in them are absolute already.

    Raises:
        SpecError: with every fault found, named by their place: `manifests[0]: spec.port: ...`.
    """
    reading = _Reading()
    for i, data in enumerate(manifests):
        reading.document(Document(f"{source}[{i}]", data), None, strict=True)
    return reading.finish(partial=partial, here=here)


def together(manifests: Iterable[Manifest], *, partial: bool = False, here: Capacity | None = None) -> Loaded:
    """Check valid manifests against each other, as `apply` does with what runs and what is new.

    Raises:
        SpecError: with every fault found.
    """
    reading = _Reading()
    for manifest in manifests:
        document = Document(f"{manifest.kind} {manifest.name}", {})
        reading.add(manifest, document)
    return reading.finish(partial=partial, here=here)


def read_stored(text: str) -> Manifest | None:
    """A manifest from our own store; keys that this version does not know are ignored. None for an unknown kind.

    Raises:
        SpecError: the text is no longer a valid manifest.
    """
    try:
        data = json.loads(text)
        model = KINDS.get(str(data.get("kind"))) if isinstance(data, dict) else None
        return None if model is None else model.model_validate(data, extra="ignore")
    except (ValueError, RecursionError) as error:
        raise SpecError((f"a stored manifest cannot be read: {error}. Apply it again",)) from None


def write_stored(manifest: Manifest) -> str:
    """A manifest as text for our own store; `read_stored` gives an equal one back."""
    return manifest.model_dump_json(by_alias=True)


def machine_capacity() -> Capacity:
    """What this machine has."""
    return Capacity(cpu=machine.cores(), memory=machine.memory_bytes())


@dataclass(slots=True)
class _Reading:
    """What has been found so far. `read` counts documents of ours, valid or not."""

    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)
    found: list[tuple[Manifest, Document]] = field(default_factory=list)
    names: set[tuple[str, str]] = field(default_factory=set)
    read: int = 0

    def path(self, path: Path) -> None:
        if path.is_dir():
            for i, file in enumerate(_files(path)):
                if i >= MOST_FILES:
                    self.faults.append(
                        Fault(str(path), 0, (), f"holds more than {MOST_FILES} files. Name a part of it")
                    )
                    break
                self.file(file, strict=False)
        else:
            self.file(path, strict=True)

    def file(self, path: Path, *, strict: bool) -> None:
        """Read one file; one that was not named but found, and is not ours, is passed over."""
        try:
            with path.open("rb") as stream:
                raw = stream.read(LARGEST_FILE + 4)
        except OSError as error:
            text = f"cannot be read: {error.strerror or error}. Check the path and its permissions"
            self.faults.append(Fault(str(path), 0, (), text))
            return
        except ValueError:
            self.faults.append(Fault(str(path), 0, (), "is not a path. Take the NUL character out"))
            return
        if not strict and GROUP.encode() not in raw:
            return
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            if len(raw) > LARGEST_FILE:
                line = 0
            self.faults.append(Fault(str(path), line, (), "is not UTF-8. Save it as UTF-8"))
            return
        self.text(text, str(path), path.parent, strict=strict)

    def text(self, text: str, file: str, directory: Path, *, strict: bool) -> None:
        documents, faults = read_documents(text, file)
        self.faults += faults
        for document in documents:
            self.document(document, directory, strict=strict)

    def document(self, document: Document, directory: Path | None, *, strict: bool) -> None:
        if not strict and _is_foreign(document.data):
            what = f"{shown(document.data.get('kind'))} of {shown(document.data.get('apiVersion'))}"
            self.warnings.append(Fault(document.file, document.line(()), (), f"passed over: {what} is not of Tidegate"))
            return
        self.read += 1
        manifest, faults = accept(document, directory)
        self.faults += faults
        self.names.update(_claimed(document.data))
        if manifest is not None:
            self.add(manifest, document)

    def add(self, manifest: Manifest, document: Document) -> None:
        self.names.add((manifest.kind, manifest.name))
        self.found.append((manifest, document))

    def finish(self, *, partial: bool, here: Capacity | None) -> Loaded:
        """Check all that was found together, and either raise or hand it out."""
        services = tuple(m for m, _ in self.found if isinstance(m, MediaService))
        clusters = tuple(m for m, _ in self.found if isinstance(m, Cluster))
        tenants = tuple(m for m, _ in self.found if isinstance(m, Tenant))
        if not partial and not any(kind == "Cluster" for kind, _ in self.names):
            clusters = (Cluster(metadata=Metadata(name=DEFAULT_CLUSTER)),)
            self.names.add(("Cluster", DEFAULT_CLUSTER))
        documents = {id(m): d for m, d in self.found}
        world = World(services, clusters, frozenset(self.names), here or machine_capacity(), partial, tenants)
        for finding in find_all(world):
            document = documents[id(finding.manifest)]
            found = place(document, finding.path, finding.text)
            (self.warnings if finding.warning else self.faults).append(found)
        if self.faults:
            raise SpecError(tuple(str(f) for f in _ordered(self.faults)))
        warnings = tuple(str(w) for w in _ordered(self.warnings))
        return Loaded(
            tuple(sorted(services, key=lambda s: s.name)),
            tuple(sorted(clusters, key=lambda c: c.name)),
            warnings,
            tuple(sorted(tenants, key=lambda t: t.name)),
        )


def _is_foreign(data: Any) -> bool:
    """True for a document that is plainly somebody else's: another apiVersion and another kind."""
    if not isinstance(data, dict):
        return False
    version = data.get("apiVersion")
    ours = isinstance(version, str) and version.startswith(GROUP)
    return not ours and data.get("kind") not in tuple(KINDS)


def _claimed(data: Any) -> Iterator[tuple[str, str]]:
    """The kind and name a document claims, valid or not: referring to a refused manifest is no second fault."""
    if isinstance(data, dict) and isinstance(data.get("metadata"), dict):
        kind, name = data.get("kind"), data["metadata"].get("name")
        if isinstance(kind, str) and isinstance(name, str):
            yield kind, name


def _files(directory: Path) -> Iterator[Path]:
    """The manifests' files below a directory in a stable order; hidden ones and links to directories are left out."""
    for root, directories, files in os.walk(directory):
        directories[:] = sorted(d for d in directories if not d.startswith(".") and d not in _SKIPPED_DIRECTORIES)
        for name in sorted(files):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield Path(root, name)


def _ordered(faults: Iterable[Fault]) -> list[Fault]:
    """In the order of files as they were read, then of lines; equal sentences once."""
    unique = list(dict.fromkeys(faults))
    files = {file: i for i, file in enumerate(dict.fromkeys(f.file for f in unique))}
    return sorted(unique, key=lambda f: (files[f.file], f.line))
