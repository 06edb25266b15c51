"""What an Apply costs: floating-point operations and bytes, as numbers or polynomials of Dims.

| form       | operations counted                                                |
|------------|-------------------------------------------------------------------|
| ScalarOp   | `op.cost` for each element of the result                          |
| FoldOp     | one for each element of the operand                               |
| ContractOp | a multiplication and an addition for each point of the index space |
| ViewOp     | none                                                              |
| NestOp     | those its loops do on floats                                      |
| ComposeOp  | the sum over its expansion                                        |
| ExternOp   | what the class says                                               |
| others     | not known: None                                                   |

Work on integers and bools alone is not counted.
"""

from __future__ import annotations

from collections.abc import Iterable

from graphflow.compiler.nest_cost import nest_flops
from graphflow.graph.dim import Dim, Size
from graphflow.graph.op import ComposeOp, ContractOp, ExternOp, FoldOp, NestOp, ScalarOp, ViewOp
from graphflow.graph.traversal import toposort
from graphflow.graph.types import TensorType, is_float
from graphflow.graph.variable import Apply, Variable

_DECIMAL = ("", "k", "M", "G", "T", "P", "E")
_BINARY = ("B", "KB", "MB", "GB", "TB", "PB", "EB")
_TERMS_SHOWN = 3


def flops(node: Apply) -> Size | None:
    """Floating-point operations of one run of `node`; None where its form does not tell."""
    op = node.op
    types = [v.type for v in (*node.inputs, *node.outputs)]
    if any(t.shape is None for t in types):
        return None
    if isinstance(op, ViewOp) or not any(is_float(t.dtype) for t in types):
        return 0
    if isinstance(op, ScalarOp):
        return node.outputs[0].size * op.cost
    if isinstance(op, FoldOp):
        return node.inputs[0].size
    if isinstance(op, ContractOp):
        return 2 * _index_space(op, node)
    try:
        return _cost_of_body(node)
    except NotImplementedError:  # an op that is still being written
        return None


def _cost_of_body(node: Apply) -> Size | None:
    op = node.op
    if isinstance(op, ExternOp):
        return op.flops(*(v.type for v in node.inputs))
    if isinstance(op, NestOp):
        return nest_flops(op, node.inputs, node.outputs)
    if isinstance(op, ComposeOp):
        expanded = op.expand(*(Variable(v.type) for v in node.inputs))
        return total(flops(n) for n in toposort(expanded if isinstance(expanded, tuple) else (expanded,)))
    return None


def _index_space(op: ContractOp, node: Apply) -> Size:
    """The product of the sizes of all labels; a size-1 axis gives way to the one it broadcasts to."""
    extents: dict[str, Size] = {}
    for labels, v in zip(op.labels, (*node.inputs, *node.outputs), strict=True):
        for label, size in zip(labels, v.shape, strict=True):
            if extents.get(label, 1) == 1:
                extents[label] = size
    points: Size = 1
    for size in extents.values():
        points = points * size
    return points


def total(parts: Iterable[Size | None]) -> Size | None:
    """The sum, or None if any part is unknown."""
    result: Size = 0
    for part in parts:
        if part is None:
            return None
        result = result + part
    return result


def nbytes(type: TensorType) -> Size | None:
    """Bytes of one value; None for an unknown rank."""
    return None if type.shape is None else type.nbytes


def traffic(node: Apply) -> Size | None:
    """Bytes read and written if every operand and result passes through memory once."""
    return total(nbytes(v.type) for v in (*dict.fromkeys(node.inputs), *node.outputs))


# --- printing -------------------------------------------------------------------------------
def format_count(count: Size) -> str:
    """`950`, `1.5k`, `235M`; a polynomial by its largest terms: `470k·B + 300·B`."""
    if isinstance(count, int):
        return _scaled(count, 1000, _DECIMAL)
    terms = sorted(count.terms.items(), key=lambda t: (-len(t[0]), -abs(t[1])))
    shown = [_term(Dim({mono: c}), c) if mono else _scaled(c, 1000, _DECIMAL) for mono, c in terms[:_TERMS_SHOWN]]
    text = " + ".join(shown).replace("+ -", "- ")
    return f"{text} + …" if len(terms) > _TERMS_SHOWN else text


def _term(monomial: Dim, coefficient: int) -> str:
    (mono, _), = monomial.terms.items()
    symbols = "·".join(repr(Dim.of(atom)) for atom in mono)
    return symbols if coefficient == 1 else f"{_scaled(coefficient, 1000, _DECIMAL)}·{symbols}"


def format_bytes(size: int) -> str:
    """`40 B`, `1.5 KB`, `918 KB` (1 KB is 1024 B)."""
    return _scaled(size, 1024, _BINARY, " ")


def _scaled(n: int, base: int, units: tuple[str, ...], space: str = "") -> str:
    value, power = float(n), 0
    while abs(value) >= base - 0.5 and power < len(units) - 1:
        value, power = value / base, power + 1
    digits = f"{value:.1f}".removesuffix(".0") if power and abs(value) < 9.95 else f"{value:.0f}"
    return f"{digits}{space}{units[power]}"
