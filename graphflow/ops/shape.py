"""The order and number of axes: expand_dims, squeeze, broadcast_to, reshape, transpose and their kin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, floordiv, product
from graphflow.graph.errors import ShapeError
from graphflow.graph.op import ComposeOp, In, ReshapeOp, Sample, ViewOp, register, require_equal
from graphflow.graph.types import Shape, TensorType
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.public import public
from graphflow.ops.reduction import normalize_axes, sum_
from graphflow.ops.sizes import as_sizes

Grads = Sequence[Variable | None]


def show_shape(shape: Sequence[Size]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def is_one(size: Size) -> bool:
    """True for a size that is 1 whatever is fed."""
    return isinstance(size, int) and size == 1


# --- axes of size 1 --------------------------------------------------------------------------
@register
class ExpandDims(ViewOp):
    """New axes of size 1 at `axes` of the result."""

    name = "expand_dims"
    axes: tuple[int, ...]

    def infer(self, *inputs: TensorType) -> TensorType:
        sizes: list[Size] = list(inputs[0].known_shape)
        for a in self.axes:
            sizes.insert(a, 1)
        return TensorType(inputs[0].dtype, tuple(sizes))

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        return tuple(i for a, i in enumerate(ix) if a not in self.axes)

    def reference(self, *arrays: Any) -> Any:
        return np.expand_dims(arrays[0], self.axes)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None if grads[0] is None else squeeze(grads[0], self.axes),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for axes in (0, 1, -1, (0, 2)):
            yield Sample(lambda x, axes=axes: expand_dims(x, axes), (In(("m", "n"), "any"),), name=f"axis={axes}")


@public
def expand_dims(x: Any, axis: int | Sequence[int]) -> Variable:
    """Insert axes of size 1 at the positions `axis` of the result.

    Raises ShapeError for a position out of range or named twice.
    """
    x = as_variable(x)
    axes = (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
    result: Variable = ExpandDims(normalize_axes(axes, x.ndim + len(axes)))(x)
    return result


@register
class Squeeze(ViewOp):
    """Axes of size 1 leave."""

    name = "squeeze"
    axes: tuple[int, ...]

    def infer(self, *inputs: TensorType) -> TensorType:
        shape = inputs[0].known_shape
        for a in self.axes:
            require_equal(shape[a], 1, f"only axes of size 1 can be removed; axis {a} of {show_shape(shape)}")
        return TensorType(inputs[0].dtype, tuple(s for a, s in enumerate(shape) if a not in self.axes))

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        left = iter(ix)
        return tuple(0 if a in self.axes else next(left) for a in range(len(shape)))

    def reference(self, *arrays: Any) -> Any:
        return np.squeeze(arrays[0], self.axes)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None if grads[0] is None else expand_dims(grads[0], self.axes),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: squeeze(x, 1), (In(("m", 1, "n"), "any"),))
        yield Sample(lambda x: squeeze(x), (In((1, "n", 1)),), name="all")


@public
def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Variable:
    """Remove axes of size 1: those of `axis`, or all whose size is 1 when the graph is built.

    Raises ShapeError for an axis of another size; one known only at run time is checked then.
    """
    x = as_variable(x)
    axes = tuple(a for a, s in enumerate(x.shape) if is_one(s)) if axis is None else normalize_axes(axis, x.ndim)
    result: Variable = Squeeze(axes)(x) if axes else x
    return result


# --- broadcasting ----------------------------------------------------------------------------
@register
class BroadcastTo(ViewOp):
    """NumPy's broadcast_to: size-1 axes repeat, new axes appear on the left."""

    name = "broadcast_to"
    shape: Shape

    def infer(self, *inputs: TensorType) -> TensorType:
        old = inputs[0].known_shape
        if len(old) > len(self.shape):
            raise ShapeError(f"rank {len(old)} does not broadcast to rank {len(self.shape)}")
        for have, want in zip(old, self.shape[len(self.shape) - len(old) :], strict=True):
            if not is_one(have):
                require_equal(have, want, f"{show_shape(old)} does not broadcast to {show_shape(self.shape)}; sizes")
        return TensorType(inputs[0].dtype, self.shape)

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        lead = len(ix) - len(shape)
        return tuple(0 if is_one(s) else i for i, s in zip(ix[lead:], shape, strict=True))

    def reference(self, *arrays: Any) -> Any:
        return np.broadcast_to(arrays[0], self.shape)  # type: ignore[arg-type]  # ints by now

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x,), (g,) = inputs, grads
        return (None if g is None else sum_to(g, x),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: broadcast_to(x, (3, *x.shape)), (In(("m", "n"), "any"),), name="new axis")
        yield Sample(lambda x: broadcast_to(x, (x.shape[0], 5)), (In(("m", 1)),), name="column")


@public
def broadcast_to(x: Any, shape: Any) -> Variable:
    """x repeated to `shape` (ints, Dims, integer scalars).  Raises ShapeError where NumPy's rule forbids it."""
    x = as_variable(x)
    target = as_sizes(shape)
    result: Variable = x if x.shape == target else BroadcastTo(target)(x)
    return result


@register
class SumTo(ComposeOp):
    """Sum `g` down to the shape of `like`, undoing a broadcast; resolved once sizes are unified.

    Exists only where two unknown sizes met and were taken to be equal: if one of them turns out
    to be 1, `expand` on the types of that run gives the sum, else the plain cotangent.
    """

    name = "sum_to"

    def infer(self, *inputs: TensorType) -> TensorType:
        g, like = inputs
        if len(g.known_shape) < len(like.known_shape):
            raise ShapeError(f"{show_shape(g.known_shape)} does not sum to {show_shape(like.known_shape)}")
        lead = len(g.known_shape) - len(like.known_shape)
        for have, want in zip(g.known_shape[lead:], like.known_shape, strict=True):
            if not is_one(want):
                require_equal(have, want, "a cotangent and what it belongs to have different sizes")
        return TensorType(g.dtype, like.known_shape)

    def expand(self, *inputs: Variable) -> Variable:
        return _sum_ones(*inputs)

    def reference(self, *arrays: Any) -> Any:
        g, like = arrays
        lead = g.ndim - like.ndim
        ones = tuple(lead + a for a, s in enumerate(like.shape) if s == 1)
        return g.sum(axis=(*range(lead), *ones), dtype=g.dtype, keepdims=True).reshape(like.shape)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (g,) = grads
        return (None if g is None else broadcast_to(g, inputs[0].shape), None)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda g, like: SumTo()(g, like), (In(("a", "m", "n")), In(("m", 1))), name="sum")
        yield Sample(lambda g, like: SumTo()(g, like), (In(("m", "n")), In(("m", "n"))), name="same")
        yield Sample(lambda x, y: broadcast_to(x, (2, *y.shape)), (In(("n",)), In(("n",))), name="equal at run time")


def sum_to(g: Variable, like: Variable) -> Variable:
    """The cotangent of `like` when `g` is that of `like` broadcast to g's shape."""
    lead = g.ndim - like.ndim
    for have, want in zip(g.shape[lead:], like.shape, strict=True):
        if have != want and not isinstance(want, int) and not is_one(have):
            result: Variable = SumTo()(g, like)
            return result
    return _sum_ones(g, like)


def _sum_ones(g: Variable, like: Variable) -> Variable:
    """Sum over the axes that `like` lacks, and over those where only `like` has size 1."""
    lead = g.ndim - like.ndim
    ones = [a for a, s in enumerate(like.shape) if is_one(s) and not is_one(g.shape[lead + a])]
    if not lead and not ones:
        return g
    summed = sum_(g, axis=(*range(lead), *(lead + a for a in ones)), dtype=g.dtype)
    return expand_dims(summed, ones) if ones else summed


# --- reshape ---------------------------------------------------------------------------------
@register
class Reshape(ReshapeOp):
    name = "reshape"
    shape: Shape

    def infer(self, *inputs: TensorType) -> TensorType:
        have, want = inputs[0].size, product(self.shape)
        what = f"{show_shape(inputs[0].known_shape)} does not reshape to {show_shape(self.shape)}; numbers of elements"
        require_equal(have, want, what, "the number of elements stays; one size may be -1")
        return TensorType(inputs[0].dtype, self.shape)

    def reference(self, *arrays: Any) -> Any:
        return np.reshape(arrays[0], self.shape)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None if grads[0] is None else reshape(grads[0], inputs[0].shape),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: reshape(x, (-1,)), (In(("m", "n"), "any"),), name="flat")
        yield Sample(lambda x: reshape(x, (x.shape[0], 2, 3)), (In(("m", 6)),), name="split")
        yield Sample(lambda x: reshape(x, (2, -1, 3)), (In(("m", 6)),), name="across")


@public
def reshape(x: Any, shape: Any) -> Variable:
    """x with another shape of as many elements, in row-major order.

    `shape`: ints, Dims and integer scalars; one may be -1 and is what remains.  Raises
    ShapeError where the numbers of elements differ; unknown ones are compared when run.
    """
    x = as_variable(x)
    sizes = list(as_sizes(shape))
    unknown = [a for a, s in enumerate(sizes) if isinstance(s, int) and s < 0]
    if len(unknown) > 1 or any(sizes[a] != -1 for a in unknown):
        raise ShapeError(f"reshape to {show_shape(sizes)}: sizes are not negative", hint="one size may be -1")
    if unknown:
        sizes[unknown[0]] = _remaining_size(x, [s for a, s in enumerate(sizes) if a != unknown[0]])
    target = tuple(sizes)
    result: Variable = x if x.shape == target else Reshape(target)(x)
    return result


def _remaining_size(x: Variable, others: list[Size]) -> Size:
    known = product(others)
    if isinstance(known, int) and (known == 0 or (isinstance(x.size, int) and x.size % known)):
        raise ShapeError(
            f"reshape: the {x.size} elements of {show_shape(x.shape)} do not divide into {known}",
            hint=f"the other sizes of the new shape are {show_shape(others)}",
        )
    return floordiv(x.size, known)


@public
def flatten(x: Any, ndim: int = 1) -> Variable:
    """x with its last axes joined so that `ndim` are left (1: a vector; 2: a batch of vectors)."""
    x = as_variable(x)
    if not 1 <= ndim <= max(x.ndim, 1):
        raise ShapeError(f"flatten: rank {x.ndim} does not flatten to rank {ndim}", hint=f"ndim runs from 1 to {x.ndim}")
    return reshape(x, (*x.shape[: ndim - 1], product(x.shape[ndim - 1 :])))


@public
def ravel(x: Any) -> Variable:
    """All elements of x as a vector, in row-major order."""
    return flatten(x, 1)


# --- the order of axes -----------------------------------------------------------------------
@register
class Transpose(ViewOp):
    """Axis i of the result is axis `order[i]` of the input."""

    name = "transpose"
    order: tuple[int, ...]

    def infer(self, *inputs: TensorType) -> TensorType:
        shape = inputs[0].known_shape
        return TensorType(inputs[0].dtype, tuple(shape[a] for a in self.order))

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        return tuple(ix[self.order.index(a)] for a in range(len(shape)))

    def reference(self, *arrays: Any) -> Any:
        return np.transpose(arrays[0], self.order)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        inverse = [self.order.index(a) for a in range(len(self.order))]
        return (None if grads[0] is None else transpose(grads[0], inverse),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: transpose(x), (In(("m", "n"), "any"),), name="matrix")
        yield Sample(lambda x: transpose(x, (2, 0, 1)), (In(("a", "b", "c")),), name="cycle")
        yield Sample(lambda x: dimshuffle(x, 1, "x", 0), (In(("m", "n")),), name="dimshuffle")
        yield Sample(lambda x: moveaxis(x, 0, -1), (In(("a", 3, "c")),), name="moveaxis")


@public
def transpose(x: Any, axes: Sequence[int] | None = None) -> Variable:
    """x with its axes in the order `axes`; reversed by default.

    Raises ShapeError unless `axes` names every axis once.
    """
    x = as_variable(x)
    order = tuple(reversed(range(x.ndim))) if axes is None else tuple(a % x.ndim if -x.ndim <= a < x.ndim else a for a in axes)
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"transpose: {tuple(axes or ())} does not name each of {x.ndim} axes once", hint="see gf.dimshuffle to add or drop axes")
    result: Variable = x if order == tuple(range(x.ndim)) else Transpose(order)(x)
    return result


@public
def swapaxes(x: Any, axis1: int, axis2: int) -> Variable:
    """x with two axes exchanged."""
    x = as_variable(x)
    (a,), (b,) = normalize_axes(axis1, x.ndim), normalize_axes(axis2, x.ndim)
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    return transpose(x, order)


@public
def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Variable:
    """x with the axes `source` at the positions `destination`, the others in their order."""
    x = as_variable(x)
    pairs = [[normalize_axes(a, x.ndim)[0] for a in ([axes] if isinstance(axes, int) else axes)] for axes in (source, destination)]
    if len(set(pairs[0])) != len(pairs[1]) or len(set(pairs[1])) != len(pairs[0]):
        raise ShapeError(f"moveaxis: {source} and {destination} do not name as many different axes")
    order = [a for a in range(x.ndim) if a not in pairs[0]]
    for to, a in sorted(zip(pairs[1], pairs[0], strict=True)):
        order.insert(to, a)
    return transpose(x, order)


@public
def dimshuffle(x: Any, *pattern: Any) -> Variable:
    """Axes in the order of `pattern`, 'x' for a new axis of size 1; axes left out must have size 1.

    `dimshuffle(v, 'x', 0)` makes a vector a row, `dimshuffle(m, 1, 0)` transposes.
    """
    x = as_variable(x)
    axes: list[int | str] = list(pattern[0]) if len(pattern) == 1 and isinstance(pattern[0], list | tuple) else list(pattern)
    kept = [a for a in axes if not isinstance(a, str)]
    if any(a != "x" for a in axes if isinstance(a, str)) or len(set(kept)) != len(kept) or any(not 0 <= a < x.ndim for a in kept):
        raise ShapeError(f"dimshuffle: {tuple(axes)} is not a pattern for rank {x.ndim}", hint="use each axis at most once, and 'x' for new ones")
    dropped = tuple(a for a in range(x.ndim) if a not in kept)
    ordered = transpose(squeeze(x, dropped) if dropped else x, [sorted(kept).index(a) for a in kept])
    new = tuple(i for i, a in enumerate(axes) if a == "x")
    return expand_dims(ordered, new) if new else ordered
