"""Callback, and who has to be called when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


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

    def on_test_begin(self, logs: Any = None) -> None:
        pass

    def on_test_end(self, logs: Any = None) -> None:
        pass

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        pass

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        pass

    def on_predict_begin(self, logs: Any = None) -> None:
        pass

    def on_predict_end(self, logs: Any = None) -> None:
        pass

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        pass

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        pass


# hooks, and the one that is called in their place for many batches or epochs at once
_FOR_MANY = {
    "on_slice_end": ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end"),
    "on_epochs_end": ("on_epoch_begin", "on_epoch_end"),
}


def _listens(callback: Any, hooks: Iterable[str], for_many: str = "") -> bool:
    """Whether one of the hooks was given, on the object or by a class, after the one that is called in its place."""
    classes = type(callback).__mro__
    replaced = next((i for i, c in enumerate(classes) if for_many in vars(c) or c is Callback), len(classes))
    for hook in hooks:
        giver = next((i for i, c in enumerate(classes) if hook in vars(c)), None)
        given = hasattr(callback, hook) if giver is None else giver < replaced
        if given or hook in getattr(callback, "__dict__", ()):
            return True
    return False


def listens_to_batches(callback: Any, mode: str = "train") -> bool:
    """Whether it has to be called for each batch of training ('train'), evaluation ('test') or prediction ('predict')."""
    if mode == "train":
        return _listens(callback, _FOR_MANY["on_slice_end"], "on_slice_end")
    return _listens(callback, (f"on_{mode}_batch_begin", f"on_{mode}_batch_end"))


def listens_to_epochs(callback: Any) -> bool:
    """Whether it has to be called at each epoch."""
    return _listens(callback, _FOR_MANY["on_epochs_end"], "on_epochs_end")


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

    def listens_to_batches(self, mode: str = "train") -> bool:
        return any(listens_to_batches(callback, mode) for callback in self.callbacks)

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
        self.begin("train", logs)

    def on_train_end(self, logs: Any = None) -> None:
        self.end("train", logs)

    def begin(self, mode: str, logs: Any = None) -> None:
        """`on_train_begin`, `on_test_begin` or `on_predict_begin`."""
        self._call(f"on_{mode}_begin", logs)

    def end(self, mode: str, logs: Any = None) -> None:
        """`on_train_end`, `on_test_end` or `on_predict_end`."""
        self._call(f"on_{mode}_end", logs)

    def _call(self, hook: str, logs: Any) -> None:
        for callback in self.callbacks:
            if hasattr(callback, hook):
                getattr(callback, hook)(Logs(logs or {}))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, Logs(logs or {}))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """All callbacks share the logs: an early one may add values for later ones."""
        shared = logs if isinstance(logs, Logs) else Logs(logs or {})
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, shared)

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.batch("train", "begin", batch, logs)

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batch("train", "end", batch, logs)

    def batch(self, mode: str, when: str, number: int, logs: Any = None) -> None:
        """A batch of a mode ('train', 'test', 'predict') has its 'begin' or 'end'."""
        shared = Logs(logs or {})
        older = f"on_batch_{when}" if mode == "train" else ""
        for callback in self.callbacks:
            hook = getattr(callback, f"on_{mode}_batch_{when}", None) or getattr(callback, older, None)
            if hook is not None:
                hook(number, shared)
