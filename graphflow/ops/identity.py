"""The same values again: as a Variable of its own, and as a constant to every derivative."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from graphflow.graph.dim import Dim
from graphflow.graph.op import In, Sample, Value, register
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.creation import eye
from graphflow.ops.elementwise import Grads, Unary, elementwise, refuse_bool
from graphflow.ops.promotion import coerce
from graphflow.ops.public import PUBLIC, public


@register
class Identity(Unary):
    name = "identity"
    kind = "any"

    def scalar(self, b: Any, *xs: Value) -> Value:
        return xs[0]

    def reference(self, *arrays: Any) -> Any:
        return arrays[0]

    def cotangent(self, g: Variable, x: Variable, y: Variable) -> Variable:
        return g


@public
def identity(x: Any, dtype: Any = None) -> Variable:
    """The same values as a Variable of its own; of an int or a Dim n, as in NumPy, the n x n identity matrix."""
    if isinstance(x, int | Dim):
        return eye(x, dtype=dtype or "float64")
    return elementwise(Identity(), as_variable(x))


@public
def positive(x: Any) -> Variable:
    """+x: the same values.  Raises DTypeError for bool, as NumPy does."""
    (operand,) = coerce(x)
    refuse_bool("positive", "cast to an integer dtype", operand)
    return elementwise(Identity(), operand)


@register
class StopGradient(Identity):
    name = "stop_gradient"

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None,)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(stop_gradient, (In(("m", "n"), "any"),), grad=False)


@public
def stop_gradient(x: Any) -> Variable:
    """The same values, constant to every derivative."""
    return elementwise(StopGradient(), as_variable(x))


PUBLIC.update(consider_constant=stop_gradient)
