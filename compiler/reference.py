"""Running a graph by the ops' NumPy references: the oracle, and the way one-off work is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.compiler.clone import Cloner
from graphflow.graph.errors import FeedError
from graphflow.graph.op import Array, ComposeOp
from graphflow.graph.region import Region
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Constant, Placeholder, Variable, origin_of


def evaluate(outputs: Sequence[Variable], values: Mapping[Variable, Any]) -> list[Array]:
    """The values of `outputs` for arrays given to leaves (or to any Variable).

    Raises FeedError for a leaf without a value.
    """
    stop = set(values)
    arrays: dict[Variable, Array] = {}
    replace: dict[Variable, Variable] = {}
    for v, value in values.items():
        array = np.asarray(value, v.dtype)
        stand_in = Placeholder(TensorType(v.dtype, array.shape), v.name)
        replace[v] = stand_in
        arrays[stand_in] = array
    for leaf in leaves(outputs, stop):
        if leaf not in values and not isinstance(leaf, Constant):
            raise FeedError(f"no value for {origin_of(leaf)}", hint="feed it, or make it a shared variable")
    fixed = Cloner(replace).clone(outputs)
    run(fixed, arrays)
    return [arrays[v] for v in fixed]


def interpreter(region: Region) -> Callable[[Sequence[Any]], list[Array]]:
    """The body of a loop or branch as a function of arrays; graphs for the shapes that come are kept."""
    graphs: dict[tuple[Any, ...], tuple[list[Variable], list[Variable]]] = {}

    def call(values: Sequence[Any]) -> list[Array]:
        arrays = [np.asarray(value, p.dtype) for value, p in zip(values, region.inputs, strict=True)]
        key = tuple(a.shape for a in arrays)
        if key not in graphs:
            stand_ins: list[Variable] = [Placeholder(TensorType(p.dtype, a.shape), p.name) for p, a in zip(region.inputs, arrays, strict=True)]
            graphs[key] = stand_ins, Cloner(dict(zip(region.inputs, stand_ins, strict=True))).clone(region.outputs)
        stand_ins, outputs = graphs[key]
        known = dict(zip(stand_ins, arrays, strict=True))
        run(outputs, known)
        return [known[v] for v in outputs]

    return call


def run(outputs: Sequence[Variable], arrays: dict[Variable, Array]) -> None:
    """Fill `arrays` with the values of everything `outputs` need; all shapes are static."""
    for v in leaves(outputs, set(arrays)):
        if isinstance(v, Constant):
            arrays[v] = v.value
    for node in toposort(outputs, set(arrays)):
        if isinstance(node.op, ComposeOp):
            expanded: Any = node.op.expand(*node.inputs)
            parts = list(expanded) if isinstance(expanded, tuple) else [expanded]
            run(parts, arrays)
            results = [arrays[p] for p in parts]
        else:
            with np.errstate(all="ignore"):
                value = node.op.reference(*(arrays[v] for v in node.inputs))
            results = list(value) if isinstance(value, tuple) else [value]
        for v, result in zip(node.outputs, results, strict=True):
            arrays[v] = np.asarray(result, v.dtype)
    for v in outputs:
        if isinstance(v, Constant):
            arrays[v] = v.value
