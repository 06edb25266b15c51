"""Region: the body of a loop or a branch, a closed graph from placeholders to results.

What a body takes from outside is among its inputs, so that a pass over the outer graph sees all that is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from graphflow.graph.dim import Dim, Size, Symbol, substitute
from graphflow.graph.errors import GraphError
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Apply, Constant, Placeholder, Variable, hook, origin_of


class Region:
    """`outputs` as functions of the placeholders `inputs`; other leaves are constants."""

    __slots__ = ("inputs", "outputs")

    def __init__(self, inputs: Sequence[Placeholder], outputs: Sequence[Variable]) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        known = set(self.inputs)
        for v in leaves(self.outputs):
            if v not in known and not isinstance(v, Constant):
                raise GraphError(f"a loop or branch uses {origin_of(v)}, which is not among its inputs", location=v.source)

    @property
    def nodes(self) -> list[Apply]:
        return toposort(self.outputs)

    @property
    def types(self) -> tuple[TensorType, ...]:
        return tuple(v.type for v in self.outputs)

    def with_outputs(self, outputs: Sequence[Variable]) -> Region:
        return Region(self.inputs, outputs)

    def of(self, arguments: Sequence[Variable]) -> list[Variable]:
        """The results for other Variables in place of the inputs, as part of the graph they belong to."""
        made: list[Variable] = hook("clone")(self.outputs, dict(zip(self.inputs, arguments, strict=True)))
        return made

    def substitute(self, values: Mapping[Symbol, Size]) -> Region:
        """The region with Dims replaced."""
        fresh = [renewed(p, values) for p in self.inputs]
        made = hook("clone")(self.outputs, dict(zip(self.inputs, fresh, strict=True)), values)
        return Region(fresh, made)

    def constraints(self) -> list[tuple[Size, Size]]:
        """Equalities of sizes that the nodes of the body, and of bodies inside it, rely on."""
        return [pair for node in self.nodes for pair in node.constraints]

    def __repr__(self) -> str:
        return f"<region {len(self.inputs)} -> {len(self.outputs)}>"


def renewed(p: Placeholder, values: Mapping[Symbol, Size]) -> Placeholder:
    """A placeholder like `p` with Dims replaced; one that numbers the trips of a loop keeps its bounds."""
    made = Placeholder(p.type.substitute(values), p.name)
    made.made_at = p.made_at
    bounds = getattr(p.tag, "as_dim", None)
    if isinstance(bounds, Dim) and isinstance(bounds.atom, Symbol):
        old = bounds.atom
        hi = None if old.hi is None else substitute(old.hi, values)
        made.tag.as_dim = Dim.symbol(old.name, substitute(old.lo, values), hi, origin=made)
    return made


def trip_number(length: Size | None) -> Placeholder:
    """The placeholder of a body that holds the number of the present trip, an int64 below `length`."""
    made = Placeholder(TensorType(np.dtype("int64"), ()), "trip")
    made.tag.as_dim = Dim.symbol("trip", 0, 2**31 if length is None else length, origin=made)
    return made
