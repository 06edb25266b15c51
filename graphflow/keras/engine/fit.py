"""One call of `fit`: the model's steps over epochs, with callbacks and validation.

Training goes in slices, which run natively: one batch if a callback listens to batches, several epochs if
none listens to epochs, else as many batches as take some 50 ms (`runtime/batches.py`).  Batches that come one by
one (`engine/stream.py`) run one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphflowError
from graphflow.graph.op import Array
from graphflow.keras import generation
from graphflow.keras.callbacks import BaseLogger, CallbackList, History, Logs, ProgbarLogger, Slice
from graphflow.keras.engine.loops import Round, Source, begin, more
from graphflow.runtime.batches import Batches
from graphflow.runtime.function import Function
from graphflow.runtime.orders import Orders


class Validation:
    """What is evaluated after epochs: batches, or a stream; `every`: after each so many epochs, or after those numbered, from 1."""

    def __init__(self, batches: Source, steps: int | None = None, every: int | Sequence[int] = 1, samples: int | None = None, arrays: Any = None) -> None:
        self.batches, self.steps, self.every = batches, steps, every
        self.samples, self.arrays = samples, arrays

    def is_due(self, epoch: int) -> bool:
        return (epoch + 1) % self.every == 0 if isinstance(self.every, int) else epoch + 1 in self.every


class Fit:
    """The model's steps over epochs of batches, with callbacks.

    `orders`: of the rows of each epoch, None for batches as they come.
    """

    def __init__(
        self, model: Any, training: Source, step: Function | None, orders: Orders | None, validation: Validation | None, batch_size: int | None, verbose: int
    ) -> None:
        self.model = model
        self.training, self.validation, self.orders = training, validation, orders
        self._step = step
        self.batch_size, self.verbose = batch_size, verbose
        self.until: Any = training.batches
        self.names: list[str] = model.metrics_names
        self.history = History()
        self.first = 0

    @property
    def samples(self) -> int | None:
        return self.training.samples if isinstance(self.training, Batches) else None

    @property
    def training_step(self) -> Function:
        """The function that trains."""
        step: Function = self._step or self.model.train_step()
        return step

    # --- what a callback may ask that keeps the state of training ------------------------------------
    @property
    def order(self) -> Array:
        """The order of the rows in the last epoch."""
        return self.orders.rows if self.orders is not None else np.zeros(0, np.int64)

    def go_on(self, epoch: int, order: Array) -> None:
        """Begin with a later epoch, as if the epoch before it had had this order."""
        self.first = epoch
        if self.orders is not None:
            self.orders.rows = order

    # --- epochs -----------------------------------------------------------------------------------
    def run(self, epochs: int, initial_epoch: int, callbacks: Sequence[Any]) -> History:
        """Train, and return the record."""
        model, self.first = self.model, initial_epoch
        model.history, model.running_fit = self.history, self
        self.running: list[bool] = model._goal.running
        lasting = [name for name, running in zip(self.names, self.running, strict=True) if running]
        shown = [ProgbarLogger(None if self.samples is not None else "steps", lasting)] if self.verbose else []
        hooks = CallbackList([BaseLogger(lasting), *shown, *callbacks, self.history])
        hooks.set_model(getattr(model, "callback_model", None) or model)
        hooks.set_params(self._params(epochs))
        for callback in hooks:
            callback.validation_data = self.validation.arrays if self.validation is not None else None
        self._announce()
        model.stop_training = False
        hooks.on_train_begin()
        try:
            self.one_by_one, self.watched = hooks.listens_to_batches(), int(hooks.stops_on_nan())
            if self._may_be_together(hooks):
                self._epochs_together(hooks, self.first, epochs)
            else:
                self._epochs_one_by_one(hooks, self.first, epochs)
        finally:
            model.running_fit = None
        if hasattr(model.optimizer, "finalize_variable_values"):
            model.optimizer.finalize_variable_values(model.trainable_weights)
        hooks.on_train_end()
        return self.history

    def _may_be_together(self, hooks: CallbackList) -> bool:
        """Whether nothing has to happen between epochs."""
        return bool(self.samples) and self.validation is None and not any(self.running) and not self.one_by_one and not hooks.listens_to_epochs()

    def _params(self, epochs: int) -> dict[str, Any]:
        validated = self.validation is not None
        names = [*self.names, *(f"val_{name}" for name in self.names if validated)]
        steps = int(self.until) if np.isfinite(self.until) else None
        return {
            "batch_size": self.batch_size, "epochs": epochs, "steps": steps, "samples": self.samples, "verbose": self.verbose,
            "do_validation": validated, "metrics": names,
        }  # fmt: skip

    def _announce(self) -> None:
        both = self.samples is not None and self.validation is not None and self.validation.samples is not None
        if self.verbose and both and generation.resolve("fit announces sample numbers"):
            assert self.validation is not None
            print(f"Train on {self.samples} samples, validate on {self.validation.samples} samples")

    def _epochs_together(self, hooks: CallbackList, first: int, epochs: int) -> None:
        """Epochs that no callback needs to hear of one by one, and without validation."""
        assert isinstance(self.training, Batches)
        batches, epoch = self.training, first

        def report(sums: Array) -> bool:
            nonlocal epoch
            done = batches.finished
            if done:
                means = sums[:done] / batches.samples
                hooks.on_epochs_end(epoch, dict(zip(self.names, means.T.tolist(), strict=True)))
            epoch += done
            if batches.stopped:
                hooks.on_epoch_begin(epoch)
                hooks.on_slice_end(self._slice(sums[done]))
                hooks.on_epoch_end(epoch, Logs())
            return not self.model.stop_training

        try:
            batches.run_epochs(epochs - first, self.orders, report, self.watched)
        except GraphflowError as error:
            error.with_context(f"  in epoch {epoch + 1}")
            raise

    def _epochs_one_by_one(self, hooks: CallbackList, first: int, epochs: int) -> None:
        for epoch in range(first, epochs):
            self.model.reset_metrics()
            hooks.on_epoch_begin(epoch)
            logs = Logs()
            try:
                self._epoch(hooks)
                if not self.model.stop_training and self.validation is not None and self.validation.is_due(epoch):
                    logs = self._validated(self.validation, hooks)
            except GraphflowError as error:
                error.with_context(f"  in epoch {epoch + 1}")
                raise
            hooks.on_epoch_end(epoch, logs)
            if self.model.stop_training or (not isinstance(self.training, Batches) and self.training.ended and self.training.endless):
                break

    def _epoch(self, hooks: CallbackList) -> None:
        """One pass over the batches; the model may be told to stop after a slice."""
        batches = self.training
        order = self.orders.draw(1) if self.orders is not None else None
        sums = np.zeros((1, len(self.names)))
        begin(batches)
        while more(batches, self.until):
            number = batches.at
            if self.one_by_one:
                rows = batches.rows(number)
                logs = {"batch": number, "size": rows.stop - rows.start}
                hooks.on_batch_begin(number, logs)
                batches.advance(order, sums, number, number + 1)
                hooks.on_batch_end(number, {**logs, **self._by_name(batches.values)})
            else:
                batches.advance(order, sums, number, self.until, self.watched)
                hooks.on_slice_end(self._slice(sums[0]))
            if self.model.stop_training:
                break

    def _slice(self, sums: Array) -> Slice:
        batch = (self.training.at - 1) % self.training.batches if isinstance(self.training, Batches) else self.training.at - 1
        return Slice(batch, self.training.seen, self._by_name(sums), self._by_name(self.training.values))

    def _by_name(self, values: Array) -> dict[str, float]:
        return dict(zip(self.names, values.tolist(), strict=True))

    def _validated(self, validation: Validation, hooks: CallbackList) -> Logs:
        self.model.reset_metrics()
        done = Round(validation.batches, "test", self.names, hooks, validation.steps)
        done.run()
        return Logs({f"val_{name}": value for name, value in zip(self.names, done.means(self.running), strict=True)})


class WholeBatches:
    """Shuffles whole batches; the rows of a smaller last one stay."""

    get_state, set_state = staticmethod(np.random.get_state), staticmethod(np.random.set_state)

    def __init__(self, size: int) -> None:
        self.size = size

    def shuffle(self, rows: Array) -> None:
        np.random.shuffle(rows[: len(rows) // self.size * self.size].reshape(-1, self.size))
