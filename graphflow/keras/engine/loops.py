"""Passes over batches: evaluation and prediction.

Batches of arrays go in slices, which run natively; batches that come one by one (`engine/stream.py`) run one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.op import Array
from graphflow.keras.callbacks import CallbackList
from graphflow.keras.engine.data import Feed
from graphflow.keras.engine.stream import Stream, out_of_data
from graphflow.keras.progress import Progbar
from graphflow.runtime.batches import Batches
from graphflow.runtime.function import Function
from graphflow.runtime.orders import Orders


class Passes:
    """Epochs of `steps` batches of arrays: each goes on where the one before ended, and each of so many `passes` over the rows has its order.

    The interface is that of a Stream.
    """

    endless = True

    def __init__(self, inner: Batches, orders: Orders | None, steps: int, passes: int) -> None:
        self._inner, self._orders, self._left = inner, orders, passes
        self._order: Array | None = None
        self._place = 0  # batches of the present pass that are done
        self.batches = steps
        self.at = self.seen = 0
        self.values, self.stopped, self.ended = inner.values, False, False

    def begin(self) -> None:
        """Begin an epoch."""
        self.at = self.seen = 0

    def more(self) -> bool:
        """Whether the epoch has another batch; warns if there are too few passes."""
        if self.at < self.batches and self._place == 0 and self._left == 0:
            self.ended = True
            out_of_data(self.batches, self.at)
        return self.at < self.batches and not self.ended

    def rows(self, at: int) -> slice:
        return self._inner.rows(self._place)

    def advance(self, orders: Array | None, sums: Array, at: int, until: int, watched: int = 0) -> None:
        """Run batches up to `until` of the epoch, or the end of the pass, or as many of them as make a slice."""
        if self._place == 0:
            self._left -= 1
            self._order = self._orders.draw(1) if self._orders is not None else None
        inner, first = self._inner, self._place
        inner.advance(self._order, sums, first, min(inner.batches, first + until - self.at), watched)
        self.seen += inner.rows(inner.at - 1).stop - inner.rows(first).start
        self.at += inner.at - first
        self._place = inner.at % inner.batches
        self.stopped = inner.stopped


Source = Batches | Stream | Passes


class Round:
    """One pass over batches in order: for evaluation ('test') and prediction ('predict').

    `steps`: no more batches than this.  Callbacks hear of each batch if one of them listens to them.
    """

    def __init__(self, batches: Source, mode: str, names: Sequence[str] = (), hooks: CallbackList | None = None, steps: int | None = None, verbose: int = 0) -> None:
        self.batches, self.mode, self.names = batches, mode, names
        self.hooks = hooks or CallbackList()
        self.until: Any = batches.batches if steps is None else min(steps, batches.batches)
        self.verbose = verbose
        self.sums = np.zeros((1, len(names)))

    def run(self) -> None:
        batches = self.batches
        by_samples = isinstance(batches, Batches) and self.until == batches.batches
        target = batches.samples if by_samples and isinstance(batches, Batches) else None if self.until == float("inf") else int(self.until)
        bar = Progbar(target, verbose=self.verbose)
        one_by_one = self.hooks.listens_to_batches(self.mode)
        self.hooks.begin(self.mode)
        begin(batches)
        while more(batches, self.until):
            number = batches.at
            if one_by_one:
                self._one(number)
            else:
                batches.advance(None, self.sums, number, self.until)
            if self.verbose == 1:
                bar.update(batches.seen if by_samples else batches.at)
        self.hooks.end(self.mode, self.logs() if self.mode == "test" else {})

    def _one(self, number: int) -> None:
        rows = self.batches.rows(number)
        logs = {"batch": number, "size": rows.stop - rows.start}
        self.hooks.batch(self.mode, "begin", number, logs)
        self.batches.advance(None, self.sums, number, number + 1)
        self.hooks.batch(self.mode, "end", number, {**logs, **dict(zip(self.names, self.batches.values.tolist(), strict=True))})

    def means(self, running: Sequence[bool]) -> list[float]:
        """The values over all samples: means, and the last one of those that are running."""
        means = self.sums[0] / (self.batches.seen or np.nan)
        last = self.batches.values if self.batches.seen else means
        return [float(b if r else a) for a, b, r in zip(means, last, running, strict=True)]

    def logs(self) -> dict[str, float]:
        return dict(zip(self.names, (self.sums[0] / (self.batches.seen or np.nan)).tolist(), strict=True))


def begin(batches: Source) -> None:
    """Begin a pass."""
    if isinstance(batches, Batches):
        batches.at = 0
    else:
        batches.begin()


def more(batches: Source, until: float) -> bool:
    """Whether there is another batch before `until`."""
    return batches.at < until and (isinstance(batches, Batches) or batches.more())


def predict(step: Function, feed: Feed, batch_size: int, verbose: int = 0, hooks: CallbackList | None = None, steps: int | None = None) -> list[Array]:
    """The results of all batches, joined.  Raises GraphError for an output without an axis of samples."""
    if feed.samples <= batch_size and hooks is None:  # one call, and nothing to prepare
        results = step(*feed.arrays)
        if verbose == 1:
            Progbar(feed.samples).update(feed.samples)
        return list(results)
    if steps is not None:
        feed = feed.rows(0, min(feed.samples, steps * batch_size))
    batches = step.batches(feed.arrays, batch_size)
    if batches.scalars:
        raise GraphError("predict joins the rows of batches, and an output of the model has none", hint="the first axis of outputs is that of samples")
    Round(batches, "predict", (), hooks, None, verbose).run()
    return batches.results


def predict_stream(stream: Stream, verbose: int = 0, hooks: CallbackList | None = None) -> list[Array]:
    """The results of all batches, joined."""
    with stream:
        Round(stream, "predict", (), hooks, None, verbose).run()
    return [np.concatenate(results) for results in zip(*stream.results, strict=True)]
