"""Scans that keep their carries at the borders of blocks only.

A gradient makes the values inside a block again, from what the block began with: memory for `n / block + block` trips in
place of n, and one more forward pass (A. Griewank, "Achieving logarithmic growth of temporal and spatial complexity in
reverse automatic differentiation", 1992; with one level, blocks of sqrt(n) take the least).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isqrt
from typing import Any

from graphflow.graph.dim import Size, floordiv
from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.control import as_list, flat_results, scan
from graphflow.ops.creation import arange
from graphflow.ops.elementwise import add, multiply, where
from graphflow.ops.joining import pad
from graphflow.ops.logic import less
from graphflow.ops.shape import reshape


def scan_checkpoints(
    fn: Callable[..., Any],
    sequences: Any = None,
    outputs_info: Any = None,
    non_sequences: Any = None,
    n_steps: Any = None,
    save_every_N: int | None = None,
) -> Any:
    """`scan` with each output's value stacked, whose gradient takes less memory and more time.

    Carries are kept every `save_every_N` trips: by default about the square root of their number, or 32 where that is
    known only at run time.  Sequences are Variables, outputs have an initial value (the one trip before) or None; updates and
    `until` are not taken.  Returns the outputs, not in a list if there is one.  Raises GraphError for what it does not take.
    """
    rows, given = [as_variable(s) for s in as_list(sequences)], as_list(non_sequences)
    infos = as_list(outputs_info)
    if any(isinstance(v, Mapping) for v in [*as_list(sequences), *infos]):
        raise GraphError("scan_checkpoints takes no taps", hint="slice the sequences, and carry older values as outputs of their own")
    if not rows and n_steps is None:
        raise GraphError("scan_checkpoints: the number of trips is not known", hint="give sequences or n_steps")
    length: Size = n_steps if n_steps is not None else rows[0].shape[0]
    block = save_every_N or (max(1, isqrt(length)) if isinstance(length, int) else 32)
    count = floordiv(length + (block - 1), block)
    starts = [None if v is None else as_variable(v) for v in infos]
    carried = [v for v in starts if v is not None]

    def one_trip(i: Variable, first: Variable, *operands: Any) -> list[Variable]:
        """A trip of a block; beyond the end carries stay as they are."""
        made = flat_results(fn(*operands))
        if len(made) != len(starts):
            raise GraphError(f"scan_checkpoints: the function gives {len(made)} outputs, and outputs_info has {len(starts)} entries")
        before = iter(operands[len(rows) : len(rows) + len(carried)])
        inside = less(add(first, i), as_variable(length, "int64"))
        return [new if start is None else where(inside, new, next(before)) for new, start in zip(made, starts, strict=True)]

    def one_block(b: Variable, *operands: Any) -> list[Variable]:
        parts, now = operands[: len(rows)], iter(operands[len(rows) :])
        first = multiply(b, block)
        inner, _ = scan(
            lambda i, *values: one_trip(i, first, *values), sequences=[arange(block), *parts],
            outputs_info=[None if start is None else next(now) for start in starts], non_sequences=given, return_list=True,
        )  # fmt: skip
        return [*inner, *(values[-1] for values, start in zip(inner, starts, strict=True) if start is not None)]

    if not infos:
        starts = [None] * len(flat_results(fn(*(r[0] for r in rows), *given)))
    padded = [reshape(pad(r, [(0, count * block - length), *[(0, 0)] * (r.ndim - 1)]), (count, block, *r.shape[1:])) for r in rows]
    found, _ = scan(one_block, sequences=[arange(count), *padded], outputs_info=[*[None] * len(starts), *carried], return_list=True)
    outputs = [_joined(v, count * block, length) for v in found[: len(starts)]]
    return outputs[0] if len(outputs) == 1 else outputs


def _joined(blocks: Variable, rows: Size, length: Size) -> Variable:
    return reshape(blocks, (rows, *blocks.shape[2:]))[:length]
