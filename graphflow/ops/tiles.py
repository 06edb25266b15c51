"""Tiles of images: depth to space and back, space to batch, patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.graph.dim import Size, maximum, mod
from graphflow.graph.errors import ShapeError
from graphflow.graph.op import require_equal
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.joining import pad
from graphflow.ops.public import public
from graphflow.ops.shape import reshape, transpose
from graphflow.ops.windows import windows


def _image(x: Any, name: str, data_format: str) -> tuple[Variable, bool]:
    """x with channels last, and whether they were first."""
    x = as_variable(x)
    if x.ndim != 4:
        raise ShapeError(f"{name}: {x!r} is not a batch of images", hint="images have rank 4")
    first = data_format in ("channels_first", "NCHW")
    return (transpose(x, (0, 2, 3, 1)) if first else x), first


def _restored(x: Variable, first: bool) -> Variable:
    return transpose(x, (0, 3, 1, 2)) if first else x


def _parts(size: Size, block: int, what: str) -> Size:
    """The size over the block, which divides it."""
    require_equal(mod(size, block), 0, f"{what}: a size is not a multiple of the block {block}; remainders")
    return size // block


@public
def space_to_depth(x: Any, block_size: int, data_format: str = "channels_last") -> Variable:
    """Blocks of pixels as channels: (n, h, w, c) to (n, h / b, w / b, b * b * c), as tf.space_to_depth."""
    x, first = _image(x, "space_to_depth", data_format)
    n, h, w, c = x.shape
    rows, columns = (_parts(s, block_size, "space_to_depth") for s in (h, w))
    cut = transpose(reshape(x, (n, rows, block_size, columns, block_size, c)), (0, 1, 3, 2, 4, 5))
    return _restored(reshape(cut, (n, rows, columns, c * (block_size * block_size))), first)


@public
def depth_to_space(x: Any, block_size: int, data_format: str = "channels_last") -> Variable:
    """Channels as blocks of pixels: (n, h, w, b * b * c) to (n, h * b, w * b, c), as tf.depth_to_space."""
    x, first = _image(x, "depth_to_space", data_format)
    n, h, w, c = x.shape
    left = _parts(c, block_size * block_size, "depth_to_space")
    cut = transpose(reshape(x, (n, h, w, block_size, block_size, left)), (0, 1, 3, 2, 4, 5))
    return _restored(reshape(cut, (n, h * block_size, w * block_size, left)), first)


@public
def space_to_batch(x: Any, block_shape: Sequence[int], paddings: Sequence[Sequence[Any]]) -> Variable:
    """Each place within blocks of the axes 1, 2 ... as a batch of its own, after padding them; as tf.space_to_batch_nd."""
    x, rank = as_variable(x), len(block_shape)
    x = pad(x, [(0, 0), *map(tuple, paddings), *[(0, 0)] * (x.ndim - rank - 1)])
    batch, space, rest = x.shape[0], x.shape[1 : rank + 1], x.shape[rank + 1 :]
    parts = [_parts(s, b, "space_to_batch") for s, b in zip(space, block_shape, strict=True)]
    cut = reshape(x, (batch, *(v for pair in zip(parts, block_shape, strict=True) for v in pair), *rest))
    order = (*range(2, 2 * rank + 1, 2), 0, *range(1, 2 * rank, 2), *range(2 * rank + 1, cut.ndim))
    batches = batch
    for b in block_shape:
        batches = batches * b
    return reshape(transpose(cut, order), (batches, *parts, *rest))


@public
def batch_to_space(x: Any, block_shape: Sequence[int], crops: Sequence[Sequence[int]]) -> Variable:
    """The inverse of `space_to_batch`: batches as places within blocks, then `crops` are cut off; as tf.batch_to_space_nd."""
    x, rank = as_variable(x), len(block_shape)
    batches: Size = x.shape[0]
    for b in block_shape:
        batches = _parts(batches, b, "batch_to_space")
    space, rest = x.shape[1 : rank + 1], x.shape[rank + 1 :]
    cut = reshape(x, (*block_shape, batches, *space, *rest))
    order = (rank, *(a for i in range(rank) for a in (rank + 1 + i, i)), *range(2 * rank + 1, cut.ndim))
    whole = reshape(transpose(cut, order), (batches, *(s * b for s, b in zip(space, block_shape, strict=True)), *rest))
    kept = [slice(before, whole.shape[i + 1] - after) for i, (before, after) in enumerate(crops)]
    return whole[(slice(None), *kept)]


@public
def extract_patches(images: Any, sizes: Sequence[int], strides: Sequence[int] = (1, 1), rates: Sequence[int] = (1, 1), padding: str = "valid") -> Variable:
    """Patches of images (n, h, w, c) along the channels: (n, rows, columns, height * width * c), as tf.extract_image_patches.

    `padding`: 'valid', or 'same', which pads with zeros so that there are ceil(h / stride) rows.
    """
    x, _ = _image(images, "extract_patches", "channels_last")
    if padding.lower() not in ("valid", "same"):
        raise ShapeError(f"extract_patches: there is no padding {padding!r}", hint="use valid or same")
    if padding.lower() == "same":
        x = pad(x, [(0, 0), *(_same(n, k, s, r) for n, k, s, r in zip(x.shape[1:3], sizes, strides, rates, strict=True)), (0, 0)])
    cut = windows(x, tuple(sizes), tuple(strides), tuple(rates), (1, 2))
    n, rows, columns, h, w, c = cut.shape
    return reshape(cut, (n, rows, columns, c * (h * w)))


def _same(n: Size, window: int, stride: int, rate: int) -> tuple[Size, Size]:
    """Zeros before and after an axis, the odd one after."""
    count = (n + (stride - 1)) // stride
    total = maximum((count - 1) * stride + ((window - 1) * rate + 1) - n, 0)
    return total // 2, total - total // 2
