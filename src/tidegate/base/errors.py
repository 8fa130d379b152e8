"""Every error the project raises on purpose, on one page.

TidegateError
├── SpecError          a manifest cannot be accepted; carries every fault found, not only the first
├── UnitError          a quantity such as "30s" or "2Gi" cannot be read (also a ValueError, so pydantic reports it)
├── CommandError       a program named in a manifest cannot be found or may not be run
├── RuntimeFault       a runtime could not do what it was told (start, stop, read logs)
├── GatewayError       the proxy is missing, refuses its configuration or does not answer its socket
├── ScreenUnavailable  the Lua interpreter that screens media outside the proxy is not installed
├── ProbeError         a probe cannot be run at all (a probe that runs and fails is a verdict, not an error)
├── StoreError         the journal or the spec store cannot be read or written
├── ControlError       the running control process cannot be reached or refuses a request
├── TraceError         a request trace is empty, unsorted or unreadable
└── SimulationError    a simulated world broke one of its invariants; carries the seed that repeats it
"""

from __future__ import annotations


class TidegateError(Exception):
    """Base of all errors raised on purpose. `str(error)` is a sentence for a person."""


class SpecError(TidegateError):
    """A manifest was refused.

    Attributes:
        faults: one sentence each, in the order of the files and lines they were found in.
    """

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class UnitError(TidegateError, ValueError):
    """A quantity could not be read."""


class CommandError(TidegateError):
    """A program named in a manifest cannot be found or may not be run."""


class RuntimeFault(TidegateError):
    """A runtime could not do what it was told."""


class GatewayError(TidegateError):
    """The proxy is missing, refuses its configuration or does not answer."""


class ScreenUnavailable(TidegateError):
    """Media cannot be screened in Python: the interpreter is missing."""


class ProbeError(TidegateError):
    """A probe could not be run at all."""


class StoreError(TidegateError):
    """The journal or the spec store cannot be read or written."""


class ControlError(TidegateError):
    """The running control process cannot be reached or refuses a request."""


class TraceError(TidegateError):
    """A request trace cannot be used."""


class SimulationError(TidegateError):
    """A simulated world broke an invariant."""
