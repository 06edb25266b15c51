"""Callbacks: what happens at the beginning and end of training, epochs and batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from graphflow.keras import generation
from graphflow.keras.progress import Progbar


class Logs(dict[str, Any]):
    """Values by name; where there is one of `acc` and `accuracy`, it answers to both."""

    def __missing__(self, key: str) -> Any:
        other = _other_spelling(key)
        if other not in self.keys():
            raise KeyError(key)
        return self[other]

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or (isinstance(key, str) and super().__contains__(_other_spelling(key)))

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self else default  # noqa: SIM401  dict.get does not ask __missing__


def _other_spelling(key: str) -> str:
    if key.endswith("accuracy"):
        return key[: -len("uracy")]
    return f"{key}uracy" if key.endswith("acc") else ""


@dataclass(frozen=True)
class Slice:
    """What was done of an epoch when a slice of it ended.

    `batch`: the number of the last batch; `seen`: samples so far; `totals`: by name, values of batches times their
    samples, summed over the epoch so far; `values`: those of the last batch.
    """

    batch: int
    seen: int
    totals: Mapping[str, float]
    values: Mapping[str, float]


class Callback:
    """A subclass gives some of the hooks.  `model` and `params` are set before training begins.

    Batches run one by one if a callback has hooks for batches.  Else they run in slices, and after each of them
    `on_slice_end` is called.  A callback that gives both works either way, and so does one that gives
    `on_epochs_end` together with hooks for epochs: it is called for several epochs at once, with lists of values.
    """

    stops_on_nan = False  # whether a slice ends after a batch with a loss that is NaN or infinite

    def __init__(self) -> None:
        self.validation_data: Any = None
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def set_model(self, model: Any) -> None:
        self.model = model

    def on_train_begin(self, logs: Any = None) -> None:
        pass

    def on_train_end(self, logs: Any = None) -> None:
        pass

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        pass

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        pass

    def on_epochs_end(self, first: int, logs: Mapping[str, list[float]]) -> None:
        pass

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        pass

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        pass

    def on_slice_end(self, done: Slice) -> None:
        pass

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.on_batch_end(batch, logs)


# hooks, and the one that is called in their place for many batches or epochs at once
_FOR_MANY = {
    "on_slice_end": ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end"),
    "on_epochs_end": ("on_epoch_begin", "on_epoch_end"),
}


def _listens(callback: Any, for_many: str) -> bool:
    """Whether a hook was given, on the object or by a class, after the one that is called in its place."""
    classes = type(callback).__mro__
    replaced = next((i for i, c in enumerate(classes) if for_many in vars(c)), len(classes))
    for hook in _FOR_MANY[for_many]:
        giver = next((i for i, c in enumerate(classes) if hook in vars(c)), None)
        given = hasattr(callback, hook) if giver is None else giver < replaced
        if given or hook in getattr(callback, "__dict__", ()):
            return True
    return False


def listens_to_batches(callback: Any) -> bool:
    """Whether it has to be called for each batch."""
    return _listens(callback, "on_slice_end")


def listens_to_epochs(callback: Any) -> bool:
    """Whether it has to be called at each epoch."""
    return _listens(callback, "on_epochs_end")


class CallbackList:
    """Calls each hook of several callbacks, in order."""

    def __init__(self, callbacks: Iterable[Any] = ()) -> None:
        self.callbacks = list(callbacks)

    def append(self, callback: Any) -> None:
        self.callbacks.append(callback)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.callbacks)

    def set_params(self, params: Mapping[str, Any]) -> None:
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        for callback in self.callbacks:
            callback.set_model(model)

    def listens_to_batches(self) -> bool:
        return any(listens_to_batches(callback) for callback in self.callbacks)

    def listens_to_epochs(self) -> bool:
        return any(listens_to_epochs(callback) for callback in self.callbacks)

    def stops_on_nan(self) -> bool:
        return any(getattr(callback, "stops_on_nan", False) for callback in self.callbacks)

    def on_slice_end(self, done: Slice) -> None:
        for callback in self.callbacks:
            if hasattr(callback, "on_slice_end"):
                callback.on_slice_end(done)

    def on_epochs_end(self, first: int, logs: Mapping[str, list[float]]) -> None:
        for callback in self.callbacks:
            if hasattr(callback, "on_epochs_end"):
                callback.on_epochs_end(first, logs)

    def on_train_begin(self, logs: Any = None) -> None:
        for callback in self.callbacks:
            callback.on_train_begin(Logs(logs or {}))

    def on_train_end(self, logs: Any = None) -> None:
        for callback in self.callbacks:
            callback.on_train_end(Logs(logs or {}))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, Logs(logs or {}))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """All callbacks share the logs: an early one may add values for later ones."""
        shared = logs if isinstance(logs, Logs) else Logs(logs or {})
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, shared)

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._batch("begin", batch, logs)

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batch("end", batch, logs)

    def _batch(self, when: str, batch: int, logs: Any) -> None:
        shared = Logs(logs or {})
        for callback in self.callbacks:
            newer = getattr(callback, f"on_train_batch_{when}", None)
            (newer or getattr(callback, f"on_batch_{when}"))(batch, shared)


class BaseLogger(Callback):
    """Puts the means over the epoch's samples into the epoch's logs."""

    def __init__(self, stateful_metrics: Iterable[str] | None = None) -> None:
        super().__init__()
        self.stateful_metrics = set(stateful_metrics or ())

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.seen = 0
        self.totals: dict[str, float] = {}

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        size = (logs or {}).get("size", 0)
        self.seen += size
        for name, value in (logs or {}).items():
            self.totals[name] = value if name in self.stateful_metrics else self.totals.get(name, 0.0) + value * size

    def on_slice_end(self, done: Slice) -> None:
        self.seen = done.seen
        self.totals = {name: done.values[name] if name in self.stateful_metrics else total for name, total in done.totals.items()}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name in self.params["metrics"]:
            if logs is not None and name in self.totals:
                logs[name] = self.totals[name] if name in self.stateful_metrics else self.totals[name] / max(1, self.seen)

    def on_epochs_end(self, first: int, logs: Mapping[str, list[float]]) -> None:
        """The logs of several epochs hold the means already."""


class History(Callback):
    """Keeps the logs of all epochs: `epoch` and `history`."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = Logs()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def on_epochs_end(self, first: int, logs: Mapping[str, list[float]]) -> None:
        self.epoch += range(first, first + len(next(iter(logs.values()), ())))
        for name, values in logs.items():
            self.history.setdefault(name, []).extend(values)


class ProgbarLogger(Callback):
    """Prints the epoch's number, and a progress bar of its samples (or steps) with the means of losses and metrics."""

    def __init__(self, count_mode: str | None = None, stateful_metrics: Iterable[str] | None = None) -> None:
        super().__init__()
        by_steps = generation.resolve("progress counts steps") if count_mode is None else count_mode == "steps"
        self.counts = "steps" if by_steps else "samples"
        self.stateful_metrics = list(stateful_metrics or ())

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.verbose: int = self.params["verbose"]
        if self.verbose:
            print(f"Epoch {epoch + 1}/{self.params['epochs']}")
        self.target = self.params[self.counts]
        self.progbar = Progbar(self.target, verbose=self.verbose, stateful_metrics=self.params["metrics"])
        self.done = Slice(-1, 0, {}, {})

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        size, values = (logs or {}).get("size", 0), self._chosen(logs)
        totals = {name: self.done.totals.get(name, 0.0) + value * size for name, value in values.items()}
        self.on_slice_end(Slice(self.done.batch + 1, self.done.seen + size, totals, values))

    def on_slice_end(self, done: Slice) -> None:
        self.done = done
        if self.verbose and (self.target is None or self.seen < self.target):  # the last one waits for validation
            self.progbar.update(self.seen, list(self._means().items()))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.verbose:
            self.progbar.update(self.seen, list({**self._chosen(logs), **self._means()}.items()))

    @property
    def seen(self) -> int:
        return self.done.batch + 1 if self.counts == "steps" else self.done.seen

    def _means(self) -> dict[str, float]:
        means = {name: total / max(1, self.done.seen) for name, total in self.done.totals.items()}
        return {**means, **{name: self.done.values[name] for name in self.stateful_metrics if name in self.done.values}}

    def _chosen(self, logs: Any) -> dict[str, Any]:
        """What the logs say of losses and metrics, in the order of `params`."""
        found: dict[str, Any] = {}
        for name in self.params["metrics"]:
            with suppress(KeyError):
                found[name] = (logs or {})[name]
        return found


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
