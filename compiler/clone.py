"""Copying a graph with some Variables replaced, types inferred anew.

Replacing a placeholder by one with other sizes replaces its Dims everywhere, ops' parameters
included; operands of unknown rank that become known turn `Deferred` calls into real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphflow.graph import source
from graphflow.graph.dim import Dim, Size, Symbol, substitute
from graphflow.graph.errors import GraphflowError
from graphflow.graph.op import SizeConstraints
from graphflow.graph.traversal import toposort
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Apply, Variable, explain
from graphflow.ops.public import Deferred
from graphflow.ops.sizes import UNKNOWN, as_size, value_symbol


def dims_of_replacement(old: TensorType, new: TensorType) -> dict[Symbol, Size]:
    """The values that `new` gives to the Dim symbols of `old`."""
    found: dict[Symbol, Size] = {}
    if old.shape is not None and new.shape is not None:
        for a, b in zip(old.shape, new.shape, strict=False):
            if isinstance(a, Dim) and isinstance(a.atom, Symbol) and a != b:
                found.setdefault(a.atom, b)
    return found


class Cloner:
    """Clones with a growing table `of`: old Variable -> new Variable."""

    def __init__(self, replace: Mapping[Variable, Variable], dims: Mapping[Symbol, Size] | None = None) -> None:
        self.of: dict[Variable, Variable] = dict(replace)
        self.dims: dict[Symbol, Size] = dict(dims or {})
        for old, new in replace.items():
            self.dims.update(dims_of_replacement(old.type, new.type))
            self.follow_value(old, new)

    def follow_value(self, old: Variable, new: Variable) -> None:
        """Sizes that were the value of `old` become the value of `new`."""
        symbol = value_symbol(old)
        if symbol is None:
            return
        if symbol.hi != UNKNOWN and not hasattr(new.tag, "as_dim"):  # a bound that is known is known of the copy
            hi = None if symbol.hi is None else substitute(symbol.hi, self.dims)
            new.tag.as_dim = Dim.symbol(symbol.name, substitute(symbol.lo, self.dims), hi, origin=new)
        self.dims[symbol] = as_size(new)

    def clone(self, outputs: Sequence[Variable]) -> list[Variable]:
        for node in toposort(outputs, stop=set(self.of)):
            self.clone_apply(node)
        return [self.of.get(v, v) for v in outputs]

    def clone_apply(self, node: Apply) -> None:
        inputs = [self.of.get(v, v) for v in node.inputs]
        same = all(a is b for a, b in zip(inputs, node.inputs, strict=True))
        if same and not self.dims and not isinstance(node.op, Deferred):
            return
        with source.at(node.source):
            outputs = self.rebuild(node, inputs)
        for old, new in zip(node.outputs, outputs, strict=True):
            self.of[old] = new
            self.follow_value(old, new)
            if new.name is None and old.name is not None and new.owner is not None:
                new.name = old.name

    def rebuild(self, node: Apply, inputs: list[Variable]) -> Sequence[Variable]:
        op = node.op
        if isinstance(op, Deferred):
            if any(v.type.shape is None for v in inputs):
                return Apply(op, inputs, [v.type for v in node.outputs]).outputs
            result: Any = op.again(inputs)
            return result if isinstance(result, tuple | list) else (result,)
        op = op.substitute(self.dims) if self.dims else op
        try:
            types = op.infer(*(v.type for v in inputs))
        except GraphflowError as error:
            SizeConstraints.pending.clear()
            raise (error if error.context else explain(error, op, inputs)) from None
        made = Apply(op, inputs, types if isinstance(types, tuple) else (types,), SizeConstraints.take())
        made.scope = node.scope
        return made.outputs


def transform(outputs: Sequence[Variable], visit: Callable[[Apply, list[Variable]], Sequence[Variable] | None]) -> list[Variable]:
    """The graph with nodes replaced: `visit(node, new inputs)` gives new outputs, or None to keep the op."""
    cloner = Cloner({})
    for node in toposort(outputs):
        inputs = [cloner.of.get(v, v) for v in node.inputs]
        with source.at(node.source):
            new = visit(node, inputs)
        if new is None:
            cloner.clone_apply(node)
        else:
            cloner.of.update(zip(node.outputs, new, strict=True))
    return [cloner.of.get(v, v) for v in outputs]


def clone(outputs: Sequence[Variable], replace: Mapping[Variable, Variable]) -> list[Variable]:
    """Copies of `outputs` with Variables replaced; parts that do not change are shared."""
    return Cloner(replace).clone(outputs)
