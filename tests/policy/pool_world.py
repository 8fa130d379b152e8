"""A pool for tests of the scaling policy: a load goes in, the number of wanted replicas comes out."""

from __future__ import annotations

from dataclasses import dataclass, field

from tidegate.model.observed import PoolLoad
from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.policy.scaling import scale
from tidegate.spec.resolve import PoolSpec, pools_of
from tidegate.spec.service import MediaService


def pool(**spec: object) -> PoolSpec:
    """The default pool of a service with these fields of `spec`."""
    body = {"command": ["serve"], **spec}
    return pools_of(MediaService.model_validate({"metadata": {"name": "ocr"}, "spec": body}))[-1]


@dataclass
class PoolWorld:
    """Ready at once what is wanted, unless `obey` is off; `at` in seconds."""

    spec: PoolSpec
    ready: int = 0
    at: float = 1_000_000.0
    startup_s: float = 10.0
    obey: bool = True
    memory: ScaleMemory = field(default_factory=ScaleMemory)
    last: ScaleResult | None = None

    def look(self, after_s: float = 1.0, *, measured: bool = True, load_age_s: float = 0.0, **load: float) -> int:
        """Let `after_s` pass and ask; keywords are those of PoolLoad, `measured` off means no load at all."""
        self.at += after_s
        seen = PoolLoad(at=self.at - load_age_s, interval_s=after_s, **load) if measured else None  # type: ignore[arg-type]
        inp = ScaleInput(self.at, self.spec, seen, self.ready, (), self.startup_s)
        self.last = scale(inp, self.memory)
        self.memory = self.last.memory
        if self.obey:
            self.ready = self.last.wanted
        return self.last.wanted

    def until(self, seconds: float, every_s: float = 1.0, **load: float) -> int:
        """Look again and again for `seconds` with the same load."""
        end = self.at + seconds
        while self.at < end - 1e-9:
            self.look(every_s, **load)
        assert self.last is not None
        return self.last.wanted

    @property
    def said(self) -> str:
        assert self.last is not None
        return " | ".join(f"{r.topic}: {r.text}" for r in self.last.reasons)
