"""The words in a drawing: the lines inside a node and the tooltip over it."""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.compiler.op_cost import flops, format_bytes, format_count, nbytes, total, traffic
from graphflow.draw.text import Line, elide
from graphflow.graph import source
from graphflow.graph.dim import Size
from graphflow.graph.op import ContractOp, FoldOp, RegionOp, ScalarOp, ViewOp
from graphflow.graph.variable import Apply, Constant, Placeholder, Shared, Variable

_TITLE, _CODE = 28, 34  # longest lines, in characters
_PARAMETER_LINES = 3

FORMS = ((ScalarOp, "elementwise"), (FoldOp, "reduction"), (ContractOp, "contraction"), (ViewOp, "view"), (RegionOp, "control"))


def form_of(node: Apply) -> str:
    """Which colour an Apply has: its op's lowering form."""
    return next((name for form, name in FORMS if isinstance(node.op, form)), "other")


def op_title(node: Apply) -> str:
    return str(node.op).partition("{")[0]


def op_parameters(node: Apply) -> list[str]:
    """`name=value` for each parameter; a contraction is its labels, `ij,jk→ik`."""
    if isinstance(node.op, ContractOp):
        left, right, result = node.op.labels
        return [f"{left},{right}→{result}"]
    return [f"{name}={_shown(value)}" for name, value in node.op.params().items()]


def _shown(value: Any) -> str:
    if isinstance(value, np.dtype):
        return value.name
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    return " ".join(str(value).split())


def apply_lines(node: Apply, brief: bool) -> tuple[Line, ...]:
    """Op name, parameters and FLOPs; `brief`: a short name alone."""
    if brief:
        return (Line(elide(op_title(node), 18), "title"),)
    parameters = op_parameters(node)
    lines = [Line(elide(op_title(node), _TITLE), "title")]
    lines += [Line(elide(p, _CODE), "code") for p in parameters[:_PARAMETER_LINES]]
    if len(parameters) > _PARAMETER_LINES:
        lines.append(Line(f"… {len(parameters) - _PARAMETER_LINES} more", "code"))
    return (*lines, *_flops_line(flops(node)))


def _flops_line(count: Size | None) -> tuple[Line, ...]:
    if count is None or count == 0:
        return ()
    return (Line(f"{format_count(count)} FLOP", "cost"),)


def type_line(v: Variable) -> Line:
    """`float32[256, 784] · 784 KB`, the bytes where they are known."""
    size = nbytes(v.type)
    text = elide(str(v.type), _CODE)
    return Line(f"{text} · {format_bytes(size)}" if isinstance(size, int) else text, "code")


def variable_lines(v: Variable, name: str, brief: bool) -> tuple[Line, ...]:
    """Name and type; a scalar constant is its value, an unnamed result its type."""
    if isinstance(v, Constant) and v.value.ndim == 0 and not v.name:
        return (Line(elide(v.label, 14), "code"),)
    if brief:
        return (Line(elide(name or v.label, 18), "title"),)
    shown = name or (v.label if v.owner is None else "")
    return ((Line(elide(shown, _TITLE), "title"),) if shown else ()) + (type_line(v),)


def scope_lines(scope: str, nodes: Sequence[Apply]) -> tuple[Line, ...]:
    """A collapsed name scope: its last name, the number of its nodes, their FLOPs."""
    count = f"{len(nodes)} op{'s' if len(nodes) > 1 else ''}"
    return (Line(elide(scope.rpartition("/")[2], _TITLE), "title"), Line(count, "code"), *_flops_line(total(map(flops, nodes))))


def kernel_title(number: int, nodes: Sequence[Apply]) -> str:
    """`kernel 2 · 5 ops · 1.2M FLOP`."""
    count = f"{len(nodes)} op{'s' if len(nodes) > 1 else ''}"
    return " · ".join([f"kernel {number}", count, *(line.text for line in _flops_line(total(map(flops, nodes))))])


def summary(nodes: Sequence[Apply]) -> str:
    """`41 ops · 1.2M FLOP`, and how many ops are not counted."""
    counts = [flops(node) for node in nodes]
    known = total(c for c in counts if c is not None)
    unknown = counts.count(None)
    words = [f"{len(nodes)} op{'' if len(nodes) == 1 else 's'}", *(line.text for line in _flops_line(known))]
    return " · ".join([*words, *([f"{unknown} not counted"] if unknown else [])])


# --- tooltips ----------------------------------------------------------------------------------
def apply_tooltip(node: Apply) -> str:
    """Op with parameters, operands, results, cost, scope and the user's line."""
    lines = [op_title(node), *(f"  {p}" for p in op_parameters(node))]
    lines += [f"input {i}: {v.label}: {v.type}" for i, v in enumerate(node.inputs)]
    lines += [f"output {i}: {v.type}{_bytes(v)}" for i, v in enumerate(node.outputs)]
    count, moved = flops(node), traffic(node)
    lines.append("FLOP: not counted for this op" if count is None else f"FLOP: {count:,}" if isinstance(count, int) else f"FLOP: {count}")
    if moved is not None:
        lines.append(f"operands and results: {format_bytes(moved) if isinstance(moved, int) else f'{moved} bytes'}")
    if node.scope:
        lines.append(f"scope: {node.scope}")
    return "\n".join([*lines, *_written_at(node.source)])


def variable_tooltip(v: Variable, name: str) -> str:
    """Name, type, kind, value of a small constant, and where it was made."""
    lines = [f"{name or v.label}: {v.type}{_bytes(v)}"]
    if v.owner is not None:
        output = f"output {v.index} of " if len(v.owner.outputs) > 1 else "result of "
        lines.append(output + op_title(v.owner))
    else:
        lines.append(_leaf_kind(v))
    if isinstance(v, Constant):
        lines.append(elide(np.array2string(v.value, threshold=12, edgeitems=3), 400))
    return "\n".join([*lines, *_written_at(v.source)])


def _leaf_kind(v: Variable) -> str:
    if isinstance(v, Shared):
        return "shared variable" + (", trainable" if v.trainable else "")
    return "placeholder" if isinstance(v, Placeholder) else "constant" if isinstance(v, Constant) else "leaf"


def _bytes(v: Variable) -> str:
    size = nbytes(v.type)
    if size is None:
        return ""
    return f", {format_bytes(size)}" if isinstance(size, int) else f", {size} bytes"


def _written_at(location: source.Location) -> list[str]:
    if not location:
        return []
    text = linecache.getline(*source.line_of(location)).strip()
    return [f"at {source.short(location)}", *([f"    {text}"] if text else [])]
