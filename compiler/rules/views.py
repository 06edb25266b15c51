"""Views of views: chains of transposes, reshapes, slices and casts become one, or none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphflow.compiler.pattern import procedural
from graphflow.compiler.rewrite import Replacement, RewriteOptions, Rule
from graphflow.graph.dim import Size
from graphflow.graph.types import DType, Shape, is_float, is_half
from graphflow.graph.variable import Apply, Variable
from graphflow.ops.elementwise import Cast, cast
from graphflow.ops.joining import Concatenate
from graphflow.ops.shape import ExpandDims, Reshape, Squeeze, Transpose, is_one, reshape, transpose
from graphflow.ops.slicing import Pad, Slice


# --- the order of axes -------------------------------------------------------------------------
@procedural("transpose", "transpose(transpose(x)) -> transpose(x)")
def merge_transposes(node: Apply, options: RewriteOptions) -> Replacement:
    """Also one that keeps the order, or moves only axes of size 1, which is a reshape."""
    assert isinstance(node.op, Transpose)
    (x,), order = node.inputs, node.op.order
    moving = [a for a in order if not is_one(x.shape[a])]
    if moving == sorted(moving):
        return reshape(x, node.outputs[0].shape)
    if x.owner is not None and isinstance(x.owner.op, Transpose):
        inner = x.owner.op.order
        return transpose(x.owner.inputs[0], [inner[a] for a in order])
    return None


# --- axes of size 1 and reshape ----------------------------------------------------------------
@procedural("reshape", "reshape(reshape(x)) -> reshape(x)")
def merge_reshapes(node: Apply, options: RewriteOptions) -> Replacement:
    """Also one that keeps the shape."""
    (x,), shape = node.inputs, node.outputs[0].shape
    if x.shape == shape:
        return x
    if x.owner is not None and isinstance(x.owner.op, Reshape | ExpandDims | Squeeze):
        return reshape(x.owner.inputs[0], shape)
    return None


@procedural("reshape", "reshape that only adds or drops sizes of 1 -> expand_dims(squeeze(x))")
def reshape_of_ones(node: Apply, options: RewriteOptions) -> Replacement:
    (x,) = node.inputs
    return _with_ones(x, x.shape, node.outputs[0].shape)


@procedural("expand_dims", "expand_dims(expand_dims(x)) -> expand_dims(x)")
def merge_new_axes(node: Apply, options: RewriteOptions) -> Replacement:
    return _merge_ones(node)


@procedural("squeeze", "squeeze(expand_dims(x)) -> x")
def merge_dropped_axes(node: Apply, options: RewriteOptions) -> Replacement:
    """Also squeeze(squeeze(x)), and of some of the axes."""
    return _merge_ones(node)


def _merge_ones(node: Apply) -> Variable | None:
    """A chain of squeezes and new axes in its shortest form, first a squeeze, then new axes; all of a reshape in the reshape."""
    x, ops = node.inputs[0], [node.op]
    while x.owner is not None and isinstance(x.owner.op, ExpandDims | Squeeze):
        ops.insert(0, x.owner.op)
        x = x.owner.inputs[0]
    shape = node.outputs[0].shape
    if x.owner is not None and isinstance(x.owner.op, Reshape):
        return reshape(x.owner.inputs[0], shape)
    dropped, new = _gaps(x.shape, shape) or ((), ())
    wanted = [op for op in (Squeeze(dropped), ExpandDims(new)) if op.axes]
    return None if ops == wanted else _with_ones(x, x.shape, shape)


def _with_ones(x: Variable, old: Shape, new: Shape) -> Variable | None:
    gaps = _gaps(old, new)
    if gaps is None:
        return None
    dropped, added = gaps
    if dropped:
        x = Squeeze(dropped)(x)
    return ExpandDims(added)(x) if added else x


def _gaps(old: Shape, new: Shape) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The axes of size 1 that leave `old`, and those that are new in `new`; None if other sizes differ.

    Between two larger sizes as many 1s stay as both have.
    """
    if [s for s in old if not is_one(s)] != [s for s in new if not is_one(s)]:
        return None
    dropped: list[int] = []
    added: list[int] = []
    for ones_before, ones_after in zip(_runs_of_ones(old), _runs_of_ones(new), strict=True):
        stay = min(len(ones_before), len(ones_after))
        dropped += ones_before[stay:]
        added += ones_after[stay:]
    return tuple(dropped), tuple(added)


def _runs_of_ones(shape: Shape) -> list[list[int]]:
    runs: list[list[int]] = [[]]
    for axis, size in enumerate(shape):
        if is_one(size):
            runs[-1].append(axis)
        else:
            runs.append([])
    return runs


# --- slices --------------------------------------------------------------------------------------
@procedural("slice", "x[:] -> x")
def whole_slice(node: Apply, options: RewriteOptions) -> Replacement:
    """Also x[0] of an axis of size 1, which is a squeeze."""
    assert isinstance(node.op, Slice)
    (x,), op = node.inputs, node.op
    taken = tuple(a for a, size in enumerate(op.sizes) if size is None)
    if any(not _is_zero(at) or step != 1 for a, (at, step) in enumerate(zip(op.starts, op.steps, strict=True)) if a not in taken):
        return None
    if any(size != n and not (size is None and is_one(n)) for size, n in zip(op.sizes, x.shape, strict=True)):
        return None
    return Squeeze(taken)(x) if taken else x


@procedural("slice", "x[a:][b:] -> x[a + b:]")
def slice_of_slice(node: Apply, options: RewriteOptions) -> Replacement:
    x = node.inputs[0]
    assert isinstance(node.op, Slice)
    if x.owner is None or not isinstance(x.owner.op, Slice):
        return None
    inner, outer = x.owner.op, iter(zip(node.op.starts, node.op.steps, node.op.sizes, strict=True))
    parts: list[tuple[Size, int, Size | None]] = []
    for at, step, size in zip(inner.starts, inner.steps, inner.sizes, strict=True):
        if size is None:
            parts.append((at, step, None))
        else:
            start, stride, count = next(outer)
            parts.append((at + step * start, step * stride, count))
    starts, steps, sizes = zip(*parts, strict=True)
    return Slice(starts, steps, sizes)(x.owner.inputs[0])  # type: ignore[no-any-return]


@procedural("slice", "slice(pad(x)) at its place -> x")
def slice_of_pad(node: Apply, options: RewriteOptions) -> Replacement:
    x = node.inputs[0]
    assert isinstance(node.op, Slice)
    if x.owner is None or not isinstance(x.owner.op, Pad):
        return None
    inner, pad = x.owner.inputs[0], x.owner.op
    same = (node.op.starts, node.op.steps) == (pad.starts, pad.steps) and node.op.sizes == inner.shape
    return inner if same else None


@procedural("slice", "concatenate(x, y)[:len(x)] -> x")
def slice_of_concatenation(node: Apply, options: RewriteOptions) -> Replacement:
    """A slice of what lies in one part is a slice of that part."""
    x = node.inputs[0]
    assert isinstance(node.op, Slice)
    if x.owner is None or not isinstance(x.owner.op, Concatenate):
        return None
    axis, op = x.owner.op.axis, node.op
    start, step, count = op.starts[axis], op.steps[axis], op.sizes[axis]
    if not isinstance(start, int) or not isinstance(count, int | None) or count == 0:
        return None
    last = start + step * ((count or 1) - 1)
    offset = 0
    for part in x.owner.inputs:
        size = part.shape[axis]
        if not isinstance(size, int):
            return None
        if offset <= min(start, last) and max(start, last) < offset + size:
            starts = (*op.starts[:axis], start - offset, *op.starts[axis + 1 :])
            return Slice(starts, op.steps, op.sizes)(part)  # type: ignore[no-any-return]
        offset += size
    return None


@procedural("pad", "pad(x) by nothing -> x")
def empty_pad(node: Apply, options: RewriteOptions) -> Replacement:
    assert isinstance(node.op, Pad)
    nothing = node.op.shape == node.inputs[0].shape and all(map(_is_zero, node.op.starts)) and set(node.op.steps) <= {1}
    return node.inputs[0] if nothing else None


@procedural("concatenate", "concatenate(x) -> x")
def concatenation_of_one(node: Apply, options: RewriteOptions) -> Replacement:
    """Also without parts of size 0 along the axis."""
    assert isinstance(node.op, Concatenate)
    axis = node.op.axis
    parts = [v for v in node.inputs if not _is_zero(v.shape[axis])]
    if len(parts) == len(node.inputs) > 1 or not parts:
        return None
    return parts[0] if len(parts) == 1 else Concatenate(axis)(*parts)


@procedural("concatenate", "concatenate(concatenate(x, y), z) -> concatenate(x, y, z)")
def merge_concatenations(node: Apply, options: RewriteOptions) -> Replacement:
    def parts(v: Variable) -> Sequence[Variable]:
        return v.owner.inputs if v.owner is not None and v.owner.op == node.op else (v,)

    flat = [part for v in node.inputs for part in parts(v)]
    if len(flat) == len(node.inputs) or len(flat) > WIDEST:
        return None
    return node.op(*flat)  # type: ignore[no-any-return]


WIDEST = 64  # a concatenation grown in a loop stays a chain of such


def _is_zero(size: Size) -> bool:
    return isinstance(size, int) and size == 0


# --- dtypes --------------------------------------------------------------------------------------
@procedural("cast", "cast(cast(x)) -> cast(x) where the first keeps every value")
def merge_casts(node: Apply, options: RewriteOptions) -> Replacement:
    """Also to the dtype x has."""
    (x,), target = node.inputs, node.outputs[0].dtype
    if x.dtype == target:
        return x
    if x.owner is None or not isinstance(x.owner.op, Cast):
        return None
    origin = x.owner.inputs[0]
    if not holds(x.dtype, origin.dtype):
        return None
    if x.dtype.kind == "f" and origin.dtype.kind in "iu" and target.kind in "iu" and not holds(target, origin.dtype):
        return None  # floats saturate where integers wrap
    return cast(origin, target)


def holds(wide: DType, narrow: DType) -> bool:
    """Every value of `narrow` is one of `wide`."""
    if wide == narrow or narrow.kind == "b":
        return True
    if is_half(wide) or is_half(narrow):
        return is_float(wide) and is_half(narrow) and not is_half(wide)
    if wide.kind == "b" or (narrow.kind == "f" and wide.kind != "f") or (narrow.kind == "i" and wide.kind == "u"):
        return False
    if wide.kind == "f":
        digits = np.finfo(wide).nmant + 1
        return digits >= (np.finfo(narrow).nmant + 1 if narrow.kind == "f" else 8 * narrow.itemsize - (narrow.kind == "i"))
    spare = narrow.kind == "u" and wide.kind == "i"
    return wide.itemsize >= narrow.itemsize + spare


VIEWS: list[Rule] = [
    merge_transposes, merge_reshapes, reshape_of_ones, merge_new_axes, merge_dropped_axes,
    whole_slice, slice_of_slice, slice_of_pad, slice_of_concatenation, empty_pad,
    concatenation_of_one, merge_concatenations, merge_casts,
]  # fmt: skip
