"""Softmax and its logarithm along an axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.op import ComposeOp, In, Sample, register
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable
from graphflow.ops.elementwise import Grads, divide, multiply, subtract
from graphflow.ops.promotion import coerce, inexact
from graphflow.ops.public import public
from graphflow.ops.reduction import max_, normalize_axes, sum_
from graphflow.ops.transcendental import exp, log


def shifted(x: Variable, axis: int) -> Variable:
    """x less its maximum along `axis`, so that exp cannot overflow."""
    return subtract(x, max_(x, axis=axis, keepdims=True))


class Normalizer(ComposeOp):
    """A function of the lines of x along `axis` that keeps the shape."""

    axis: int

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0]

    @classmethod
    def line_samples(cls, make: Any) -> Iterator[Sample]:
        yield Sample(lambda x: make(x), (In(("m", 5)),), name="rows")
        yield Sample(lambda x: make(x, axis=0), (In((4, "n"), "float", -30, 30),), name="columns")
        yield Sample(lambda x: make(x), (In(("m", "n")),), empty=False, name="any size")


@register
class Softmax(Normalizer):
    name = "softmax"
    axis: int

    def expand(self, *inputs: Variable) -> Variable:
        e = exp(shifted(inputs[0], self.axis))
        return divide(e, sum_(e, axis=self.axis, keepdims=True))

    def reference(self, *arrays: Any) -> Any:
        return np.exp(_log_softmax(arrays[0], self.axis)).astype(arrays[0].dtype)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (y,), (g,) = outputs, grads
        if g is None:
            return (None,)
        return (multiply(y, subtract(g, sum_(multiply(g, y), axis=self.axis, keepdims=True))),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        return cls.line_samples(softmax)


@register
class LogSoftmax(Normalizer):
    name = "log_softmax"
    axis: int

    def expand(self, *inputs: Variable) -> Variable:
        x = shifted(inputs[0], self.axis)
        return subtract(x, log(sum_(exp(x), axis=self.axis, keepdims=True)))

    def reference(self, *arrays: Any) -> Any:
        return _log_softmax(arrays[0], self.axis).astype(arrays[0].dtype)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (y,), (g,) = outputs, grads
        return (None if g is None else subtract(g, multiply(exp(y), sum_(g, axis=self.axis, keepdims=True))),)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        return cls.line_samples(log_softmax)


def _log_softmax(x: Any, axis: int) -> Any:
    x = x.astype(np.float64)
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


@public
def softmax(x: Any, axis: int = -1) -> Variable:
    """exp(x) / sum(exp(x)) along `axis`, without overflow."""
    (x,) = coerce(x, to=inexact)
    result: Variable = Softmax(normalize_axes(axis, x.ndim)[0])(x)
    return result


@public
def log_softmax(x: Any, axis: int = -1) -> Variable:
    """x - log(sum(exp(x))) along `axis`, without overflow, and without underflow to log(0)."""
    (x,) = coerce(x, to=inexact)
    result: Variable = LogSoftmax(normalize_axes(axis, x.ndim)[0])(x)
    return result
