"""Every pattern rule, through the sets it is used with: it fires, keeps the type, and keeps the value.

"nothing" rules keep the bits, on infinities and NaN too; "real" rules are compared with the
left side in 500 digits: nowhere less accurate than it was.  Procedural rules are tested in
test_rules_by_example.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler.intern import Interner
from graphflow.compiler.pattern import Call, Hole, PatternRule, build, example
from graphflow.compiler.reference import evaluate
from graphflow.compiler.rewrite import RewriteOptions, Rewriter, Rule, RuleSet
from graphflow.compiler.rules import PHASES, RULE_SETS
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Constant, Placeholder, Variable, constant
from graphflow.ops.elementwise import Cast

RULES = [(rules, rule) for rules in RULE_SETS for rule in rules.rules]
PATTERNS = [(rules, rule) for rules, rule in RULES if isinstance(rule, PatternRule)]
RNG = np.random.default_rng(7)


def named(cases: list[tuple[RuleSet, Rule]]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=[f"{s.name}: {r.doc}" for s, r in cases])


def rewrite(v: Variable, phase: int = 0, fastmath: bool = False) -> tuple[Variable, Rewriter]:
    rewriter = Rewriter(PHASES[phase], Interner(), RewriteOptions(fastmath))
    (new,) = rewriter.rewrite([v])
    return new, rewriter


def test_every_rule_is_named_once_and_has_a_home() -> None:
    docs = [rule.doc for _, rule in RULES]
    assert len(set(docs)) == len(docs)
    assert all("->" in doc for doc in docs)
    assert {id(s) for phase in PHASES for s in phase} == {id(s) for s in RULE_SETS}


# --- graphs from left sides ----------------------------------------------------------------------
# Bindings for what a plain matrix does not satisfy.
SPECIAL: dict[str, dict[str, Callable[[Variable], Variable]]] = {
    "abs(x) -> x for x proved >= 0": {"x": gf.exp},
    "relu(x) -> x for x proved >= 0": {"x": gf.exp},
}
SCALARS = {"c": 2.5, "d": 0.75}
INTEGERS = {"c": 5, "d": 3}


def holes(pattern: Any) -> Iterator[Hole]:
    if isinstance(pattern, Hole):
        yield pattern
    elif isinstance(pattern, Call):
        for a in pattern.args:
            yield from holes(a)


def left_side(rule: PatternRule, dtype: str, shape: tuple[Any, ...]) -> tuple[Variable, dict[str, Variable]] | None:
    """The graph of a left side with holes of one dtype (bool where they are bool), or None if they are of another kind."""
    bound = example(rule.left)
    fed: dict[str, Variable] = {}
    for h in holes(rule.left):
        kind = "bool" if h.kind == "bool" else dtype
        if not h.accepts(constant(np.zeros((), kind))):
            return None
        if h.scalar:
            value = 4.0 if "power of two" in rule.doc else (INTEGERS if kind.startswith("int") else SCALARS)[h.name]
            bound[h.name] = constant(value, kind)
            continue
        if h.name not in fed:
            fed[h.name] = Placeholder(TensorType.make(kind, shape), h.name)
        bound[h.name] = SPECIAL.get(rule.doc, {}).get(h.name, lambda v: v)(fed[h.name])
    if rule.doc.endswith("for y = -x"):
        bound["y"] = gf.negative(fed["x"])
        del fed["y"]
    v = build(rule.left, bound)
    cast = any(isinstance(node.op, Cast) for node in toposort([v])) and "cast" not in rule.doc
    return None if cast else (v, fed)  # another dtype than the pattern's ops work in


DIM = gf.Dim.symbol("n")
VARIANTS = [("float64", (2, 3)), ("float32", (DIM, 3)), ("float64", (1, DIM)), ("float32", (1, 1)), ("int32", (2, 3)), ("int8", (DIM, 3)), ("bool", (DIM, 3))]


@named(PATTERNS)
def test_it_fires_and_keeps_the_type(case: tuple[RuleSet, PatternRule]) -> None:
    _, rule = case
    graphs = [g for g in (left_side(rule, dtype, shape) for dtype, shape in VARIANTS) if g]
    assert graphs
    for v, fed in graphs:
        if "axes=" in rule.doc and any(s == 1 for s in v.owner.inputs[0].shape):
            continue  # a sum over an axis of size 1 is gone before
        new, rewriter = rewrite(v, fastmath=rule.assumes == "finite")
        assert rewriter.stats.fired[rule.doc] >= 1, f"{v.type}: {rewriter.stats.fired}"
        assert new.type == v.type
        assert {v for v in leaves([new]) if not isinstance(v, Constant)} <= set(fed.values())


SPECIALS = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3e38, -1e-40, np.inf, -np.inf, np.nan, 7.0])


def values(v: Variable, specials: bool) -> np.ndarray[Any, Any]:
    shape = tuple(4 if not isinstance(s, int) else s for s in v.shape)
    if v.dtype.kind == "b":
        return RNG.integers(0, 2, shape).astype(bool)
    if v.dtype.kind in "iu":
        return RNG.integers(-100, 100, shape).astype(v.dtype)
    return (RNG.choice(SPECIALS, shape) if specials else RNG.uniform(0.3, 2.0, shape) * RNG.choice([-1, 1], shape)).astype(v.dtype)


def same_bits(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    if a.dtype.kind == "f":
        nan = np.isnan(a) & np.isnan(b)
        a, b = (np.where(nan, 0, v).astype(v.dtype) for v in (a, b))
        return bool(np.array_equal(a, b) and np.array_equal(np.signbit(a), np.signbit(b)))
    return bool(np.array_equal(a, b))


@named([c for c in PATTERNS if c[1].assumes == "nothing"])
def test_what_assumes_nothing_keeps_the_bits(case: tuple[RuleSet, PatternRule]) -> None:
    _, rule = case
    for dtype, shape in VARIANTS:
        graph = left_side(rule, dtype, shape)
        for _ in range(4 if graph else 0):
            v, fed = graph  # type: ignore[misc]
            alone = Rewriter([RULE_SETS[0], RuleSet("alone", [rule])], Interner())
            (new,) = alone.rewrite([v])
            assert alone.stats.fired[rule.doc]
            feeds = {x: values(x, specials=True) for x in fed.values()}
            old_value, new_value = evaluate([v], feeds)[0], evaluate([new], feeds)[0]
            assert same_bits(old_value, new_value), f"{old_value}\n{new_value}"


@named([c for c in PATTERNS if c[1].assumes != "nothing"])
def test_on_integers_every_rule_is_exact(case: tuple[RuleSet, PatternRule]) -> None:
    _, rule = case
    graph = left_side(rule, "int8", (DIM, 3))
    if graph is None or graph[0].dtype.kind == "f":
        return
    v, fed = graph
    new, rewriter = rewrite(v)
    assert rewriter.stats.fired[rule.doc]
    feeds = {x: values(x, specials=False) for x in fed.values()}
    assert same_bits(evaluate([v], feeds)[0], evaluate([new], feeds)[0])


@named([c for c in PATTERNS if c[1].assumes == "finite"])
def test_on_finite_values_finite_rules_are_exact(case: tuple[RuleSet, PatternRule]) -> None:
    v, fed = left_side(case[1], "float64", (2, 3))  # type: ignore[misc]
    assert rewrite(v)[1].stats.fired[case[1].doc] == 0
    new, _ = rewrite(v, fastmath=True)
    feeds = {x: values(x, specials=False) for x in fed.values()}
    assert np.array_equal(evaluate([v], feeds)[0], evaluate([new], feeds)[0])


# --- against 500 digits --------------------------------------------------------------------------
def real(fn: Callable[..., Any]) -> Callable[..., Any]:
    """fn on object arrays of mpf; NaN where it is not real or not defined."""

    def one(*xs: Any) -> Any:
        try:
            y = fn(*xs)
        except (ZeroDivisionError, ValueError):
            return mpmath.nan
        return y if isinstance(y, mpmath.mpf) else mpmath.nan

    return lambda *arrays: np.asarray(np.frompyfunc(one, len(arrays), 1)(*arrays), object)


def high_softmax(x: Any, axis: int) -> Any:
    e = HIGH["exp"](x)
    return e / e.sum(axis=axis, keepdims=True)


HIGH: dict[str, Callable[..., Any]] = {
    "add": real(lambda a, b: a + b),
    "subtract": real(lambda a, b: a - b),
    "multiply": real(lambda a, b: a * b),
    "divide": real(lambda a, b: a / b),
    "negative": real(lambda a: -a),
    "square": real(lambda a: a * a),
    "relu": real(lambda a: max(a, mpmath.mpf(0))),
    "sigmoid": real(lambda a: 1 / (1 + mpmath.exp(-a))),
    "softplus": real(lambda a: mpmath.log(1 + mpmath.exp(a))),
    "exp2": real(lambda a: mpmath.power(2, a)),
    "log2": real(lambda a: mpmath.log(a, 2)),
    "log1p": real(lambda a: mpmath.log(1 + a)),
    "expm1": real(lambda a: mpmath.exp(a) - 1),
    "abs": real(abs),
    **{name: real(getattr(mpmath, name)) for name in ("exp", "log", "sqrt", "tanh", "erf", "erfc", "cosh")},
}
HIGH_FOLDS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda op, x: x.sum(axis=op.axes),
    "softmax": lambda op, x: high_softmax(x, op.axis),
    "log_softmax": lambda op, x: HIGH["log"](high_softmax(x, op.axis)),
}


def evaluate_high(v: Variable, feeds: dict[Variable, Any]) -> Any:
    """v in 500 digits; object array."""
    to_high = np.frompyfunc(lambda x: mpmath.mpf(float(x)), 1, 1)
    known = {x: np.asarray(to_high(value), object) for x, value in feeds.items()}
    with mpmath.workdps(500):
        for leaf in leaves([v]):
            if isinstance(leaf, Constant):
                known[leaf] = np.asarray(to_high(leaf.value), object)
        for node in toposort([v]):
            name, inputs = node.op.name, [known[x] for x in node.inputs]
            known[node.outputs[0]] = HIGH_FOLDS[name](node.op, *inputs) if name in HIGH_FOLDS else HIGH[name](*inputs)
        return known[v]


def error(value: Any, exact: Any, scale: float, info: Any) -> float:
    """Relative error; 0 where both overflow, or both underflow."""
    if mpmath.isnan(exact):
        return 0.0
    if math.isnan(value):
        return math.inf
    if abs(exact) > float(info.max):
        return 0.0 if math.isinf(value) and (value > 0) == (exact > 0) else math.inf
    if math.isinf(value):
        return math.inf
    return float(abs(mpmath.mpf(float(value)) - exact) / max(abs(exact), scale, float(info.tiny) / float(info.eps)))


POINTS = np.array([0.0, 1e-9, -1e-9, 1e-4, -1e-4, 0.1, -0.1, 0.7, -0.7, 1.0, -1.0, 3.0, -3.0, 12.0, -12.0, 30.0, -30.0, 80.0, -80.0, 95.0, -95.0, 300.0, -300.0, 700.0, -700.0, 900.0, -900.0, 5.5, -5.5, 2.0])
OTHERS = np.resize([0.3, -1.7, 2.9, 0.8], POINTS.shape)


@named([c for c in PATTERNS if c[1].assumes == "real"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_assumes_real_arithmetic_is_nowhere_less_accurate(case: tuple[RuleSet, PatternRule], dtype: str) -> None:
    rules, rule = case
    v, fed = left_side(rule, dtype, (10, 3))  # type: ignore[misc]
    new, _ = rewrite(v)
    first = next(iter(fed))
    feeds = {x: (POINTS if name == first and name != "a" else OTHERS).reshape(10, 3).astype(dtype) for name, x in fed.items()}
    if "a" in fed and "x" in fed:
        feeds[fed["x"]] = POINTS.reshape(10, 3).astype(dtype)
    exact = evaluate_high(v, feeds)
    old_value, new_value = evaluate([v], feeds)[0], evaluate([new], feeds)[0]
    info = np.finfo(dtype)
    scale = 0.0 if rules.name in ("stabilize", "recognize") else float(max(np.abs(x).max() for x in feeds.values()))
    for before, after, truth in zip(old_value.flat, new_value.flat, np.asarray(exact).flat, strict=True):
        bound = max(1.5 * error(before, truth, scale, info), 16 * float(info.eps))
        assert error(after, truth, scale, info) <= bound, f"{mpmath.nstr(truth, 20)}: {before} became {after}"
        if mpmath.isnan(truth):
            assert math.isnan(before) == math.isnan(after)
