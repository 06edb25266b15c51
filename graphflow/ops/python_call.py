"""Python in the graph: callables as ops, custom gradients, and the op by which compiled code calls Python."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from graphflow.graph.dim import Dim
from graphflow.graph.errors import DTypeError, GraphError, ShapeError
from graphflow.graph.op import ComposeOp, ExternOp, In, Op, Sample, register
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.types import DType, Shape, TensorType
from graphflow.graph.variable import Constant, Placeholder, Variable, as_variable, origin_of
from graphflow.ops.elementwise import cast, multiply
from graphflow.ops.public import deferring, public

Grads = Sequence[Variable | None]
Vjp = Callable[[Sequence[Variable], Sequence[Variable], Sequence[Variable | None]], Sequence[Variable | None]]


class Callee:
    """A Python callable with the dtypes and ranks of its arrays; `number` names it in this process.

    It gets copies of its arrays, and gives one array, or a sequence of as many as `results` says.
    """

    _numbers: ClassVar = itertools.count()
    _alive: ClassVar[weakref.WeakValueDictionary[int, Callee]] = weakref.WeakValueDictionary()

    def __init__(self, fn: Callable[..., Any], operands: Sequence[tuple[DType, int]], results: Sequence[tuple[DType, int]], what: str) -> None:
        self.fn, self.operands, self.results, self.what = fn, tuple(operands), tuple(results), what
        self.number = next(Callee._numbers)
        Callee._alive[self.number] = self

    @classmethod
    def numbered(cls, number: int) -> Callee:
        """The callee of a number; raises KeyError if its op is gone."""
        return cls._alive[number]

    def __call__(self, *arrays: Any) -> list[Any]:
        """The results as arrays of the declared dtypes and ranks.

        Raises what the callable raises; GraphError, DTypeError or ShapeError for what it should not give.
        """
        made = self.fn(*(np.array(a) for a in arrays))
        found = list(made) if isinstance(made, tuple | list) and len(self.results) != 1 else [made]
        if len(found) != len(self.results):
            raise GraphError(f"{self.what}: gave {len(found)} results, and {len(self.results)} are declared")
        return [self.checked(i, value) for i, value in enumerate(found)]

    def checked(self, number: int, value: Any) -> Any:
        dtype, rank = self.results[number]
        array = np.asarray(value)
        if array.dtype != dtype and not isinstance(value, bool | int | float):
            raise DTypeError(f"{self.what}: result {number} has dtype {array.dtype}, and {dtype} is declared", hint=f"convert it: np.asarray(y, '{dtype}')")
        if array.ndim != rank:
            raise ShapeError(f"{self.what}: result {number} has rank {array.ndim}, and {rank} is declared")
        return np.asarray(value, dtype)


@register
class PythonCall(ExternOp):
    """A call of Python from native code: it takes the GIL, gets copies of its operands, and may raise."""

    name = "python_call"
    failure = "a Python callable raised an exception"
    callee: Callee
    dtypes: tuple[DType, ...]
    shapes: tuple[Shape, ...]
    pullback: Vjp | None

    @property
    def symbol(self) -> str:
        return f"python.{self.callee.number}"

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        return tuple(TensorType(dtype, shape) for dtype, shape in zip(self.dtypes, self.shapes, strict=True))

    def reference(self, *arrays: Any) -> Any:
        found = self.callee(*arrays)
        for i, (value, shape) in enumerate(zip(found, self.shapes, strict=True)):
            if value.shape != shape:
                raise ShapeError(f"{self.callee.what}: result {i} has the shape {list(value.shape)}, and {list(shape)} is declared")
        return tuple(found)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        if self.pullback is None:
            raise GraphError(f"{self.callee.what} has no gradient", hint="give vjp=..., or wrap its inputs in gf.stop_gradient if none is wanted")
        return self.pullback(inputs, outputs, grads)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        def pulled(inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
            (x,), (g,) = inputs, grads
            return (None if g is None else multiply(g, multiply(x, 2)),)

        yield Sample(lambda x: py_function(np.square, [x], x, pulled), (In(("m", "n")),), name="square")
        yield Sample(lambda x: py_function(lambda a: (a[:1], a.sum()), [x], [(x.dtype, (1, 2)), (x.dtype, ())])[0], (In((3, 2)),), grad=False, name="two results")

    def __str__(self) -> str:
        return f"{self.name}{{{self.callee.what}}}"


def called(fn: Callable[..., Any], inputs: Sequence[Variable], types: Sequence[TensorType], vjp: Vjp | None, what: str) -> list[Variable]:
    """The results, of the given types, of calling `fn` on the arrays of `inputs`."""
    callee = Callee(fn, [(v.dtype, v.ndim) for v in inputs], [(t.dtype, len(t.known_shape)) for t in types], what)
    made = PythonCall(callee, tuple(t.dtype for t in types), tuple(t.known_shape for t in types), vjp)(*inputs)
    return list(made) if isinstance(made, tuple) else [made]


def call_reference(op: Op, inputs: Sequence[Variable], types: Sequence[TensorType]) -> list[Variable]:
    """An op without a lowering form as a call of its reference.  Raises GraphError for one with Dims among its parameters."""
    if any(isinstance(p, Dim) for p in op.params().values()):
        raise GraphError(f"{op} has sizes known at run time among its parameters, and no lowering form", hint="give them as inputs, or give the op a form")
    return called(op.reference, inputs, types, None, str(op))


# --- functions ---------------------------------------------------------------------------------------
@public
def py_function(fn: Callable[..., Any], inputs: Sequence[Any], out_types: Any, vjp: Vjp | None = None) -> Any:
    """The result(s) of a Python callable on NumPy arrays, as a Variable or, for a list of types, a list of them.

    `out_types`: a TensorType, a Variable whose type is meant or a pair (dtype, shape), or a list of these; sizes are ints and Dims of the inputs,
    such as `x.shape[0]`.  `vjp(inputs, outputs, grads)` gives the cotangents of the inputs as Variables (None where there are none); without
    it there is no gradient.  `fn` gets copies, runs with the GIL in the thread that runs the graph, once for each run that needs its
    results, and what it raises leaves the run.  Results of another dtype or shape raise DTypeError and ShapeError.  Graphs with
    Python in them are not cached on disk.
    """
    operands = [as_variable(v) for v in inputs]
    listed = isinstance(out_types, list)
    types = [_as_type(t) for t in (out_types if listed else [out_types])]
    made = called(fn, operands, types, vjp, getattr(fn, "__name__", "a Python callable"))
    return made if listed else made[0]


def _as_type(given: Any) -> TensorType:
    if isinstance(given, Variable):
        given = given.type
    elif isinstance(given, tuple) and len(given) == 2:
        dtype, shape = given
        if any(s is None for s in shape):
            raise ShapeError(f"py_function: the result's shape {shape} has an unknown size", hint="sizes are ints, or Dims of the inputs such as x.shape[0]")
        given = TensorType.make(dtype, shape)
    if not isinstance(given, TensorType) or given.shape is None:
        raise GraphError(f"py_function: {given!r} is no type of a result", hint='write ("float32", x.shape), x.type, or a list of these')
    return given


@public
def as_op(itypes: Sequence[Any], otypes: Any, vjp: Vjp | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: a function of NumPy arrays becomes one of Variables, as Theano's as_op.

        @gf.as_op(["float64", "float64"], lambda x, y: x.type)
        def larger(x, y):
            return np.maximum(x, y)

    `itypes`: the dtypes that operands are cast to.  `otypes`: what `py_function` takes as `out_types`, or a function of the
    operands that gives it.
    """

    def decorate(fn: Callable[..., Any]) -> Callable[..., Any]:
        def applied(*operands: Any) -> Any:
            if len(operands) != len(itypes):
                raise GraphError(f"{applied.__name__} takes {len(itypes)} operands, and {len(operands)} came")
            variables = [cast(as_variable(v), dtype) for v, dtype in zip(operands, itypes, strict=True)]
            return py_function(fn, variables, otypes(*variables) if callable(otypes) else otypes, vjp)

        applied.__name__, applied.__doc__ = getattr(fn, "__name__", "as_op"), fn.__doc__
        return applied

    return decorate


# --- custom gradients --------------------------------------------------------------------------------
@register
class CustomGradient(ComposeOp):
    """`fn(*inputs)` gives (results, grad_fn); the cotangents are `grad_fn(*grads)`."""

    name = "custom_gradient"
    fn: Callable[..., tuple[Any, Callable[..., Any]]]

    def expand(self, *inputs: Variable) -> Variable | tuple[Variable, ...]:
        made = self.fn(*inputs)[0]
        return tuple(as_variable(v) for v in made) if isinstance(made, tuple | list) else as_variable(made)

    def infer(self, *inputs: TensorType) -> TensorType | tuple[TensorType, ...]:
        stand_ins = [Placeholder(t) for t in inputs]
        made = self.expand(*stand_ins)
        for v in leaves(made if isinstance(made, tuple) else [made], set(stand_ins)):
            if v not in stand_ins and not isinstance(v, Constant):
                raise GraphError(f"custom_gradient: the function uses {origin_of(v)}, which is not among its arguments", hint="pass it as an argument")
        return tuple(v.type for v in made) if isinstance(made, tuple) else made.type

    def reference(self, *arrays: Any) -> Any:
        stand_ins = [Placeholder(TensorType(a.dtype, a.shape)) for a in arrays]
        made = self.expand(*stand_ins)
        outputs = list(made) if isinstance(made, tuple) else [made]
        values: dict[Variable, Any] = dict(zip(stand_ins, arrays, strict=True))
        for node in toposort(outputs):
            found = node.op.reference(*(v.value if isinstance(v, Constant) else values[v] for v in node.inputs))
            values.update(zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=True))
        results = tuple(v.value if isinstance(v, Constant) else values[v] for v in outputs)
        return results if isinstance(made, tuple) else results[0]

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        given = [v * 0 if g is None else g for v, g in zip(outputs, grads, strict=True)]
        made = self.fn(*inputs)[1](*given)
        found = list(made) if isinstance(made, tuple | list) else [made]
        if len(found) != len(inputs):
            raise GraphError(f"custom_gradient: the gradient function gave {len(found)} cotangents for {len(inputs)} arguments")
        return [None if g is None else cast(as_variable(g), v.dtype) for g, v in zip(found, inputs, strict=True)]

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        def square(x: Variable) -> tuple[Variable, Callable[..., Any]]:
            return multiply(x, x), lambda g: multiply(multiply(g, x), 2)

        yield Sample(custom_gradient(square), (In(("m", "n")),), name="square")

    def __str__(self) -> str:
        return f"{self.name}{{{getattr(self.fn, '__name__', 'fn')}}}"


@public
def custom_gradient(fn: Callable[..., tuple[Any, Callable[..., Any]]]) -> Callable[..., Any]:
    """Decorator: `fn(*xs)` returns `(y, grad_fn)`, and the cotangents of xs are `grad_fn(*cotangents of y)`, as tf.custom_gradient.

        @gf.custom_gradient
        def straight_through(x):
            return gf.round(x), lambda g: g

    y is a Variable or a tuple of them; grad_fn gives one cotangent, or a list with one for each argument (None for none).  fn is called
    whenever the graph is built, differentiated or compiled, so it must have no effects; other Variables than constants are passed as
    arguments (GraphError).  Derivatives of higher order are those of what grad_fn computes.
    """

    @deferring
    def applied(*xs: Any) -> Any:
        return CustomGradient(fn)(*xs)

    applied.__name__, applied.__doc__ = getattr(fn, "__name__", "custom_gradient"), fn.__doc__
    return applied
