"""The base of every manifest model and the small values they share."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from tidegate.base.units import Bytes, Cores

API_VERSION: Final = "tidegate.dev/v1"
NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$"


class Strict(BaseModel):
    """A frozen model that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Metadata(Strict):
    """`metadata:` of every manifest; `name` is an RFC 1123 label of at most 50 characters."""

    name: str = Field(pattern=NAME_PATTERN)
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Resources(Strict):
    """What one replica asks for: cores, bytes of memory, cards per GPU kind (`gpu: {a10: 1}`)."""

    cpu: Cores = Field(default=1.0, gt=0)
    memory: Bytes = Field(default=512 * 2**20, gt=0)
    gpu: dict[str, int] = {}

    def amounts(self) -> dict[str, float]:
        """Amount per resource name: `cpu` in cores, `memory` in bytes, `gpu/KIND` in cards."""
        return {"cpu": self.cpu, "memory": float(self.memory)} | {f"gpu/{k}": float(n) for k, n in self.gpu.items()}
