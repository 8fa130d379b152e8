"""Compile the inner loops with numba where it is installed; otherwise use them as they are.

The source is one. A `Compiled` module looks like the module it was made from, with the named functions compiled and
calling each other compiled; the original stays usable beside it. Compiled code is kept in numba's cache next to the
source (or in the user's cache folder), so only the first run of a version waits some seconds.
"""

from __future__ import annotations

import importlib
import types
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any


@cache
def numba_installed() -> bool:
    """True when the extra `sim` (numpy and numba) can be imported."""
    try:
        importlib.import_module("numba")
    except ImportError:
        return False
    return True


def compiled(module: types.ModuleType, names: Iterable[str]) -> Any:
    """A namespace like `module` in which the functions `names` (callees first) are compiled.

    numba resolves a global when it compiles, so each function is rebuilt over a namespace that holds compiled callees.
    """
    numba = importlib.import_module("numba")
    namespace = dict(vars(module)) | {"lent": lent()}
    for name in names:
        source = getattr(module, name)
        rebuilt = types.FunctionType(source.__code__, namespace, name, source.__defaults__)
        rebuilt.__module__, rebuilt.__qualname__ = module.__name__, name
        namespace[name] = numba.njit(rebuilt, cache=True)
    return types.SimpleNamespace(**namespace)


def is_kept(function: Any) -> bool:
    """Whether the compiled form of a function from `compiled` is in numba's cache, so that nobody will wait for it."""
    folder = function.stats.cache_path
    return folder is not None and any(Path(folder).glob(f"*.{function.__name__}-*.nbi"))


@cache
def lent() -> Any:
    """For compiled code: a named tuple of arrays without their owners, so that handing it on counts no references.

    Each count is an atomic operation; without this they take two fifths of the time of a simulated request. The caller
    keeps the tuple that owns the arrays for as long as it uses the lent one.
    """
    extending = importlib.import_module("numba.extending")

    def borrow(_typing: Any, owned: Any) -> Any:
        def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            arrays = []
            for index, kind in enumerate(owned.types):
                array = context.make_array(kind)(context, builder, builder.extract_value(args[0], index))
                array.meminfo = array.meminfo.type(None)
                array.parent = array.parent.type(None)
                arrays.append(array._getvalue())
            return context.make_tuple(builder, owned, arrays)

        return owned(owned), build

    return extending.intrinsic(borrow)


def whether_to_compile(wanted: bool | None) -> bool:
    """What `compile=` means: None for "where numba is installed"; True where it is not is a fault.

    Raises:
        ImportError: compilation was asked for and the extra is missing.
    """
    if wanted and not numba_installed():
        raise ImportError("the fast simulator needs numpy and numba: pip install 'tidegate[sim]'")
    return numba_installed() if wanted is None else wanted
