"""Callbacks: what happens at the beginning and end of training, epochs and batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
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


class Callback:
    """A subclass gives some of the hooks.  `model` and `params` are set before training begins."""

    waits_for_slice = False  # whether the batch hooks may be called later, for several batches at once

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

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        pass

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        pass

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.on_batch_end(batch, logs)


_BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")


def listens_to_batches(callback: Any) -> bool:
    """Whether a batch hook was given, by the class or on the object."""
    if getattr(callback, "waits_for_slice", False):
        return False
    return any(name in vars(callback) or getattr(type(callback), name, None) is not getattr(Callback, name) for name in _BATCH_HOOKS)


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

    waits_for_slice = True

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

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name in self.params["metrics"]:
            if logs is not None and name in self.totals:
                logs[name] = self.totals[name] if name in self.stateful_metrics else self.totals[name] / max(1, self.seen)


class History(Callback):
    """Keeps the logs of all epochs: `epoch` and `history`."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = Logs()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class ProgbarLogger(Callback):
    """Prints the epoch's number, and a progress bar of its samples (or steps) with the means of losses and metrics."""

    waits_for_slice = True

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
        self.progbar = Progbar(self.target, verbose=self.verbose, stateful_metrics=self.stateful_metrics)
        self.seen = 0
        self.values: list[tuple[str, Any]] = []

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.values = []

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen += 1 if self.counts == "steps" else (logs or {}).get("size", 0)
        self.values = self._values(logs)
        if self.verbose and (self.target is None or self.seen < self.target):  # the last one waits for validation
            self.progbar.update(self.seen, self.values)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        shown = {name for name, _ in self.values}
        self.values += [(name, value) for name, value in self._values(logs) if name not in shown]
        if self.verbose:
            self.progbar.update(self.seen, self.values)

    def _values(self, logs: Any) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        for name in self.params["metrics"]:
            with suppress(KeyError):
                found.append((name, (logs or {})[name]))
        return found
