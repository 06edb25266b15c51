"""Cross entropies on logits (stable for any logit) and on probabilities.

They keep the batch: only the axis of classes is summed.  Predictions come before targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import ShapeError
from graphflow.graph.op import ComposeOp, In, Sample, broadcast_shapes, register, require_equal
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.along_axis import TakeAlong
from graphflow.ops.elementwise import Grads, abs_, add, cast, maximum, multiply, negative, subtract
from graphflow.ops.gathering import as_index
from graphflow.ops.indexing import one_hot
from graphflow.ops.promotion import coerce, inexact
from graphflow.ops.public import public
from graphflow.ops.reduction import normalize_axes, sum_
from graphflow.ops.shape import broadcast_to, expand_dims, show_shape, squeeze
from graphflow.ops.softmax import log_softmax, softmax
from graphflow.ops.transcendental import log, log1p, sigmoid, softplus


# --- on logits -----------------------------------------------------------------------------------
@public
def softmax_cross_entropy(logits: Any, targets: Any, axis: int = -1) -> Variable:
    """-sum(targets * log_softmax(logits)) along `axis`; `targets` are probabilities (one-hot or soft)."""
    logits, targets = coerce(logits, targets, to=inexact)
    return negative(sum_(multiply(targets, log_softmax(logits, axis)), axis=axis))


@register
class SparseSoftmaxCrossEntropy(ComposeOp):
    """-log(softmax(logits)[label]) along `axis`, with the gradient softmax - one_hot."""

    name = "sparse_softmax_cross_entropy"
    axis: int

    def infer(self, *inputs: TensorType) -> TensorType:
        logits, labels = (t.known_shape for t in inputs)
        lines = (*logits[: self.axis], *logits[self.axis + 1 :])
        hint = "labels are class numbers; use gf.nn.softmax_cross_entropy for one-hot targets"
        what = f"labels of shape {show_shape(labels)} do not fit logits of shape {show_shape(logits)}"
        if len(labels) != len(lines):
            raise ShapeError(what, hint=hint)
        for have, want in zip(labels, lines, strict=True):
            require_equal(have, want, f"{what}; sizes", hint)
        return TensorType(inputs[0].dtype, lines)

    def expand(self, *inputs: Variable) -> Variable:
        logits, labels = inputs
        return negative(_pick(log_softmax(logits, self.axis), labels, self.axis))

    def reference(self, *arrays: Any) -> Any:
        logits, labels = arrays[0].astype(np.float64), np.expand_dims(arrays[1], self.axis)
        top = logits.max(axis=self.axis, keepdims=True)
        total = top + np.log(np.exp(logits - top).sum(axis=self.axis, keepdims=True))
        picked = TakeAlong(self.axis, False, "label").reference(logits - total, labels)
        return -np.squeeze(picked, self.axis).astype(arrays[0].dtype)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (logits, labels), (g,) = inputs, grads
        if g is None:
            return None, None
        target = one_hot(labels, logits.shape[self.axis], self.axis, logits.dtype)
        return multiply(expand_dims(g, self.axis), subtract(softmax(logits, self.axis), target)), None

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        make = sparse_softmax_cross_entropy
        yield Sample(lambda x, i: make(x, i), (In(("m", 4), "float", -5, 5), In(("m",), "int32", 0, 3)), rtol=4e-6)
        yield Sample(lambda x, i: make(x, i, 1), (In(("m", 3, "n")), In(("m", "n"), "uint8", 0, 2)), rtol=4e-6, name="axis 1")
        yield Sample(lambda x, i: make(x, i), (In((4,)), In((), "int64", 0, 3)), rtol=4e-6, name="one")


@public
def sparse_softmax_cross_entropy(logits: Any, labels: Any, axis: int = -1) -> Variable:
    """-log(softmax(logits)) at the class number `labels` of each line along `axis`.

    `labels` has any integer dtype and the shape of `logits` without the axis.  Raises ShapeError
    for another shape; a label outside 0 .. classes - 1 fails the run (CheckError).
    """
    (logits,), labels = coerce(logits, to=inexact), as_index(labels)
    (axis,) = normalize_axes(axis, logits.ndim)
    result: Variable = SparseSoftmaxCrossEntropy(axis)(logits, labels)
    return result


def _pick(x: Variable, labels: Variable, axis: int) -> Variable:
    """For each line of x along `axis` the element at its label."""
    picked: Variable = TakeAlong(axis, False, "label")(x, expand_dims(labels, axis))
    return squeeze(picked, axis)


@register
class SigmoidCrossEntropy(ComposeOp):
    """max(x, 0) - x * t + log(1 + exp(-|x|)), with the gradient sigmoid(x) - t."""

    name = "sigmoid_cross_entropy"

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def expand(self, *inputs: Variable) -> Variable:
        x, t = inputs
        return add(subtract(maximum(x, 0), multiply(x, t)), softplus(negative(abs_(x))))

    def reference(self, *arrays: Any) -> Any:
        x, t = (a.astype(np.float64) for a in arrays)
        return (np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))).astype(arrays[0].dtype)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x, t), (g,) = inputs, grads
        return (None, None) if g is None else (multiply(g, subtract(sigmoid(x), t)), negative(multiply(g, x)))

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(sigmoid_cross_entropy, (In(("m", "n"), "float", -30, 30), In(("m", "n"), "float", 0, 1)), rtol=4e-6)


@public
def sigmoid_cross_entropy(logits: Any, targets: Any) -> Variable:
    """-t * log(sigmoid(x)) - (1 - t) * log(1 - sigmoid(x)) for each element, without overflow."""
    x, t = coerce(logits, targets, to=inexact)
    shape = broadcast_shapes([x.shape, t.shape])
    result: Variable = SigmoidCrossEntropy()(broadcast_to(x, shape), broadcast_to(t, shape))
    return result


# --- on probabilities ----------------------------------------------------------------------------
@public
def categorical_crossentropy(probabilities: Any, targets: Any, axis: int = -1) -> Variable:
    """-sum(targets * log(probabilities)) along `axis`; integer targets of one rank less are class numbers.

    The probabilities are taken as they are: one of 0 gives inf, or NaN where the target is 0 too.
    """
    (p,), t = coerce(probabilities, to=inexact), as_variable(targets)
    (axis,) = normalize_axes(axis, p.ndim)
    if t.ndim == p.ndim - 1 and t.dtype.kind in "iu":
        return negative(log(_pick(p, t, axis)))
    return negative(sum_(multiply(cast(t, p.dtype), log(p)), axis=axis))


@public
def binary_crossentropy(probabilities: Any, targets: Any) -> Variable:
    """-t * log(p) - (1 - t) * log(1 - p) for each element; p is taken as it is."""
    p, t = coerce(probabilities, targets, to=inexact)
    return negative(add(multiply(t, log(p)), multiply(subtract(1, t), log1p(negative(p)))))
