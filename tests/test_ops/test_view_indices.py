"""The index maps of views, element by element, against their NumPy references."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import graphflow.ops  # noqa: F401  registers the ops
from graphflow.graph.dim import Dim, Symbol, evaluate
from graphflow.graph.op import REGISTRY, ReshapeOp, ViewOp
from graphflow.graph.traversal import toposort

VIEWS = [cls for cls in REGISTRY.classes if issubclass(cls, ViewOp) and not issubclass(cls, ReshapeOp)]
SAMPLES = [(f"{cls.__name__} {s.name}".strip(), s) for cls in VIEWS for s in cls.samples()]
SIZES = [
    dict.fromkeys("abcdhklmnotw", 1),
    {"a": 2, "b": 3, "c": 4, "d": 2, "h": 6, "k": 3, "l": 2, "m": 4, "n": 5, "o": 3, "t": 7, "w": 5},
    {"a": 3, "b": 1, "c": 2, "d": 1, "h": 4, "k": 5, "l": 3, "m": 2, "n": 3, "o": 1, "t": 3, "w": 4},
]


def gather(op, array, symbols, shape):
    """The result of a view by its index map, evaluated at every place."""
    ix = tuple(Dim.symbol(f"i{a}", 0, n if n else 1) for a, n in enumerate(shape))
    source, inside = op.index(ix, array.shape), op.inside(ix, array.shape)
    out = np.full(shape, op.fill, array.dtype)
    for place in itertools.product(*map(range, shape)):
        values = {**symbols, **{i.atom: p for i, p in zip(ix, place, strict=True)}}
        if all(0 <= evaluate(a, values) < evaluate(b, values) for a, b in inside):
            at = tuple(evaluate(s, values) for s in source)
            assert all(0 <= p < n for p, n in zip(at, array.shape, strict=True)), f"{op} reads {at} of {array.shape}"
            out[place] = array[at]
    return out


@pytest.mark.parametrize("name,sample", SAMPLES, ids=[name for name, _ in SAMPLES])
def test_index_maps(name, sample, run, instances):
    for sizes, dynamic in itertools.product([*SIZES, *([dict.fromkeys("abcdhklmnotw", 0)] if sample.empty else [])], (False, True)):
        variables, arrays = instances(sample, sizes, dynamic)[0]
        feeds = dict(zip(variables, arrays, strict=True))
        symbols = {
            s.atom: n
            for v, a in feeds.items()
            for s, n in zip(v.shape, a.shape, strict=True)
            if isinstance(s, Dim) and isinstance(s.atom, Symbol)
        }
        out = sample.make(*variables)
        for node in toposort([out]):
            if isinstance(node.op, ViewOp) and not isinstance(node.op, ReshapeOp):
                given, expected = run([node.inputs[0], node.outputs[0]], feeds)
                np.testing.assert_array_equal(gather(node.op.substitute(symbols), given, symbols, expected.shape), expected)
