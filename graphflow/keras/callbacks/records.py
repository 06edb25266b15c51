"""Callbacks that record: means of an epoch, history, the progress bar, tables, a server."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib import error, parse, request

import numpy as np

from graphflow.keras import generation
from graphflow.keras.arguments import users_stacklevel
from graphflow.keras.callbacks.base import Callback, Logs, Slice
from graphflow.keras.progress import Progbar


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


class CSVLogger(Callback):
    """Writes the logs of each epoch as a row of a table: `epoch`, then the names in alphabetical order.

    `append`: go on with a file that is there.  A value that an epoch lacks is NA.
    """

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename = Path(filename)
        self.sep = separator
        self.append = append
        self.keys: list[str] | None = None
        self._file: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        going_on = self.append and self.filename.exists() and self.filename.stat().st_size > 0
        self._titled = going_on
        self._file = self.filename.open("a" if self.append else "w", newline="")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = logs or {}
        self.keys = self.keys or sorted(logs)
        writer = csv.writer(self._file, delimiter=self.sep, lineterminator="\n")
        if not self._titled:
            writer.writerow(["epoch", *self.keys])
            self._titled = True
        writer.writerow([epoch, *(_cell(logs.get(key, "NA")) for key in self.keys)])
        self._file.flush()

    def on_train_end(self, logs: Any = None) -> None:
        self._file.close()
        self._file = None


def _cell(value: Any) -> Any:
    """Numbers as they are; the values of an array as one text."""
    return value if isinstance(value, str) or np.ndim(value) == 0 else f"\"[{', '.join(map(str, value))}]\""


class RemoteMonitor(Callback):
    """Sends the logs of each epoch to a server: a POST to `root` + `path`.

    The logs are JSON: the value of the form's `field`, or the whole body with `send_as_json`.
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: Mapping[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        super().__init__()
        self.root, self.path, self.field, self.headers, self.send_as_json = root, path, field, headers, send_as_json

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        data = json.dumps({"epoch": epoch, **{name: np.asarray(value).tolist() for name, value in (logs or {}).items()}})
        body = data if self.send_as_json else parse.urlencode({self.field: data})
        kind = "application/json" if self.send_as_json else "application/x-www-form-urlencoded"
        post = request.Request(self.root + self.path, body.encode(), {"Content-Type": kind, **(self.headers or {})})
        try:
            request.urlopen(post, timeout=10).close()
        except (error.URLError, OSError):
            warnings.warn(f"Could not reach RemoteMonitor root server at {self.root}", stacklevel=users_stacklevel())
