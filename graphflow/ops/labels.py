"""Sequences of labels and of different lengths: masks, reversal, confusion matrices, edit distance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Dim, Size
from graphflow.graph.errors import ShapeError
from graphflow.graph.op import In, NestOp, Sample, register, require_equal
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.along_axis import take_along_axis
from graphflow.ops.counting import bincount
from graphflow.ops.creation import iota, known_size
from graphflow.ops.elementwise import Grads, add, cast, divide, multiply, subtract, where
from graphflow.ops.gathering import as_index, gather
from graphflow.ops.logic import equal, less
from graphflow.ops.public import public
from graphflow.ops.reduction import normalize_axes
from graphflow.ops.shape import broadcast_to, expand_dims, ravel, reshape

I64 = np.dtype("int64")


@public
def sequence_mask(lengths: Any, maxlen: Any, dtype: Any = "bool") -> Variable:
    """True at the places below each length: the shape of `lengths` and an axis of size `maxlen`, an int or a Dim."""
    lengths = as_index(lengths)
    n = known_size(maxlen, "sequence_mask: maxlen")
    return cast(less(iota((n,), 0, lengths.dtype), expand_dims(lengths, -1)), dtype)


@public
def reverse_sequence(x: Any, lengths: Any, seq_axis: int = 1, batch_axis: int = 0) -> Variable:
    """x with the first `lengths[i]` elements along `seq_axis` of batch i in reverse order, as tf.reverse_sequence."""
    x, lengths = as_variable(x), as_index(lengths)
    (seq,), (batch,) = normalize_axes(seq_axis, x.ndim), normalize_axes(batch_axis, x.ndim)
    if seq == batch or lengths.ndim != 1:
        raise ShapeError("reverse_sequence: lengths are a vector along a batch axis that is not the sequence's")
    require_equal(lengths.shape[0], x.shape[batch], "reverse_sequence: the number of lengths and of batches differ")
    at = iota(tuple(s if a == seq else 1 for a, s in enumerate(x.shape)), seq)
    count = reshape(cast(lengths, I64), tuple(s if a == batch else 1 for a, s in enumerate(x.shape)))
    places = where(less(at, count), subtract(subtract(count, 1), at), at)
    return take_along_axis(x, broadcast_to(places, x.shape), seq)


@public
def confusion_matrix(labels: Any, predictions: Any, num_classes: int | Dim, weights: Any = None, dtype: Any = None) -> Variable:
    """How often, or with which sum of weights, label i was predicted as j: a square matrix of `num_classes` rows.

    int64 counts without weights.  A class out of range fails the run.
    """
    labels, predictions = as_index(labels), as_index(predictions)
    n = known_size(num_classes, "confusion_matrix: num_classes")
    pairs = add(multiply(_in_range(labels, n), n), _in_range(predictions, n))
    counts = bincount(ravel(pairs), None if weights is None else ravel(broadcast_to(weights, labels.shape)), length=n * n)
    return cast(reshape(counts, (n, n)), dtype or counts.dtype)


def _in_range(classes: Variable, n: Size) -> Variable:
    """The classes as int64, looked up so that those out of range fail the run."""
    return gather(iota((n,)), classes)


@register
class EditDistance(NestOp):
    """Levenshtein distances between rows of two matrices, of given lengths; and the row of the table it fills."""

    name = "edit_distance"
    cost = 60

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        a, b, m, n = inputs
        (rows, _), (other, width) = a.known_shape, b.known_shape
        for size in (other, *m.known_shape, *n.known_shape):
            require_equal(rows, size, "edit_distance: the numbers of sequences and lengths differ")
        return TensorType(I64, (rows,)), TensorType(I64, (rows, width + 1))

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        (a, b, m, n), (out, table) = ins, outs
        longest, width = a.shape[1], b.shape[1]
        with k.loop("i", a.shape[0]) as i:
            rows, columns = k.let(k.cast(I64, m.load(i))), k.let(k.cast(I64, n.load(i)))
            with k.loop("j", width + 1) as j:
                table.store((i, j), k.value(j))
            with k.loop("p", longest, sequential=True) as p, k.mask(k.value(p) < rows):
                corner = k.register(I64, k.value(p))
                table.store((i, 0), k.value(p) + 1)
                with k.loop("q", width, sequential=True) as q:
                    above = k.let(table.load(i, q + 1))
                    changed = k.let(corner.get() + k.cast(I64, a.load(i, p).ne(b.load(i, q))))
                    shorter = k.call("min", above, table.load(i, q)) + 1
                    table.store((i, q + 1), k.call("min", changed, shorter))
                    corner.set(above)
            at = k.position(columns, width + 1, "a length is longer than its sequence")
            k.position(rows, longest + 1, "a length is longer than its sequence")
            out.store((i,), table.load(i, at))

    def reference(self, *arrays: Any) -> Any:
        a, b, m, n = arrays
        tables = np.empty((len(a), b.shape[1] + 1), I64)
        for i in range(len(a)):
            row = list(range(b.shape[1] + 1))
            for p in range(int(m[i])):
                corner, row[0] = row[0], p + 1
                for q in range(b.shape[1]):
                    corner, row[q + 1] = row[q + 1], min(corner + int(a[i, p] != b[i, q]), row[q + 1] + 1, row[q] + 1)
            tables[i] = row
        return tables[np.arange(len(a)), n], tables

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        return (None,) * 4

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        ins = (In(("m", 4), "int32", 0, 2), In(("m", 5), "int32", 0, 2), In(("m",), "int64", 0, 4), In(("m",), "int64", 0, 5))
        yield Sample(lambda a, b, m, n: edit_distance(a, b, m, n), ins, grad=False)


@public
def edit_distance(hypothesis: Any, truth: Any, hypothesis_length: Any, truth_length: Any, normalize: bool = False) -> Variable:
    """The least number of insertions, deletions and changes that make rows of `truth` of rows of `hypothesis`.

    Both are integer matrices, of which the first `*_length[i]` elements of row i count.  int64; with `normalize` divided by the
    truth's length, as float32 (inf for an empty truth and 0 for two empty sequences), as tf.edit_distance.
    """
    a, b = as_index(hypothesis), as_index(truth)
    if a.ndim != 2 or b.ndim != 2:
        raise ShapeError("edit_distance: hypothesis and truth are matrices", hint="rows are sequences, padded to one length")
    m, n = as_index(hypothesis_length), as_index(truth_length)
    distance: Variable = EditDistance()(cast(a, I64), cast(b, I64), m, n)[0]
    if not normalize:
        return distance
    found, length = cast(distance, "float32"), cast(n, "float32")
    return where(equal(found, 0), 0, divide(found, length))
