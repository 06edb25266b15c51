"""Reductions: over nothing, over other reductions, over views, and with factors taken out."""

from __future__ import annotations

from graphflow.compiler.facts import made_by
from graphflow.compiler.pattern import P, hole, param, procedural, rule
from graphflow.compiler.rewrite import Replacement, RewriteOptions, Rule
from graphflow.graph.dim import product
from graphflow.graph.types import Shape
from graphflow.graph.variable import Apply, Variable
from graphflow.ops.creation import dim_value
from graphflow.ops.elementwise import Divide, Multiply, cast, divide, multiply
from graphflow.ops.reduction import All, Any_, Max, Min, Prod, Reduction, Sum
from graphflow.ops.shape import (
    BroadcastTo,
    ExpandDims,
    Reshape,
    Squeeze,
    Transpose,
    broadcast_to,
    expand_dims,
    is_one,
    squeeze,
    transpose,
)

x = hole("x")
axes = param("axes", (1,))

PLAIN = (Sum, Prod, Max, Min, Any_, All)  # nothing happens to elements before, or to results after


@procedural(Reduction, "reduce over an axis of size 1 -> squeeze")
def reduction_of_ones(node: Apply, options: RewriteOptions) -> Replacement:
    """Also over no axes."""
    assert isinstance(node.op, Reduction)
    if type(node.op) not in PLAIN:
        return None
    v = node.inputs[0]
    ones = tuple(a for a in node.op.axes if is_one(v.shape[a]))
    rest = [a for a in node.op.axes if a not in ones]
    if node.op.axes and not ones:
        return None
    v = squeeze(v, ones) if ones else v
    left = tuple(a - sum(o < a for o in ones) for a in rest)
    return type(node.op)(left)(v) if left else v


@procedural(Reduction, "sum(sum(x)) -> sum(x)", assumes="real")
def merge_reductions(node: Apply, options: RewriteOptions) -> Replacement:
    """Of one kind: also prod, max, min, any, all."""
    assert isinstance(node.op, Reduction)
    v = node.inputs[0]
    if type(node.op) not in PLAIN or v.owner is None or type(v.owner.op) is not type(node.op):
        return None
    inner = v.owner.op.axes
    source = v.owner.inputs[0]
    kept = [a for a in range(source.ndim) if a not in inner]
    return type(node.op)(tuple(sorted([*inner, *(kept[a] for a in node.op.axes)])))(source)  # type: ignore[no-any-return]


@procedural(Reduction, "sum(view(x)) -> view(sum(x))", assumes="real")
def reduction_of_view(node: Apply, options: RewriteOptions) -> Replacement:
    """Of transposes, of new or dropped axes of size 1, and of a reshape that is summed entirely."""
    assert isinstance(node.op, Reduction)
    v, reduced = node.inputs[0], node.op.axes
    if type(node.op) not in PLAIN or v.owner is None:
        return None
    view, source, reduce = v.owner.op, v.owner.inputs[0], type(node.op)
    if isinstance(view, Transpose):
        kept = [a for i, a in enumerate(view.order) if i not in reduced]
        result = reduce(tuple(sorted(view.order[a] for a in reduced)))(source)
        return transpose(result, [sorted(kept).index(a) for a in kept])
    if isinstance(view, ExpandDims):
        places = [a for a in range(v.ndim) if a not in view.axes]
        inner = tuple(places.index(a) for a in reduced if a not in view.axes)
        kept_axes = [a for a in range(v.ndim) if a not in reduced]
        new = tuple(i for i, a in enumerate(kept_axes) if a in view.axes)
        result = reduce(inner)(source) if inner else source
        return expand_dims(result, new) if new else result
    if isinstance(view, Squeeze):
        places = [a for a in range(source.ndim) if a not in view.axes]
        inner = tuple(places[a] for a in reduced)
        return squeeze(reduce(inner)(source), [a - sum(r < a for r in inner) for a in view.axes])
    if isinstance(view, Reshape) and len(reduced) == v.ndim and source.ndim:
        return reduce(tuple(range(source.ndim)))(source)  # type: ignore[no-any-return]
    return None


@procedural("sum", "sum(broadcast(x)) -> count * sum(x)", assumes="real")
def sum_of_broadcast(node: Apply, options: RewriteOptions) -> Replacement:
    assert isinstance(node.op, Sum)
    v, reduced = node.inputs[0], node.op.axes
    if v.owner is None or not isinstance(v.owner.op, BroadcastTo):
        return None
    source = v.owner.inputs[0]
    repeated = _repeated(source.shape, v.shape)
    gone = [a for a in reduced if a in repeated]
    if not gone:
        return None
    kept = tuple(s for a, s in enumerate(v.shape) if a not in reduced)
    count = cast(dim_value(product([v.shape[a] for a in gone])), v.dtype)
    return broadcast_to(multiply(count, _sum_broadcast(source, v.shape, reduced)), kept)


def _repeated(source: Shape, shape: Shape) -> set[int]:
    """The axes of `shape` along which a value of shape `source` is the same."""
    lead = len(shape) - len(source)
    return {a for a, s in enumerate(shape) if a < lead or (is_one(source[a - lead]) and not is_one(s))}


def _sum_broadcast(source: Variable, shape: Shape, reduced: tuple[int, ...]) -> Variable:
    """source without the axes of `shape` that are `reduced`: summed where it has elements along them, else dropped."""
    lead = len(shape) - source.ndim
    own = tuple(a - lead for a in reduced if a >= lead)
    return Sum(own)(source) if own else source


@procedural("sum", "sum(c * x) -> c * sum(x) for c that is the same along the axes", assumes="real")
def factor_out_of_sum(node: Apply, options: RewriteOptions) -> Replacement:
    """Also sum(x / c) -> sum(x) / c."""
    assert isinstance(node.op, Sum)
    v, reduced = node.inputs[0], node.op.axes
    if v.owner is None or not isinstance(v.owner.op, Multiply | Divide):
        return None
    a, b = v.owner.inputs
    pairs = [(b, a)] if isinstance(v.owner.op, Divide) else [(a, b), (b, a)]
    for factor, rest in pairs:
        if rest.shape == v.shape and all(axis in _repeated(factor.shape, v.shape) for axis in reduced):
            c = _sum_broadcast(factor, v.shape, reduced)
            total = Sum(reduced)(rest)
            return divide(total, c) if isinstance(v.owner.op, Divide) else multiply(c, total)
    return None


@procedural("max", "max(broadcast(x)) -> max(x)")
def maximum_of_broadcast(node: Apply, options: RewriteOptions) -> Replacement:
    return _extreme_of_broadcast(node)


@procedural("min", "min(broadcast(x)) -> min(x)")
def minimum_of_broadcast(node: Apply, options: RewriteOptions) -> Replacement:
    return _extreme_of_broadcast(node)


def _extreme_of_broadcast(node: Apply) -> Variable | None:
    assert isinstance(node.op, Reduction)
    v = node.inputs[0]
    if made_by(v) != "broadcast_to":
        return None
    assert v.owner is not None
    source = v.owner.inputs[0]
    repeated = _repeated(source.shape, v.shape)
    gone = [a for a in node.op.axes if a in repeated]
    if not gone or not all(isinstance(v.shape[a], int) for a in gone):  # a size of 0 would have no extreme
        return None
    lead = v.ndim - source.ndim
    own = tuple(a - lead for a in node.op.axes if a >= lead)
    kept = tuple(s for a, s in enumerate(v.shape) if a not in node.op.axes)
    return broadcast_to(type(node.op)(own)(source) if own else source, kept)


REDUCTIONS: list[Rule] = [
    reduction_of_ones,
    merge_reductions,
    reduction_of_view,
    sum_of_broadcast,
    maximum_of_broadcast,
    minimum_of_broadcast,
    rule(P.sum(-x, axes=axes), -P.sum(x, axes=axes), assumes="real"),
    factor_out_of_sum,
]
