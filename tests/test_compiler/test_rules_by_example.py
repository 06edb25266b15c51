"""Procedural rules on examples, what must stay as it is, and what stabilisation promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler.intern import Interner
from graphflow.compiler.pattern import PatternRule
from graphflow.compiler.reference import evaluate
from graphflow.compiler.rewrite import Rewriter
from graphflow.compiler.rules import PHASES, RULE_SETS
from graphflow.graph.op import REGISTRY, In, Op, Sample
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Constant, Placeholder, Variable
from graphflow.ops.joining import Concatenate
from graphflow.ops.reduction import Max, Min, Sum
from graphflow.ops.shape import BroadcastTo, Reshape, Transpose
from graphflow.ops.slicing import Pad, Slice

PROCEDURAL = {rule.doc: rule for rules in RULE_SETS for rule in rules.rules if not isinstance(rule, PatternRule)}


def rewrite(v: Variable, phase: int = 0) -> tuple[Variable, Rewriter]:
    rewriter = Rewriter(PHASES[phase], Interner())
    (new,) = rewriter.rewrite([v])
    return new, rewriter


def through_all_phases(outputs: list[Variable]) -> list[Variable]:
    interner = Interner()
    for phase in PHASES:
        outputs = Rewriter(phase, interner).rewrite(outputs)
    return outputs


def m(dtype: str = "float64", shape: tuple[Any, ...] = (2, 3), name: str = "m") -> Placeholder:
    return Placeholder(TensorType.make(dtype, shape), name)


N = gf.Dim.symbol("rows")
EXAMPLES: dict[str, list[Callable[[], Variable]]] = {
    "op(constants) -> constant": [
        lambda: m() * gf.exp(gf.constant([1.0, 2.0, 3.0])),
        lambda: m() + gf.matmul(gf.constant(np.ones((2, 2))), gf.constant([[1.0, 2, 3], [4, 5, 6]])),
        lambda: m("int32") * gf.sum(gf.constant(np.arange(5, dtype="int32")), dtype="int32"),
    ],
    "composed op -> its expansion": [
        lambda: gf.nn.softmax(m()), lambda: gf.mean(m(shape=(N, 3)), 0), lambda: gf.var(m(), 1, keepdims=True),
        lambda: gf.logsumexp(m(shape=(N, 3)), 1), lambda: gf.nn.log_softmax(m(), 0),
    ],
    # views
    "transpose(transpose(x)) -> transpose(x)": [
        lambda: Transpose((1, 0, 2))(Transpose((0, 2, 1))(m(shape=(2, 3, 4)))),
        lambda: Transpose((1, 0))(Transpose((1, 0))(m())),
        lambda: Transpose((0, 1))(m()),
        lambda: Transpose((1, 0))(m(shape=(1, N))),
    ],
    "reshape(reshape(x)) -> reshape(x)": [
        lambda: gf.reshape(gf.reshape(m(), (6,)), (3, 2)), lambda: gf.reshape(gf.expand_dims(m(shape=(N, 3)), 1), (-1,)),
        lambda: Reshape((2, 3))(m()), lambda: gf.reshape(gf.reshape(m(shape=(N, 3)), (-1,)), (N, 3)),
    ],
    "reshape that only adds or drops sizes of 1 -> expand_dims(squeeze(x))": [
        lambda: gf.reshape(m(shape=(1, N, 1, 3)), (N, 1, 1, 3, 1)), lambda: gf.reshape(m(), (2, 1, 3)), lambda: gf.reshape(m(shape=(1, 1)), ()),
    ],
    "expand_dims(expand_dims(x)) -> expand_dims(x)": [
        lambda: gf.expand_dims(gf.expand_dims(m(), 1), 0), lambda: gf.expand_dims(gf.expand_dims(m(shape=(N, 3)), 2), (0, 3)),
        lambda: gf.expand_dims(gf.reshape(m(), (6,)), 1), lambda: gf.expand_dims(gf.squeeze(m(shape=(2, 1, 3)), 1), 1),
    ],
    "squeeze(expand_dims(x)) -> x": [
        lambda: gf.squeeze(gf.expand_dims(m(), 1), 1), lambda: gf.squeeze(gf.expand_dims(m(shape=(1, N)), 2), 0),
        lambda: gf.squeeze(gf.squeeze(m(shape=(1, 2, 1)), 0), 1), lambda: gf.squeeze(gf.reshape(m(), (6, 1)), 1),
    ],
    "x[:] -> x": [lambda: Slice((0, 0), (1, 1), (N, 3))(m(shape=(N, 3))), lambda: m(shape=(1, 3))[0], lambda: m(shape=(N, 1))[:, 0]],
    "x[a:][b:] -> x[a + b:]": [
        lambda: m(shape=(9, 3))[1:][2:5], lambda: m(shape=(9, 3))[::-2][1:, 1], lambda: m(shape=(9, 3))[4][::-1], lambda: m(shape=(N, 3))[1:][1:, 2],
    ],
    "slice(pad(x)) at its place -> x": [lambda: gf.pad(m(), 2)[2:4, 2:5], lambda: Slice((1, 0), (2, 1), (2, 3))(Pad((1, 0), (2, 1), (9, 3), 0)(m()))],
    "concatenate(x, y)[:len(x)] -> x": [
        lambda: gf.concatenate([m(), m(name="n")])[2:], lambda: gf.concatenate([m(shape=(N, 3)), m(shape=(N, 2))], 1)[:, 3:5],
        lambda: gf.concatenate([m(), m(name="n")])[3], lambda: gf.concatenate([m(), m(name="n")])[3:1:-1],
    ],
    "pad(x) by nothing -> x": [lambda: Pad((0, 0), (1, 1), (2, 3), 1.0)(m())],
    "concatenate(x) -> x": [lambda: Concatenate(0)(m()), lambda: gf.concatenate([m(shape=(0, 3)), m(), m(name="n")])],
    "concatenate(concatenate(x, y), z) -> concatenate(x, y, z)": [
        lambda: gf.concatenate([m(), gf.concatenate([m(), m(name="n")])]), lambda: gf.concatenate([gf.concatenate([m(), m()], 1), m(name="n")], 1),
    ],
    "cast(cast(x)) -> cast(x) where the first keeps every value": [
        lambda: gf.cast(gf.cast(m("float32"), "float64"), "float32"), lambda: gf.cast(gf.cast(m("int16"), "float32"), "int32"),
        lambda: gf.cast(gf.cast(m("bool"), "float32"), "bool"), lambda: gf.cast(gf.cast(m("uint8"), "int64"), "int8"),
    ],
    # broadcasts
    "op(broadcast(x), y) -> broadcast(op(x, y))": [
        lambda: gf.broadcast_to(m(shape=(3,)), (2, 3)) + m(), lambda: gf.exp(gf.broadcast_to(m(shape=(1, 3)), (N, 3))),
        lambda: m(shape=(N, 3)) * gf.expand_dims(m(shape=(3,), name="r"), 0), lambda: m() + gf.constant(np.full((4, 1, 3), 2.0)),
        lambda: gf.where(gf.ones((2, 3), "bool"), gf.broadcast_to(m(shape=()), (2, 3)), m(name="n")),
    ],
    "view(broadcast(x)) -> broadcast(x) for one element x": [
        lambda: gf.transpose(gf.broadcast_to(m(shape=()), (2, N))), lambda: gf.reshape(gf.broadcast_to(m(shape=(1, 1)), (2, 3)), (6,)),
        lambda: gf.broadcast_to(m(shape=()), (4, 3))[1:, 0],
    ],
    "broadcast(broadcast(x)) -> broadcast(x)": [
        lambda: gf.broadcast_to(gf.broadcast_to(m(shape=(3,)), (2, 3)), (4, 2, 3)), lambda: BroadcastTo((2, 3))(m()),
        lambda: gf.broadcast_to(gf.expand_dims(m(shape=(3,)), 0), (N, 3)), lambda: gf.broadcast_to(gf.constant(np.ones((1, 3))), (2, 3)),
    ],
    "op(c, x) -> op(x, c) for commutative ops": [
        lambda: gf.constant([1.0, 2.0, 4.0]) + m(), lambda: gf.maximum(2.0, m()), lambda: (lambda a, b: b * a)(m(), m(name="n")),
        lambda: gf.not_equal(1, m("int32")),
    ],
    # reductions
    "reduce over an axis of size 1 -> squeeze": [
        lambda: gf.sum(m(shape=(1, N)), 0), lambda: gf.max(m(shape=(2, 1, 3)), (0, 1)), lambda: gf.any(m("bool", (N, 1)), 1), lambda: Sum(())(m()),
    ],
    "sum(sum(x)) -> sum(x)": [
        lambda: gf.sum(gf.sum(m(shape=(2, N, 4)), 1), 0), lambda: gf.max(gf.max(m(), 0), 0), lambda: gf.prod(gf.prod(m(shape=(2, 3, 4)), 2), 0), lambda: gf.all(gf.all(m("bool"), 0)),
    ],
    "sum(view(x)) -> view(sum(x))": [
        lambda: gf.sum(Transpose((2, 0, 1))(m(shape=(2, N, 4))), 0), lambda: gf.min(Transpose((2, 0, 1))(m(shape=(2, 3, 4))), 2),
        lambda: gf.sum(gf.expand_dims(m(shape=(N, 3)), (0, 2)), 1), lambda: gf.max(gf.squeeze(m(shape=(2, 1, 3)), 1), 1),
        lambda: gf.sum(gf.reshape(m(shape=(N, 3)), (-1,))), lambda: gf.max(gf.reshape(m(), (6,))),
    ],
    "sum(broadcast(x)) -> count * sum(x)": [
        lambda: gf.sum(gf.broadcast_to(m(), (N, 2, 3)), (0, 1)), lambda: gf.sum(gf.broadcast_to(m(shape=(2, 1)), (2, 5)), 1),
        lambda: gf.sum(gf.broadcast_to(m(shape=(2, 1)), (7, 2, 5)), 2), lambda: gf.sum(gf.zeros((N, 3), "int32") + 4), lambda: gf.sum(gf.broadcast_to(m(shape=(1, 3)), (4, 3)), (0, 1)),
    ],
    "sum(c * x) -> c * sum(x) for c that is the same along the axes": [
        lambda: gf.sum(m() * 2.5), lambda: gf.sum(m(shape=(N, 3)) * m(shape=(), name="c"), 0), lambda: gf.sum(m() * m(shape=(2, 1), name="c"), 1),
        lambda: gf.sum(m() / m(shape=(3,), name="c"), 0), lambda: gf.sum(m("int32") * 3, dtype="int32"),
    ],
    "max(broadcast(x)) -> max(x)": [lambda: gf.max(gf.broadcast_to(m(shape=(2, 1)), (4, 2, 3)), (0, 2)), lambda: Max((0,))(gf.broadcast_to(m(), (2, 2, 3)))],
    "min(broadcast(x)) -> min(x)": [lambda: gf.min(gf.broadcast_to(m(), (5, 2, 3)), (0, 1)), lambda: Min((1,))(gf.broadcast_to(m(shape=(2, 1)), (2, 3)))],
    # contractions
    "contract(transpose(x), y) -> contract(x, y)": [
        lambda: m().T @ m(shape=(2, 4), name="n"), lambda: m(shape=(N, 3)) @ m(shape=(4, 3), name="n").T, lambda: gf.tensordot(Transpose((2, 0, 1))(m(shape=(2, 3, 4))), m(shape=(4, 5), name="n"), ([0], [0])),
    ],
    "transpose(contract(x, y)) -> contract(x, y)": [lambda: (m() @ m(shape=(3, 4), name="n")).T, lambda: (m(shape=(3, 2)).T @ m(shape=(4, 3), name="n").T).T],
    "contract(-x, y) -> -contract(x, y)": [lambda: (-m()) @ m(shape=(3, 4), name="n"), lambda: m() @ (-m(shape=(3, 4), name="n"))],
    # powers
    "x ** n -> products of x for a small whole n": [lambda n=n: m("float64") ** n for n in (0, 1, 2, 3, 5, 8, -1, -2, -3)] + [lambda n=n: m("int8") ** n for n in (0, 1, 2, 3, 7)],
    "x ** 0.5 -> sqrt(x)": [lambda n=n: m() ** n for n in (0.5, -0.5, 1.5, -1.5)],
    # gradients
    "(a / y + b) * y -> a + b * y for y > 0": [
        lambda: (lambda y: (m(name="a") / y) * y)(gf.exp(m())),
        lambda: (lambda y: y * (m(name="b") * (m(name="a") / y) - m(name="c")))(gf.nn.sigmoid(m())),
        lambda: (lambda y, z: (m(name="a") / y - m(name="b") / z) * (y * z))(gf.exp(m()), gf.nn.softmax(m(name="n"))),
        lambda: (lambda x: gf.grad(gf.sum(m(name="t") * gf.log(gf.nn.softmax(x))), x))(m()),
    ],
    "(a * y) / y -> a for y > 0": [lambda: (lambda y: (m(name="a") * y) / y)(gf.exp(m()))],
    "exp(x) / sum(exp(x)) -> softmax(x)": [
        lambda: (lambda e: e / gf.sum(e, 1, keepdims=True))(gf.exp(m(shape=(N, 3)))), lambda: (lambda e: e / gf.sum(e, 0))(gf.exp(m())),
    ],
    "exp(x) * (a / sum(exp(x))) -> a * softmax(x)": [
        lambda: (lambda x: gf.grad(gf.sum(gf.log(gf.sum(gf.exp(x), 1))), x))(m(shape=(N, 3))),
        lambda: (lambda x: gf.grad(gf.sum(m(shape=(3,), name="t") * gf.log(gf.sum(gf.exp(x), 0))), x))(m()),
        lambda: (lambda x: gf.grad(gf.sum(gf.log(gf.sum(gf.exp(x), 0, keepdims=True))), x))(m()),
    ],
}


def test_every_procedural_rule_has_examples() -> None:
    assert set(EXAMPLES) == set(PROCEDURAL)


def feeds_of(v: Variable) -> dict[Variable, Any]:
    rng = np.random.default_rng(3)
    found: dict[Variable, Any] = {m(shape=(N,)): np.zeros(4)}  # gives N a value
    for leaf in leaves([v]):
        if not isinstance(leaf, Constant):
            shape = tuple(4 if not isinstance(s, int) else s for s in leaf.shape)
            found[leaf] = (rng.uniform(0.3, 2.0, shape) if leaf.dtype.kind == "f" else rng.integers(0, 100, shape) % 51).astype(leaf.dtype)
    return found


@pytest.mark.parametrize(("doc", "make"), [(doc, make) for doc, makes in EXAMPLES.items() for make in makes])
def test_procedural_rules(doc: str, make: Callable[[], Variable]) -> None:
    v = make()
    new, rewriter = rewrite(v, phase=1 if doc.startswith("composed") else 0)
    assert rewriter.stats.fired[doc] >= 1, rewriter.stats.fired
    assert new.type == v.type
    feeds = feeds_of(v)
    old_value, new_value = evaluate([v], feeds)[0], evaluate([new], feeds)[0]
    if PROCEDURAL[doc].assumes == "nothing" or v.dtype.kind != "f":
        assert np.array_equal(old_value, new_value)
    else:
        np.testing.assert_allclose(new_value, old_value, rtol=1e-12, atol=1e-12)


def ops(v: Variable) -> list[str]:
    return [node.op.name for node in toposort([v])]


@pytest.mark.parametrize(
    ("v", "left"),
    [
        (lambda: gf.sum(m() * m(name="n"), 0), ["multiply", "sum"]),
        (lambda: gf.sum(m() * m(shape=(2, 1), name="n"), 0), ["multiply", "sum"]),
        (lambda: gf.max(gf.broadcast_to(m(), (N, 2, 3)), 0), ["broadcast_to", "max"]),  # N may be 0
        (lambda: gf.cast(gf.cast(m("int32"), "float32"), "int32"), ["cast", "cast"]),
        (lambda: gf.cast(gf.cast(m("int16"), "float32"), "int8"), ["cast", "cast"]),
        (lambda: gf.cast(gf.cast(m("float64"), "float32"), "float64"), ["cast", "cast"]),
        (lambda: gf.cast(gf.cast(m("int8"), "uint8"), "int16"), ["cast", "cast"]),
        (lambda: gf.concatenate([m(), m(name="n")])[1:3], ["concatenate", "slice"]),
        (lambda: gf.pad(m(), 2)[1:3, 2:5], ["pad", "slice"]),
        (lambda: gf.reshape(m(), (3, 2)), ["reshape"]),
        (lambda: Transpose((1, 0))(m()), ["transpose"]),
        (lambda: m() ** 9, ["power"]),
        (lambda: m() / 3, ["divide"]),
        (lambda: (m() / m(name="y")) * m(name="y2"), ["divide", "multiply"]),
        (lambda: (lambda y: (m() / y) * y)(m(name="y")), ["divide", "multiply"]),
        (lambda: gf.invert(gf.less(m(), m(name="n"))), ["less", "invert"]),
        (lambda: gf.equal(m(), m()), ["equal"]),
        (lambda: (lambda x: gf.equal(x, x))(m()), ["equal"]),
        (lambda: (m("float32") * 1e-30) * 1e-30, ["multiply", "multiply"]),
        (lambda: (m("float32") + 3e38) + 3e38, ["add", "add"]),
        (lambda: gf.arange(100) + m("int64", (100,)), ["arange", "add"]),
        (lambda: gf.broadcast_to(gf.constant([1.0, 2.0]), (50, 2)), ["broadcast_to"]),
        (lambda: gf.exp(gf.constant(np.arange(70_000.0))) + m(shape=(70_000,)), ["exp", "add"]),
    ],
)
def test_what_must_stay(v: Callable[[], Variable], left: list[str]) -> None:
    assert ops(rewrite(v())[0]) == left


# --- what stabilisation promises -----------------------------------------------------------------
def x_of(*points: float, dtype: str = "float64") -> tuple[Placeholder, np.ndarray[Any, Any]]:
    return m(dtype, (len(points),), "x"), np.array(points, dtype)


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("formula", "point", "expected"),
    [
        (lambda x: gf.log(1 + gf.exp(x)), 1000.0, 1000.0),
        (lambda x: gf.log(1 + gf.exp(x)), -50.0, math.exp(-50.0)),
        (lambda x: gf.log(gf.nn.sigmoid(x)), -1000.0, -1000.0),
        (lambda x: gf.log(1 - gf.nn.sigmoid(x)), 1000.0, -1000.0),
        (lambda x: gf.log(1 / (1 + gf.exp(-x))), -1000.0, -1000.0),
        (lambda x: gf.log(1 + x), 1e-20, 1e-20),
        (lambda x: gf.log(1 - x), 1e-20, -1e-20),
        (lambda x: gf.exp(x) - 1, 1e-20, 1e-20),
        (lambda x: 1 - gf.exp(x), 1e-20, -1e-20),
        (lambda x: 1 - gf.nn.sigmoid(x), 50.0, math.exp(-50.0)),
        (lambda x: 1 - gf.erf(x), 10.0, math.erfc(10.0)),
        (lambda x: gf.exp(x) / (1 + gf.exp(x)), 1000.0, 1.0),
        (lambda x: gf.exp(2.0 - x) / (gf.exp(2.0 - x) + 1), -1000.0, 1.0),
        (lambda x: (gf.exp(x) - gf.exp(-x)) / (gf.exp(x) + gf.exp(-x)), 1000.0, 1.0),
        (lambda x: (gf.exp(2 * x) - 1) / (gf.exp(2 * x) + 1), 1000.0, 1.0),
        (lambda x: (1 - gf.exp(-2 * x)) / (1 + gf.exp(-2 * x)), -1000.0, -1.0),
        (lambda x: gf.log(x * x), 1e-200, -400 * math.log(10)),
        (lambda x: gf.sqrt(x**2), 1e200, 1e200),
        (lambda x: gf.log(gf.exp(x)), 1000.0, 1000.0),
    ],
)
def test_stable_where_the_formula_is_not(formula: Callable[[Variable], Variable], point: float, expected: float) -> None:
    x, value = x_of(point)
    v = formula(x)
    new, _ = rewrite(v)
    (before,), (after,) = evaluate([v], {x: value})[0], evaluate([new], {x: value})[0]
    assert not abs(before - expected) <= 1e-12 * abs(expected)
    assert abs(after - expected) <= 1e-15 * abs(expected)


LOGITS = np.array([[1000.0, 0.0, -1000.0], [3.0, -2.0, 0.5], [-800.0, 800.0, 10.0]])
TARGETS = np.array([[0.0, 0.0, 1.0], [0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def sigmoid(x: Any) -> Any:
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), 1 - 1 / (1 + np.exp(-np.abs(x))))


def written_softmax(x: Variable) -> Variable:
    e = gf.exp(x)
    return e / gf.sum(e, 1, keepdims=True)


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [
        (lambda x, t: -gf.sum(t * gf.log(gf.nn.softmax(x))), lambda x, t: softmax(x) - t),
        (lambda x, t: gf.mean(-gf.sum(t * gf.log(gf.nn.softmax(x)), 1)), lambda x, t: (softmax(x) - t) / 3),
        (lambda x, t: -gf.sum(t * gf.log(written_softmax(x))), lambda x, t: softmax(x) - t),
        (lambda x, t: gf.sum(gf.log(gf.sum(gf.exp(x), 1))), lambda x, t: softmax(x)),
        (lambda x, t: -gf.sum(t * gf.log(gf.nn.sigmoid(x)) + (1 - t) * gf.log(1 - gf.nn.sigmoid(x))), lambda x, t: sigmoid(x) - t),
        (lambda x, t: -gf.sum(t * gf.log(1 / (1 + gf.exp(-x))) + (1 - t) * gf.log(1 - 1 / (1 + gf.exp(-x)))), lambda x, t: sigmoid(x) - t),
        (lambda x, t: gf.sum(gf.log(1 + gf.exp(x))), lambda x, t: sigmoid(x)),
        (lambda x, t: gf.sum(gf.log1p(gf.exp(-x))), lambda x, t: -sigmoid(-x)),
        (lambda x, t: gf.sum(gf.log(1 + gf.exp(t - x))), lambda x, t: -sigmoid(t - x)),
        (lambda x, t: gf.sum(gf.log(1 + gf.exp(2 * x + 1))), lambda x, t: 2 * sigmoid(2 * x + 1)),
        (lambda x, t: gf.sum(gf.log(1 + gf.exp(-x * (t + 1)))), lambda x, t: -(t + 1) * sigmoid(-x * (t + 1))),
    ],
    ids=[
        "softmax", "mean softmax", "written softmax", "logsumexp", "sigmoid", "written sigmoid",
        "softplus", "softplus of -x", "softplus of t - x", "softplus of 2 x", "softplus of x t",
    ],
)
def test_gradients_of_losses_are_stable(loss: Callable[..., Variable], gradient: Callable[..., Any]) -> None:
    x, t = m(shape=(N, 3), name="x"), m(shape=(N, 3), name="t")
    cost = loss(x, t)
    slope = gf.grad(cost, x)
    outputs = through_all_phases([cost, slope])
    feeds = {x: LOGITS, t: TARGETS}
    assert not np.isfinite(evaluate([slope], feeds)[0]).all()
    value, found = evaluate(outputs, feeds)
    assert np.isfinite(value)
    np.testing.assert_allclose(found, gradient(LOGITS, TARGETS), rtol=1e-12, atol=1e-300)


def test_both_phases_leave_no_composed_op() -> None:
    x = m(shape=(N, 3), name="x")
    outputs = through_all_phases([gf.nn.log_softmax(x), gf.var(x, 0), gf.logsumexp(x, 1)])
    made = {node.op.name for node in toposort(outputs)}
    assert not made & {"log_softmax", "softmax", "var", "mean", "logsumexp"}


# --- every op, by its samples ----------------------------------------------------------------------
DTYPES = {"float": "float64", "int": "int32", "number": "float64", "any": "float64"}
SAMPLES = [(op, sample) for op in REGISTRY.classes if op.__module__.startswith("graphflow.ops") for sample in op.samples()]


def sample_inputs(sample: Sample, size: int) -> dict[Placeholder, Any]:
    rng = np.random.default_rng(size)
    dims: dict[str, Any] = {}

    def value(i: In) -> tuple[Placeholder, Any]:
        dtype = np.dtype(DTYPES.get(i.kind, i.kind))
        shape = tuple(size if isinstance(a, str) else a for a in i.axes)
        low, high = (0, 2) if dtype.kind == "b" else (int(i.low), int(i.high) + 1)
        data = rng.uniform(i.low, i.high, shape) if dtype.kind == "f" else rng.integers(low, high, shape)
        axes = tuple(dims.setdefault(a, gf.Dim.symbol(a)) if isinstance(a, str) else a for a in i.axes)
        return m(str(dtype), axes), data.astype(dtype)

    return dict(map(value, sample.inputs))


@pytest.mark.parametrize("op", dict.fromkeys(op for op, _ in SAMPLES), ids=lambda op: op.name)
def test_rewriting_keeps_the_values_and_gradients_of_every_op(op: type[Op]) -> None:
    for sample in op.samples():
        for size in (3, 1):
            feeds = sample_inputs(sample, size)
            result = sample.make(*feeds)
            outputs = list(result) if isinstance(result, tuple | list) else [result]
            floats = [v for v in feeds if v.dtype.kind == "f"]
            if sample.grad and floats and outputs[0].dtype.kind == "f":
                y = outputs[0]
                outputs += gf.grad(gf.sum(gf.square(y) + 0.5 * y), floats, disconnected_inputs="ignore")
            new = through_all_phases(outputs)
            assert [v.type for v in new] == [v.type for v in outputs]
            for a, b in zip(evaluate(outputs, feeds), evaluate(new, feeds), strict=True):
                np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-9)
