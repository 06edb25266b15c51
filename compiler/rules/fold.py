"""Constant folding by the ops' NumPy references."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from graphflow.compiler.pattern import procedural, rule_set
from graphflow.compiler.rewrite import Replacement, RewriteOptions
from graphflow.graph.dim import Dim
from graphflow.graph.errors import CompileError
from graphflow.graph.op import ComposeOp, ExternOp, Op, RegionOp, ViewOp
from graphflow.graph.variable import Apply, Constant, constant

LARGEST = 1 << 16  # elements of a result that is kept in the program
NOT_FOLDED = (ComposeOp, ExternOp, RegionOp)  # expanded first; may have effects; have bodies


@procedural(Op, "op(constants) -> constant", assumes="real")
def fold(node: Apply, options: RewriteOptions) -> Replacement:
    values = [v.value for v in node.inputs if isinstance(v, Constant)]
    if len(values) != len(node.inputs) or isinstance(node.op, NOT_FOLDED) or not _worth_storing(node):
        return None
    with np.errstate(all="ignore"):
        computed = node.op.reference(*values)
    results = [np.asarray(r) for r in (computed if isinstance(computed, tuple) else (computed,))]
    for v, result in zip(node.outputs, results, strict=True):
        if result.dtype != v.dtype or result.shape != v.shape:
            raise CompileError(f"the reference of {node.op} gave {result.dtype}{list(result.shape)} for {v.type}")
    return tuple(constant(r) for r in results)


def _worth_storing(node: Apply) -> bool:
    """Small, and not a large tensor made of little: kernels make those again faster than they load them."""
    if not all(v.type.is_static for v in node.outputs) or any(map(_has_dim, node.op.params().values())):
        return False
    result = max(prod(v.shape) for v in node.outputs)
    given = [prod(v.shape) for v in node.inputs]
    if result > LARGEST:
        return False
    return result <= max(1, sum(given)) or (not isinstance(node.op, ViewOp) and max(given, default=0) > 1)


def _has_dim(value: Any) -> bool:
    return isinstance(value, Dim) or (isinstance(value, tuple) and any(map(_has_dim, value)))


FOLD = rule_set("fold", [fold])
