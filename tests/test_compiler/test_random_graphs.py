"""Random graphs: optimised compiled code against the unoptimised NumPy interpretation."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import graphflow as gf
from graphflow.compiler.reference import evaluate

# fixed budgets: many graphs share one compilation, which is where the time goes
GRAPHS_PER_COMPILATION = 25
EXPLORE = os.environ.get("GRAPHFLOW_EXPLORE", "") != ""  # new graphs at each run, instead of the same ones
COMPILATIONS = int(os.environ.get("GRAPHFLOW_FUZZ", "4"))

UNARY = ["negative", "abs", "exp", "tanh", "sigmoid", "softplus", "sqrt_abs", "log1p_abs", "square", "sin", "floor", "sign"]
BINARY = ["add", "subtract", "multiply", "maximum", "minimum", "divide_safe", "where", "less_mix"]
SHAPES = ["same", "transpose", "reverse", "slice", "reshape", "expand", "concat", "pad"]
REDUCE = ["sum", "mean", "max", "min", "logsumexp", "softmax", "var", "argmax", "cumsum"]


def unary(name, x):
    match name:
        case "sqrt_abs":
            return gf.sqrt(gf.abs(x))
        case "log1p_abs":
            return gf.log1p(gf.abs(x))
        case "exp":
            return gf.exp(gf.minimum(x, 3.0))
    return getattr(gf, name)(x)


def binary(name, x, y):
    match name:
        case "divide_safe":
            return x / (gf.abs(y) + 1)
        case "where":
            return gf.where(x > y, x * 0.5, y)
        case "less_mix":
            return gf.cast(x < y, x.dtype) * y + x
    return getattr(gf, name)(x, y)


def reduce(name, x, axis):
    match name:
        case "softmax":
            return gf.nn.softmax(x, axis=axis)
        case "argmax":
            return gf.cast(gf.argmax(x, axis=axis, keepdims=True), x.dtype) + x * 0.25
        case "cumsum":
            return gf.cumsum(x, axis=axis)
    return getattr(gf, name)(x, axis=axis, keepdims=True) + x * 0.5


def reshaped(name, x):
    match name:
        case "transpose":
            return gf.transpose(gf.transpose(x) * 2.0)
        case "reverse":
            return x[::-1] - x[:, ::-1]
        case "slice":
            return gf.concatenate([x[1:], x[:1]], axis=0)
        case "reshape":
            return gf.reshape(gf.reshape(x, (-1,)) + 1.0, x.shape)
        case "expand":
            return gf.squeeze(gf.expand_dims(x, 1) * 3.0, 1)
        case "concat":
            return gf.concatenate([x, x + 1.0], axis=1)[:, : x.shape[1]]
        case "pad":
            return gf.pad(x, ((1, 0), (0, 1)))[1:, : x.shape[1]]
    return x


step = st.one_of(
    st.tuples(st.just("u"), st.sampled_from(UNARY), st.integers(0, 99), st.just(0)),
    st.tuples(st.just("b"), st.sampled_from(BINARY), st.integers(0, 99), st.integers(0, 99)),
    st.tuples(st.just("s"), st.sampled_from(SHAPES), st.integers(0, 99), st.just(0)),
    st.tuples(st.just("r"), st.sampled_from(REDUCE), st.integers(0, 99), st.integers(0, 1)),
)
program = st.lists(step, min_size=1, max_size=9)


def grow(steps, x, y, row, w):
    values = [x, y, x + row, x @ w]
    for kind, name, i, j in steps:
        v = values[-1 - i % len(values)]
        match kind:
            case "u":
                new = unary(name, v)
            case "b":
                new = binary(name, v, values[-1 - j % len(values)])
            case "s":
                new = reshaped(name, v)
            case _:
                new = reduce(name, v, j)
        values.append(gf.clip(new, -50.0, 50.0) if len(values) % 3 == 0 else new)
    return values[-1]


programs_and_seed = given(st.lists(program, min_size=GRAPHS_PER_COMPILATION, max_size=GRAPHS_PER_COMPILATION), st.integers(0, 2**32 - 1))


def budget(compilations: int) -> settings:
    return settings(max_examples=compilations, deadline=None, derandomize=not EXPLORE, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@budget(COMPILATIONS)
@programs_and_seed
def test_random_graphs(dtype, programs, seed):
    check(dtype, programs, seed)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@budget(16 * COMPILATIONS)
@programs_and_seed
def test_thousands_of_random_graphs(dtype, programs, seed):
    check(dtype, programs, seed)


def check(dtype, programs, seed):
    """Forward values, and a gradient through several of the graphs, at two sizes of one Executable."""
    rng = np.random.default_rng(seed)
    m, n = gf.Dim.symbol("m"), int(rng.integers(1, 20))
    inputs = [gf.placeholder(dtype, s) for s in ((m, n), (m, n), (n,), (n, n))]
    outputs = [grow(p, *inputs) for p in programs]
    costs = gf.grad(sum((gf.mean(gf.tanh(v)) for v in outputs[:6]), gf.constant(0.0, dtype)), inputs[0], disconnected_inputs="ignore")
    outputs.append(costs)
    run = gf.function(inputs, outputs)
    for size in (int(rng.integers(2, 40)), 1):
        arrays = [rng.standard_normal([size if s is m else s for s in v.shape]).astype(dtype) for v in inputs]
        got = run(*arrays)
        exact = evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
        tolerance = 1e-9 if dtype == "float64" else 2e-3
        for g, e in zip(got, exact, strict=True):
            scale = 1 + np.abs(e[np.isfinite(e)]).max(initial=0)
            bad = ~np.isclose(g, e, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
            # a value a rounding away from a step (floor, sign, argmax, comparisons) may land on the other side
            assert bad.mean() <= (0.0 if dtype == "float64" else 0.02), (g[bad][:5], e[bad][:5])
