"""Sums of products: matmul, dot, tensordot, einsum, inner, outer.

Everything becomes contractions of two operands in einsum labels, taken in the order written.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size
from graphflow.graph.errors import DTypeError, GraphflowError, ShapeError
from graphflow.graph.op import ContractOp, In, Sample, register, require_equal
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable, explain
from graphflow.ops.diagonals import diagonal
from graphflow.ops.elementwise import cast, multiply
from graphflow.ops.logic import not_equal
from graphflow.ops.promotion import coerce
from graphflow.ops.public import public
from graphflow.ops.reduction import normalize_axes, sum_
from graphflow.ops.shape import expand_dims, is_one, ravel, squeeze, transpose

Grads = Sequence[Variable | None]


@register
class Contract(ContractOp):
    """sum over the labels missing in `result` of left * right.

    An operand names a label once; every label is in two of the three, or in all.
    """

    name = "contract"
    left: str
    right: str
    result: str

    @property
    def labels(self) -> tuple[str, str, str]:
        return self.left, self.right, self.result

    def infer(self, *inputs: TensorType) -> TensorType:
        x, y = inputs
        if x.dtype != y.dtype:
            raise DTypeError(f"operands have the dtypes {x.dtype} and {y.dtype}", hint="use gf.cast")
        sizes = dict(zip(self.left, x.known_shape, strict=True))
        for label, size in zip(self.right, y.known_shape, strict=True):
            sizes[label] = require_equal(sizes[label], size, f"sizes of label {label} differ") if label in sizes else size
        return TensorType(x.dtype, tuple(sizes[label] for label in self.result))

    def reference(self, *arrays: Any) -> Any:
        x, y = arrays
        exact = np.float64 if x.dtype.kind == "f" else x.dtype
        spec = f"{self.left},{self.right}->{self.result}"
        return np.einsum(spec, x.astype(exact), y.astype(exact)).astype(x.dtype)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        (x, y), (g,) = inputs, grads
        if g is None:
            return None, None
        return contract(g, y, self.result, self.right, self.left), contract(x, g, self.left, self.result, self.right)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        yield Sample(lambda x, y: matmul(x, y), (In(("m", "k"), "number"), In(("k", "n"), "number")), name="matrices")
        yield Sample(lambda x, y: matmul(x, y), (In(("k",)), In(("k",))), name="vectors")
        yield Sample(lambda x, y: matmul(x, y), (In(("m", "k")), In(("k",))), name="matrix vector")
        yield Sample(lambda x, y: matmul(x, y), (In(("b", "m", "k")), In(("b", "k", "n"))), name="batch")
        yield Sample(lambda x, y: matmul(x, y), (In((3, 1, "m", "k")), In((2, "k", "n"))), name="broadcast batch")
        yield Sample(lambda x, y: tensordot(x, y, ([0, 2], [1, 0])), (In(("a", "m", "b")), In(("b", "a", "n"))), name="tensordot")
        yield Sample(lambda x, y, z: einsum("ij,jk,kl->il", x, y, z), (In(("a", "b")), In(("b", "c")), In(("c", "d"))), name="three")


# --- two operands in labels ----------------------------------------------------------------------
def contract(x: Variable, y: Variable, left: str, right: str, result: str) -> Variable:
    """The contraction of x and y, which name each label once; a plain product if nothing is summed.

    A label is in one operand only if it is in the result.
    """
    if all(label in result for label in left + right):
        return multiply(_aligned(x, left, result), _aligned(y, right, result))
    names: dict[str, str] = {}
    for label in left + right:
        names.setdefault(label, string.ascii_letters[len(names)])
    renamed = ("".join(names[label] for label in labels) for labels in (left, right, result))
    out: Variable = Contract(*renamed)(x, y)
    return out


def _aligned(x: Variable, labels: str, result: str) -> Variable:
    """x with its axes in the order of `result` and size 1 where it lacks a label."""
    order = sorted(range(len(labels)), key=lambda a: result.index(labels[a]))
    missing = tuple(i for i, label in enumerate(result) if label not in labels)
    ordered = transpose(x, order)
    return expand_dims(ordered, missing) if missing else ordered


def _without_ones(operands: list[Variable], labels: list[str]) -> None:
    """Drop an axis of size 1 whose label is elsewhere in use: broadcasting without copies."""
    sizes: dict[str, list[Size]] = {}
    for x, names in zip(operands, labels, strict=True):
        for label, size in zip(names, x.shape, strict=True):
            sizes.setdefault(label, []).append(size)
    for i, (x, names) in enumerate(zip(operands, labels, strict=True)):
        ones = tuple(a for a, label in enumerate(names) if is_one(x.shape[a]) and not all(is_one(s) for s in sizes[label]))
        if ones:
            operands[i] = squeeze(x, ones)
            labels[i] = "".join(label for a, label in enumerate(names) if a not in ones)


def _in_order(operands: list[Variable], labels: list[str], result: str) -> Variable:
    """The product of all operands, summed down to `result`, pairwise from the left."""
    _without_ones(operands, labels)
    for i, names in enumerate(labels):
        elsewhere = result + "".join(labels[:i] + labels[i + 1 :])
        lonely = tuple(a for a, label in enumerate(names) if label not in elsewhere)
        if lonely:
            operands[i] = sum_(operands[i], axis=lonely, dtype=operands[i].dtype)
            labels[i] = "".join(label for label in names if label in elsewhere)
    x, names = operands[0], labels[0]
    for i in range(1, len(operands)):
        needed = result + "".join(labels[i + 1 :])
        last = i == len(operands) - 1
        kept = result if last else "".join(dict.fromkeys(label for label in names + labels[i] if label in needed))
        x, names = contract(x, operands[i], names, labels[i], kept), kept
    return _aligned(x, names, result)


def _numbers(fn: Callable[[list[Variable]], Variable], operands: Sequence[Any]) -> Variable:
    """`fn` on the operands in their promoted dtype; bools count as 0 and 1, and any sum but 0 is True."""
    variables = list(coerce(*operands))
    if variables[0].dtype.kind != "b":
        return fn(variables)
    return not_equal(fn([cast(v, "int32") for v in variables]), 0)


# --- matmul and its kin --------------------------------------------------------------------------
@public
def matmul(x: Any, y: Any) -> Variable:
    """The matrix product `x @ y`: a vector on the left is a row, on the right a column.

    With more than two axes the leading ones are a batch and broadcast.  Raises ShapeError for
    scalars, inner sizes that differ, or batches that do not broadcast.
    """
    return _numbers(lambda operands: _matmul(*operands), (x, y))


def _matmul(x: Variable, y: Variable) -> Variable:
    if not x.ndim or not y.ndim:
        raise explain(ShapeError("matmul: a scalar is not a matrix", hint="use * to multiply by a scalar"), None, (x, y))
    _require_inner("matmul", x, y, -1, max(y.ndim - 2, 0))
    deepest = max(x.ndim, y.ndim, 2) - 2
    batch = string.ascii_uppercase[:deepest]
    left = batch[deepest + 2 - x.ndim :] + "mk" if x.ndim > 1 else "k"
    right = batch[deepest + 2 - y.ndim :] + "kn" if y.ndim > 1 else "k"
    return _in_order([x, y], [left, right], batch + "m" * (x.ndim > 1) + "n" * (y.ndim > 1))


def _require_inner(what: str, x: Variable, y: Variable, a: int, b: int) -> None:
    """The sizes that are summed over must agree; raises ShapeError naming both operands."""
    have, want = x.shape[a], y.shape[b]
    if isinstance(have, int) and isinstance(want, int) and have != want:
        hint = "the last axis of the first operand meets the last but one (or only) axis of the second"
        if x.ndim > 1 and y.ndim > 1 and have == y.shape[-1]:
            hint = "transpose the second operand: gf.swapaxes(y, -1, -2)"
        raise explain(ShapeError(f"{what}: inner sizes differ: {have} and {want}", hint=hint), None, (x, y))


@public
def dot(x: Any, y: Any) -> Variable:
    """numpy.dot: the product for scalars, else the sum over x's last axis and y's last but one (or only).

    Unlike matmul, leading axes do not meet: the result has those of x, then those of y.
    """

    def product(operands: list[Variable]) -> Variable:
        x, y = operands
        if not x.ndim or not y.ndim:
            return multiply(x, y)
        _require_inner("dot", x, y, -1, max(y.ndim - 2, 0))
        left, right = string.ascii_lowercase[: x.ndim], string.ascii_uppercase[: y.ndim]
        at = max(y.ndim - 2, 0)
        right = right[:at] + left[-1] + right[at + 1 :]
        return _in_order([x, y], [left, right], left[:-1] + right.replace(left[-1], ""))

    return _numbers(product, (x, y))


@public
def inner(x: Any, y: Any) -> Variable:
    """The sum over the last axes of both; the product for scalars."""

    def product(operands: list[Variable]) -> Variable:
        x, y = operands
        if not x.ndim or not y.ndim:
            return multiply(x, y)
        _require_inner("inner", x, y, -1, -1)
        left, right = string.ascii_lowercase[: x.ndim], string.ascii_uppercase[: y.ndim - 1]
        return _in_order([x, y], [left, right + left[-1]], left[:-1] + right)

    return _numbers(product, (x, y))


@public
def outer(x: Any, y: Any) -> Variable:
    """Every element of x (flattened) times every element of y (flattened), as a matrix."""
    return multiply(expand_dims(ravel(x), 1), expand_dims(ravel(y), 0))


@public
def vdot(x: Any, y: Any) -> Variable:
    """The sum of products of all elements, both operands flattened."""
    return dot(ravel(x), ravel(y))


@public
def tensordot(x: Any, y: Any, axes: Any = 2) -> Variable:
    """The sum over pairs of axes: the last `axes` of x with the first of y, or those of the two lists given.

    The result has the other axes of x, then those of y.  Raises ShapeError where paired sizes differ.
    """

    def product(operands: list[Variable]) -> Variable:
        x, y = operands
        first, second = _paired_axes(x, y, axes)
        left, right = string.ascii_lowercase[: x.ndim], list(string.ascii_uppercase[: y.ndim])
        for a, b in zip(first, second, strict=True):
            _require_inner("tensordot", x, y, a, b)
            right[b] = left[a]
        kept = [label for label in left if label not in right]
        return _in_order([x, y], [left, "".join(right)], "".join([*kept, *(label for label in right if label not in left)]))

    return _numbers(product, (x, y))


def _paired_axes(x: Variable, y: Variable, axes: Any) -> tuple[list[int], list[int]]:
    if isinstance(axes, int | np.integer):
        if not 0 <= axes <= min(x.ndim, y.ndim):
            raise ShapeError(f"tensordot: {axes} axes to sum over in operands of rank {x.ndim} and {y.ndim}")
        return list(range(x.ndim - int(axes), x.ndim)), list(range(int(axes)))
    first, second = (list(np.atleast_1d(a).tolist()) for a in axes)
    first, second = ([normalize_axes(a, v.ndim)[0] for a in named] for named, v in ((first, x), (second, y)))
    if len(first) != len(second) or len(set(first)) != len(first) or len(set(second)) != len(second):
        raise ShapeError(f"tensordot: {axes} does not pair different axes", hint="name as many axes of each operand, each once")
    return first, second


# --- einsum --------------------------------------------------------------------------------------
@public
def einsum(subscripts: str, *operands: Any) -> Variable:
    """Einstein's summation, `einsum("ij,jk->ik", x, y)`, for any number of operands, taken in order.

    A label that is repeated in one operand takes the diagonal, one missing after `->` is summed;
    without `->` the result has the labels that occur once, in alphabetical order.  `...` stands
    for axes that broadcast.  Raises ShapeError for subscripts that do not fit the operands.
    """
    given = list(operands)
    if not given:
        raise ShapeError("einsum: there are no operands", hint='write gf.einsum("ij,jk->ik", x, y)')
    return _numbers(lambda variables: _einsum(subscripts, variables), given)


def _einsum(subscripts: str, operands: list[Variable]) -> Variable:
    labels, result = _parse(subscripts, operands)
    pairs = [_on_diagonals(x, names, i) for i, (x, names) in enumerate(zip(operands, labels, strict=True))]
    return _in_order([x for x, _ in pairs], [names for _, names in pairs], result)


def _on_diagonals(x: Variable, names: str, operand: int) -> tuple[Variable, str]:
    """x with every label once: the diagonal over the axes that share one."""
    while repeated := next((label for label in names if names.count(label) > 1), None):
        a = names.index(repeated)
        b = names.index(repeated, a + 1)
        require_equal(x.shape[a], x.shape[b], f"einsum: sizes of label {repeated} in operand {operand} differ")
        x, names = diagonal(x, 0, a, b), names[:a] + names[a + 1 : b] + names[b + 1 :] + repeated
    return x, names


def _parse(subscripts: str, operands: list[Variable]) -> tuple[list[str], str]:
    """The labels of each operand and of the result, with characters from '0' on for the axes of `...`."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    for term in (*terms, right):
        if not all(c in string.ascii_letters for c in term.replace("...", "", 1)):
            raise _unfit(subscripts, operands, f"{term!r} is not made of letters and one '...'")
    if len(terms) != len(operands):
        raise _unfit(subscripts, operands, f"{len(terms)} subscripts are given for {len(operands)} operands")
    extra = [x.ndim - len(term.replace("...", "")) for x, term in zip(operands, terms, strict=True)]
    for i, (term, count) in enumerate(zip(terms, extra, strict=True)):
        if count < 0 or (count and "..." not in term):
            raise _unfit(subscripts, operands, f"operand {i} has rank {operands[i].ndim} and {term!r} names {operands[i].ndim - count} axes")
    deepest = max(extra)
    dots = "".join(chr(ord("0") + i) for i in range(deepest))
    labels = [term.replace("...", dots[deepest - count :]) for term, count in zip(terms, extra, strict=True)]
    named = "".join(labels)
    if not arrow:
        return labels, dots + "".join(sorted(label for label in set(named) if named.count(label) == 1 and label not in dots))
    if dots and "..." not in right:
        raise _unfit(subscripts, operands, "the result has no '...' for the axes that the operands have there")
    result = right.replace("...", dots)
    if len(set(result)) != len(result) or not set(result) <= set(named):
        raise _unfit(subscripts, operands, f"the result {right!r} repeats a label, or has one that no operand has")
    return labels, result


def _unfit(subscripts: str, operands: list[Variable], what: str) -> GraphflowError:
    return explain(ShapeError(f"einsum {subscripts!r}: {what}", hint='the form is "ij,jk->ik", a letter for each axis'), None, operands)
