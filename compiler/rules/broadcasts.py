"""Broadcasts leave elementwise ops: operands broadcast by themselves, and a result that needs it is broadcast last."""

from __future__ import annotations

from graphflow.compiler.facts import SAME_VALUES, made_by, uniform_value
from graphflow.compiler.pattern import procedural
from graphflow.compiler.rewrite import Replacement, RewriteOptions, Rule
from graphflow.graph.op import ScalarOp, ViewOp, broadcast_shapes
from graphflow.graph.variable import Apply, Constant, Variable, constant
from graphflow.ops.shape import BroadcastTo, ExpandDims, Reshape, broadcast_to, is_one


@procedural(ScalarOp, "op(broadcast(x), y) -> broadcast(op(x, y))")
def narrow_operands(node: Apply, options: RewriteOptions) -> Replacement:
    """Also new leading axes, and constants with one value everywhere."""
    narrow = [_narrowed(v) for v in node.inputs]
    if all(a is b for a, b in zip(narrow, node.inputs, strict=True)):
        return None
    shape = broadcast_shapes([v.shape for v in narrow])
    if shape != node.outputs[0].shape and (type(node.op).infer is not ScalarOp.infer or not made_by(node.outputs[0])):
        return None  # its elements may depend on their places
    result: Variable = node.op(*narrow)
    return broadcast_to(result, node.outputs[0].shape)


def _narrowed(v: Variable) -> Variable:
    while v.owner is not None:
        op = v.owner.op
        leading = isinstance(op, ExpandDims) and op.axes == tuple(range(len(op.axes)))
        if not (leading or isinstance(op, BroadcastTo)):
            break
        v = v.owner.inputs[0]
    if isinstance(v, Constant) and v.ndim == 0:
        return v
    value = uniform_value(v)
    return v if value is None else constant(value)


@procedural(ViewOp, "view(broadcast(x)) -> broadcast(x) for one element x")
def view_of_one_value(node: Apply, options: RewriteOptions) -> Replacement:
    (x,) = node.inputs
    if made_by(node.outputs[0]) not in SAME_VALUES or isinstance(node.op, BroadcastTo) or made_by(x) != "broadcast_to":
        return None
    assert x.owner is not None
    (one,) = x.owner.inputs
    if not all(map(is_one, one.shape)):
        return None
    return broadcast_to(one if one.ndim == 0 else Reshape(())(one), node.outputs[0].shape)


@procedural("broadcast_to", "broadcast(broadcast(x)) -> broadcast(x)")
def broadcast_of_broadcast(node: Apply, options: RewriteOptions) -> Replacement:
    """Also of an unchanged shape, and of new leading axes."""
    (x,) = node.inputs
    narrow = _narrowed(x)
    if x.shape == node.outputs[0].shape:
        return x
    if narrow is x:
        return None
    return broadcast_to(narrow, node.outputs[0].shape)


BROADCASTS: list[Rule] = [narrow_operands, view_of_one_value, broadcast_of_broadcast]
