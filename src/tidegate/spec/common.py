"""The base of every manifest model and the small values they share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo
from pydantic_core import PydanticCustomError

from tidegate.base.units import Bytes, Cores
from tidegate.base.wording import shown

API_VERSION: Final = "tidegate.dev/v1"
NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$"

LARGEST_SCRIPT: Final = 256 * 1024  # bytes; a program, not data

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Word = Annotated[str, StringConstraints(min_length=1)]

# A number written as text, or `true`, is never meant as a number: strict, unlike pydantic's default.
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False, le=1e18)]
NotNegative = Annotated[Number, Field(ge=0)]
Flag = Annotated[bool, Field(strict=True)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Cards = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]


class Strict(BaseModel):
    """A frozen model that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Lookup:
    """What a reader of manifests gives to validation as its context, so that models need not touch files.

    `script`, `directory` and `file` turn a path as written into an absolute one and raise ValueError with a sentence
    when there is no such file; `scripts` holds the text of each script that was asked for, by absolute path. Without a
    context (a manifest from an API or our own store) paths stay as they are.
    """

    def __init__(
        self,
        script: Callable[[str], str],
        directory: Callable[[str], str],
        file: Callable[[str], str],
        scripts: Mapping[str, str],
    ) -> None:
        self.script = script
        self.file = file
        self.directory = directory
        self.scripts = scripts


def _script(path: str, info: ValidationInfo) -> str:
    return info.context.script(path) if isinstance(info.context, Lookup) else path


def _file(path: str, info: ValidationInfo) -> str:
    return info.context.file(path) if isinstance(info.context, Lookup) else path


def _directory(path: str, info: ValidationInfo) -> str:
    return info.context.directory(path) if isinstance(info.context, Lookup) else path


ScriptPath = Annotated[str, StringConstraints(min_length=1), AfterValidator(_script)]
FilePath = Annotated[str, StringConstraints(min_length=1), AfterValidator(_file)]
DirectoryPath = Annotated[str, StringConstraints(min_length=1), AfterValidator(_directory)]


def fault(sentence: str, *field: str | int) -> PydanticCustomError:
    """An error of a validator that looks at several fields; `field` is the path from that model to the one to blame."""
    context: dict[str, Any] = {"sentence": sentence, "field": field}
    return PydanticCustomError("tidegate", "{sentence}", context)


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _variable_names(env: dict[str, str]) -> dict[str, str]:
    for name in env:
        if not _VARIABLE.fullmatch(name):
            raise fault(
                f"{shown(name)} is not a variable name. Use letters, digits and _, not starting with a digit", name
            )
        if name in ("PORT", "HOST"):
            raise fault(f"{name} is set by Tidegate to where each replica must listen. Take it out", name)
    return env


Env = Annotated[dict[str, str], AfterValidator(_variable_names)]


class Metadata(Strict):
    """`metadata:` of every manifest."""

    name: Name = Field(description="lower-case letters, digits and `-`; at most 50 characters (an RFC 1123 label)")
    labels: dict[str, str] = Field(default={}, description="free; `clusterSelector` chooses clusters by them")
    annotations: dict[str, str] = Field(default={}, description="free, for your own tools")


class Resources(Strict):
    """What one replica asks for."""

    cpu: Cores = Field(default=1.0, gt=0, description="cores: `2`, `0.5`, `500m`")
    memory: Bytes = Field(default=512 * 2**20, gt=0, description="bytes: `512Mi`, `2Gi`")
    gpu: dict[str, Cards] = Field(default={}, description="cards per kind: `{a10: 1}`")

    def amounts(self) -> dict[str, float]:
        """Amount per resource name: `cpu` in cores, `memory` in bytes, `gpu/KIND` in cards."""
        return {"cpu": self.cpu, "memory": float(self.memory)} | {f"gpu/{k}": float(n) for k, n in self.gpu.items()}
