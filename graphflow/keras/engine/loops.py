"""Epochs, slices and batches.

Training goes in slices of one or more batches; `run_slice` is the one place where batches run.  A
slice is one batch when a callback listens to batches, else about SLICE_SECONDS worth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.graph.op import Array
from graphflow.keras import generation
from graphflow.keras.callbacks import BaseLogger, CallbackList, History, Logs, ProgbarLogger
from graphflow.keras.engine.data import Feed
from graphflow.keras.progress import Progbar

SLICE_SECONDS = 0.05
Step = Callable[..., Sequence[Array]]
Batch = tuple[int, int]


def batches(samples: int, size: int) -> list[Batch]:
    """(start, stop) of each batch; the last one may be smaller."""
    return [(start, min(start + size, samples)) for start in range(0, samples, size)]


def run_slice(step: Step, feed: Feed, order: Array | None, ranges: Sequence[Batch]) -> list[Sequence[Array]]:
    """The results of `step` for each batch of rows; `order` says which rows they are."""
    results: list[Sequence[Array]] = []
    for start, stop in ranges:
        rows = slice(start, stop) if order is None else order[start:stop]
        results.append(step(*(a[rows] for a in feed.arrays)))
    return results


def slices(ranges: Sequence[Batch], one_by_one: bool) -> Iterator[tuple[int, Sequence[Batch]]]:
    """(number of the first batch, batches) of each slice, as long as the time the slice before took suggests."""
    at, length = 0, 1
    while at < len(ranges):
        part = ranges[at : at + length]
        began = time.perf_counter()
        yield at, part
        if not one_by_one:
            each = (time.perf_counter() - began) / len(part)
            length = max(1, min(2 * length, int(SLICE_SECONDS / max(each, 1e-9))))
        at += len(part)


def evaluate(step: Step, names: Sequence[str], feed: Feed, batch_size: int, verbose: int = 0) -> list[float]:
    """The means over all samples of what `step` gives for batches."""
    totals = np.zeros(len(names))
    bar = Progbar(feed.samples, verbose=verbose)
    for _, part in slices(batches(feed.samples, batch_size), one_by_one=False):
        for (start, stop), values in zip(part, run_slice(step, feed, None, part), strict=True):
            totals += [float(v) * (stop - start) for v in values]
        if verbose == 1:
            bar.update(part[-1][1])
    return [float(t) / feed.samples if feed.samples else float("nan") for t in totals]


def predict(step: Step, feed: Feed, batch_size: int, verbose: int = 0) -> list[Array]:
    """The results of all batches, joined."""
    parts: list[Sequence[Array]] = []
    bar = Progbar(feed.samples, verbose=verbose)
    ranges = batches(feed.samples, batch_size) or [(0, 0)]
    for _, part in slices(ranges, one_by_one=False):
        parts += run_slice(step, feed, None, part)
        if verbose == 1:
            bar.update(part[-1][1])
    return [np.concatenate(outputs) if len(outputs) > 1 else outputs[0] for outputs in zip(*parts, strict=True)]


class Fit:
    """One call of `fit`: the model's steps over epochs of a feed, with callbacks."""

    def __init__(self, model: Any, feed: Feed, validation: Feed | None, batch_size: int, verbose: int, shuffle: bool | str) -> None:
        self.model = model
        self.feed = feed
        self.validation = validation
        self.batch_size = batch_size
        self.verbose = verbose
        self.shuffle = shuffle
        self.names: list[str] = model.metrics_names

    def run(self, epochs: int, initial_epoch: int, callbacks: Sequence[Any]) -> History:
        """Train, and return the record."""
        history = History()
        self.model.history = history
        shown = [ProgbarLogger()] if self.verbose else []
        hooks = CallbackList([BaseLogger(), *shown, *callbacks, history])
        hooks.set_model(self.model)
        hooks.set_params(self._params(epochs))
        for callback in hooks:
            callback.validation_data = self.validation.arrays if self.validation is not None else None
        self._announce()
        self.model.stop_training = False
        hooks.on_train_begin()
        for epoch in range(initial_epoch, epochs):
            hooks.on_epoch_begin(epoch)
            logs = self._epoch(hooks)
            hooks.on_epoch_end(epoch, logs)
            if self.model.stop_training:
                break
        hooks.on_train_end()
        return history

    def _params(self, epochs: int) -> dict[str, Any]:
        validated = self.validation is not None
        names = [*self.names, *(f"val_{name}" for name in self.names if validated)]
        steps = len(batches(self.feed.samples, self.batch_size))
        return {
            "batch_size": self.batch_size, "epochs": epochs, "steps": steps, "samples": self.feed.samples,
            "verbose": self.verbose, "do_validation": validated, "metrics": names,
        }  # fmt: skip

    def _announce(self) -> None:
        if self.verbose and self.validation is not None and generation.resolve("fit announces sample numbers"):
            print(f"Train on {self.feed.samples} samples, validate on {self.validation.samples} samples")

    def _epoch(self, hooks: CallbackList) -> Logs:
        """One pass over the samples; the epoch's logs hold the results of validation."""
        step = self.model.train_step(self.feed.weighted)
        ranges = batches(self.feed.samples, self.batch_size)
        order = self._order()
        one_by_one = hooks.listens_to_batches()
        for first, part in slices(ranges, one_by_one):
            if one_by_one:
                hooks.on_batch_begin(first, self._batch_logs(first, part[0]))
            results = run_slice(step, self.feed, order, part)
            for number, (batch, values) in enumerate(zip(part, results, strict=True), first):
                logs = self._batch_logs(number, batch)
                if not one_by_one:
                    hooks.on_batch_begin(number, logs)
                hooks.on_batch_end(number, {**logs, **{name: float(v) for name, v in zip(self.names, values, strict=True)}})
            if self.model.stop_training:
                return Logs()
        return self._validated()

    @staticmethod
    def _batch_logs(number: int, batch: Batch) -> dict[str, Any]:
        return {"batch": number, "size": batch[1] - batch[0]}

    def _order(self) -> Array | None:
        """The rows of this epoch, shuffled by NumPy's global generator; 'batch' shuffles whole batches."""
        if not self.shuffle:
            return None
        rows = np.arange(self.feed.samples)
        if self.shuffle == "batch":
            whole = self.feed.samples // self.batch_size * self.batch_size
            blocks = rows[:whole].reshape(-1, self.batch_size)
            np.random.shuffle(blocks)
            return np.concatenate([blocks.reshape(-1), rows[whole:]])
        np.random.shuffle(rows)
        return rows

    def _validated(self) -> Logs:
        if self.validation is None:
            return Logs()
        values = evaluate(self.model.test_step(self.validation.weighted), self.names, self.validation, self.batch_size)
        return Logs({f"val_{name}": value for name, value in zip(self.names, values, strict=True)})
