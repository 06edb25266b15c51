"""Epochs, slices and batches.

Training goes in slices, which run natively: one batch if a callback listens to batches, several epochs if
none listens to epochs, else as many batches as take some 50 ms (`runtime/batches.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, GraphflowError
from graphflow.graph.op import Array
from graphflow.keras import generation
from graphflow.keras.callbacks import BaseLogger, CallbackList, History, Logs, ProgbarLogger, Slice
from graphflow.keras.engine.data import Feed
from graphflow.keras.progress import Progbar
from graphflow.runtime.batches import Batches
from graphflow.runtime.function import Function
from graphflow.runtime.orders import Orders


def evaluate(batches: Batches, verbose: int = 0) -> list[float]:
    """The means over all samples of what a step gives for batches."""
    sums = np.zeros((1, batches.scalars))
    _run_through(batches, sums, verbose)
    means: list[float] = (sums[0] / (batches.samples or np.nan)).tolist()
    return means


def predict(step: Function, feed: Feed, batch_size: int, verbose: int = 0) -> list[Array]:
    """The results of all batches, joined."""
    if feed.samples <= batch_size:  # one call, and nothing to prepare
        results = step(*feed.arrays)
        if verbose == 1:
            Progbar(feed.samples).update(feed.samples)
        return list(results)
    batches = step.batches(feed.arrays, batch_size)
    if batches.scalars:
        raise GraphError("predict joins the rows of batches, and an output of the model has none", hint="the first axis of outputs is that of samples")
    _run_through(batches, np.zeros((1, 0)), verbose)
    return batches.results


def _run_through(batches: Batches, sums: Array, verbose: int) -> None:
    """All batches once, in order, with a progress bar."""
    bar = Progbar(batches.samples, verbose=verbose)
    batches.at = 0
    while batches.at < batches.batches:
        batches.advance(None, sums, batches.at, batches.batches)
        if verbose == 1:
            bar.update(batches.seen)


class WholeBatches:
    """Shuffles whole batches; the rows of a smaller last one stay."""

    get_state, set_state = staticmethod(np.random.get_state), staticmethod(np.random.set_state)

    def __init__(self, size: int) -> None:
        self.size = size

    def shuffle(self, rows: Array) -> None:
        np.random.shuffle(rows[: len(rows) // self.size * self.size].reshape(-1, self.size))


class Fit:
    """One call of `fit`: the model's steps over epochs of a feed, with callbacks."""

    def __init__(self, model: Any, feed: Feed, validation: Feed | None, batch_size: int, verbose: int, shuffle: bool | str) -> None:
        self.model = model
        self.feed = feed
        self.validation = validation
        self.batch_size = batch_size
        self.verbose = verbose
        self.names: list[str] = model.metrics_names
        self.training = model.train_step(feed.weighted).batches(feed.arrays, batch_size)
        self.testing = model.test_step(validation.weighted).batches(validation.arrays, batch_size) if validation is not None else None
        self.orders = Orders(feed.samples, WholeBatches(batch_size) if shuffle == "batch" else np.random) if shuffle else None
        self.history = History()

    def run(self, epochs: int, initial_epoch: int, callbacks: Sequence[Any]) -> History:
        """Train, and return the record."""
        self.model.history = self.history
        shown = [ProgbarLogger()] if self.verbose else []
        hooks = CallbackList([BaseLogger(), *shown, *callbacks, self.history])
        hooks.set_model(self.model)
        hooks.set_params(self._params(epochs))
        for callback in hooks:
            callback.validation_data = self.validation.arrays if self.validation is not None else None
        self._announce()
        self.model.stop_training = False
        hooks.on_train_begin()
        self.one_by_one, self.watched = hooks.listens_to_batches(), int(hooks.stops_on_nan())
        if self.testing is None and self.feed.samples and not self.one_by_one and not hooks.listens_to_epochs():
            self._epochs_together(hooks, initial_epoch, epochs)
        else:
            self._epochs_one_by_one(hooks, initial_epoch, epochs)
        hooks.on_train_end()
        return self.history

    def _params(self, epochs: int) -> dict[str, Any]:
        validated = self.validation is not None
        names = [*self.names, *(f"val_{name}" for name in self.names if validated)]
        return {
            "batch_size": self.batch_size, "epochs": epochs, "steps": self.training.batches, "samples": self.feed.samples,
            "verbose": self.verbose, "do_validation": validated, "metrics": names,
        }  # fmt: skip

    def _announce(self) -> None:
        if self.verbose and self.validation is not None and generation.resolve("fit announces sample numbers"):
            print(f"Train on {self.feed.samples} samples, validate on {self.validation.samples} samples")

    def _epochs_together(self, hooks: CallbackList, first: int, epochs: int) -> None:
        """Epochs that no callback needs to hear of one by one, and without validation."""
        epoch = first

        def report(sums: Array) -> bool:
            nonlocal epoch
            done = self.training.finished
            if done:
                means = sums[:done] / self.feed.samples
                hooks.on_epochs_end(epoch, dict(zip(self.names, means.T.tolist(), strict=True)))
            epoch += done
            if self.training.stopped:
                hooks.on_epoch_begin(epoch)
                hooks.on_slice_end(self._slice(sums[done]))
                hooks.on_epoch_end(epoch, Logs())
            return not self.model.stop_training

        try:
            self.training.run_epochs(epochs - first, self.orders, report, self.watched)
        except GraphflowError as error:
            error.with_context(f"  in epoch {epoch + 1}")
            raise

    def _epochs_one_by_one(self, hooks: CallbackList, first: int, epochs: int) -> None:
        for epoch in range(first, epochs):
            hooks.on_epoch_begin(epoch)
            logs = Logs()
            try:
                self._epoch(hooks)
                if not self.model.stop_training:
                    logs = self._validated()
            except GraphflowError as error:
                error.with_context(f"  in epoch {epoch + 1}")
                raise
            hooks.on_epoch_end(epoch, logs)
            if self.model.stop_training:
                break

    def _epoch(self, hooks: CallbackList) -> None:
        """One pass over the samples; the model may be told to stop after a slice."""
        batches = self.training
        order = self.orders.draw(1) if self.orders is not None else None
        sums = np.zeros((1, batches.scalars))
        batches.at = 0
        while batches.at < batches.batches:
            number = batches.at
            if self.one_by_one:
                rows = batches.rows(number)
                logs = {"batch": number, "size": rows.stop - rows.start}
                hooks.on_batch_begin(number, logs)
                batches.advance(order, sums, number, number + 1)
                hooks.on_batch_end(number, {**logs, **self._by_name(batches.values)})
            else:
                batches.advance(order, sums, number, batches.batches, self.watched)
                hooks.on_slice_end(self._slice(sums[0]))
            if self.model.stop_training:
                break

    def _slice(self, sums: Array) -> Slice:
        return Slice((self.training.at - 1) % self.training.batches, self.training.seen, self._by_name(sums), self._by_name(self.training.values))

    def _by_name(self, values: Array) -> dict[str, float]:
        return dict(zip(self.names, values.tolist(), strict=True))

    def _validated(self) -> Logs:
        if self.testing is None:
            return Logs()
        return Logs({f"val_{name}": value for name, value in zip(self.names, evaluate(self.testing), strict=True)})
