"""Sizes that inference took to be equal become the same Dim."""

from __future__ import annotations

from collections.abc import Sequence

from graphflow.compiler.clone import Cloner
from graphflow.graph import source
from graphflow.graph.dim import Dim, Size, Symbol, symbols_of
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.variable import Apply, Placeholder, Variable
from graphflow.ops.sizes import is_value


def unified_dims(nodes: Sequence[Apply]) -> tuple[dict[Symbol, Size], dict[Symbol, str]]:
    """Values for Dim symbols such that the sizes inference took to be equal are equal where that is
    plain, and for each symbol the place in the user's code that asked for it."""
    values: dict[Symbol, Size] = {}
    causes: dict[Symbol, str] = {}

    def now(size: Size) -> Size:
        for _ in range(100):
            if not isinstance(size, Dim) or not any(s in values for s in size.symbols()):
                return size
            size = size.substitute(values)
        return size

    for node in nodes:
        for a, b in node.constraints:
            a, b = now(a), now(b)
            if a == b:
                continue
            for x, y in sorted([(a, b), (b, a)], key=lambda t: -_serial(t[0])):
                if isinstance(x, Dim) and isinstance(x.atom, Symbol) and x.atom not in symbols_of(y) and not is_value(x.atom):
                    values[x.atom] = y
                    text = f"  {node.op} needs the sizes {a} and {b} to be equal\n{source.describe(node.source)}"
                    for size in (a, b):
                        if isinstance(size, Dim) and isinstance(size.atom, Symbol):
                            causes.setdefault(size.atom, text)
                    break
    return {s: now(v) for s, v in values.items()}, causes


def _serial(size: Size) -> int:
    return size.atom.serial if isinstance(size, Dim) and isinstance(size.atom, Symbol) else -1


def unify(outputs: Sequence[Variable]) -> list[Variable]:
    """The graph on placeholders in whose types equal sizes are the same Dim."""
    values, _ = unified_dims(toposort(outputs))
    if not values:
        return list(outputs)
    replace: dict[Variable, Variable] = {}
    for v in leaves(outputs):
        if isinstance(v, Placeholder):
            replace[v] = Placeholder(v.type.substitute(values), v.name)
    return Cloner(replace, values).clone(outputs)
