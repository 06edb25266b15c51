"""Variable, Apply and the leaves of a graph.

A user's Variable has identity: `==` is `is`, and its op, inputs and type never change.
`name` and `tag` may; no pass reads them.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from graphflow.graph import source
from graphflow.graph.dim import Dim, Size
from graphflow.graph.errors import DTypeError, GraphError, GraphflowError, ShapeError
from graphflow.graph.op import Array, Op, SizeConstraints
from graphflow.graph.types import DType, Shape, TensorType, as_dtype, is_half

_serial = itertools.count()

# Filled by layers above (lower layers never import higher ones): Python operators by
# `graphflow.ops`, values by `runtime`.
OPERATORS: dict[str, Callable[..., Any]] = {}
HOOKS: dict[str, Callable[..., Any]] = {}


def _operator(name: str, *args: Any, **kwargs: Any) -> Any:
    if not OPERATORS:
        import graphflow.ops  # noqa: F401  registers itself
    return OPERATORS[name](*args, **kwargs)


def hook(name: str) -> Callable[..., Any]:
    """A service of a higher layer, loaded on first use."""
    if name not in HOOKS:
        import importlib

        importlib.import_module("graphflow.runtime.hooks")
    return HOOKS[name]


class Apply:
    """`op` applied to `inputs`: a node of the graph, with the user's line and name scope."""

    __slots__ = ("constraints", "inputs", "op", "outputs", "scope", "serial", "source")

    def __init__(self, op: Op, inputs: Sequence[Variable], types: Sequence[TensorType], constraints: tuple[tuple[Size, Size], ...] = ()) -> None:
        self.op = op
        self.inputs = tuple(inputs)
        self.source = source.here()
        self.scope = name_scope.current()
        self.constraints = constraints
        self.serial = next(_serial)
        self.outputs = tuple(Variable(t, owner=self, index=i) for i, t in enumerate(types))

    def __repr__(self) -> str:
        return f"<{self.op}({', '.join(v.label for v in self.inputs)})>"


class Variable:
    """A typed value in a graph: the output `index` of `owner`, or a leaf when owner is None.

    Arithmetic, comparison (`<`, `>` ...), indexing and NumPy's functions build graphs.
    `==` is identity; `gf.equal(a, b)` compares elements.
    """

    __slots__ = ("__weakref__", "_tag", "index", "name", "owner", "serial", "type")
    __array_priority__ = 1000

    def __init__(self, type: TensorType, owner: Apply | None = None, index: int = 0, name: str | None = None) -> None:
        self.type = type
        self.owner = owner
        self.index = index
        self.name = name
        self.serial = next(_serial)
        self._tag: SimpleNamespace | None = None

    # --- what it is -----------------------------------------------------------------------
    @property
    def tag(self) -> SimpleNamespace:
        """Free annotations (`test_value` ...); no pass reads them."""
        if self._tag is None:
            self._tag = SimpleNamespace()
        return self._tag

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def shape(self) -> Shape:
        """Sizes as ints and Dims; raises ShapeError while the rank is unknown."""
        return self.type.known_shape

    @property
    def ndim(self) -> int:
        return len(self.type.known_shape)

    @property
    def size(self) -> Size:
        return self.type.size

    @property
    def label(self) -> str:
        if self.name:
            return self.name
        if self.owner is None:
            return f"{type(self).__name__.lower()}{self.serial}"
        return f"{self.owner.op.name or type(self.owner.op).__name__.lower()}.{self.index}" if len(self.owner.outputs) > 1 else (
            self.owner.op.name or type(self.owner.op).__name__.lower()
        )

    @property
    def source(self) -> source.Location:
        return self.owner.source if self.owner is not None else ()

    def __repr__(self) -> str:
        return f"<{self.label}: {self.type}>"

    def eval(self, feeds: dict[Variable, Any] | None = None) -> Array:
        """The value for the given feeds, with shared variables as the current Store has them."""
        result: Array = hook("evaluate")(self, feeds or {})
        return result

    # --- what it is not -------------------------------------------------------------------
    def __bool__(self) -> bool:
        raise GraphError(
            f"{self!r} has no truth value: it is a node of a graph, not a number",
            hint="use gf.cond or gf.where for a choice inside the graph, or .eval() for a value; `==` is identity, gf.equal compares",
        )

    def __len__(self) -> int:
        shape = self.type.shape
        if not shape or not isinstance(shape[0], int):
            raise GraphError(
                f"the length of {self!r} is not known when the graph is built",
                hint="x.shape[0] is a Dim that can be used in the graph; give the placeholder a size for a constant",
            )
        return shape[0]

    def __iter__(self) -> Iterator[Variable]:
        return (self[i] for i in range(len(self)))

    def __contains__(self, item: object) -> bool:
        raise GraphError("`in` needs values, and this is a graph", hint="use gf.any(gf.equal(x, item))")

    def __float__(self) -> float:
        raise GraphError(f"{self!r} has no value until it is run", hint="use .eval(), a Session or gf.function")

    __int__ = __float__

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        raise GraphError(
            f"{self!r} has no value until it is run, so NumPy cannot convert it",
            hint="use graphflow's functions (gf.exp, gf.sum ...), or .eval() for a value",
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs:
            return NotImplemented
        return _operator("numpy_ufunc", ufunc, *inputs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _operator("numpy_function", func, args, kwargs)

    def __hash__(self) -> int:
        return id(self) >> 4

    def __eq__(self, other: object) -> bool:
        return self is other

    def __copy__(self) -> Variable:
        return self

    def __deepcopy__(self, memo: Any) -> Variable:
        return self

    def __reduce__(self) -> Any:
        raise GraphError("graphs are not pickled", hint="save weights or export the function; models pickle as data")

    # --- operators and methods, all defined by graphflow.ops -------------------------------
    if TYPE_CHECKING:  # set below, in a loop over names

        def __add__(self, other: Any) -> Variable: ...
        def __radd__(self, other: Any) -> Variable: ...
        def __sub__(self, other: Any) -> Variable: ...
        def __rsub__(self, other: Any) -> Variable: ...
        def __mul__(self, other: Any) -> Variable: ...
        def __rmul__(self, other: Any) -> Variable: ...
        def __truediv__(self, other: Any) -> Variable: ...
        def __rtruediv__(self, other: Any) -> Variable: ...
        def __floordiv__(self, other: Any) -> Variable: ...
        def __rfloordiv__(self, other: Any) -> Variable: ...
        def __mod__(self, other: Any) -> Variable: ...
        def __rmod__(self, other: Any) -> Variable: ...
        def __pow__(self, other: Any) -> Variable: ...
        def __rpow__(self, other: Any) -> Variable: ...
        def __matmul__(self, other: Any) -> Variable: ...
        def __rmatmul__(self, other: Any) -> Variable: ...
        def __and__(self, other: Any) -> Variable: ...
        def __rand__(self, other: Any) -> Variable: ...
        def __or__(self, other: Any) -> Variable: ...
        def __ror__(self, other: Any) -> Variable: ...
        def __xor__(self, other: Any) -> Variable: ...
        def __rxor__(self, other: Any) -> Variable: ...
        def __lshift__(self, other: Any) -> Variable: ...
        def __rshift__(self, other: Any) -> Variable: ...
        def __lt__(self, other: Any) -> Variable: ...
        def __le__(self, other: Any) -> Variable: ...
        def __gt__(self, other: Any) -> Variable: ...
        def __ge__(self, other: Any) -> Variable: ...
        def __neg__(self) -> Variable: ...
        def __pos__(self) -> Variable: ...
        def __abs__(self) -> Variable: ...
        def __invert__(self) -> Variable: ...

    def __getitem__(self, key: Any) -> Variable:
        result: Variable = _operator("getitem", self, key)
        return result

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if not OPERATORS:
            import graphflow.ops  # noqa: F401
        method = OPERATORS.get(f"method:{name}")
        if method is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        if name == "T":
            return method(self)
        return lambda *args, **kwargs: method(self, *args, **kwargs)


def give_attribute(name: str, read: Callable[[Variable], Any], write: Callable[[Variable, Any], None] | None = None) -> None:
    """Give all Variables an attribute that a higher layer knows how to read, and to write."""
    setattr(Variable, name, property(read, write))


def _binary(name: str, swapped: bool = False) -> Callable[[Variable, Any], Any]:
    def method(self: Variable, other: Any) -> Any:
        if not is_tensor_like(other):
            return NotImplemented
        return _operator(name, other, self) if swapped else _operator(name, self, other)

    return method


def _unary(name: str) -> Callable[[Variable], Any]:
    return lambda self: _operator(name, self)


for _dunder, _name in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "mod", "pow": "power", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}.items():  # fmt: skip
    setattr(Variable, f"__{_dunder}__", _binary(_name))
    setattr(Variable, f"__r{_dunder}__", _binary(_name, swapped=True))
for _dunder, _name in {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}.items():
    setattr(Variable, f"__{_dunder}__", _binary(_name))
for _dunder, _name in {"neg": "negative", "abs": "abs", "invert": "invert", "pos": "positive"}.items():
    setattr(Variable, f"__{_dunder}__", _unary(_name))


def is_tensor_like(value: Any) -> bool:
    return isinstance(value, Variable | Dim | int | float | bool | complex | np.ndarray | np.generic | list | tuple)


# --- leaves ------------------------------------------------------------------------------------
class Placeholder(Variable):
    """A leaf that is fed at every call."""

    __slots__ = ("made_at",)

    def __init__(self, type: TensorType, name: str | None = None) -> None:
        super().__init__(type, name=name)
        self.made_at = source.here()

    @property
    def source(self) -> source.Location:
        return self.made_at


class Constant(Variable):
    """A leaf with a value of its own; the array is a private, read-only copy."""

    __slots__ = ("value",)

    def __init__(self, value: Array, name: str | None = None) -> None:
        super().__init__(TensorType(as_dtype(value.dtype), value.shape), name=name)
        self.value = value

    @property
    def label(self) -> str:
        if self.name:
            return self.name
        if self.value.ndim == 0:
            return str(self.value[()])
        return f"const{self.serial}"


class Shared(Variable):
    """A leaf whose value is state: a Cell in a Store.

    `initial` is read-only: a Store's value is that memory until it is written.  The type fixes rank and
    dtype; sizes are part of the type only if `shape` was declared, so `set_value` may change the others.
    """

    __slots__ = ("declared", "initial", "made_at", "state", "trainable")

    def __init__(self, initial: Array, name: str | None, shape: Shape | None, trainable: bool = True) -> None:
        type = TensorType.make(initial.dtype, shape if shape is not None else initial.shape, name or "", self)
        super().__init__(type, name=name)
        self.initial: Array = initial
        self.declared = shape is not None
        self.trainable = trainable
        self.made_at = source.here()
        self.state: Shared = self  # whose Cell this leaf reads: itself, unless seen with another type

    def seen_as(self, type: TensorType) -> Shared:
        """A leaf for the same Cell whose type has other sizes."""
        other = Shared(self.initial, self.name, None, self.trainable)
        other.type, other.state, other.made_at = type, self.state, self.made_at
        return other

    @property
    def source(self) -> source.Location:
        return self.made_at

    def get_value(self, borrow: bool = False, return_internal_type: bool = False) -> Array:
        """A copy of the value in the current Store."""
        value: Array = hook("get_value")(self)
        return value

    def set_value(self, value: Any, borrow: bool = False) -> None:
        """Copy `value` into the current Store (`borrow` is accepted and copies all the same)."""
        hook("set_value")(self, value)


def placeholder(dtype: Any = "float32", shape: Sequence[Size | None] | int | None = None, name: str | None = None) -> Placeholder:
    """A value to be fed.  `shape`: ints, Dims, and None for sizes known at run time; None: unknown rank.

    Raises DTypeError for an unsupported dtype, ShapeError for a negative size.
    """
    if isinstance(dtype, list | tuple) and shape is None:
        raise DTypeError(f"{dtype!r} is not a dtype", hint='the order is gf.placeholder("float32", (None, 784))')
    variable = Placeholder(TensorType(np.dtype(bool), ()), name)
    variable.type = TensorType.make(dtype, (shape,) if isinstance(shape, int) else shape, name or "", variable)
    return variable


def constant(value: Any, dtype: Any = None, name: str | None = None) -> Constant:
    """A copy of `value` in the graph.  Python floats become float64 unless `dtype` says otherwise."""
    if isinstance(value, Constant) and dtype is None:
        return value
    if isinstance(value, Variable):
        raise GraphError(f"{value!r} is already part of a graph", hint="use gf.cast to change its dtype")
    try:
        array = np.array(value, dtype=None if dtype is None else as_dtype(dtype))
    except GraphflowError:
        raise
    except (TypeError, ValueError, OverflowError) as e:
        raise DTypeError(f"{value!r:.80} does not convert to an array: {e}", hint="use numbers or arrays of numbers") from None
    if array.dtype.kind not in "fiub" and not is_half(array.dtype):
        raise DTypeError(f"{value!r:.80} does not convert to an array of numbers (it gives {array.dtype})", hint="use numbers or arrays of numbers")
    array = np.ascontiguousarray(array, dtype=as_dtype(array.dtype)).reshape(array.shape)
    array.flags.writeable = False
    return Constant(array, name)


def shared(value: Any, name: str | None = None, shape: Sequence[Size | None] | None = None, dtype: Any = None, trainable: bool = True, borrow: bool = False) -> Shared:
    """State, kept by a Store.  `value` is copied (`borrow` is accepted and copies all the same).

    `shape`: declares sizes (None for one that may change); without it `set_value` may change
    any size but not the rank.
    """
    if isinstance(value, Variable):
        raise GraphError(f"the initial value {value!r} is a graph", hint="use value.eval() for a number")
    array = _compact(constant(value, dtype).value)
    if shape is not None and len(tuple(shape)) != array.ndim:
        raise ShapeError(f"declared shape {tuple(shape)} has another rank than the value's {array.shape}")
    return Shared(array, name, tuple(shape) if shape is not None else None, trainable)  # type: ignore[arg-type]


def _compact(array: Array) -> Array:
    """The same values, read-only; one element in memory where all have the same bits, as moments and biases do at first."""
    bits = array.reshape(-1).view(f"u{array.itemsize}")
    same = bits.size > 1 and bits[0] == bits[-1] and bool((bits == bits[0]).all())
    return np.broadcast_to(array.reshape(-1)[:1].copy().reshape(()), array.shape) if same else array


def as_variable(value: Any, dtype: Any = None) -> Variable:
    """A Variable for a Variable, number, array, nested list, or Dim."""
    if isinstance(value, Variable):
        return value
    if isinstance(value, Dim):
        result: Variable = _operator("dim_value", value)
        return result
    if isinstance(value, list | tuple) and any(isinstance(v, Variable | Dim) for v in value):
        stacked: Variable = _operator("stack", value)
        return stacked
    return constant(value, dtype)


# --- making Apply nodes ------------------------------------------------------------------------
def apply(op: Op, *inputs: Any) -> Apply:
    """A new Apply; type errors name the user's line and where each operand came from.  Where an operand has a test value, it is run on it."""
    variables = [as_variable(v) for v in inputs]
    try:
        types = op.infer(*(v.type for v in variables))
    except GraphflowError as error:
        SizeConstraints.pending.clear()
        raise (error if error.context else explain(error, op, variables)) from None
    made = Apply(op, variables, types if isinstance(types, tuple) else (types,), SizeConstraints.take())
    for v in variables:
        if v._tag is not None and hasattr(v._tag, "test_value"):
            hook("check_node")(made)
            break
    return made


def explain(error: GraphflowError, op: Op | None, operands: Sequence[Variable]) -> GraphflowError:
    """Add the user's line, the operand types and their origins to an error."""
    if op is not None and not error.message.startswith(op.name or "?"):
        error.message = f"{op.name or type(op).__name__.lower()}: {error.message}"
    for i, v in enumerate(operands):
        error.with_context(f"  operand {i}: {origin_of(v)}")
    return error


def origin_of(v: Variable) -> str:
    """`x: float32[B, 784], placeholder made at model.py:3`."""
    kind = type(v).__name__.lower() if v.owner is None else f"result of {v.owner.op.name or type(v.owner.op).__name__.lower()}"
    where = f" made at {source.short(v.source)}" if v.source else ""
    return f"{v.label}: {v.type}, {kind}{where}"


class name_scope:
    """`with gf.name_scope("encoder"):` groups nodes made inside, for drawings; scopes nest."""

    _stack = threading.local()

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def current(cls) -> str:
        names: list[str] = getattr(cls._stack, "names", [])
        return names[-1] if names else ""

    def __enter__(self) -> str:
        names: list[str] = self._stack.__dict__.setdefault("names", [])
        names.append(f"{names[-1]}/{self.name}" if names else self.name)
        return names[-1]

    def __exit__(self, *exc: object) -> None:
        self._stack.names.pop()
