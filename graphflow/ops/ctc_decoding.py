"""Labellings from the logits of connectionist temporal classification: greedy, and by a beam search over prefixes."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.graph.errors import DTypeError, GraphError, ShapeError
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.along_axis import take_along_axis
from graphflow.ops.creation import iota
from graphflow.ops.ctc import class_of
from graphflow.ops.elementwise import cast, negative, where
from graphflow.ops.gathering import as_index
from graphflow.ops.joining import pad
from graphflow.ops.logic import less, logical_and, logical_not, not_equal
from graphflow.ops.ordering import INT64
from graphflow.ops.public import public
from graphflow.ops.python_call import called
from graphflow.ops.reduction import argmax, max_, sum_
from graphflow.ops.shape import expand_dims, swapaxes
from graphflow.ops.softmax import log_softmax
from graphflow.ops.sorting import argsort

BLANK, LABEL = 0, 1  # what a path of a prefix ends in


def _rows(logits: Any, time_major: bool, what: str) -> Variable:
    """Logits as (batch, frames, classes)."""
    found = as_variable(logits)
    if found.dtype.kind != "f":
        raise DTypeError(f"{what}: logits are {found.dtype}", hint="logits are floats")
    if found.ndim != 3:
        raise ShapeError(f"{what}: logits have rank {found.ndim}", hint="they have the axes frames, batch and classes")
    return swapaxes(found, 0, 1) if time_major else found


@public
def ctc_greedy_decode(logits: Any, sequence_length: Any, merge_repeated: bool = True, blank_index: int = -1, logits_time_major: bool = True) -> tuple[Variable, Variable, Variable]:
    """(decoded, lengths, score): the likeliest class of each frame, repeats merged and blanks left out.

    `decoded` is (batch, frames), int64, with -1 behind the labels; `lengths` says how many there are; `score` is the negated sum of the largest
    logits (batch,), as in tf.nn.ctc_greedy_decoder.
    """
    rows, lengths = _rows(logits, logits_time_major, "ctc_greedy_decode"), as_index(sequence_length)
    blank = class_of(blank_index, rows.shape[2])
    best = argmax(rows, -1)
    places = expand_dims(iota((rows.shape[1],)), 0)
    inside = less(places, expand_dims(lengths, 1))
    kept = logical_and(inside, not_equal(best, blank))
    if merge_repeated:
        before = pad(best, [(0, 0), (1, 0)], constant_values=-1)[:, :-1]
        kept = logical_and(kept, not_equal(best, before))
    counts = sum_(cast(kept, INT64), axis=1)
    order = argsort(cast(logical_not(kept), "int8"), 1)
    decoded = where(less(places, expand_dims(counts, 1)), take_along_axis(best, order, 1), -1)
    return decoded, counts, negative(sum_(where(inside, max_(rows, axis=-1), 0), axis=1))


@public
def ctc_beam_search_decode(
    logits: Any, sequence_length: Any, beam_width: int = 100, top_paths: int = 1, blank_index: int = -1, logits_time_major: bool = True
) -> tuple[Variable, Variable, Variable]:
    """(decoded, lengths, log_probability): the `top_paths` likeliest labellings among those a beam of `beam_width` prefixes keeps.

    `decoded` is (batch, top_paths, frames), int64, with -1 behind the labels; the others are (batch, top_paths), a path that
    was not found has -inf.  The search runs as Python code called from the graph; it has no gradient.
    Graves 2012, "Sequence transduction with recurrent neural networks", 2.2, over paths of CTC.  Raises GraphError for widths below 1.
    """
    if not 1 <= top_paths <= beam_width:
        raise GraphError(f"ctc_beam_search_decode: {top_paths} paths of a beam of {beam_width}", hint="1 <= top_paths <= beam_width")
    rows, lengths = _rows(logits, logits_time_major, "ctc_beam_search_decode"), as_index(sequence_length)
    batch, frames, classes = rows.shape
    blank = class_of(blank_index, classes)
    types = [TensorType(INT64, (batch, top_paths, frames)), TensorType(INT64, (batch, top_paths)), TensorType(rows.dtype, (batch, top_paths))]

    def search(logp: Any, counts: Any) -> tuple[Any, Any, Any]:
        decoded = np.full((len(logp), top_paths, logp.shape[1]), -1, np.int64)
        found, scores = np.zeros(decoded.shape[:2], np.int64), np.full(decoded.shape[:2], -np.inf, logp.dtype)
        for b, count in enumerate(counts):
            for i, (prefix, score) in enumerate(best_prefixes(logp[b, :count].astype(np.float64), beam_width, blank)[:top_paths]):
                decoded[b, i, : len(prefix)], found[b, i], scores[b, i] = prefix, len(prefix), score
        return decoded, found, scores

    decoded, found, scores = called(search, [log_softmax(rows, -1), lengths], types, None, "ctc_beam_search_decode")
    return decoded, found, scores


def best_prefixes(logp: Any, width: int, blank: int) -> list[tuple[tuple[int, ...], float]]:
    """The labellings left in a beam at the end of the frames (frames, classes), the likeliest first, with their log probabilities.

    A prefix has the probabilities of its paths that end in a blank and of those that end in its last label.
    """
    prefixes: list[tuple[int, ...]] = [()]
    ends = np.array([[0.0, -np.inf]])
    for frame in logp:
        total = np.logaddexp(ends[:, BLANK], ends[:, LABEL])
        last = np.array([p[-1] if p else blank for p in prefixes])
        grown = total[:, None] + frame
        repeats = last != blank
        grown[repeats, last[repeats]] = (ends[:, BLANK] + frame[last])[repeats]  # a label follows itself over a blank only
        grown[:, blank] = -np.inf
        kept = np.stack([total + frame[blank], np.where(repeats, ends[:, LABEL] + frame[last], -np.inf)], 1)
        place = {p: i for i, p in enumerate(prefixes)}
        for i, p in enumerate(prefixes):  # prefixes of the beam that also come from shorter ones of the beam
            parent = place.get(p[:-1]) if p else None
            if parent is not None:
                kept[i, LABEL] = np.logaddexp(kept[i, LABEL], grown[parent, p[-1]])
                grown[parent, p[-1]] = -np.inf
        scores = np.concatenate([np.logaddexp(kept[:, BLANK], kept[:, LABEL]), grown.ravel()])
        order = np.argsort(-scores, kind="stable")[:width]
        order = order[scores[order] > -np.inf]
        here, n = len(prefixes), frame.shape[0]
        chosen = [(prefixes[i], kept[i]) if i < here else ((*prefixes[(i - here) // n], int((i - here) % n)), [-np.inf, scores[i]]) for i in order]
        prefixes, ends = [p for p, _ in chosen], np.array([e for _, e in chosen]).reshape(-1, 2)
    total = np.logaddexp(ends[:, BLANK], ends[:, LABEL])
    return [(prefixes[i], float(total[i])) for i in np.argsort(-total, kind="stable")]
