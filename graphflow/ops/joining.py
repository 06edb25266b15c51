"""Joining and repeating: concatenate, stack, split, tile, repeat, pad."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, floordiv, maximum, minimum, mod, proves_nonnegative
from graphflow.graph.errors import DTypeError, ShapeError
from graphflow.graph.op import In, NestOp, Sample, ViewOp, register, require_equal
from graphflow.graph.types import Shape, TensorType
from graphflow.graph.variable import Variable, as_variable, constant
from graphflow.ops.creation import Iota
from graphflow.ops.gathering import Scatter, take
from graphflow.ops.promotion import coerce
from graphflow.ops.public import public
from graphflow.ops.reduction import normalize_axes, sum_
from graphflow.ops.shape import broadcast_to, expand_dims, ravel, reshape, show_shape
from graphflow.ops.sizes import as_size, as_sizes, is_scalar_integer
from graphflow.ops.slicing import Pad, Slice, slice_axes

Grads = Sequence[Variable | None]


# --- concatenate and stack ---------------------------------------------------------------------
@register
class Concatenate(NestOp):
    """The inputs one after the other along `axis`; their other sizes are equal."""

    name = "concatenate"
    axis: int

    def infer(self, *inputs: TensorType) -> TensorType:
        shapes = [t.known_shape for t in inputs]
        listed = " and ".join(show_shape(s) for s in shapes)
        if any(len(s) != len(shapes[0]) for s in shapes):
            raise ShapeError(f"inputs have different ranks: {listed}", hint="see gf.stack and gf.expand_dims")
        sizes: list[Size] = list(shapes[0])
        for shape in shapes[1:]:
            for a, s in enumerate(shape):
                if a == self.axis:
                    sizes[a] = sizes[a] + s
                else:
                    sizes[a] = require_equal(sizes[a], s, f"shapes {listed} differ in axis {a}")
        return TensorType(inputs[0].dtype, tuple(sizes))

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        offset: Size = 0
        for x in ins:
            with contextlib.ExitStack() as loops:
                ix = [loops.enter_context(k.loop(f"i{a}", s)) for a, s in enumerate(x.shape)]
                to = tuple(i + offset if a == self.axis else i for a, i in enumerate(ix))
                outs[0].store(to, x.load(*ix))
            offset = offset + x.shape[self.axis]

    def reference(self, *arrays: Any) -> Any:
        return np.concatenate(arrays, self.axis)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (g,) = grads
        return [None] * len(inputs) if g is None else _pieces(g, [x.shape[self.axis] for x in inputs], self.axis)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x, y: concatenate([x, y]), (In(("m", "n"), "any"), In(("k", "n"), "any")), name="rows")
        yield Sample(lambda x, y, z: concatenate([x, y, z], axis=-1), (In(("m", "n")), In(("m", 2)), In(("m", "k"))), name="columns")
        yield Sample(lambda x, y: stack([x, y], axis=1), (In(("m", "n")), In(("m", "n"))), name="stack")


@public
def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Variable:
    """The arrays joined along an existing axis (None: all flattened first), in the promoted dtype.

    Raises ShapeError unless ranks and all other sizes agree.
    """
    parts = _parts(arrays, "concatenate")
    if axis is None:
        parts, axis = tuple(ravel(p) for p in parts), 0
    if parts[0].ndim == 0:
        raise ShapeError("concatenate: scalars have no axis to join", hint="see gf.stack")
    result: Variable = parts[0] if len(parts) == 1 else Concatenate(normalize_axes(axis, parts[0].ndim)[0])(*parts)
    return result


def _parts(arrays: Any, what: str) -> tuple[Variable, ...]:
    arrays = list(arrays)
    if not arrays:
        raise ShapeError(f"{what}: there is nothing to join", hint="give at least one array")
    return coerce(*arrays)


@public
def stack(arrays: Sequence[Any], axis: int = 0) -> Variable:
    """Arrays of one shape joined along a new axis, in the promoted dtype."""
    parts = _parts(arrays, "stack")
    (axis,) = normalize_axes(axis, parts[0].ndim + 1)
    return concatenate([expand_dims(p, min(axis, p.ndim)) for p in parts], axis)


@public
def hstack(arrays: Sequence[Any]) -> Variable:
    """Arrays joined along the second axis; vectors and scalars along the first."""
    parts = [reshape(p, (1,)) if p.ndim == 0 else p for p in _parts(arrays, "hstack")]
    return concatenate(parts, 0 if parts[0].ndim == 1 else 1)


@public
def vstack(arrays: Sequence[Any]) -> Variable:
    """Arrays joined along the first axis; vectors and scalars are rows."""
    return concatenate([reshape(p, (1, -1)) if p.ndim < 2 else p for p in _parts(arrays, "vstack")], 0)


# --- split ---------------------------------------------------------------------------------------
@public
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Variable]:
    """x cut along `axis` into a number of equal parts, or before each of the given indices.

    Raises ShapeError if the size does not divide; one known only at run time is checked then.
    """
    x = as_variable(x)
    (axis,) = normalize_axes(axis, x.ndim)
    n = x.shape[axis]
    if not is_scalar_integer(indices_or_sections):
        cuts = [None, *as_sizes(indices_or_sections), None]
        return [_cut(x, slice(a, b), axis) for a, b in itertools.pairwise(cuts)]
    count = as_size(indices_or_sections, "the number of parts")
    if not isinstance(count, int) or count < 1:
        raise ShapeError(f"split: the number of parts is {count}", hint="use a positive int")
    require_equal(floordiv(n, count) * count, n, f"split: the size of axis {axis} is no multiple of {count}; sizes")
    return _pieces(x, [floordiv(n, count)] * count, axis)


@public
def unstack(x: Any, axis: int = 0) -> list[Variable]:
    """The arrays that gf.stack along `axis` would join; the size must be known when the graph is built."""
    x = as_variable(x)
    (axis,) = normalize_axes(axis, x.ndim)
    n = x.shape[axis]
    if not isinstance(n, int):
        raise ShapeError(f"unstack: axis {axis} has the size {n}, known only at run time", hint="use gf.scan to walk along it")
    return [_cut(x, i, axis) for i in range(n)]


def _cut(x: Variable, key: Any, axis: int) -> Variable:
    return slice_axes(x, [key if a == axis else slice(None) for a in range(x.ndim)])


def _pieces(x: Variable, sizes: Sequence[Size], axis: int) -> list[Variable]:
    """Consecutive parts of given sizes along `axis`, which they add up to."""
    pieces: list[Variable] = []
    start: Size = 0
    for size in sizes:
        starts = tuple(start if a == axis else 0 for a in range(x.ndim))
        kept = tuple(size if a == axis else s for a, s in enumerate(x.shape))
        pieces.append(Slice(starts, (1,) * x.ndim, kept)(x))
        start = start + size
    return pieces


# --- tile and repeat -----------------------------------------------------------------------------
@register
class Tile(ViewOp):
    """The whole array `reps[a]` times along each axis."""

    name = "tile"
    reps: Shape

    def infer(self, *inputs: TensorType) -> TensorType:
        sizes = (r * s for r, s in zip(self.reps, inputs[0].known_shape, strict=True))
        return TensorType(inputs[0].dtype, tuple(sizes))

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        return tuple(i if r == 1 else mod(i, s) for i, r, s in zip(ix, self.reps, shape, strict=True))

    def reference(self, *arrays: Any) -> Any:
        return np.tile(arrays[0], self.reps)  # type: ignore[arg-type]  # ints by now

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x,), (g,) = inputs, grads
        if g is None:
            return (None,)
        pairs = [p for r, s in zip(self.reps, x.shape, strict=True) for p in (r, s)]
        return (sum_(reshape(g, pairs), axis=tuple(range(0, 2 * x.ndim, 2)), dtype=g.dtype),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: tile(x, (2, 3)), (In(("m", "n"), "any"),))
        yield Sample(lambda x: tile(x, (2, 1, 2)), (In(("m", "n")),), name="new axis")


@public
def tile(x: Any, reps: Any) -> Variable:
    """x repeated as a whole `reps` times along each of the last axes (NumPy's rule for unequal ranks)."""
    x, counts = as_variable(x), as_sizes(reps)
    rank = max(x.ndim, len(counts))
    if rank > x.ndim:
        x = reshape(x, (1,) * (rank - x.ndim) + x.shape)
    counts = (1,) * (rank - len(counts)) + counts
    result: Variable = x if all(c == 1 for c in counts) else Tile(counts)(x)
    return result


@register
class Repeat(ViewOp):
    """Every element `count` times in a row along `axis`."""

    name = "repeat"
    count: Size
    axis: int

    def infer(self, *inputs: TensorType) -> TensorType:
        shape = inputs[0].known_shape
        return TensorType(inputs[0].dtype, (*shape[: self.axis], shape[self.axis] * self.count, *shape[self.axis + 1 :]))

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        return (*ix[: self.axis], floordiv(ix[self.axis], self.count), *ix[self.axis + 1 :])

    def reference(self, *arrays: Any) -> Any:
        return np.repeat(arrays[0], self.count, self.axis)  # type: ignore[arg-type]  # an int by now

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x,), (g,) = inputs, grads
        if g is None:
            return (None,)
        a = self.axis + 1
        return (sum_(reshape(g, (*x.shape[:a], self.count, *x.shape[a:])), axis=a, dtype=g.dtype),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: repeat(x, 3, 1), (In(("m", "n"), "any"),))
        yield Sample(lambda x: repeat(x, 2), (In(("m", "n")),), name="flat")


@public
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Variable:
    """Every element of x `repeats` times in a row along `axis` (through the flattened array by default).

    `repeats`: one size, or a constant count for each element.
    """
    x = as_variable(x)
    if axis is None:
        x, axis = ravel(x), 0
    (axis,) = normalize_axes(axis, x.ndim)
    if is_scalar_integer(repeats):
        result: Variable = Repeat(as_size(repeats), axis)(x)
        return result
    counts = np.array(as_sizes(repeats))
    if counts.dtype.kind == "O":
        raise DTypeError("repeat: a count for each element must be known when the graph is built", hint="use one size for all elements")
    n = require_equal(x.shape[axis], counts.size, "repeat: there must be a count for each element")
    assert isinstance(n, int)
    return take(x, np.repeat(np.arange(n), counts), axis)


# --- pad -----------------------------------------------------------------------------------------
@register
class Extend(ViewOp):
    """x continued beyond both ends of its axes: by its edge, mirrored, or cyclically."""

    name = "extend"
    before: Shape
    shape: Shape
    mode: str

    def infer(self, *inputs: TensorType) -> TensorType:
        for a, (have, want) in enumerate(zip(inputs[0].known_shape, self.shape, strict=True)):
            if isinstance(have, int) and have == 0 and want != 0:
                raise ShapeError(f"axis {a} is empty and cannot be continued", hint="use mode='constant'")
        return TensorType(inputs[0].dtype, self.shape)

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        return tuple(
            i if have == want else _SOURCES[self.mode](i - b, have)
            for i, b, have, want in zip(ix, self.before, shape, self.shape, strict=True)
        )

    def inside(self, ix: tuple[Size, ...], shape: Shape) -> Sequence[tuple[Size, Size]]:
        return [(0, n) for n, want in zip(shape, self.shape, strict=True) if n != want and not proves_nonnegative(n - 1)]

    def reference(self, *arrays: Any) -> Any:
        x = arrays[0]
        widths = [(b, want - have - b) for b, have, want in zip(self.before, x.shape, self.shape, strict=True)]
        if x.size == 0:
            return np.zeros(self.shape, x.dtype)
        return np.pad(x, widths, mode=self.mode)  # type: ignore[call-overload]

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x,), (g,) = inputs, grads
        if g is None:
            return (None,)
        for a, (n, want) in enumerate(zip(x.shape, self.shape, strict=True)):
            if n != want:
                places = Extend((self.before[a],), (want,), self.mode)(Iota((n,), 0, np.dtype("int64"))())
                base = broadcast_to(constant(0, g.dtype), (*g.shape[:a], n, *g.shape[a + 1 :]))
                g = Scatter.along(a, base.shape, accumulate=True)(base, g, places)
        return (g,)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        for mode in _SOURCES:
            yield Sample(lambda x, mode=mode: pad(x, ((0, 0), (2, 5)), mode), (In(("m", 3), "any"),), name=mode)
            yield Sample(lambda x, mode=mode: pad(x, 2, mode), (In(("m", "n")),), empty=False, name=f"{mode} both axes")


def _mirror(i: Size, n: Size) -> Size:
    period = 2 * n - 2
    place = mod(i, period)
    return minimum(place, period - place)


def _mirror_with_edge(i: Size, n: Size) -> Size:
    place = mod(i, 2 * n)
    return minimum(place, 2 * n - 1 - place)


# mode -> the source of position i, which counts from the first element and may be outside 0 .. n - 1
_SOURCES = {
    "edge": lambda i, n: minimum(maximum(i, 0), n - 1),
    "reflect": _mirror,
    "symmetric": _mirror_with_edge,
    "wrap": mod,
}


@public
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Variable:
    """x with `pad_width` elements added: a size, (before, after), or such a pair for each axis.

    `mode`: 'constant' (`constant_values`), 'edge', 'reflect', 'symmetric' or 'wrap', as in NumPy.
    Raises ShapeError for a negative width, an unknown mode, or a mode that continues an empty axis.
    """
    operand = as_variable(x)
    widths = _pad_widths(pad_width, operand.ndim)
    before = tuple(b for b, _ in widths)
    target = tuple(b + s + e for s, (b, e) in zip(operand.shape, widths, strict=True))
    if target == operand.shape:
        return operand
    if mode == "constant":
        value = np.asarray(constant_values).astype(operand.dtype)
        if value.ndim:
            raise ShapeError("pad: constant_values must be one number", hint="pad axis by axis for different numbers")
        result: Variable = Pad(before, (1,) * operand.ndim, target, value.item())(operand)
        return result
    if mode not in _SOURCES:
        raise ShapeError(f"pad: there is no mode {mode!r}", hint=f"use constant, {', '.join(_SOURCES)}")
    extended: Variable = Extend(before, target, mode)(operand)
    return extended


def _pad_widths(pad_width: Any, ndim: int) -> list[tuple[Size, Size]]:
    if is_scalar_integer(pad_width):
        pad_width = (pad_width, pad_width)
    pairs = pad_width.tolist() if isinstance(pad_width, np.ndarray) else list(pad_width)
    if len(pairs) == 2 and all(is_scalar_integer(p) for p in pairs):
        pairs = [pairs] * ndim
    elif len(pairs) == 1:
        pairs = list(pairs) * ndim
    sized = [as_sizes(p) for p in pairs]
    if len(sized) != ndim or any(len(p) != 2 for p in sized):
        raise ShapeError(f"pad: {pad_width!r} is not a width for {ndim} axes", hint="give a (before, after) pair for each axis")
    if any(isinstance(s, int) and s < 0 for p in sized for s in p):
        raise ShapeError(f"pad: {pad_width!r} has a negative width", hint="slice to remove elements")
    return [(b, e) for b, e in sized]
