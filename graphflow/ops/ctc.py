"""Connectionist temporal classification: the loss.

A labelling is the states blank, label 0, blank, label 1, ..., blank; a path goes through them by standing still, by a step, or over a
blank between two different labels.  `forward[t, s]` is the logarithm of the probability of the first t frames along
paths that end in state s, `backward[t, s]` that of the other frames.  Row 0 stands before the first frame.
Graves et al. 2006, "Connectionist temporal classification", section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.dim import Size, maximum, minimum
from graphflow.graph.errors import CheckError, GraphError, ShapeError
from graphflow.graph.op import In, NestOp, Sample, Value, register, require_equal
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Variable
from graphflow.ops.elementwise import negative
from graphflow.ops.gathering import as_index
from graphflow.ops.ordering import INT64
from graphflow.ops.promotion import coerce, inexact
from graphflow.ops.public import public
from graphflow.ops.shape import expand_dims, swapaxes
from graphflow.ops.softmax import log_softmax

Grads = Sequence[Variable | None]
LABEL, LABELS, FRAMES = "ctc_loss: a label is not a class", "ctc_loss: label_length is not in 0 .. labels.shape[1]", "ctc_loss: logit_length is not in 0 .. frames"


class Labelling:
    """One sequence of the batch inside a nest: its lengths, and the class of each of its labels."""

    def __init__(self, k: Any, row: Size, frames: Size, classes: Size, labels: Any, label_length: Any, frame_length: Any) -> None:
        self.k, self.row, self.labels, self.classes = k, row, labels, classes
        self.places: Size = labels.shape[1]
        self.count = k.let(k.cast(INT64, label_length.load(row)))
        self.frame_count = k.let(k.cast(INT64, frame_length.load(row)))
        k.position(self.count, self.places + 1, LABELS)
        self.last = k.position(self.frame_count, frames + 1, FRAMES)

    def label(self, j: Size) -> Value:
        """The class of the j-th label, 0 behind the last one."""
        given = self.k.cast(INT64, self.labels.load(self.row, j))
        return self.k.select(self.k.value(j) < self.count, given, self.k.const(INT64, 0))

    def place(self, j: Size) -> Size:
        return self.k.position(self.k.let(self.label(j)), self.classes, LABEL)  # type: ignore[no-any-return]

    def may_skip(self, j: Size) -> Value:
        """May a path go from label j - 1 to label j without the blank between them?"""
        return (self.k.value(j) > 0) & self.label(j).ne(self.label(maximum(j - 1, 0)))


def _log_sum(k: Any, *xs: Value) -> Value:
    """log(sum(exp(xs))), also of -inf alone."""
    top = xs[0]
    for x in xs[1:]:
        top = k.call("max", top, x)
    top = k.let(top)
    safe = k.let(k.select(top.eq(-np.inf), k.const(top.dtype, 0), top))
    total = k.call("exp", xs[0] - safe)
    for x in xs[1:]:
        total = total + k.call("exp", x - safe)
    return safe + k.call("log", total)


@register
class CTCForward(NestOp):
    """(loss, forward) of log probabilities (batch, frames, classes), labels (batch, labels) and the lengths of both."""

    name = "ctc_forward"
    cost = 60
    blank: int

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        (batch, frames, classes), (rows, places) = inputs[0].known_shape, inputs[1].known_shape
        require_equal(maximum(classes, self.blank + 1), classes, "ctc_loss: the blank is none of the classes; sizes")
        for size in (rows, *inputs[2].known_shape, *inputs[3].known_shape):
            require_equal(batch, size, "ctc_loss: the batches of logits, labels and lengths differ; sizes")
        dtype = inputs[0].dtype
        return TensorType(dtype, (batch,)), TensorType(dtype, (batch, frames + 1, 2 * places + 1))

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        (logp, labels, label_length, frame_length), (loss, forward) = ins, outs
        batch, frames, classes = logp.shape
        none = k.const(logp.dtype, -np.inf)
        with k.loop("b", batch) as b:
            states = Labelling(k, b, frames, classes, labels, label_length, frame_length)
            with k.loop("s", forward.shape[2]) as s:
                forward.store((b, 0, s), k.select(k.value(s).eq(0), k.const(logp.dtype, 0), none))
            with k.loop("t", frames, sequential=True) as t:
                with k.loop("j", states.places + 1) as j:
                    stepped = k.select(k.value(j) > 0, forward.load(b, t, maximum(2 * j - 1, 0)), none)
                    reached = _log_sum(k, forward.load(b, t, 2 * j), stepped)
                    forward.store((b, t + 1, 2 * j), reached + logp.load(b, t, self.blank))
                with k.loop("j", states.places) as j:
                    skipped = k.select(states.may_skip(j), forward.load(b, t, maximum(2 * j - 1, 0)), none)
                    reached = _log_sum(k, forward.load(b, t, 2 * j + 1), forward.load(b, t, 2 * j), skipped)
                    forward.store((b, t + 1, 2 * j + 1), reached + logp.load(b, t, states.place(j)))
            end = k.position(states.count * 2, 2 * states.places + 1, LABELS)
            before = k.select(states.count > 0, forward.load(b, states.last, maximum(end - 1, 0)), none)
            loss.store((b,), -_log_sum(k, forward.load(b, states.last, end), before))

    def reference(self, *arrays: Any) -> Any:
        logp, labels, label_length, frame_length = arrays
        batch, frames, classes = logp.shape
        forward = np.full((batch, frames + 1, 2 * labels.shape[1] + 1), -np.inf)
        forward[:, 0, 0] = 0
        loss = np.zeros(batch)
        for b in range(batch):
            _require_lengths(labels.shape[1], frames, label_length[b], frame_length[b])
            path, skips = _path(labels[b], int(label_length[b]), self.blank, classes)
            for t in range(frames):
                before = forward[b, t]
                stepped = np.concatenate([[-np.inf], before[:-1]])
                skipped = np.where(skips, np.concatenate([[-np.inf, -np.inf], before])[: len(path)], -np.inf)
                forward[b, t + 1] = np.logaddexp(np.logaddexp(before, stepped), skipped) + logp[b, t, path]
            ends = forward[b, frame_length[b], max(2 * label_length[b] - 1, 0) : 2 * label_length[b] + 1]
            loss[b] = -np.logaddexp.reduce(ends)
        return loss.astype(logp.dtype), forward.astype(logp.dtype)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        if grads[1] is not None:
            raise GraphError("ctc_loss: only the loss has a gradient")
        if grads[0] is None:
            return None, None, None, None
        occupied, _ = CTCOccupancy(self.blank)(*inputs, *outputs)
        return negative(expand_dims(grads[0], (1, 2)) * occupied), None, None, None

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        lengths = (In(("b",), "int32", 0, 2), In(("b",), "int32", 5, 6))
        for blank in (0, -1):

            def make(x: Variable, y: Variable, m: Variable, n: Variable, blank: int = blank) -> Variable:
                return ctc_loss(y, x, m, n, logits_time_major=False, blank_index=blank)

            yield Sample(make, (In(("b", 6, 4)), In(("b", 2), "int32", 1, 2), *lengths), grad=False, rtol=1e-5, name=f"blank {blank}")
        sized = (In(("b", "t", 4)), In(("b", "k"), "int32", 1, 3), In(("b",), "int32", 0, 0), In(("b",), "int32", 0, 0))
        yield Sample(lambda x, y, m, n: ctc_loss(y, x, m, n, logits_time_major=False), sized, grad=False, name="all sizes")

        def slope(x: Variable, y: Variable, m: Variable, n: Variable) -> Variable:
            forward = CTCForward(0)(x, y, m, n)
            return CTCOccupancy(0)(x, y, m, n, *forward)[0]  # type: ignore[no-any-return]

        yield Sample(slope, (In(("b", 6, 4), low=-2, high=-1), In(("b", 2), "int32", 1, 3), *lengths), grad=False, rtol=2e-5, name="occupancy")


@register
class CTCOccupancy(NestOp):
    """(posterior probability of each class in each frame, backward); 0 where no path exists, and behind the last frame."""

    name = "ctc_occupancy"
    cost = 60
    blank: int

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        return inputs[0], inputs[5]

    def nest(self, k: Any, ins: Sequence[Any], outs: Sequence[Any]) -> None:
        (logp, labels, label_length, frame_length, loss, forward), (occupied, backward) = ins, outs
        batch, frames, classes = logp.shape
        with k.loop("b", batch) as b:
            states = Labelling(k, b, frames, classes, labels, label_length, frame_length)
            self.recede(k, b, states, logp, backward)
            total = k.let(loss.load(b))
            with k.loop("t", frames) as t:
                with k.loop("c", classes) as c:
                    occupied.store((b, t, c), k.const(logp.dtype, 0))
                with k.mask((k.value(t) < states.frame_count) & total.ne(np.inf)):

                    def add(state: Size, to: Size, b: Size = b, t: Size = t, total: Value = total) -> None:
                        posterior = k.call("exp", forward.load(b, t + 1, state) + backward.load(b, t + 1, state) + total)
                        occupied.store((b, t, to), occupied.load(b, t, to) + posterior)

                    with k.loop("j", states.places + 1, sequential=True) as j:
                        add(2 * j, self.blank)
                    with k.loop("j", states.places, sequential=True) as j:
                        add(2 * j + 1, states.place(j))

    def recede(self, k: Any, b: Size, states: Labelling, logp: Any, backward: Any) -> None:
        """Fill `backward` from the last frame to the first."""
        frames, width = logp.shape[1], backward.shape[2]
        none, done = k.const(logp.dtype, -np.inf), k.const(logp.dtype, 0)
        with k.loop("t", frames + 1) as t, k.loop("s", width) as s:
            ends = k.value(s).eq(states.count * 2) | k.value(s).eq(states.count * 2 - 1)
            backward.store((b, t, s), k.select(k.value(t).eq(states.frame_count) & ends, done, none))
        with k.loop("i", frames, sequential=True) as i:
            t = frames - 1 - i
            with k.mask(k.value(t) < states.frame_count):
                last: Size = states.places - 1

                def through(state: Size, to: Size, b: Size = b, t: Size = t) -> Value:
                    return backward.load(b, t + 1, state) + logp.load(b, t, to)

                with k.loop("j", states.places) as j:
                    beyond = minimum(j + 1, last)
                    skipped = k.select((k.value(j) < k.value(last)) & states.may_skip(beyond), through(2 * beyond + 1, states.place(beyond)), none)
                    left = _log_sum(k, through(2 * j + 1, states.place(j)), through(2 * j + 2, self.blank), skipped)
                    backward.store((b, t, 2 * j + 1), left)
                    backward.store((b, t, 2 * j), _log_sum(k, through(2 * j, self.blank), through(2 * j + 1, states.place(j))))
                backward.store((b, t, width - 1), through(width - 1, self.blank))

    def reference(self, *arrays: Any) -> Any:
        logp, labels, label_length, frame_length, loss, forward = arrays
        batch, _, classes = logp.shape
        occupied, backward = np.zeros(logp.shape), np.full(forward.shape, -np.inf)
        for b in range(batch):
            end, n = int(frame_length[b]), int(label_length[b])
            path, skips = _path(labels[b], n, self.blank, classes)
            backward[b, end, max(2 * n - 1, 0) : 2 * n + 1] = 0
            for t in range(end - 1, -1, -1):
                ahead = backward[b, t + 1] + logp[b, t, path]
                stepped = np.concatenate([ahead[1:], [-np.inf]])
                skipped = np.concatenate([np.where(skips, ahead, -np.inf)[2:], [-np.inf, -np.inf]])[: len(path)]
                backward[b, t] = np.logaddexp(np.logaddexp(ahead, stepped), skipped)
                if np.isfinite(loss[b]):
                    np.add.at(occupied[b, t], path, np.exp(forward[b, t + 1] + backward[b, t + 1] + loss[b]))
        return occupied.astype(logp.dtype), backward.astype(logp.dtype)

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        raise GraphError("ctc_loss: the gradient has no gradient of its own")


def _path(labels: Any, count: int, blank: int, classes: int) -> tuple[Any, Any]:
    """The class of each state, and which states can be reached over the state before."""
    given = np.where(np.arange(len(labels)) < count, labels, 0).astype(np.int64)
    if ((given < 0) | (given >= classes)).any():
        raise CheckError(LABEL)
    path = np.full(2 * len(given) + 1, blank)
    path[1::2] = given
    skips = np.zeros(len(path), bool)
    skips[3::2] = given[1:] != given[:-1]
    return path, skips


def _require_lengths(places: int, frames: int, label_length: int, frame_length: int) -> None:
    if not 0 <= label_length <= places:
        raise CheckError(LABELS)
    if not 0 <= frame_length <= frames:
        raise CheckError(FRAMES)


# --- functions ---------------------------------------------------------------------------------------
@public
def ctc_loss(labels: Any, logits: Any, label_length: Any, logit_length: Any, logits_time_major: bool = True, blank_index: int = 0) -> Variable:
    """The negative logarithm of the probability of each labelling, as tf.nn.ctc_loss: a number for each sequence.

    `labels`: integers (batch, labels), those behind label_length do not count.  `logits`: (frames, batch, classes), or (batch, frames,
    classes) without `logits_time_major`.  `blank_index`: the class of the blank, from the end if negative; static classes are needed then.
    A labelling that the frames have no room for has the loss inf and the gradient 0.  There is no second derivative.  Raises
    ShapeError, DTypeError; a length or a label out of range fails the run (CheckError).
    """
    (logits,), labels = coerce(logits, to=inexact), as_index(labels)
    counts, frames = as_index(label_length), as_index(logit_length)
    if logits.ndim != 3 or labels.ndim != 2 or counts.ndim != 1 or frames.ndim != 1:
        ranks = ", ".join(str(v.ndim) for v in (labels, logits, counts, frames))
        raise ShapeError(f"ctc_loss: labels, logits, label_length and logit_length have the ranks {ranks}", hint="they take the ranks 2, 3, 1 and 1")
    rows = swapaxes(logits, 0, 1) if logits_time_major else logits
    loss: Variable = CTCForward(class_of(blank_index, rows.shape[2]))(log_softmax(rows, -1), labels, counts, frames)[0]
    return loss


def class_of(index: int, classes: Size) -> int:
    """The number of a class, counted from the end if negative; raises ShapeError if there is none."""
    if index >= 0 and not isinstance(classes, int):
        return index
    if not isinstance(classes, int) or not -classes <= index < classes:
        raise ShapeError(f"the blank {index} is none of {classes} classes", hint="the number of classes must be static for a blank from the end")
    return index % classes
