"""Ops without a lowering form become calls of their NumPy references."""

from __future__ import annotations

from collections.abc import Sequence

from graphflow.compiler.clone import transform
from graphflow.graph.op import FORMS
from graphflow.graph.traversal import toposort
from graphflow.graph.variable import Apply, Variable
from graphflow.ops.python_call import call_reference


def with_calls(results: Sequence[Variable]) -> list[Variable]:
    """The graph in which each op has a form."""
    if all(isinstance(node.op, FORMS) for node in toposort(results)):
        return list(results)
    return transform(results, _visit)


def _visit(node: Apply, inputs: list[Variable]) -> Sequence[Variable] | None:
    return None if isinstance(node.op, FORMS) else call_reference(node.op, inputs, [v.type for v in node.outputs])
