"""`x[key]` with NumPy's rules, and assignment to what a key selects.

A key of ints, slices, `...` and None is a view (Slice).  With integer arrays it is a Take: their
broadcast axes stand where the first of them is if they are neighbours in the key (ints count), else first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphflow.graph.dim import Dim, Size
from graphflow.graph.errors import DTypeError, GraphError, ShapeError
from graphflow.graph.op import broadcast_shapes, require_equal
from graphflow.graph.variable import Constant, Variable, as_variable
from graphflow.ops.creation import arange
from graphflow.ops.elementwise import add, where
from graphflow.ops.gathering import Scatter, Take, as_index, check_constant
from graphflow.ops.logic import equal
from graphflow.ops.promotion import coerce
from graphflow.ops.public import public
from graphflow.ops.shape import broadcast_to, expand_dims, squeeze
from graphflow.ops.sizes import as_size
from graphflow.ops.slicing import SetSlice, Slice, place, position, slice_bounds


# --- reading a key -------------------------------------------------------------------------------
@dataclass
class Selected:
    """A key resolved against a shape: per axis start, step and size, as Slice and Take have them."""

    starts: list[Size | None] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    sizes: list[Size | None] = field(default_factory=list)
    arrays: list[Variable] = field(default_factory=list)
    layout: list[str] = field(default_factory=list)  # the result's axes in order: 'kept' or 'new'
    advanced: list[int] = field(default_factory=list)  # entries of the key that are ints or arrays
    first: int = 0  # the length of `layout` at the first of them

    def axis(self, start: Size | None, step: int, size: Size | None) -> None:
        self.starts.append(start)
        self.steps.append(step)
        self.sizes.append(size)

    def mark(self, entry: int) -> None:
        if not self.advanced:
            self.first = len(self.layout)
        self.advanced.append(entry)

    @property
    def array_position(self) -> int:
        """Where in `layout` the axes of the index arrays stand."""
        neighbours = self.advanced[-1] - self.advanced[0] == len(self.advanced) - 1
        return self.first if neighbours else 0


def _plain(entry: Any) -> Any:
    """An entry with lists as arrays and constants as their values; raises for a bool scalar of the graph."""
    if isinstance(entry, list | tuple) and not _holds_graph(entry):
        return np.array(entry) if len(entry) else np.zeros(0, "int64")
    if isinstance(entry, Constant):
        return entry.value
    if isinstance(entry, Variable) and entry.dtype.kind == "b" and entry.ndim == 0:
        raise GraphError(f"{entry!r} is a bool scalar, and selects all or nothing", hint="use gf.where(flag, x, other), or gf.cond")
    if isinstance(entry, bool | np.bool_):
        raise DTypeError(f"{entry!r} is not an index", hint="use 0 or 1 for a position, gf.where for a condition")
    return entry


def _holds_graph(entry: Any) -> bool:
    return isinstance(entry, Variable | Dim) or (isinstance(entry, list | tuple) and any(map(_holds_graph, entry)))


def _is_mask(entry: Any) -> bool:
    return isinstance(entry, np.ndarray | Variable) and entry.dtype.kind == "b" and entry.ndim > 0


def _mask_places(mask: Any, sizes: Sequence[Size]) -> list[Any]:
    """A mask as the index arrays of its true elements."""
    for have, want in zip(mask.shape, sizes, strict=True):
        require_equal(have, want, "a mask has the sizes of the axes it selects from")
    if isinstance(mask, Variable):
        from graphflow.ops.unique import nonzero

        return list(nonzero(mask))
    return list(mask.nonzero())


def _axes_taken(entry: Any) -> int:
    return 0 if entry is None or entry is Ellipsis else entry.ndim if _is_mask(entry) else 1


def _entries(x: Variable, key: Any) -> list[Any]:
    """The key's entries with masks as index arrays and `...` as the slices it stands for."""
    given = [_plain(e) for e in (key if isinstance(key, tuple) else (key,))]
    count = sum(_axes_taken(e) for e in given)
    left = x.ndim - count
    if left < 0:
        raise ShapeError(f"there are {count} indices for {x!r} of rank {x.ndim}", hint="None makes a new axis and takes none")
    dots = sum(1 for e in given if e is Ellipsis)
    if dots > 1:
        raise ShapeError("an index has more than one '...'", hint="one '...' stands for all axes not named")
    entries: list[Any] = []
    axis = 0
    for e in given if dots else (*given, Ellipsis):
        taken = left if e is Ellipsis else _axes_taken(e)
        if e is Ellipsis:
            entries += [slice(None)] * left if left else [Ellipsis]
        else:
            entries += _mask_places(e, x.shape[axis : axis + taken]) if _is_mask(e) else [e]
        axis += taken
    return entries


def _is_array(entry: Any) -> bool:
    return isinstance(entry, Variable | list | tuple) or (isinstance(entry, np.ndarray) and entry.ndim > 0)


def select(x: Variable, key: Any) -> Selected:
    """`key` resolved against the shape of x; raises ShapeError or DTypeError for one that does not fit."""
    found = Selected()
    for number, e in enumerate(_entries(x, key)):
        axis = len(found.starts)
        if e is None:
            found.layout.append("new")
        elif isinstance(e, slice):
            found.axis(*slice_bounds(e, x.shape[axis]))
            found.layout.append("kept")
        elif _is_array(e):
            index = as_index(e)
            check_constant(index, x.shape[axis], axis)
            found.axis(None, 1, None)
            found.arrays.append(index)
            found.mark(number)
        elif e is not Ellipsis:
            at = as_size(e, "an index")
            found.axis(position(at, x.shape[axis]), 1, None)
            found.mark(number)
    return found


# --- getitem -------------------------------------------------------------------------------------
@public
def getitem(x: Any, key: Any) -> Variable:
    """`x[key]`: ints, slices of any step, `...`, None, integer arrays and Variables, constant masks.

    Negative indices count from the end.  Raises ShapeError for an index known to be out of range
    or one too many, DTypeError for an index that is no integer; indices known only at run time
    are checked then (CheckError).
    """
    x = as_variable(x)
    found = select(x, key)
    fields = tuple(found.starts), tuple(found.steps), tuple(found.sizes)
    layout = list(found.layout)
    if found.arrays:
        shape = broadcast_shapes([a.shape for a in found.arrays])
        arrays = [broadcast_to(a, shape) for a in found.arrays]
        before = layout[: found.array_position]
        result: Variable = Take(*fields, before.count("kept"), True)(x, *arrays)
        layout[len(before) : len(before)] = ["kept"] * len(shape)
    else:
        result = Slice(*fields)(x)  # type: ignore[arg-type]
    new = tuple(i for i, kind in enumerate(layout) if kind == "new")
    return expand_dims(result, new) if new else result


# --- assignment ----------------------------------------------------------------------------------
@public
def set_subtensor(selected: Any, value: Any) -> Variable:
    """A copy of x with `value` at `selected`, which is `x[key]`; of repeated indices the last wins.

    `value` is broadcast to the selection and cast to x's dtype.  Raises GraphError if
    `selected` was not made by indexing.
    """
    return _assign(as_variable(selected), value, accumulate=False)


@public
def inc_subtensor(selected: Any, value: Any) -> Variable:
    """A copy of x with `value` added at `selected`, which is `x[key]`; repeated indices add up."""
    return _assign(as_variable(selected), value, accumulate=True)


def _assign(selected: Variable, value: Any, accumulate: bool) -> Variable:
    (y,) = coerce(value, to=selected.dtype)
    y = broadcast_to(y, selected.shape)
    node = selected.owner
    if node is not None and node.op.name == "expand_dims":
        y, node = squeeze(y, node.op.params()["axes"]), node.inputs[0].owner
    if node is None or not isinstance(node.op, Slice | Take):
        raise GraphError(f"{selected!r} is not x[...]", hint="write gf.set_subtensor(x[key], value)")
    op, (x, *indices) = node.op, node.inputs
    if isinstance(op, Take):
        result: Variable = Scatter(*op.fields, accumulate)(x, y, *indices)
        return result
    if accumulate:
        return add(x, place(y, op, x.shape))
    changed: Variable = SetSlice(op.starts, op.steps, op.sizes)(x, y)
    return changed


# --- by index ------------------------------------------------------------------------------------
@public
def gather_nd(x: Any, indices: Any) -> Variable:
    """`x[indices[..., 0], indices[..., 1], ...]`: the last axis of `indices` names a place in x."""
    x, index = as_variable(x), as_index(indices)
    count = index.shape[-1] if index.ndim else 0
    if not isinstance(count, int) or not 0 < count <= x.ndim:
        raise ShapeError(f"gather_nd: {count} indices for each place in {x!r}", hint="the last axis of indices has one number for each axis of x")
    return getitem(x, tuple(getitem(index, (Ellipsis, i)) for i in range(count)))


@public
def one_hot(indices: Any, depth: int | Dim, axis: int = -1, dtype: Any = "float32", on_value: Any = 1, off_value: Any = 0) -> Variable:
    """A new axis of size `depth` with `on_value` at the index and `off_value` elsewhere.

    An index outside 0 .. depth - 1 gives a line of `off_value`.  Raises DTypeError for indices
    that are not integers.
    """
    index = as_index(indices)
    new = axis if axis >= 0 else index.ndim + 1 + axis
    classes = expand_dims(arange(depth, dtype="int32"), tuple(a for a in range(index.ndim + 1) if a != new))
    hot = equal(expand_dims(index, axis), classes)
    on, off = coerce(on_value, off_value, to=np.dtype(dtype))
    return where(hot, on, off)
