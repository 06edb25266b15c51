"""The graph's verifier: run between passes with the setting `verify`, and by the tests."""

from __future__ import annotations

from collections.abc import Sequence

from graphflow.graph.dim import Dim, Size
from graphflow.graph.errors import CompileError, GraphflowError
from graphflow.graph.op import SizeConstraints
from graphflow.graph.traversal import toposort
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Apply, Variable
from graphflow.ops.public import Deferred


def verify_graph(outputs: Sequence[Variable], types: Sequence[TensorType], after: str) -> None:
    """Every node's types are what its op infers, and the results have the types they began with.

    Raises CompileError naming the pass, the node and the user's line.
    """
    for node in toposort(outputs):
        _verify_node(node, after)
    for v, wanted in zip(outputs, types, strict=True):
        if v.dtype != wanted.dtype or not _fits(v.type, wanted):
            raise CompileError(f"after the pass {after!r} a result has the type {v.type} instead of {wanted}", location=v.source)


def _verify_node(node: Apply, after: str) -> None:
    if isinstance(node.op, Deferred):
        raise CompileError(f"after the pass {after!r}: {node} has an operand of unknown rank", location=node.source)
    try:
        found = node.op.infer(*(v.type for v in node.inputs))
    except GraphflowError as error:
        raise CompileError(f"after the pass {after!r}: {node} does not fit its operands: {error.message}", location=node.source) from error
    finally:
        SizeConstraints.pending.clear()
    for v, t in zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=True):
        if v.owner is not node or t.dtype != v.dtype or not _fits(t, v.type):
            raise CompileError(f"after the pass {after!r}: {node} has the type {v.type}, and its op infers {t}", location=node.source)


def _fits(a: TensorType, b: TensorType) -> bool:
    return len(a.known_shape) == len(b.known_shape) and all(map(_may_be_equal, a.known_shape, b.known_shape))


def _may_be_equal(a: Size, b: Size) -> bool:
    """Different Dims may be equal by a recorded constraint; different constants are not."""
    return a == b or isinstance(a, Dim) or isinstance(b, Dim)
