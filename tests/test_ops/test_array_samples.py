"""Every sample of every op: shapes and dtypes as inferred, gradients against finite differences."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow.ops  # noqa: F401  registers the ops
from graphflow.graph.op import REGISTRY, ComposeOp
from graphflow.graph.variable import constant
from graphflow.ops.elementwise import multiply
from graphflow.ops.reduction import sum_

CLASSES = [cls for cls in REGISTRY.classes if cls.__module__.startswith("graphflow.ops.")]
SAMPLES = [(f"{cls.__name__} {s.name}".strip(), s) for cls in CLASSES for s in cls.samples()]
SIZES = [
    dict.fromkeys("abcdhklmnotw", 1),
    {"a": 2, "b": 3, "c": 4, "d": 2, "h": 6, "k": 3, "l": 2, "m": 4, "n": 5, "o": 3, "t": 7, "w": 5},
    {"a": 3, "b": 1, "c": 2, "d": 1, "h": 4, "k": 5, "l": 3, "m": 2, "n": 1, "o": 1, "t": 3, "w": 4},
]
EMPTY = dict.fromkeys("abcdhklmnotw", 0)


@pytest.mark.parametrize("name,sample", SAMPLES, ids=[name for name, _ in SAMPLES])
def test_inferred_types_hold(name, sample, run, instances):
    for sizes in [*SIZES, *([EMPTY] if sample.empty else [])]:
        for dynamic in (False, True):
            for variables, arrays in instances(sample, sizes, dynamic):
                out = sample.make(*variables)
                (value,) = run([out], dict(zip(variables, arrays, strict=True)))
                assert value.dtype == out.dtype  # and `run` compares every node with its inferred type


DIFFERENTIABLE = [(name, s) for name, s in SAMPLES if s.grad]


@pytest.mark.parametrize("name,sample", DIFFERENTIABLE, ids=[name for name, _ in DIFFERENTIABLE])
def test_gradients_to_second_order(name, sample, run, pull, instances):
    for dynamic in (False, True):
        variables, arrays = instances(sample, SIZES[1], dynamic)[0]
        arrays = [a.astype("float64") if a.dtype.kind == "f" else a for a in arrays]
        out = sample.make(*variables)
        check_gradient(out, variables, arrays, run, pull, order=2)


def check_gradient(out, variables, arrays, run, pull, order):
    rng = np.random.default_rng(1)
    feeds = dict(zip(variables, arrays, strict=True))
    floats = [v for v in variables if v.dtype == "float64"]
    (value,) = run([out], feeds)
    weights = constant(rng.normal(size=value.shape))
    cost = sum_(multiply(out, weights))
    grads = [g for g in pull(out, weights, floats) if g is not None]
    wrt = [v for v, g in zip(floats, pull(out, weights, floats), strict=True) if g is not None]
    directions = [rng.normal(size=feeds[v].shape) for v in floats]
    expected = slope(lambda shifted: run([cost], {**feeds, **shifted})[0], floats, directions, feeds)
    found = run(grads, feeds)
    got = sum(float(np.sum(g * directions[floats.index(v)])) for g, v in zip(found, wrt, strict=True))
    assert got == pytest.approx(expected, rel=1e-5, abs=1e-6)
    if order > 1:
        for g in grads:
            if any(d is not None for d in pull(g, g, floats)):
                check_gradient(g, variables, arrays, run, pull, order - 1)


def slope(cost, variables, directions, feeds, step=1e-6):
    def at(t):
        return cost({v: feeds[v] + t * d for v, d in zip(variables, directions, strict=True)})

    return float((at(step) - at(-step)) / (2 * step))


COMPOSED = [(name, s) for name, s in SAMPLES if name.split()[0] in {c.__name__ for c in CLASSES if issubclass(c, ComposeOp)}]


@pytest.mark.parametrize("name,sample", COMPOSED, ids=[name for name, _ in COMPOSED])
def test_expansion_agrees_with_the_reference(name, sample, run, instances):
    for variables, arrays in instances(sample, SIZES[1], dynamic=True):
        feeds = dict(zip(variables, arrays, strict=True))
        (plain,) = run([sample.make(*variables)], feeds)
        (expanded,) = run([sample.make(*variables)], feeds, expand=True)
        np.testing.assert_allclose(expanded, plain, rtol=1e-5, atol=1e-6)
