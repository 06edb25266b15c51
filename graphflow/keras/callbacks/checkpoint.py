"""Callbacks that keep models and the state of training in files."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, StateError
from graphflow.graph.variable import Shared
from graphflow.keras import backend as K
from graphflow.keras.arguments import no_more, users_stacklevel
from graphflow.keras.callbacks.base import Callback, Logs
from graphflow.keras.callbacks.control import Monitor


class ModelCheckpoint(Callback):
    """Saves the model after every `period` epochs, or (`save_freq`, a number) after so many batches.

    `filepath` may name values: 'weights.{epoch:02d}-{val_loss:.2f}.h5'.  `save_best_only`: only if the value is the best so far.
    A file is written beside the old one and takes its place when it is whole.
    """

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        period: Any = 1,
        save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
        options: Any = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        no_more("ModelCheckpoint", unknown)
        if period == "epoch":  # the seventh argument is `save_freq` in tf.keras
            period = 1
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise GraphError(f"Unrecognized save_freq: {save_freq}", hint='"epoch", or a number of batches')
        self.filepath = os.fspath(filepath)
        self.monitor, self.verbose, self.save_best_only, self.save_weights_only = monitor, verbose, save_best_only, save_weights_only
        self.period, self.save_freq = period, save_freq
        self._compare = Monitor("ModelCheckpoint", monitor, mode)
        self.best = self._compare.worst if initial_value_threshold is None else initial_value_threshold
        self.epochs_since_last_save = 0
        self._epoch = self._batches = 0
        if save_freq != "epoch":
            self.on_batch_end = self._after_batch  # type: ignore[method-assign]  # only then has each batch to be seen

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def _after_batch(self, batch: int, logs: Any = None) -> None:
        self._batches += 1
        if self._batches >= self.save_freq:
            self._batches = 0
            self._save(self._epoch, {name: value for name, value in (logs or {}).items() if name not in ("batch", "size")})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.save_freq != "epoch":
            return
        self.epochs_since_last_save += 1
        if self.epochs_since_last_save >= self.period:
            self.epochs_since_last_save = 0
            self._save(epoch, logs)

    def _save(self, epoch: int, logs: Any) -> None:
        path = self.filepath.format_map(_Names({**(logs or {}), "epoch": epoch + 1}))
        if self.save_best_only:
            current = (logs or {}).get(self.monitor)
            if current is None:
                text = f"Can save best model only with {self.monitor} available, skipping."
                warnings.warn(text, RuntimeWarning, stacklevel=users_stacklevel())
                return
            if not self._compare.better(current, self.best):
                self._say(f"\nEpoch {epoch + 1:05d}: {self.monitor} did not improve from {self.best:0.5f}")
                return
            self._say(f"\nEpoch {epoch + 1:05d}: {self.monitor} improved from {self.best:0.5f} to {current:0.5f}, saving model to {path}")
            self.best = current
        else:
            self._say(f"\nEpoch {epoch + 1:05d}: saving model to {path}")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)

    def _say(self, text: str) -> None:
        if self.verbose > 0:
            print(text)


class _Names(Logs):
    """What a file's name may contain."""

    def __missing__(self, key: str) -> Any:
        try:
            return super().__missing__(key)
        except KeyError:
            raise GraphError(f"the file's name asks for {key!r}, which is not in the logs", hint=f"the logs have {', '.join(self)}") from None


class BackupAndRestore(Callback):
    """Keeps the whole state of training in `backup_dir`, so that a run that was killed goes on where it was.

    State is what the training step reads and writes (weights, optimizer, rates, moving statistics, random numbers), NumPy's
    random numbers and the order of the rows: a run that was interrupted gives the bits of one that was not.  It is
    written after each epoch, and removed after training if `delete_checkpoint`.
    """

    FILE = "training_state.npz"

    def __init__(self, backup_dir: Any, save_freq: Any = "epoch", delete_checkpoint: bool = True, save_before_preemption: bool = False) -> None:
        super().__init__()
        if save_freq != "epoch":
            raise GraphError(f"BackupAndRestore: save_freq={save_freq!r}", hint='state is kept after each epoch: "epoch"')
        self.backup_dir = Path(backup_dir)
        self.delete_checkpoint = delete_checkpoint

    @property
    def path(self) -> Path:
        return self.backup_dir / self.FILE

    def on_train_begin(self, logs: Any = None) -> None:
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            return
        with np.load(self.path) as kept:
            state = self._state()
            values = [kept[f"state_{i}"] for i in range(int(kept["states"]))]
            if [v.shape for v in values] != [K.get_value(s).shape for s in state]:
                raise StateError(f"{self.path} is the state of another model", hint="remove it, or give each model a folder of its own")
            K.batch_set_value(list(zip(state, values, strict=True)))
            np.random.set_state(("MT19937", kept["numpy_key"], *kept["numpy_position"].tolist(), float(kept["numpy_gauss"])))
            self.model.running_fit.go_on(int(kept["epoch"]) + 1, kept["order"])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        _, key, position, has_gauss, gauss = np.random.get_state(legacy=True)
        state = self._state()
        values = {f"state_{i}": K.get_value(s) for i, s in enumerate(state)}
        part = self.path.with_suffix(".part.npz")
        np.savez(
            part, epoch=epoch, states=len(state), order=self.model.running_fit.order, numpy_key=key,
            numpy_position=np.array([position, has_gauss]), numpy_gauss=gauss, **values,
        )  # fmt: skip
        part.replace(self.path)

    def _state(self) -> list[Shared]:
        return list(self.model.running_fit.training_step.compiled.shared)

    def on_train_end(self, logs: Any = None) -> None:
        if self.delete_checkpoint:
            self.path.unlink(missing_ok=True)
