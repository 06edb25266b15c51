"""Calls as the settings `check_nan` and `check_kernels` ask for them: slower, and with errors that name the user's line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphflow.configuration import config
from graphflow.graph.op import Array
from graphflow.graph.types import is_float
from graphflow.graph.variable import Variable
from graphflow.runtime.compiled import Compiled
from graphflow.runtime.store import Store


def is_checking(compiled: Compiled) -> bool:
    """Must calls go through `checked`?"""
    return bool(config.check_nan or config.check_kernels or compiled.check_nan)


def checked(compiled: Compiled, arrays: Sequence[Array], store: Store) -> list[Array]:
    """A call that raises CheckError for what the settings forbid; state is then as it was before."""
    from graphflow.runtime.compare import compare_kernels
    from graphflow.runtime.nan_origin import nan_error
    from graphflow.runtime.observe import unchanged_on_error

    before = store.copy_of(compiled.shared)
    with unchanged_on_error(compiled, store):
        results = (compare_kernels if config.check_kernels else Compiled.__call__)(compiled, arrays, store)
        bad = first_non_finite(compiled, results, store) if config.check_nan or compiled.check_nan else None
        if bad is not None:
            raise nan_error(compiled, arrays, before, *bad)
    return results


def first_non_finite(compiled: Compiled, results: Sequence[Array], store: Store) -> tuple[Variable, Array] | None:
    """The first result that holds NaN or infinity, and its value; new state comes after what is returned."""
    new_state = [(v, store.cell(s).array) for s, v in compiled.request.updates]
    for v, value in [*zip(compiled.request.outputs, results, strict=True), *new_state]:
        if is_float(value.dtype) and not np.isfinite(value).all():
            return v, value
    return None
