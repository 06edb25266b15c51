"""Callbacks that steer training: when it stops, and how fast it learns."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.arguments import no_more, users_stacklevel, with_new_names
from graphflow.keras.callbacks.base import Callback, Slice


class TerminateOnNaN(Callback):
    """Stops training after a batch with a loss that is NaN or infinite."""

    stops_on_nan = True

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            print(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True

    def on_slice_end(self, done: Slice) -> None:
        self.on_batch_end(done.batch, done.values)


class LambdaCallback(Callback):
    """A callback of functions: hooks by name, `LambdaCallback(on_epoch_end=f)`; f takes what the hook takes."""

    def __init__(
        self,
        on_epoch_begin: Any = None,
        on_epoch_end: Any = None,
        on_batch_begin: Any = None,
        on_batch_end: Any = None,
        on_train_begin: Any = None,
        on_train_end: Any = None,
        **further: Any,
    ) -> None:
        super().__init__()
        given = {
            "on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_batch_begin": on_batch_begin,
            "on_batch_end": on_batch_end, "on_train_begin": on_train_begin, "on_train_end": on_train_end,
        }  # fmt: skip
        self.__dict__.update({name: hook for name, hook in {**given, **further}.items() if hook is not None})


class Monitor:
    """Compares values of one of the logs: which is better, and by how much it has to be.

    `mode`: 'min', 'max', or 'auto', which is 'max' for names with acc or auc and F-measures.
    """

    def __init__(self, who: str, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            warnings.warn(f"{who} mode {mode} is unknown, fallback to auto mode.", RuntimeWarning, stacklevel=users_stacklevel())
            mode = "auto"
        named_max = any(part in monitor for part in ("acc", "auc")) or monitor.startswith("fmeasure")
        self.who, self.name = who, monitor
        self.sign = 1.0 if mode == "max" or (mode == "auto" and named_max) else -1.0
        self.min_delta = abs(min_delta)
        self.worst = -self.sign * math.inf

    def better(self, value: float, than: float) -> bool:
        return bool(self.sign * value - self.min_delta > self.sign * than)

    def value(self, logs: Any, consequence: str) -> Any:
        """The value among the logs; warns and gives None where there is none."""
        found = (logs or {}).get(self.name)
        if found is None:
            known = ", ".join(logs or ())
            text = f"{consequence} conditioned on metric `{self.name}` which is not available. Available metrics are: {known}"
            warnings.warn(text, RuntimeWarning, stacklevel=users_stacklevel())
        return found


class EarlyStopping(Callback):
    """Stops training when the value has not become better by more than `min_delta` for `patience` epochs.

    `baseline`: a value to be better than at first.  `restore_best_weights`: then the weights are those of the best epoch.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__()
        self.monitor, self.patience, self.verbose = monitor, patience, verbose
        self.baseline, self.restore_best_weights, self.start_from_epoch = baseline, restore_best_weights, start_from_epoch
        self._compare = Monitor("EarlyStopping", monitor, mode, min_delta)
        self.min_delta = self._compare.sign * self._compare.min_delta
        self.best_weights: list[Any] | None = None
        self.best_epoch = 0
        self.wait = self.stopped_epoch = 0
        self.best = self._compare.worst

    def on_train_begin(self, logs: Any = None) -> None:
        self.wait = self.stopped_epoch = 0
        self.best = self._compare.worst if self.baseline is None else self.baseline
        self.best_weights = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        current = self._compare.value(logs, "Early stopping")
        if current is None or epoch < self.start_from_epoch:
            return
        if self._compare.better(current, self.best):
            self.best, self.best_epoch, self.wait = current, epoch, 0
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self.wait >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True
            self._restore()

    def _restore(self) -> None:
        if self.best_weights is not None:
            if self.verbose > 0:
                print("Restoring model weights from the end of the best epoch")
            self.model.set_weights(self.best_weights)

    def on_train_end(self, logs: Any = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1:05d}: early stopping")
        if not self.stopped_epoch and generation.resolve("best weights come back without a stop"):
            self._restore()


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of each epoch: `schedule(epoch)`, or `schedule(epoch, rate)`.

    Raises GraphError for an optimizer without a rate, and a schedule that gives no float.
    """

    def __init__(self, schedule: Callable[..., Any], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        _require_rate(self.model.optimizer)
        rate = self.schedule(epoch, rate_of(self.model.optimizer)) if _takes_two(self.schedule) else self.schedule(epoch)
        if not isinstance(rate, float | np.floating):
            raise GraphError('The output of the "schedule" function should be float.', hint=f"it gave {rate!r:.60}")
        K.set_value(self.model.optimizer.lr, rate)
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1:05d}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is not None:
            logs[generation.resolve("rate in the logs")] = rate_of(self.model.optimizer)


def _takes_two(schedule: Callable[..., Any]) -> bool:
    try:
        inspect.signature(schedule).bind(0, 0.0)
    except TypeError:
        return False
    return True


def _require_rate(optimizer: Any) -> None:
    if not hasattr(optimizer, "lr"):
        raise GraphError('Optimizer must have a "lr" attribute.', hint=f"{type(optimizer).__name__} has no learning rate that can be set")


def rate_of(optimizer: Any) -> float:
    """The present learning rate."""
    return float(K.get_value(optimizer.lr))


class ReduceLROnPlateau(Callback):
    """Multiplies the learning rate by `factor` when the value has not become better for `patience` epochs.

    `cooldown`: epochs to wait after that; `min_lr`: the rate does not go below.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0,
        **renamed: Any,
    ) -> None:
        super().__init__()
        arguments = with_new_names("ReduceLROnPlateau", renamed)
        min_delta = arguments.pop("min_delta", min_delta)
        no_more("ReduceLROnPlateau", arguments)
        if factor >= 1.0:
            raise GraphError("ReduceLROnPlateau does not support a factor >= 1.0.", hint="the rate is multiplied by it")
        self.monitor, self.factor, self.patience, self.verbose = monitor, factor, patience, verbose
        self.min_delta, self.cooldown, self.min_lr = min_delta, cooldown, min_lr
        self._compare = Monitor("Learning rate reduction", monitor, mode, min_delta)
        self.on_train_begin()

    def on_train_begin(self, logs: Any = None) -> None:
        self.best = self._compare.worst
        self.wait = self.cooldown_counter = 0

    def in_cooldown(self) -> bool:
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is not None:
            logs[generation.resolve("rate in the logs")] = rate_of(self.model.optimizer)
        current = self._compare.value(logs, "Reduce LR on plateau")
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._compare.better(current, self.best):
            self.best, self.wait = current, 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        old = rate_of(self.model.optimizer)
        if old <= self.min_lr:
            return
        rate = max(old * self.factor, self.min_lr)
        K.set_value(self.model.optimizer.lr, rate)
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1:05d}: ReduceLROnPlateau reducing learning rate to {rate}.")
        self.cooldown_counter, self.wait = self.cooldown, 0
