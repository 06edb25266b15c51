"""What can be proved about values from the ops that made them, to a bounded depth.

Every answer costs a bounded amount of work, so rules that ask stay linear; False means
"not proved".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.graph.op import Array
from graphflow.graph.variable import Constant, Variable

DEPTH = 5
UNIFORM_LIMIT = 1 << 16  # larger constants are not searched

Fact = Callable[[Variable, int], bool]
OfInputs = Callable[[Sequence[Variable], int], bool]

# Ops whose elements are elements of their first input.
SAME_VALUES = (
    "identity", "stop_gradient", "reshape", "transpose", "expand_dims", "squeeze", "broadcast_to",
    "slice", "tile", "repeat", "roll", "diagonal",
)  # fmt: skip


def made_by(v: Variable) -> str:
    """The name of the graphflow op that made `v`; "" for a leaf or a user's own op."""
    if v.owner is None or not type(v.owner.op).__module__.startswith("graphflow.ops"):
        return ""
    return v.owner.op.name


# --- constants ---------------------------------------------------------------------------------
def is_constant(v: Variable) -> bool:
    """A Constant, or one seen through views and casts."""
    for _ in range(DEPTH):
        if v.owner is None:
            return isinstance(v, Constant)
        if made_by(v) not in SAME_VALUES and made_by(v) != "cast":
            return False
        v = v.owner.inputs[0]
    return False


def uniform_value(v: Variable) -> Any:
    """The NumPy scalar that all elements of a constant equal, at v's dtype; None if they differ or there are none."""
    dtype = v.dtype
    for _ in range(DEPTH):
        if isinstance(v, Constant):
            return _uniform_constant(v.value, dtype)
        if v.owner is None:
            return None
        name = made_by(v)
        if name not in SAME_VALUES and not (name == "cast" and v.owner.inputs[0].dtype.kind == dtype.kind == "f"):
            return None
        v = v.owner.inputs[0]
    return None


def _uniform_constant(value: Array, dtype: np.dtype[Any]) -> Any:
    flat = value.reshape(-1)
    if not 0 < flat.size <= UNIFORM_LIMIT:
        return None
    if flat.size > 1:
        bits = flat.view(f"u{flat.dtype.itemsize}")
        if bits[0] != bits[-1] or (bits != bits[0]).any():
            return None
    with np.errstate(all="ignore"):
        return flat[0].astype(dtype)


# --- pairs ---------------------------------------------------------------------------------------
def opposite(a: Variable, b: Variable) -> bool:
    """a is -b, in the forms that canonicalisation gives a negation."""
    return _is_negation(a, b) or _is_negation(b, a)


def _is_negation(a: Variable, b: Variable) -> bool:
    if a.owner is None:
        return False
    name, inputs = made_by(a), a.owner.inputs
    if name == "negative":
        return inputs[0] is b
    if b.owner is None or name == "":
        return False
    others = b.owner.inputs
    if name == "subtract":
        x, y = inputs
        swapped = made_by(b) == "subtract" and others == (y, x)
        return swapped or (made_by(b) == "add" and others[0] is y and _opposite_constants(x, others[1]))
    if name in ("multiply", "divide") and made_by(b) == name:
        (x, c), (y, d) = inputs, others
        return (x is y and _opposite_constants(c, d)) or (c is d and _opposite_constants(x, y))
    return False


def _opposite_constants(c: Variable, d: Variable) -> bool:
    x, y = uniform_value(c), uniform_value(d)
    return x is not None and y is not None and bool(x == -y)


# --- facts about elements ------------------------------------------------------------------------
def finite(v: Variable, depth: int = DEPTH) -> bool:
    """No element is NaN or infinite."""
    return v.dtype.kind != "f" or _holds(v, depth, lambda x: bool(np.isfinite(x).all()), _FINITE)


def not_nan(v: Variable, depth: int = DEPTH) -> bool:
    """No element is NaN."""
    return v.dtype.kind != "f" or _holds(v, depth, lambda x: not np.isnan(x).any(), _NOT_NAN)


def nonnegative(v: Variable, depth: int = DEPTH) -> bool:
    """Every element is >= 0 or NaN."""
    if v.dtype.kind in "bu":
        return True
    if v.dtype.kind == "i" and not isinstance(v, Constant):
        return False  # results wrap
    return _holds(v, depth, lambda x: not (x < 0).any(), _NONNEGATIVE)


def nonzero(v: Variable, depth: int = DEPTH) -> bool:
    """No element is 0."""
    return _holds(v, depth, lambda x: bool((x != 0).all()), _NONZERO)


def positive_up_to_rounding(v: Variable, depth: int = DEPTH) -> bool:
    """Every element is > 0 in real arithmetic, or NaN: it can be 0 only by underflow, inf only by overflow."""
    return _holds(v, depth, lambda x: bool((x > 0).all()), _POSITIVE)


def _holds(v: Variable, depth: int, of_array: Callable[[Array], bool], table: dict[str, OfInputs]) -> bool:
    if isinstance(v, Constant):
        return v.value.size <= UNIFORM_LIMIT and of_array(v.value)
    if v.owner is None or depth == 0:
        return False
    of_inputs = table.get(made_by(v))
    return of_inputs is not None and of_inputs(v.owner.inputs, depth - 1)


def _all(*facts: Fact) -> OfInputs:
    """Each fact of the input at its place; inputs without a fact may be anything."""
    return lambda inputs, depth: all(fact(x, depth) for fact, x in zip(facts, inputs, strict=False))


def _always(inputs: Sequence[Variable], depth: int) -> bool:
    return True


def _any_of(fact: Fact) -> OfInputs:
    return lambda inputs, depth: any(fact(x, depth) for x in inputs)


def _either_side(fact: Fact) -> OfInputs:
    """The fact of both values that `where` chooses from."""
    return lambda inputs, depth: fact(inputs[1], depth) and fact(inputs[2], depth)


def _not_float(v: Variable, depth: int) -> bool:
    return v.dtype.kind != "f"


def _root(fact: Fact) -> OfInputs:
    return lambda inputs, depth: fact(inputs[0], depth) and nonnegative(inputs[0], depth)


def _table(*rows: tuple[str, OfInputs]) -> dict[str, OfInputs]:
    return {name: of_inputs for names, of_inputs in rows for name in names.split()}


_VIEWS = " ".join(SAME_VALUES)

_FINITE = _table(
    (_VIEWS, _all(finite)),
    ("sigmoid tanh erf erfc arctan sign", _all(not_nan)),
    ("sin cos negative abs relu floor ceil trunc round softmax max min", _all(finite)),
    ("maximum minimum concatenate", _all(finite, finite)),
    ("where", _either_side(finite)),
    ("sqrt", _root(finite)),
    ("cast", _all(_not_float)),
)
_NOT_NAN = _table(
    (_VIEWS, _all(not_nan)),
    ("sigmoid tanh erf erfc arctan sign negative abs relu floor ceil trunc round", _all(not_nan)),
    ("exp exp2 expm1 softplus square sinh cosh cast max min", _all(not_nan)),
    ("sin cos softmax", _all(finite)),
    ("add subtract multiply", _all(finite, finite)),
    ("maximum minimum", _all(not_nan, not_nan)),
    ("where", _either_side(not_nan)),
    ("sqrt", _root(not_nan)),
)
_NONNEGATIVE = _table(
    ("exp exp2 sigmoid softplus abs square sqrt softmax erfc relu cosh", _always),
    (_VIEWS, _all(nonnegative)),
    ("cast sum prod mean max min", _all(nonnegative)),
    ("add multiply minimum", _all(nonnegative, nonnegative)),
    ("maximum", _any_of(nonnegative)),
    ("where", _either_side(nonnegative)),
)
_NONZERO = _table((_VIEWS, _all(nonzero)), ("negative abs", _all(nonzero)), ("where", _either_side(nonzero)))
_POSITIVE = _table(
    ("exp exp2 sigmoid softplus softmax erfc cosh", _always),
    (_VIEWS, _all(positive_up_to_rounding)),
    ("sum mean prod sqrt square", _all(positive_up_to_rounding)),
    ("add", lambda xs, d: any(positive_up_to_rounding(a, d) and nonnegative(b, d) for a, b in (xs, xs[::-1]))),
    ("multiply divide minimum", _all(positive_up_to_rounding, positive_up_to_rounding)),
)
