"""Shapes, products and parts of arrays, with Keras's arguments."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from graphflow.graph.dim import product
from graphflow.graph.errors import ShapeError
from graphflow.graph.variable import Variable, as_variable
from graphflow.keras import generation
from graphflow.ops import contraction, creation, gathering, indexing, joining, reduction, slicing, sorting
from graphflow.ops import shape as shapes
from graphflow.ops.elementwise import cast, multiply

_LETTERS = "abcdefghijklmnopqrstuvw"


def dot(x: Any, y: Any) -> Variable:
    """The product over the last axis of x and the last but one of y."""
    return contraction.dot(x, y)


def batch_dot(x: Any, y: Any, axes: int | Sequence[int] | None = None) -> Variable:
    """For each sample the product over an axis of x and one of y: those that `axes` says, the batch being axis 0.

    Before Keras 2.3 this is a product of matrices: of x and y only the last two axes count as such, and those
    before are of batches in both, once axes of size 1 have been put at the end of the one that has fewer.
    A result without further axes has the shape (batch, 1).  Raises ShapeError for operands without a batch axis.
    """
    x, y = as_variable(x), as_variable(y)
    if x.ndim < 2 or y.ndim < 2:
        raise ShapeError("Can not do batch_dot on inputs with rank < 2", hint="axis 0 is that of samples")
    pair = (axes, axes) if isinstance(axes, int) else tuple(axes) if axes is not None else (x.ndim - 1, max(1, y.ndim - 2))
    over_x, over_y = (a % v.ndim for a, v in zip(pair, (x, y), strict=True))
    if generation.resolve("batch_dot multiplies matrices"):
        return _vector_dot(x, y, over_x, over_y) if x.ndim == y.ndim == 2 else _matrix_dot(x, y, over_x, over_y)
    of_x = ["z", *_LETTERS[: x.ndim - 1]]
    of_y = ["z", *_LETTERS[x.ndim - 1 : x.ndim + y.ndim - 2]]
    of_y[over_y] = of_x[over_x]
    result = [c for i, c in enumerate(of_x) if i != over_x] + [c for i, c in enumerate(of_y) if i not in (0, over_y)]
    made = contraction.einsum(f"{''.join(of_x)},{''.join(of_y)}->{''.join(result)}", x, y)
    return shapes.expand_dims(made, 1) if made.ndim == 1 else made


def _vector_dot(x: Variable, y: Variable, over_x: int, over_y: int) -> Variable:
    """The sum of products over an axis of each, here either of the two, as (size of the other axis, 1)."""
    x = x if over_x == over_y else shapes.transpose(x)
    return shapes.expand_dims(reduction.sum_(multiply(x, y), axis=over_y), 1)


def _matrix_dot(x: Variable, y: Variable, over_x: int, over_y: int) -> Variable:
    ranks, rank = (x.ndim, y.ndim), builtins.max(x.ndim, y.ndim)
    x, y = (shapes.reshape(v, (*v.shape, *[1] * (rank - v.ndim))) for v in (x, y))
    x = x if over_x == rank - 1 else shapes.swapaxes(x, -1, -2)
    y = shapes.swapaxes(y, -1, -2) if over_y == rank - 1 else y
    made = contraction.matmul(x, y)
    first = sum(ranks) - 3 if ranks[0] > ranks[1] else ranks[0] - 1
    return shapes.squeeze(made, tuple(range(first, first + rank - builtins.min(ranks))))


def concatenate(tensors: Sequence[Any], axis: int = -1) -> Variable:
    return joining.concatenate(tensors, axis)


def stack(x: Sequence[Any], axis: int = 0) -> Variable:
    return joining.stack(x, axis)


def reshape(x: Any, shape: Sequence[Any]) -> Variable:
    """x in another shape; one size may be -1."""
    return shapes.reshape(x, tuple(-1 if n is None else n for n in shape))


def permute_dimensions(x: Any, pattern: Sequence[int]) -> Variable:
    return shapes.transpose(x, tuple(pattern))


def flatten(x: Any) -> Variable:
    """All elements in one axis."""
    return shapes.reshape(x, (-1,))


def batch_flatten(x: Any) -> Variable:
    """All axes but the first in one."""
    v = as_variable(x)
    return shapes.reshape(v, (v.shape[0], product(v.shape[1:])))


def expand_dims(x: Any, axis: int = -1) -> Variable:
    return shapes.expand_dims(x, axis)


def squeeze(x: Any, axis: int) -> Variable:
    return shapes.squeeze(x, axis)


def repeat(x: Any, n: Any) -> Variable:
    """(batch, features) to (batch, n, features)."""
    v = as_variable(x)
    return shapes.broadcast_to(shapes.expand_dims(v, 1), (v.shape[0], n, v.shape[1]))


def repeat_elements(x: Any, rep: int, axis: int) -> Variable:
    """Each element of an axis `rep` times."""
    return joining.repeat(x, rep, axis=axis)


def tile(x: Any, n: Any) -> Variable:
    return joining.tile(x, n)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = "int32") -> Variable:
    return creation.arange(start, stop, step, dtype)


def reverse(x: Any, axes: int | Sequence[int]) -> Variable:
    return slicing.flip(x, axes)


def slice(x: Any, start: Sequence[Any], size: Sequence[Any]) -> Variable:
    """From `start`, `size` elements of each axis; -1 for all that are left."""
    parts = tuple(_part(a, n) for a, n in zip(start, size, strict=True))
    return indexing.getitem(as_variable(x), parts)


def _part(start: Any, size: Any) -> Any:
    stop = None if isinstance(size, int) and size == -1 else start + size
    return builtins.slice(start, stop)


def gather(reference: Any, indices: Any) -> Variable:
    """Rows of `reference` by number."""
    return gathering.take(reference, cast(indices, "int64") if as_variable(indices).dtype.kind == "f" else indices, axis=0)


def one_hot(indices: Any, num_classes: int) -> Variable:
    return indexing.one_hot(indices, num_classes)


def in_top_k(predictions: Any, targets: Any, k: int) -> Variable:
    """Whether the target's prediction is among the k largest."""
    return sorting.in_top_k(predictions, targets, k)
