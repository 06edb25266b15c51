"""Values defined by an equation: roots and fixed points, with gradients by the implicit function theorem.

At a solution x of F(x, w) = 0 a change of w moves x by -(dF/dx)^-1 dF/dw (A. Griewank and A. Walther, "Evaluating
Derivatives", 2nd ed., chapter 15): a gradient needs the solution alone, and nothing of the way to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import DTypeError, GraphError
from graphflow.graph.op import ComposeOp, register
from graphflow.graph.region import Region
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Placeholder, Variable, as_variable, hook
from graphflow.ops.control import free_variables, newest, while_loop
from graphflow.ops.elementwise import abs_, add, maximum, negative, subtract
from graphflow.ops.logic import greater
from graphflow.ops.loops import same_type
from graphflow.ops.public import public
from graphflow.ops.reduction import max_
from graphflow.ops.shape import reshape, transpose
from graphflow.ops.solving import solve

Grads = Sequence[Variable | None]


class Implicit(ComposeOp):
    """x with an equation of `body`, which takes x and the other operands; the first operand is where the search begins.

    `tolerance`: how far two steps may be apart at the end, relative to the largest element, if that is above 1.
    """

    body: Region
    tolerance: float
    maximum_iterations: int

    def infer(self, *inputs: TensorType) -> TensorType:
        for i, (t, p) in enumerate(zip(inputs, self.body.inputs, strict=True)):
            same_type(t, p.type, f"operand {i}")
        same_type(self.body.outputs[0].type, inputs[0], "what the function gives", "it has the shape and dtype of its argument")
        return inputs[0]

    def step(self, x: Variable, rest: Sequence[Variable]) -> Variable:
        """The next x."""
        raise NotImplementedError

    def expand(self, *inputs: Variable) -> Variable:
        x, *rest = inputs

        def going_on(x: Variable, before: Variable) -> Variable:
            return greater(_size(subtract(x, before)), self.tolerance * maximum(_size(x), 1))

        first = self.step(x, rest)
        found, _ = while_loop(going_on, lambda x, before: (self.step(x, rest), x), (first, x), maximum_iterations=self.maximum_iterations - 1)
        result: Variable = found
        return result

    def reference(self, *arrays: Any) -> Any:
        step = hook("interpreter")(self._one_step())
        x, *rest = arrays
        for _ in range(self.maximum_iterations):
            before, (x,) = x, step([x, *rest])
            if np.abs(x - before).max(initial=0) <= self.tolerance * max(np.abs(x).max(initial=0), 1):
                break
        return x

    def _one_step(self) -> Region:
        inputs = [Placeholder(p.type, p.name) for p in self.body.inputs]
        return Region(inputs, [self.step(inputs[0], inputs[1:])])

    def adjoint(self, x: Variable, rest: Sequence[Variable], g: Variable) -> Variable:
        """What the cotangents of `rest` are pulled back from, at the solution x."""
        raise NotImplementedError

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (g,), (x,), rest = grads, outputs, inputs[1:]
        if g is None:
            return [None] * len(inputs)
        inputs = [Placeholder(v.type) for v in (x, *rest)]
        seed = Placeholder(g.type)
        pulled = hook("pullback")(self.body.of(inputs), [seed], inputs[1:])
        flowing = [i for i, v in enumerate(pulled) if v is not None]
        table = {**dict(zip(inputs, [x, *rest], strict=True)), seed: self.adjoint(x, rest, g)}
        found = dict(zip(flowing, hook("clone")([pulled[i] for i in flowing], table), strict=True))
        return [None, *(found.get(i) for i in range(len(rest)))]


@register
class FixedPoint(Implicit):
    """x = body(x), by going from x to body(x) as long as that changes much."""

    name = "fixed_point"
    body: Region
    tolerance: float
    maximum_iterations: int

    def step(self, x: Variable, rest: Sequence[Variable]) -> Variable:
        return self.body.of([x, *rest])[0]

    def adjoint(self, x: Variable, rest: Sequence[Variable], g: Variable) -> Variable:
        """u with u = g + (d body / dx)^T u: a fixed point again."""
        inputs = [Placeholder(v.type) for v in (g, g, x, *rest)]
        u, constant_g, at, *others = inputs
        (pulled,) = hook("pullback")(self.body.of([at, *others]), [u], [at])
        body = Region(inputs, [constant_g if pulled is None else add(constant_g, pulled)])
        found: Variable = FixedPoint(body, self.tolerance, self.maximum_iterations)(g, g, x, *rest)
        return found


@register
class Root(Implicit):
    """body(x) = 0, by Newton's method."""

    name = "root"
    body: Region
    tolerance: float
    maximum_iterations: int

    def jacobian(self, x: Variable, rest: Sequence[Variable]) -> tuple[Variable, Variable]:
        """The value at x, and the derivative as a matrix."""
        inputs = [Placeholder(v.type) for v in (x, *rest)]
        value = self.body.of(inputs)[0]
        n = x.size
        matrix = reshape(hook("jacobian")(value, inputs[0]), (n, n))
        found = hook("clone")([value, matrix], dict(zip(inputs, [x, *rest], strict=True)))
        return found[0], found[1]

    def step(self, x: Variable, rest: Sequence[Variable]) -> Variable:
        value, matrix = self.jacobian(x, rest)
        return subtract(x, reshape(solve(matrix, reshape(value, (x.size,))), x.shape))

    def adjoint(self, x: Variable, rest: Sequence[Variable], g: Variable) -> Variable:
        _, matrix = self.jacobian(x, rest)
        return negative(reshape(solve(transpose(matrix), reshape(g, (x.size,))), x.shape))


def _size(x: Variable) -> Variable:
    return max_(abs_(x)) if x.ndim else abs_(x)


def _defined(op: Callable[[Region, float, int], Implicit], fn: Callable[[Variable], Any], x0: Any, tolerance: float | None, maximum_iterations: int) -> Variable:
    start = as_variable(x0)
    if start.dtype.kind != "f":
        raise DTypeError(f"the search begins at {start.type}, and needs floats", hint="give x0 a float dtype")
    if maximum_iterations < 1:
        raise GraphError(f"maximum_iterations is {maximum_iterations}, and must be at least 1")
    since = newest()
    x = Placeholder(start.type, "x")
    value = as_variable(fn(x))
    taken = free_variables([value], lambda node: node.serial >= since, [x])
    inner = [Placeholder(v.type, v.name) for v in taken]
    body = Region([x, *inner], hook("clone")([value], dict(zip(taken, inner, strict=True))))
    least = 10 * float(np.finfo(start.dtype).eps)
    found: Variable = op(body, least if tolerance is None else tolerance, maximum_iterations)(start, *taken)
    return found


@public
def fixed_point(fn: Callable[[Variable], Any], x0: Any, tolerance: float | None = None, maximum_iterations: int = 1000) -> Variable:
    """x with `fn(x) = x`, found by repeating x -> fn(x) from x0 until it changes by no more than `tolerance`.

    `tolerance` is relative to the largest element of x, if that is above 1; by default ten units in the last place.
    Gradients flow to all that fn uses (not to x0), through the solution alone.  fn must be a contraction, else the last
    of `maximum_iterations` steps is returned.  Raises DTypeError, ShapeError for a fn that changes the type.
    """
    return _defined(FixedPoint, fn, x0, tolerance, maximum_iterations)


@public
def root(fn: Callable[[Variable], Any], x0: Any, tolerance: float | None = None, maximum_iterations: int = 50) -> Variable:
    """x with `fn(x) = 0`, by Newton's method from x0; fn gives as many values as x has elements, in its shape.

    `tolerance` as for `fixed_point`.  Gradients flow to all that fn uses (not to x0), by the implicit function theorem.
    A singular derivative fails the run (CheckError).
    """
    return _defined(Root, fn, x0, tolerance, maximum_iterations)
