"""The counters and moments of optimizers in the orders that files have them.

Keras 2 has one kind of moments after the other, each for all weights.  The optimizers from tf.keras 2.11 on
have the first two kinds of some in pairs, weight by weight, and Keras 3 has the learning rate after the counter.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.op import Array
from graphflow.graph.variable import Shared
from graphflow.keras import backend as K
from graphflow.keras.arguments import users_stacklevel
from graphflow.keras.phase import folded
from graphflow.keras.structure import int_shape

Named = list[tuple[str, Array]]
IN_PAIRS = ("Adam", "AdamW", "Adamax", "Nadam", "Adadelta", "Ftrl", "Lamb")
UNCOUNTED = ("RMSprop", "Adagrad", "Adadelta")  # without a counter in files of Keras 2.2


def make_state(model: Any) -> None:
    """Make the moments of a compiled model's optimizer, which else are made when it first trains."""
    model._updates(folded(model._goal.values, training=True)[0])


def pack(optimizer: Any, generation: str) -> Named:
    """The state as a file of `generation` has it: of tf.keras, in the order before 2.11, which its later versions read as well."""
    scalars, moments = _parts(optimizer)
    kind = type(optimizer).__name__
    kinds = _kinds(moments)
    if generation == "3":
        rows = list(zip(*kinds[:2], strict=True)) if kind in IN_PAIRS and len(kinds) > 1 else kinds[:2]
        order = [state for group in (*rows, *kinds[2:]) for state in group]
    else:
        order = moments
    counted = [s for s in scalars if not (kind in UNCOUNTED and generation in ("1", "2.2") and s is optimizer.iterations)]
    head = [(s.label, K.get_value(s)) for s in counted]
    if generation == "3":
        head.insert(1, ("learning_rate", np.asarray(_rate(optimizer), np.float32)))
    return [(name, np.asarray(value)) for name, value in [*head, *((s.label, K.get_value(s)) for s in order), *_expected(kind, generation, kinds, optimizer)]]


def unpack(optimizer: Any, arrays: Sequence[Array], in_pairs: bool) -> None:
    """Give an optimizer, whose moments are made, the state of a file; warns, and leaves it as it is, if it does not fit."""
    scalars, moments = _parts(optimizer)
    numbers, others = [a for a in arrays if a.ndim == 0], [a for a in arrays if a.ndim]
    kinds = _kinds(moments)
    count = len(kinds[0]) if kinds else 0
    values = others[: len(moments)]
    if in_pairs and type(optimizer).__name__ in IN_PAIRS and len(kinds) > 1:
        values = [*values[: 2 * count : 2], *values[1 : 2 * count : 2], *values[2 * count :]]
    if len(values) != len(moments) or any(int_shape(s) != a.shape for s, a in zip(moments, values, strict=True)):
        wanted, came = [int_shape(s) for s in moments], [a.shape for a in others]
        warnings.warn(
            f"Error in loading the saved optimizer state. As a result, your model is starting with a freshly initialized optimizer: its state has the shapes {wanted}, and the file's {came}",
            stacklevel=users_stacklevel(),
        )
        return
    pairs: list[tuple[Shared, Any]] = list(zip(moments, values, strict=True))
    if numbers:
        pairs.append((optimizer.iterations, numbers[0]))
    further = [s for s in scalars if s is not optimizer.iterations]
    if further and len(numbers) > len(further):
        pairs += zip(further, numbers[-len(further) :], strict=True)
    K.batch_set_value(pairs)


def _parts(optimizer: Any) -> tuple[list[Shared], list[Shared]]:
    """(counters, moments) of an optimizer."""
    states: list[Shared] = list(optimizer.weights)
    if optimizer.iterations not in states:
        states.insert(0, optimizer.iterations)
    return [s for s in states if not s.shape], [s for s in states if s.shape]


def _kinds(moments: Sequence[Shared]) -> list[list[Shared]]:
    """The moments of each kind; their names are optimizer/kind/weight."""
    found: dict[str, list[Shared]] = {}
    for state in moments:
        found.setdefault(state.label.split("/")[1], []).append(state)
    return list(found.values())


def _expected(kind: str, generation: str, kinds: Sequence[Sequence[Shared]], optimizer: Any) -> Named:
    """State that Keras 2.2 and 2.3 ask for although it means nothing."""
    if generation in ("2.4", "3") or not kinds:
        return []
    if kind == "Adam" and not optimizer.amsgrad:
        return [(f"Adam/vhat/{number}", np.zeros(1, np.float32)) for number in range(len(kinds[0]))]
    return []


def _rate(optimizer: Any) -> Any:
    rate = getattr(optimizer, "lr", 0.0)
    return K.get_value(rate) if isinstance(rate, Shared) else float(rate)
