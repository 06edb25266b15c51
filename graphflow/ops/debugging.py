"""Looking at values and checking them inside a graph: the same values again, with an effect."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import CheckError, DTypeError
from graphflow.graph.op import In, NestOp, Sample, register
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.promotion import coerce
from graphflow.ops.public import PUBLIC, public
from graphflow.ops.python_call import Grads, called
from graphflow.ops.reduction import all_

_NOTHING = -(2**63)  # an operand of a check that says nothing


@register
class Assert(NestOp):
    """x, and a check that fails the run where `cond`, a bool scalar, is false."""

    name = "assert"
    message: str

    def infer(self, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        x, cond = ins
        zero, nothing = k.const("int64", 0), k.const("int64", _NOTHING)
        k.position(k.select(cond.load(), zero, nothing), 1, self.message)

        def axis(number: int, ix: tuple[Any, ...]) -> None:
            if number == len(x.shape):
                outs[0].store(ix, x.load(*ix))
                return
            with k.loop("i", x.shape[number]) as i:
                axis(number + 1, (*ix, i))

        axis(0, ())

    def reference(self, *arrays: Any) -> Any:
        if not arrays[1]:
            raise CheckError(f"assert: {self.message}")
        return arrays[0]

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return grads[0], None

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x: assert_(x > -10, x, "x is above -10"), (In(("m", "n"), "number"),))
        yield Sample(lambda x: assert_(True, x), (In((), "float"),), name="scalar")


@public
def assert_(cond: Any, x: Any, message: str = "the condition is false") -> Variable:
    """The values of x; a run in which an element of `cond` is false raises CheckError with `message` and this line.

    Compiled: state is not written by a run that fails.  What is to be guarded has to use the result.  The gradient passes through.
    Raises DTypeError for a condition that is not bool.
    """
    condition, values = as_variable(cond), as_variable(x)
    if condition.dtype.kind != "b":
        raise DTypeError(f"assert_: the condition is {condition.dtype}, not bool", hint="compare: gf.assert_(x > 0, x)")
    result: Variable = Assert(message)(values, all_(condition))
    return result


@public
def print_(x: Any, message: str = "", data: Any = None, summarize: int = 3) -> Variable:
    """The values of x; each run that computes them prints `message` and x, or the list of values `data`, to standard output.

    `summarize`: how many elements are shown at either end of an axis.  What is to be printed has to be used; of two, the one
    whose result the other one uses comes first.  The gradient passes through.
    """
    (values,) = coerce(x)
    shown = [values] if data is None else [as_variable(v) for v in (data if isinstance(data, list | tuple) else [data])]
    show = _printer(message, [v.label if v.name or v.owner is not None else "" for v in shown], summarize)

    def passed(*arrays: Any) -> Any:
        show(arrays if data is None else arrays[1:])
        return arrays[0]

    def pull(inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (grads[0], *[None] * (len(inputs) - 1))

    return called(passed, [values, *(shown if data is not None else [])], [values.type], pull, "print")[0]


def _printer(message: str, labels: Sequence[str], summarize: int) -> Callable[[Sequence[Any]], None]:
    def show(arrays: Sequence[Any]) -> None:
        parts = [message] if message else []
        for label, array in zip(labels, arrays, strict=True):
            text = np.array2string(array, threshold=2 * summarize, edgeitems=summarize)
            shape = f"{array.dtype.name}[{', '.join(map(str, array.shape))}]"
            parts.append(f"{label} {shape}{' = ' if array.ndim < 2 else chr(10)}{text}".lstrip())
        print("\n".join(parts) if any("\n" in part for part in parts) else " ".join(parts), file=sys.stdout, flush=True)

    return show


PUBLIC.update(assert_=PUBLIC.pop("assert"), print_=print_)  # `assert` is no name in Python, and `print` hides one
