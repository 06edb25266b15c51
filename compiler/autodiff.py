"""Differentiation, graph to graph: reverse mode by the ops' vjp, forward mode by two reverse passes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

from graphflow.compiler.clone import Cloner
from graphflow.graph import source
from graphflow.graph.errors import DisconnectedError, DTypeError, GraphError, GraphflowError, ShapeError
from graphflow.graph.op import ScalarOp
from graphflow.graph.traversal import depends_on, leaves, toposort
from graphflow.graph.types import is_float
from graphflow.graph.variable import Placeholder, Variable, as_variable, constant, origin_of
from graphflow.ops.public import Deferred, _defer

UNROLLED = 8  # elements of an output up to which a Jacobian has a reverse pass for each in the graph

Disconnected = Literal["raise", "warn", "ignore"]


def grad(
    cost: Variable,
    wrt: Variable | Sequence[Variable],
    *,
    consider_constant: Sequence[Variable] = (),
    disconnected_inputs: Disconnected = "raise",
) -> Any:
    """The gradient of the scalar `cost` with respect to one Variable, or a list for a list.

    Raises ShapeError for a cost that is not a scalar, DTypeError for an integer cost or wrt,
    DisconnectedError for a wrt the cost does not depend on (unless told to warn or ignore,
    which gives zeros).
    """
    cost = as_variable(cost)
    many = isinstance(wrt, list | tuple)
    targets: list[Variable] = as_list(wrt)
    if cost.type.shape is not None and cost.shape != ():
        raise _complain(ShapeError(f"grad: the cost must be a scalar, and {cost.label} has the type {cost.type}", hint="reduce it first, e.g. gf.mean(cost); for a matrix of derivatives use gf.jacobian"), cost)
    found = vjp(cost, targets, None, consider_constant=consider_constant, disconnected_inputs=disconnected_inputs)
    return found if many else found[0]


def vjp(
    outputs: Variable | Sequence[Variable],
    wrt: Sequence[Variable],
    cotangents: Any = None,
    *,
    consider_constant: Sequence[Variable] = (),
    disconnected_inputs: Disconnected = "ignore",
) -> list[Variable]:
    """Vector-Jacobian products: cotangents of `wrt` given those of `outputs` (ones by default).

    The reverse mode; derivatives of derivatives are taken the same way.
    """
    outs = [as_variable(v) for v in (outputs if isinstance(outputs, list | tuple) else [outputs])]
    wrt = list(wrt)
    _check_dtypes(outs, wrt)
    if any(v.type.shape is None for v in [*outs, *wrt]) or _has_deferred(outs):
        return _deferred_vjp(outs, wrt, cotangents, tuple(consider_constant), disconnected_inputs)
    seeds = _seeds(outs, cotangents)
    table = backward(outs, seeds, wrt, frozenset(consider_constant))
    return [table[v] if table.get(v) is not None else _zeros(v, outs, disconnected_inputs) for v in wrt]  # type: ignore[misc]


def backward(outs: Sequence[Variable], seeds: Sequence[Variable], wrt: Sequence[Variable], constants: frozenset[Variable]) -> dict[Variable, Variable | None]:
    """Accumulated cotangents of all Variables between `wrt` and `outs`."""
    from graphflow.ops.elementwise import add
    from graphflow.ops.shape import SumTo, sum_to

    active = depends_on(outs, wrt) - constants
    table: dict[Variable, Variable | None] = {}

    def accumulate(v: Variable, g: Variable) -> None:
        before = table.get(v)
        table[v] = g if before is None else add(before, g)

    for v, seed in zip(outs, seeds, strict=True):
        accumulate(v, seed)
    for node in reversed(toposort(outs, stop=constants)):
        grads = [table.get(v) for v in node.outputs]
        if all(g is None for g in grads) or not any(v in active for v in node.inputs):
            continue
        with source.at(node.source):
            for v, g in zip(node.inputs, _node_vjp(node, grads), strict=True):
                if g is None or v not in active or not is_float(v.dtype):
                    continue
                if isinstance(node.op, ScalarOp):
                    # sizes taken to be equal may turn out to be a broadcast: SumTo is settled when they are known
                    g = SumTo()(g, v) if node.constraints and v.shape else sum_to(g, v)
                accumulate(v, g)
    return table


def _node_vjp(node: Any, grads: list[Variable | None]) -> Sequence[Variable | None]:
    try:
        found: Sequence[Variable | None] = node.op.vjp(node.inputs, node.outputs, grads)
        return found
    except GraphflowError as error:
        if not error.context:
            error.location = node.source
            error.with_context(*(f"  operand {i}: {origin_of(v)}" for i, v in enumerate(node.inputs)))
        raise


def _complain(error: GraphflowError, *variables: Variable) -> GraphflowError:
    error.with_context(*(f"  {origin_of(v)}" for v in variables))
    return error


def _check_dtypes(outs: Sequence[Variable], wrt: Sequence[Variable]) -> None:
    for v in outs:
        if not is_float(v.dtype):
            raise _complain(DTypeError(f"grad: {v.label} has the integer type {v.type}, which has no gradient", hint="cast to a float dtype before the operation that should be differentiated"), v)
    for v in wrt:
        if not isinstance(v, Variable):
            raise _complain(GraphError(f"grad: {v!r:.60} is not a Variable", hint="differentiate with respect to placeholders, shared variables or results"))
        if not is_float(v.dtype):
            raise _complain(DTypeError(f"grad: no gradient with respect to {v.label}, whose type {v.type} is not float", hint="declare it as 'float32', or take it out of wrt"), v)


def _seeds(outs: Sequence[Variable], cotangents: Any) -> list[Variable]:
    from graphflow.ops.shape import broadcast_to

    if cotangents is None:
        return [broadcast_to(constant(1, v.dtype), v.shape) for v in outs]
    given = list(cotangents) if isinstance(cotangents, list | tuple) else [cotangents]
    if len(given) != len(outs):
        raise GraphError(f"vjp: {len(outs)} outputs and {len(given)} cotangents")
    seeds: list[Variable] = []
    for v, g in zip(outs, given, strict=True):
        g = as_variable(g, v.dtype)
        if len(g.shape) != len(v.shape):
            raise _complain(ShapeError(f"vjp: the cotangent {g.type} does not fit the output {v.type}"), v, g)
        seeds.append(g)
    return seeds


def _zeros(v: Variable, outs: Sequence[Variable], how: Disconnected) -> Variable:
    from graphflow.ops.shape import broadcast_to

    if how != "ignore":
        text = f"grad: {outs[0].label} does not depend on {v.label}, or only through integers or stop_gradient"
        if how == "raise":
            raise _complain(DisconnectedError(text, hint="check that the cost uses it; disconnected_inputs='ignore' gives zeros"), v)
        warnings.warn(text, stacklevel=4)
    return broadcast_to(constant(0, v.dtype), v.shape)


def as_list(value: Variable | Sequence[Variable]) -> list[Variable]:
    return [value] if isinstance(value, Variable) else list(value)


def _has_deferred(outs: Sequence[Variable]) -> bool:
    return any(isinstance(node.op, Deferred) for node in toposort(outs))


def _deferred_vjp(outs: list[Variable], wrt: list[Variable], cotangents: Any, constants: tuple[Variable, ...], how: Disconnected) -> list[Variable]:
    """Differentiate again when the ranks of the leaves are known."""
    sources: list[Variable] = [v for v in leaves(outs) if isinstance(v, Placeholder)]
    given = [] if cotangents is None else list(cotangents) if isinstance(cotangents, list | tuple) else [cotangents]

    def again(*values: Variable) -> list[Variable]:
        table = dict(zip(sources, values[: len(sources)], strict=True))
        cloned = Cloner(table).clone([*outs, *wrt, *constants])
        o, w, c = cloned[: len(outs)], cloned[len(outs) : len(outs) + len(wrt)], cloned[len(outs) + len(wrt) :]
        return vjp(o, w, list(values[len(sources) :]) or None, consider_constant=c, disconnected_inputs=how)

    result: list[Variable] = _defer(again, (*sources, *given), {})
    return result


def jvp(outputs: Variable | Sequence[Variable], wrt: Sequence[Variable], tangents: Sequence[Any]) -> Any:
    """Jacobian-vector products (Theano's R-operator) by differentiating a vjp, which is linear in its cotangents.

    Returns one Variable for one output, a list for a list.
    """
    many = isinstance(outputs, list | tuple)
    outs: list[Variable] = as_list(outputs)
    dummies: list[Variable] = [Placeholder(v.type, f"cotangent{i}") for i, v in enumerate(outs)]
    pulled = vjp(outs, list(wrt), dummies)
    pushed = vjp(pulled, dummies, [as_variable(t, v.dtype) for t, v in zip(tangents, wrt, strict=True)])
    # linear in the dummies, so their values are never needed; zeros stand where a dummy is left over
    zeros = {d: _zeros(d, outs, "ignore") for d in dummies}
    pushed = Cloner(zeros).clone(pushed)
    return pushed if many else pushed[0]


def hvp(cost: Variable, wrt: Sequence[Variable], vectors: Sequence[Any]) -> list[Variable]:
    """Hessian-vector products of a scalar cost, without the Hessian: the gradient of <grad, v>."""
    from graphflow.ops.elementwise import add, multiply
    from graphflow.ops.reduction import sum_

    grads = grad(cost, list(wrt), disconnected_inputs="ignore")
    total: Variable | None = None
    for g, v in zip(grads, vectors, strict=True):
        term = sum_(multiply(g, as_variable(v, g.dtype)))
        total = term if total is None else add(total, term)
    assert total is not None
    return vjp(total, list(wrt))


def jacobian(output: Variable, wrt: Variable | Sequence[Variable]) -> Any:
    """d output / d wrt with shape `output.shape + wrt.shape`.

    One reverse pass per element of the output, in a loop if they are many or their number is known only at run time.
    """
    from graphflow.ops.control import scan
    from graphflow.ops.creation import arange
    from graphflow.ops.elementwise import cast
    from graphflow.ops.joining import stack
    from graphflow.ops.logic import equal
    from graphflow.ops.shape import reshape

    many = isinstance(wrt, list | tuple)
    targets: list[Variable] = as_list(wrt)
    n = output.size
    flat = reshape(output, (n,))

    def row(i: Variable) -> list[Variable]:
        return vjp(flat, targets, [cast(equal(arange(n), i), flat.dtype)])

    if isinstance(n, int) and 0 < n <= UNROLLED:
        found = [stack(parts) for parts in zip(*(vjp(flat[i], targets) for i in range(n)), strict=True)]
    else:
        found, _ = scan(row, sequences=arange(n), return_list=True)
    jacobians = [reshape(rows, (*output.shape, *v.shape)) for rows, v in zip(found, targets, strict=True)]
    return jacobians if many else jacobians[0]


def hessian(cost: Variable, wrt: Variable | Sequence[Variable]) -> Any:
    """The Hessian of a scalar cost, shape `wrt.shape + wrt.shape`, for one Variable or one each for a list."""
    many = isinstance(wrt, list | tuple)
    targets: list[Variable] = as_list(wrt)
    found = [jacobian(grad(cost, v), v) for v in targets]
    return found if many else found[0]
