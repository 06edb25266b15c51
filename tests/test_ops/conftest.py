"""Evaluation of graphs by the ops' NumPy references, for tests of ops without a compiler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from graphflow.graph.dim import Dim, Size, Symbol, evaluate
from graphflow.graph.errors import CheckError
from graphflow.graph.op import ComposeOp, Sample, ScalarOp
from graphflow.graph.traversal import toposort
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Apply, Constant, Placeholder, Shared, Variable, placeholder
from graphflow.ops.elementwise import add
from graphflow.ops.shape import sum_to


def _run(outputs: Sequence[Variable], feeds: Mapping[Variable, Any], expand: bool = False) -> list[Any]:
    """The values of `outputs`; checks every node's inferred type and constraints against what came."""
    values: dict[Variable, Any] = {v: np.asarray(a, v.dtype) for v, a in feeds.items()}
    symbols: dict[Symbol, Size] = {}
    for v, a in values.items():
        for size, n in zip(v.shape, a.shape, strict=True):
            if isinstance(size, Dim) and isinstance(size.atom, Symbol):
                assert symbols.setdefault(size.atom, n) == n
        if hasattr(v.tag, "as_dim"):
            symbols[v.tag.as_dim.atom] = int(a)
    for node in toposort(outputs):
        for v in node.inputs:
            if v not in values:
                values[v] = _leaf(v)
        for a, b in node.constraints:
            if evaluate(a, symbols) != evaluate(b, symbols):  # type: ignore[arg-type]
                raise CheckError(f"{node}: {a} and {b} differ")
        _apply(node, values, symbols, expand)
    return [values[v] if v in values else _leaf(v) for v in outputs]


def _leaf(v: Variable) -> Any:
    assert isinstance(v, Constant | Shared), f"{v!r} is not fed"
    return v.value if isinstance(v, Constant) else v.initial


def _apply(node: Apply, values: dict[Variable, Any], symbols: Mapping[Symbol, Size], expand: bool) -> None:
    op, arrays = node.op.substitute(symbols), [values[v] for v in node.inputs]
    if expand and isinstance(op, ComposeOp):
        stand_ins = [Placeholder(TensorType(a.dtype, a.shape)) for a in arrays]
        made = op.expand(*stand_ins)
        results = _run(made if isinstance(made, tuple) else [made], dict(zip(stand_ins, arrays, strict=True)), expand)
    else:
        made = op.reference(*arrays)
        results = list(made) if isinstance(made, tuple) else [made]
    for v, result in zip(node.outputs, results, strict=True):
        expected = v.type.substitute(symbols)
        assert np.shape(result) == expected.shape, f"{op}: inferred {expected}, came {np.shape(result)}"
        assert np.asarray(result).dtype == expected.dtype, f"{op}: inferred {expected}, came {np.asarray(result).dtype}"
        values[v] = np.asarray(result)


def _pull(output: Variable, cotangent: Variable, wrt: Sequence[Variable]) -> list[Variable | None]:
    """The cotangents of `wrt` by the ops' vjps."""
    grads: dict[Variable, Variable] = {output: cotangent}
    for node in reversed(toposort([output])):
        given = [grads.get(v) for v in node.outputs]
        if all(g is None for g in given):
            continue
        for x, g in zip(node.inputs, node.op.vjp(node.inputs, node.outputs, given), strict=True):
            if g is not None and x.dtype.kind == "f":
                g = sum_to(g, x) if isinstance(node.op, ScalarOp) else g
                assert g.ndim == x.ndim and g.dtype == x.dtype, f"{node.op}: the cotangent of {x!r} is {g!r}"
                grads[x] = add(grads[x], g) if x in grads else g
    return [grads.get(v) for v in wrt]


@pytest.fixture(scope="session")
def run() -> Callable[..., list[Any]]:
    return _run


@pytest.fixture(scope="session")
def pull() -> Callable[..., list[Variable | None]]:
    return _pull


def _dtypes(kind: str) -> tuple[str, ...]:
    kinds = {"float": ("float64", "float32"), "int": ("int32", "int64"), "number": ("float64", "int32"), "bool": ("bool",)}
    return kinds.get(kind) or (("float64", "int8", "bool") if kind == "any" else (kind,))


def _instances(sample: Sample, sizes: Mapping[str, int], dynamic: bool, seed: int = 0) -> list[tuple[list[Variable], list[Any]]]:
    """Placeholders and arrays for a sample, once for each dtype its inputs vary over."""
    rng = np.random.default_rng(seed)
    count = max(len(_dtypes(i.kind)) for i in sample.inputs)
    out = []
    for n in range(count):
        variables, arrays = [], []
        for i in sample.inputs:
            dtype = np.dtype(_dtypes(i.kind)[n % len(_dtypes(i.kind))])
            actual = tuple(sizes[a] if isinstance(a, str) else a for a in i.axes)
            shape = tuple(None if isinstance(a, str) and dynamic else n for a, n in zip(i.axes, actual, strict=True))
            low = 0 if dtype.kind == "u" else i.low
            drawn = rng.uniform(low, i.high, actual) if dtype.kind == "f" else rng.integers(int(low), int(i.high) + 1, actual)
            variables.append(placeholder(dtype, shape))
            arrays.append((drawn > 0 if dtype.kind == "b" else drawn).astype(dtype) if actual else dtype.type(drawn))
        out.append((variables, arrays))
    return out


@pytest.fixture(scope="session")
def instances() -> Callable[..., list[tuple[list[Variable], list[Any]]]]:
    return _instances
