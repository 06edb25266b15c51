"""Connectionist temporal classification (Graves et al. 2006): labels for sequences without saying where they are."""

from __future__ import annotations

from typing import Any

from graphflow.graph.errors import GraphError
from graphflow.graph.variable import Variable, as_variable
from graphflow.keras.backend.settings import epsilon
from graphflow.ops.along_axis import take_along_axis
from graphflow.ops.control import scan
from graphflow.ops.creation import dim_value, full, iota
from graphflow.ops.cumulative import cumsum
from graphflow.ops.elementwise import add, cast, subtract, where
from graphflow.ops.indexing import one_hot
from graphflow.ops.joining import concatenate, stack
from graphflow.ops.logic import less, logical_and, not_equal
from graphflow.ops.reduction import argmax, max_, sum_
from graphflow.ops.shape import broadcast_to, expand_dims, moveaxis, reshape
from graphflow.ops.softmax import log_softmax
from graphflow.ops.statistics import logsumexp
from graphflow.ops.transcendental import log

NEVER = -1e30  # the logarithm of a probability of 0, whose differences are still numbers


def ctc_batch_cost(y_true: Any, y_pred: Any, input_length: Any, label_length: Any) -> Variable:
    """-log of the probability of each sample's labels, (samples, 1).

    `y_true` (samples, most labels) class numbers, `y_pred` (samples, steps, classes) probabilities, the last class being
    the blank; `input_length` and `label_length` (samples, 1): how many steps and labels count.
    """
    p = as_variable(y_pred)
    scores = log_softmax(log(add(p, epsilon())))
    labels, steps, count = (cast(v, "int64") for v in (as_variable(y_true), _column(input_length), _column(label_length)))
    places = _with_blanks(labels, p.shape[2])  # samples, 2 * labels + 1
    places = where(less(places, 0), 0, places)
    wanted = take_along_axis(scores, broadcast_to(expand_dims(places, 1), (p.shape[0], p.shape[1], places.shape[1])), axis=2)
    blank = dim_value(p.shape[2]) - 1
    skips = logical_and(not_equal(places, blank), not_equal(places, _later(places, 2, -1)))
    at = broadcast_to(expand_dims(iota((places.shape[1],)), 0), (p.shape[0], places.shape[1]))
    never = full((p.shape[0], places.shape[1]), NEVER, dtype=p.dtype.name)
    first = where(less(at, 2), wanted[:, 0], never)

    def step(score: Any, t: Any, before: Any) -> Any:
        two = where(skips, _later(before, 2, NEVER), never)
        now = add(logsumexp(stack([before, _later(before, 1, NEVER), two]), axis=0), score)
        return where(expand_dims(less(t, steps), 1), now, before)

    rows = moveaxis(wanted, 1, 0)
    history, _ = scan(step, sequences=[rows[1:], iota((p.shape[1],))[1:]], outputs_info=[first], return_list=True)
    last = concatenate([expand_dims(first, 0), history[0]], 0)[-1]
    ends = logical_and(less(subtract(2 * expand_dims(count, 1), 2), at), less(at, 2 * expand_dims(count, 1) + 1))
    return expand_dims(-logsumexp(where(ends, last, never), axis=1), 1)


def ctc_decode(y_pred: Any, input_length: Any, greedy: bool = True, beam_width: int = 100, top_paths: int = 1) -> tuple[list[Variable], Variable]:
    """The labels of the most probable class of each step, repeats and blanks removed: ([labels], -log probabilities).

    Labels are (samples, steps), filled with -1.  Raises GraphError for `greedy=False`: beam search is not a graph.
    """
    if not greedy or top_paths != 1:
        raise GraphError("ctc_decode: beam search is not supported", hint="use greedy=True, or decode what predict gives")
    p = as_variable(y_pred)
    best, steps = argmax(p, axis=2), cast(_column(input_length), "int64")
    inside = less(expand_dims(iota((p.shape[1],)), 0), expand_dims(steps, 1))
    kept = logical_and(logical_and(not_equal(best, _later(best, 1, -1)), not_equal(best, dim_value(p.shape[2]) - 1)), inside)
    place = cumsum(cast(kept, "int64"), axis=1) - 1
    spread = one_hot(where(kept, place, -1), p.shape[1], dtype="int64")  # samples, steps, places
    labels = sum_(spread * expand_dims(best + 1, 2), axis=1) - 1
    certain = where(inside, log(add(max_(p, axis=2), epsilon())), 0)
    return [labels], expand_dims(-sum_(certain, axis=1), 1)


def _column(lengths: Any) -> Variable:
    v = as_variable(lengths)
    return reshape(v, (v.shape[0],)) if v.ndim > 1 else v


def _with_blanks(labels: Variable, classes: Any) -> Variable:
    """blank, label, blank, label ... blank."""
    blanks = full(labels.shape, dim_value(classes) - 1, dtype="int64")
    pairs = reshape(stack([blanks, labels], axis=2), (labels.shape[0], labels.shape[1] * 2))
    return concatenate([pairs, blanks[:, :1]], axis=1)


def _later(x: Variable, by: int, fill: float) -> Variable:
    """x moved to later places of its last axis."""
    return concatenate([full((x.shape[0], by), fill, dtype=x.dtype.name), x[:, :-by]], axis=1)


__all__ = ["ctc_batch_cost", "ctc_decode"]
