"""How the inner loops of the recommenders are compiled, and the arrays that they pass on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])
Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


def compiled(function: Function) -> Function:
    """Compile with numba, cached on disk; without a writable cache folder, compile anew in each process."""
    return _compiled(function, {})


def in_any_order(function: Function) -> Function:
    """`compiled`, and sums may be added up in another order, which the processor does several at once.

    The same machine gives the same bits.
    """
    return _compiled(function, {"fastmath": {"reassoc", "contract"}})


def _compiled(function: Function, options: dict[str, Any]) -> Function:
    try:
        return cast(Function, njit(nogil=True, cache=True, **options)(function))
    except RuntimeError:  # numba found no place for its cache (read-only install and home)
        return cast(Function, njit(nogil=True, **options)(function))
