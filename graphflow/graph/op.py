"""Op: what an Apply does.  One class per op, with one of the lowering forms.

A class gives type inference, a NumPy reference, its vjp, samples for the tests, and one
form.  Forms are asked for by the compiler as base classes; the compiler never asks which op it
has.  Ops are values: a frozen dataclass whose fields are the op's parameters.

| form       | the class gives                                                        |
|------------|------------------------------------------------------------------------|
| ScalarOp   | `scalar(b, *xs)`: one element from one element of each input           |
| FoldOp     | `monoid`, `axes`, `before(b, x)`, `after(b, acc, count)`               |
| ContractOp | `labels`: einsum labels of two operands and the result                 |
| ViewOp     | `index(ix, shape)`: where an element of the result comes from          |
| NestOp     | `nest(k, ins, outs)`: loops written with a builder that is handed in   |
| ExternOp   | a call of native code or of a Python callable                          |
| RegionOp   | bodies and carries                                                     |
| ComposeOp  | `expand(*inputs)`: the op in terms of other ops                        |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, dataclass_transform

import numpy as np

from graphflow.graph.dim import Dim, Size, Symbol, substitute
from graphflow.graph.errors import ShapeError
from graphflow.graph.types import DType, Shape, TensorType

if TYPE_CHECKING:
    from graphflow.graph.region import Region
    from graphflow.graph.variable import Variable

Value = Any  # an expression handle of the scalar builder
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class In:
    """One input of a Sample: named or literal axes, a kind of dtype, and the domain of its values.

    `axes`: a letter makes a size the tests vary (0 and 1 included), an int is a fixed size.
    `kind`: 'float', 'int', 'number' (both), 'bool', 'any', or a dtype's name.
    """

    axes: tuple[str | int, ...]
    kind: str = "float"
    low: float = -2.0
    high: float = 2.0


@dataclass(frozen=True)
class Sample:
    """A way to call an op, from which the suite makes all its tests.

    `make` builds the result from the inputs.  `grad`: differentiable at generic points.
    `empty`: named axes may be 0.
    `rtol`: relative tolerance in float32 (float64 uses `rtol * 1e-7`).
    """

    make: Callable[..., Variable]
    inputs: tuple[In, ...]
    grad: bool = True
    empty: bool = True
    rtol: float = 2e-6
    name: str = ""


class Op:
    """Base of all ops.  Subclasses are frozen dataclasses; `name` is how they print."""

    name: ClassVar[str] = ""
    commutative: ClassVar[bool] = False
    version: ClassVar[int | None] = None  # a user's own op is cached on disk only if it sets this

    def infer(self, *inputs: TensorType) -> TensorType | tuple[TensorType, ...]:
        """Result type(s); raises ShapeError or DTypeError."""
        raise NotImplementedError(f"{type(self).__name__} has no infer")

    def reference(self, *arrays: Any) -> Any:
        """The result(s) by NumPy; `arrays` have the inputs' exact dtypes."""
        raise NotImplementedError(f"{type(self).__name__} has no NumPy reference")

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Sequence[Variable | None]) -> Sequence[Variable | None]:
        """Cotangents of the inputs from those of the outputs; None where no gradient flows.

        At least one of `grads` is not None.  A ScalarOp may return cotangents of the
        broadcast shape: they are summed back to the input's shape.
        """
        from graphflow.graph.errors import GraphError

        raise GraphError(f"{self} has no gradient", hint="wrap its input in gf.stop_gradient if none is wanted")

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        return iter(())

    def substitute(self, values: Mapping[Symbol, Size]) -> Op:
        """The op with the Dims in its parameters replaced."""
        changes: dict[str, Any] = {}
        for name, old in self.params().items():
            new = _substitute_field(old, values)
            if new is not old:
                changes[name] = new
        return dataclasses.replace(self, **changes) if changes else self  # type: ignore[type-var]

    def params(self) -> dict[str, Any]:
        if not dataclasses.is_dataclass(self):
            return {}
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def __str__(self) -> str:
        shown = ", ".join(f"{k}={_show(v)}" for k, v in self.params().items())
        return f"{self.name or type(self).__name__.lower()}{{{shown}}}" if shown else self.name or type(self).__name__.lower()

    def __repr__(self) -> str:
        return f"<op {self}>"

    def __call__(self, *inputs: Any) -> Any:
        """Apply to Variables (or what converts to one): the result Variable, or a tuple of them."""
        from graphflow.graph.variable import apply

        outputs = apply(self, *inputs).outputs
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _show(value: Any) -> str:
    return value.name if isinstance(value, np.dtype) else str(value)


def _substitute_field(value: Any, values: Mapping[Symbol, Size]) -> Any:
    from graphflow.graph.region import Region

    if isinstance(value, Region):
        return value.substitute(values)
    if isinstance(value, Dim):
        return substitute(value, values)
    if isinstance(value, tuple):
        new = tuple(_substitute_field(v, values) for v in value)
        return new if any(a is not b for a, b in zip(new, value, strict=True)) else value
    return value


# --- equal sizes ---------------------------------------------------------------------------
class SizeConstraints:
    """Equalities of run-time sizes that inference relied on; an Apply records its own."""

    pending: ClassVar[list[tuple[Size, Size]]] = []

    @classmethod
    def take(cls) -> tuple[tuple[Size, Size], ...]:
        if not cls.pending:
            return ()
        found = tuple(cls.pending)
        cls.pending.clear()
        return found


def require_equal(a: Size, b: Size, what: str, hint: str = "") -> Size:
    """The common size; different constants raise, different Dims are checked when run."""
    if a == b:
        return a
    if isinstance(a, int) and isinstance(b, int):
        raise ShapeError(f"{what}: {a} and {b}", hint=hint)
    SizeConstraints.pending.append((a, b))
    return a if isinstance(a, int) else b if isinstance(b, int) else a


def broadcast_size(a: Size, b: Size) -> Size:
    """NumPy's rule for one axis; two unknown sizes are taken to be equal."""
    if a == b or (isinstance(b, int) and b == 1):
        return a
    if isinstance(a, int) and a == 1:
        return b
    return require_equal(a, b, "sizes do not broadcast", "axes must be equal or 1; see gf.reshape and gf.expand_dims")


def broadcast_shapes(shapes: Sequence[Shape]) -> Shape:
    """The broadcast shape of all; raises ShapeError naming the shapes."""
    rank = max((len(s) for s in shapes), default=0)
    out: list[Size] = []
    for axis in range(-rank, 0):
        size: Size = 1
        for shape in shapes:
            if len(shape) >= -axis:
                try:
                    size = broadcast_size(size, shape[axis])
                except ShapeError as e:
                    listed = " and ".join(f"[{', '.join(map(str, s))}]" for s in shapes)
                    raise ShapeError(
                        f"shapes {listed} do not broadcast: axis {axis} has sizes {size} and {shape[axis]}", hint=e.hint
                    ) from None
        out.append(size)
    return tuple(out)


# --- forms -----------------------------------------------------------------------------------
class ScalarOp(Op):
    """Element by element with broadcasting; all inputs have been cast by the function that applies it."""

    def result_dtype(self, *dtypes: DType) -> DType:
        return dtypes[0]

    def infer(self, *inputs: TensorType) -> TensorType:
        shape = broadcast_shapes([t.known_shape for t in inputs])
        return TensorType(self.result_dtype(*(t.dtype for t in inputs)), shape)

    def scalar(self, b: Any, *xs: Value) -> Value:
        raise NotImplementedError

    @property
    def cost(self) -> int:
        """Rough number of arithmetic instructions an element takes."""
        return 1


class FoldOp(Op):
    """A reduction over `axes` (non-negative, sorted), which leave the shape."""

    axes: tuple[int, ...]
    monoid: ClassVar[str]

    def infer(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        kept = tuple(s for i, s in enumerate(x.known_shape) if i not in self.axes)
        return TensorType(self.result_dtype(x.dtype), kept)

    def result_dtype(self, dtype: DType) -> DType:
        return dtype

    def before(self, b: Any, x: Value) -> Value:
        return x

    def after(self, b: Any, acc: Value, count: Value) -> Value:
        return acc


class ContractOp(Op):
    """A sum of products of two operands, in einsum labels such as ('bmk', 'bkn', 'bmn')."""

    @property
    def labels(self) -> tuple[str, str, str]:
        raise NotImplementedError


class ViewOp(Op):
    """The result's elements are elements of the input (or a fill value)."""

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        """The input's index (its shape is `shape`) for the result's index `ix`."""
        raise NotImplementedError

    def inside(self, ix: tuple[Size, ...], shape: Shape) -> Sequence[tuple[Size, Size]]:
        """Pairs (a, b) that must all satisfy 0 <= a < b, else the element is `fill`."""
        return ()

    @property
    def fill(self) -> float | int | bool:
        return 0


class ReshapeOp(ViewOp):
    """A view that keeps the row-major order of elements: a new shape of the same buffer."""

    def index(self, ix: tuple[Size, ...], shape: Shape) -> tuple[Size, ...]:
        raise NotImplementedError("a reshape keeps the flat index")


class NestOp(Op):
    """Loops of its own.  `ins[i].load(*ix)`, `outs[i].store(ix, value)`, `k.loop(...)`; see `lower.Nest`."""

    cost: ClassVar[int] = 1  # rough number of instructions an element of the first result takes

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        raise NotImplementedError


class ExternOp(Op):
    """A call of code the compiler does not see into: a LAPACK routine, a Python callable.

    `symbol` names the code ("lapack.cholesky.lower.float64"); the runtime finds its address.  Its native form is

        int32 f(const void *const *in, void *const *out, const int64 *sizes, void *work)

    Buffers are C-contiguous and aligned to their element at least; an output shares memory with nothing.  `sizes` holds the shapes of
    the inputs, one after the other, then those of the outputs; `work` has `work(...)` bytes, aligned to 16.
    Anything but 0 fails the run with the message `failure`.
    """

    failure: ClassVar[str] = "a call of foreign code failed"

    @property
    def symbol(self) -> str:
        raise NotImplementedError(f"{type(self).__name__} has no symbol")

    def work(self, *inputs: TensorType) -> Size:
        """Bytes of scratch memory the call needs."""
        return 0

    def flops(self, *inputs: TensorType) -> Size | None:
        """Floating-point operations of a call, None where that is not known."""
        return None


class RegionOp(Op):
    """An op with bodies: scan, while, cond.  `regions` are its bodies, closed graphs on inputs of their own."""

    @property
    def regions(self) -> tuple[Region, ...]:
        raise NotImplementedError(f"{type(self).__name__} has no regions")

    def with_regions(self, regions: Sequence[Region]) -> RegionOp:
        """The op with other bodies of the same types."""
        raise NotImplementedError(f"{type(self).__name__} has no with_regions")


class ComposeOp(Op):
    """An op that is a small graph of other ops; it has its own vjp and its own name in drawings."""

    def expand(self, *inputs: Variable) -> Variable | tuple[Variable, ...]:
        raise NotImplementedError

    def infer(self, *inputs: TensorType) -> TensorType | tuple[TensorType, ...]:
        from graphflow.graph.variable import Variable

        out = self.expand(*(Variable(t) for t in inputs))
        return tuple(v.type for v in out) if isinstance(out, tuple) else out.type


FORMS: tuple[type[Op], ...] = (ScalarOp, FoldOp, ContractOp, ViewOp, NestOp, ExternOp, RegionOp, ComposeOp)


@dataclass(frozen=True)
class Registered:
    """What `@register` collected: op classes in order of definition, for tests and `gf.info`."""

    classes: list[type[Op]] = field(default_factory=list)


REGISTRY = Registered()


OpClass = TypeVar("OpClass", bound=type[Op])


@dataclass_transform(frozen_default=True)
def register(cls: OpClass) -> OpClass:
    """Class decorator: makes an op class a frozen dataclass and lists it for the test suite."""
    dataclass(frozen=True, repr=False)(cls)  # in place
    REGISTRY.classes.append(cls)
    return cls
