"""Every op, from its own samples: compiled code against the NumPy reference, gradients against finite differences.

Nothing here names an op: an op that is registered is tested.
"""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
import graphflow.ops
from graphflow.compiler.reference import evaluate
from graphflow.graph.op import REGISTRY, In, Sample

KINDS = {
    "float": ("float32", "float64"),
    "int": ("int8", "int32", "int64", "uint8", "uint64"),
    "number": ("float32", "float64", "int8", "int32", "int64", "uint8"),
    "bool": ("bool",),
    "any": ("float32", "float64", "int16", "int64", "bool"),
}
CASES = [
    pytest.param(sample, id=f"{cls.name or cls.__name__}-{sample.name or i}")
    for cls in REGISTRY.classes
    if cls.__module__.startswith("graphflow.")
    for i, sample in enumerate(cls.samples())
]
assert graphflow.ops


def dtypes_of(sample: Sample) -> list[tuple[str, ...]]:
    """The combinations of input dtypes to try: one for each dtype of the first input's kind."""
    if not sample.inputs:
        return [()]
    first = sample.inputs[0].kind
    return [tuple(d if i.kind == first else KINDS.get(i.kind, (i.kind,))[0] for i in sample.inputs) for d in KINDS.get(first, (first,))]


def draw(rng: np.random.Generator, spec: In, dtype: str, sizes: dict[str, int]) -> np.ndarray:
    shape = tuple(sizes[a] if isinstance(a, str) else a for a in spec.axes)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    low = max(spec.low, 0.0) if dtype.startswith("u") else spec.low
    values = rng.uniform(low, max(spec.high, low), shape)
    return values.astype(dtype) if dtype.startswith("float") else np.floor(values).astype(dtype)


def strided(a: np.ndarray) -> np.ndarray:
    """The same values in memory that is not contiguous."""
    if a.ndim == 0:
        return a
    wide = np.zeros((*a.shape[:-1], a.shape[-1] * 2), a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


def as_list(made) -> list:
    return list(made) if isinstance(made, list | tuple) else [made]


def assert_close(got: np.ndarray, want: np.ndarray, rtol: float, what: str) -> None:
    assert got.shape == want.shape and got.dtype == want.dtype, f"{what}: {got.dtype}{got.shape} for {want.dtype}{want.shape}"
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    tolerance = rtol if got.dtype == np.float32 else rtol * 1e-7
    finite = want[np.isfinite(want)]
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * (1 + np.abs(finite).max(initial=0)), err_msg=what)


@pytest.mark.parametrize("sample", CASES)
def test_compiled_equals_reference(sample: Sample) -> None:
    """All dtypes in one compilation; all sizes in its one Executable; strided feeds; then static sizes."""
    rng = np.random.default_rng(0)
    letters = list(dict.fromkeys(a for i in sample.inputs for a in i.axes if isinstance(a, str)))
    combinations = dtypes_of(sample)
    dims = {a: gf.Dim.symbol(a) for a in letters}
    inputs, outputs = [], []
    for dtypes in combinations:
        row = [gf.placeholder(d, [dims.get(a, a) for a in i.axes]) for i, d in zip(sample.inputs, dtypes, strict=True)]
        inputs.append(row)
        outputs.append(as_list(sample.make(*row)))
    flat_inputs = [v for row in inputs for v in row]
    run = gf.function(flat_inputs, [v for row in outputs for v in row])
    sizes = [{a: 3 + 2 * k for k, a in enumerate(letters)}, {a: 37 - 5 * k for k, a in enumerate(letters)}, dict.fromkeys(letters, 1)]
    if sample.empty and letters:
        sizes.append(dict.fromkeys(letters, 0))
    for k, size in enumerate(sizes):
        arrays = [[draw(rng, i, d, size) for i, d in zip(sample.inputs, dtypes, strict=True)] for dtypes in combinations]
        got = run(*(strided(a) if k == 1 else a for row in arrays for a in row))
        want = [r for vs, row, ins in zip(outputs, arrays, inputs, strict=True) for r in evaluate(vs, dict(zip(ins, row, strict=True)))]
        for g, w, v in zip(got, want, [v for row in outputs for v in row], strict=True):
            assert_close(g, w, sample.rtol, f"{v!r} sizes {size}")
    assert len(run.compiled.executables) == 1, "one Executable serves all sizes"
    arrays0 = [draw(rng, i, d, sizes[0]) for i, d in zip(sample.inputs, combinations[0], strict=True)]
    static = [gf.placeholder(a.dtype, a.shape) for a in arrays0]
    fixed = as_list(sample.make(*static))
    for g, w in zip(gf.function(static, fixed)(*arrays0), evaluate(fixed, dict(zip(static, arrays0, strict=True))), strict=True):
        assert_close(g, w, sample.rtol, "static sizes")


@pytest.mark.parametrize("sample", [c for c in CASES if c.values[0].grad])
def test_gradients(sample: Sample) -> None:
    """First and second derivatives along random directions, in float64."""
    rng = np.random.default_rng(1)
    letters = list(dict.fromkeys(a for i in sample.inputs for a in i.axes if isinstance(a, str)))
    size = {a: 2 + k for k, a in enumerate(letters)}
    dtypes = [KINDS.get(i.kind, (i.kind,))[0].replace("float32", "float64") for i in sample.inputs]
    arrays = [draw(rng, i, d, size) for i, d in zip(sample.inputs, dtypes, strict=True)]
    points = [a for a in arrays if a.dtype.kind == "f"]

    def fn(*xs):
        left = iter(xs)
        made = as_list(sample.make(*(next(left) if a.dtype.kind == "f" else gf.constant(a) for a in arrays)))
        return [gf.cast(v, "float64") for v in made if v.dtype.kind == "f"]

    gf.verify_grad(fn, points, order=2, rtol=2e-5, atol=1e-6)
