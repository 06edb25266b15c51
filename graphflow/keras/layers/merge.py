"""Several Variables to one."""

from __future__ import annotations

import functools
import string
from collections.abc import Callable, Sequence
from typing import Any

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.variable import Variable
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.structure import int_shape
from graphflow.ops import elementwise
from graphflow.ops.contraction import einsum
from graphflow.ops.creation import ones_like
from graphflow.ops.elementwise import cast, divide
from graphflow.ops.joining import concatenate as joined
from graphflow.ops.logic import logical_and
from graphflow.ops.nn import l2_normalize
from graphflow.ops.reduction import all_
from graphflow.ops.shape import expand_dims

__all__ = [
    "Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract", "add", "average", "concatenate", "dot", "maximum",
    "minimum", "multiply", "subtract",
]  # fmt: skip


class _Merge(Layer):
    """Element by element; an input of lower rank is repeated along the axes after the batch that it lacks."""

    supports_masking = True
    pair: Callable[[Any, Any], Variable]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def _check(self, operands: Sequence[Variable]) -> None:
        super()._check(operands)
        if len(operands) < 2:
            raise ShapeError(f"A merge layer should be called on a list of at least 2 inputs. Got {len(operands)} inputs.")

    def call(self, inputs: Any) -> Any:
        rank = max(v.ndim for v in inputs)
        return self._merged([expand_dims(v, tuple(range(1, 1 + rank - v.ndim))) if v.ndim < rank else v for v in inputs])

    def _merged(self, inputs: Sequence[Variable]) -> Variable:
        return functools.reduce(type(self).pair, inputs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where all masks are."""
        masks = [m for m in _masks(inputs, mask) if m is not None]
        return functools.reduce(logical_and, masks) if masks else None


def _masks(inputs: Any, mask: Any) -> list[Variable | None]:
    """One for each input.  Raises ShapeError where that is not what came."""
    if mask is None:
        return [None] * len(inputs)
    if not isinstance(mask, list | tuple) or not isinstance(inputs, list | tuple):
        raise ShapeError(f"`{'inputs' if isinstance(mask, list | tuple) else 'mask'}` should be a list.")
    if len(mask) != len(inputs):
        raise ShapeError("The lists `inputs` and `mask` should have the same length.", hint=f"there are {len(inputs)} inputs and {len(mask)} masks")
    return list(mask)


@recorded
class Add(_Merge):
    """The sum."""

    pair = staticmethod(elementwise.add)


@recorded
class Subtract(_Merge):
    """The first of two less the second."""

    pair = staticmethod(elementwise.subtract)

    def _check(self, operands: Sequence[Variable]) -> None:
        if len(operands) != 2:
            raise ShapeError(f"A `Subtract` layer should be called on exactly 2 inputs. Got {len(operands)} inputs.")


@recorded
class Multiply(_Merge):
    """The product, element by element."""

    pair = staticmethod(elementwise.multiply)


@recorded
class Average(_Merge):
    """The mean."""

    pair = staticmethod(elementwise.add)

    def _merged(self, inputs: Sequence[Variable]) -> Variable:
        return divide(super()._merged(inputs), len(inputs))


@recorded
class Maximum(_Merge):
    """The largest."""

    pair = staticmethod(elementwise.maximum)


@recorded
class Minimum(_Merge):
    """The smallest."""

    pair = staticmethod(elementwise.minimum)


@recorded
class Concatenate(_Merge):
    """One after the other along `axis`; the other sizes are equal."""

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Any) -> Any:
        return joined(inputs, axis=self.axis)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        masks = _masks(inputs, mask)
        if all(m is None for m in masks):
            return None
        axis = self.axis % inputs[0].ndim
        if any(m is not None and m.ndim == v.ndim for v, m in zip(inputs, masks, strict=True)):
            return all_(joined([ones_like(v, dtype="bool") if m is None else cast(m, "bool") for v, m in zip(inputs, masks, strict=True)], axis=axis), axis=-1)
        if axis >= next(m for m in masks if m is not None).ndim:  # features are joined: a step counts if it does everywhere
            return super().compute_mask(inputs, mask)
        first = (slice(None), slice(None), *(0,) * (inputs[0].ndim - 2))
        return joined([ones_like(v[first], dtype="bool") if m is None else m for v, m in zip(inputs, masks, strict=True)], axis=axis)


@recorded
class Dot(_Merge):
    """Products of two inputs summed over an axis of each, sample by sample; `normalize`: of vectors of length 1."""

    def __init__(self, axes: int | Sequence[int], normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        pair = [axes, axes] if isinstance(axes, int) else list(axes)
        if len(pair) != 2 or not all(isinstance(a, int) for a in pair):
            raise GraphError(f"Dot: axes is {axes!r}", hint="it is an axis, or one for each of the two inputs")
        self.axes, self.normalize = axes, normalize

    def _check(self, operands: Sequence[Variable]) -> None:
        if len(operands) != 2:
            raise ShapeError(f"A `Dot` layer should be called on exactly 2 inputs. Got {len(operands)} inputs.")
        a, b = self._over(operands)
        x, y = map(int_shape, operands)
        if None not in (x[a], y[b]) and x[a] != y[b]:
            raise ShapeError(f"Dimension incompatibility {x[a]} != {y[b]}. Layer shapes: {x}, {y}")

    def _over(self, operands: Sequence[Variable]) -> list[int]:
        axes = [self.axes] * 2 if isinstance(self.axes, int) else self.axes
        return [a % v.ndim for a, v in zip(axes, operands, strict=True)]

    def call(self, inputs: Any) -> Any:
        a, b = self._over(inputs)
        if self.normalize:
            inputs = [l2_normalize(inputs[0], axis=a), l2_normalize(inputs[1], axis=b)]
        return batch_dot(inputs[0], inputs[1], a, b)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None


def batch_dot(x: Variable, y: Variable, a: int, b: int) -> Variable:
    """Products summed over axis a of x and b of y for each sample: (n, *rest of x, *rest of y), at least (n, 1)."""
    left = ["Z", *string.ascii_lowercase[: x.ndim - 1]]
    right = ["Z", *string.ascii_uppercase[: y.ndim - 1]]
    right[b] = left[a]
    result = [*left[:a], *left[a + 1 :], *(label for i, label in enumerate(right) if i not in (0, b))]
    product = einsum(f"{''.join(left)},{''.join(right)}->{''.join(result)}", x, y)
    return expand_dims(product, 1) if product.ndim == 1 else product


def _function(layer: type[Layer], what: str) -> Callable[..., Variable]:
    def merged(inputs: Sequence[Variable], **kwargs: Any) -> Variable:
        result: Variable = layer(**kwargs)(inputs)
        return result

    merged.__name__ = merged.__qualname__ = layer.__name__.lower()
    merged.__doc__ = f"{what} of a list of Variables; takes the arguments of `{layer.__name__}`."
    return merged


add = _function(Add, "The sum")
subtract = _function(Subtract, "The difference")
multiply = _function(Multiply, "The product")
average = _function(Average, "The mean")
maximum = _function(Maximum, "The largest")
minimum = _function(Minimum, "The smallest")


def concatenate(inputs: Sequence[Variable], axis: int = -1, **kwargs: Any) -> Variable:
    """Variables joined along `axis`."""
    result: Variable = Concatenate(axis=axis, **kwargs)(inputs)
    return result


def dot(inputs: Sequence[Variable], axes: int | Sequence[int], normalize: bool = False, **kwargs: Any) -> Variable:
    """Products of two Variables summed over an axis of each, sample by sample."""
    result: Variable = Dot(axes=axes, normalize=normalize, **kwargs)(inputs)
    return result
