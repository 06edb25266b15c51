"""Batches that come one by one: from Python generators, Sequences, and what else can be iterated."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.graph.errors import FeedError
from graphflow.graph.op import Array
from graphflow.keras import generation
from graphflow.keras.arguments import users_stacklevel
from graphflow.keras.engine.data import Feed, inputs_feed, training_feed
from graphflow.keras.enqueuers import GeneratorEnqueuer, OrderedEnqueuer, SequenceEnqueuer


@dataclass(frozen=True)
class Workers:
    """How batches are made ahead: 0 workers make none, and the main thread draws each batch when it needs it."""

    count: int = 1
    max_queue_size: int = 10
    use_multiprocessing: bool = False


def is_sequence(x: Any) -> bool:
    """Whether batches can be asked for by number: a Sequence, of this library or with the same methods."""
    return hasattr(x, "__getitem__") and hasattr(x, "__len__") and (hasattr(x, "use_sequence_api") or hasattr(x, "on_epoch_end"))


def is_stream(x: Any) -> bool:
    """Whether x gives batches, and is not data itself."""
    if is_sequence(x) or hasattr(x, "__next__"):
        return True
    return isinstance(x, Iterable) and not isinstance(x, list | tuple | str | Mapping) and not hasattr(x, "__array__") and not hasattr(x, "shape")


class Stream:
    """Batches of a source for a model, in epochs of `steps` batches.

    `kind`: 'train', 'test' or 'predict'.  The interface is that of `runtime.batches.Batches`, one batch at a time; `batches` is
    infinite where the source says how many there are by ending.  A context: on leaving, workers end.
    """

    def __init__(
        self, model: Any, source: Any, kind: str, steps: int | None = None, workers: Workers | None = None, shuffle: bool = False, class_weight: Any = None
    ) -> None:
        self.model, self.source, self.kind = model, source, kind
        self.workers = workers or Workers()
        self.shuffle, self.class_weight = shuffle, class_weight
        if steps is None and not is_sequence(source) and hasattr(source, "__next__") and generation.resolve("generators need steps"):
            what = {"train": "steps_per_epoch"}.get(kind, "steps")
            raise FeedError(
                f"`{what}=None` is only valid for a generator based on the `keras.utils.Sequence` class",
                hint=f"say how many batches a round has: {what}=100; or give a keras.utils.Sequence",
            )
        self.batches: float = steps if steps is not None else len(source) if hasattr(source, "__len__") else math.inf
        self.endless = steps is not None  # batches of a source that ends are missed
        self.at = self.seen = 0
        self.values: Array = np.zeros(0)
        self.stopped = self.ended = False
        self.results: list[list[Array]] = []
        self._enqueuer: SequenceEnqueuer | None = None
        self._batches: Iterator[Any] | None = None
        self._drawn: Feed | None = None

    # --- drawing ----------------------------------------------------------------------------------
    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        if self._enqueuer is not None:
            self._enqueuer.stop()

    def begin(self) -> None:
        """Begin an epoch; a source that can be iterated again does that."""
        if self._drawn is not None and self.at == 0:
            return
        self.at = self.seen = 0
        self.ended, self.results = False, []
        again = not is_sequence(self.source) and not hasattr(self.source, "__next__")
        if self._batches is None or again:
            self._batches = iter(self.source) if again else self._endless()

    def meet(self) -> None:
        """Draw the first batch, so that a model that waited for its first data is connected."""
        if not self.model.connected:
            self.begin()
            self.more()

    def _endless(self) -> Iterator[Any]:
        if self.workers.count < 1:
            return _in_turn(self.source, self.shuffle) if is_sequence(self.source) else iter(self.source)
        ahead = self.workers
        if is_sequence(self.source):
            self._enqueuer = OrderedEnqueuer(self.source, ahead.use_multiprocessing, self.shuffle)
        else:
            self._enqueuer = GeneratorEnqueuer(self.source, ahead.use_multiprocessing)
        self._enqueuer.start(ahead.count, ahead.max_queue_size)
        return self._enqueuer.get()

    def more(self) -> bool:
        """Whether the epoch has another batch; draws it."""
        if self.at >= self.batches or self.ended:
            return False
        if self._drawn is None:
            assert self._batches is not None
            try:
                self._drawn = self._feed(next(self._batches))
            except StopIteration:
                self.ended = True
                if self.endless and math.isfinite(self.batches):
                    out_of_data(self.batches, self.at)
                return False
        return True

    def _feed(self, batch: Any) -> Feed:
        if self.kind == "predict":
            x = batch[0] if isinstance(batch, tuple) else batch
            self.model._meet(x)
            return inputs_feed(self.model, x)
        x, y, weight = parts(batch)
        return training_feed(self.model, self.model._prepared(x, y, weight), x, y, weight, self.class_weight)

    def rows(self, at: int) -> slice:
        """The rows of the batch that was drawn."""
        assert self._drawn is not None
        return slice(0, self._drawn.samples)

    # --- running ----------------------------------------------------------------------------------
    def advance(self, orders: Array | None, sums: Array, at: int, until: float, watched: int = 0) -> None:
        """Run the batch that was drawn; to `sums` its scalars are added, each times its rows."""
        feed, self._drawn = self._drawn, None
        assert feed is not None
        step = self.model._function(self.kind, feed.weighted)
        outputs = step(*feed.arrays)
        if self.kind == "predict":
            self.results.append(outputs)
        else:
            self.values = np.array([float(v) for v in outputs])
            sums[0] += self.values * feed.samples
            self.stopped = not np.isfinite(self.values[:watched]).all()
        self.seen += feed.samples
        self.at += 1


def out_of_data(wanted: float, came: int) -> None:
    """Warn that a round of batches has too few of them."""
    warnings.warn(
        "Your input ran out of data; interrupting training. Make sure that your dataset or generator can generate at least "
        f"`steps_per_epoch * epochs` batches: {wanted:.0f} were asked for in a round, and {came} came",
        stacklevel=users_stacklevel(),
    )


def parts(batch: Any) -> tuple[Any, Any, Any]:
    """(x, y, weights) of what a generator gave: (x, y), (x, y, weights), or x alone.  Raises FeedError for something else."""
    if not isinstance(batch, tuple | list):
        return batch, None, None
    if len(batch) not in (1, 2, 3):
        raise FeedError(
            f"Output of generator should be a tuple `(x, y, sample_weight)` or `(x, y)`. Found: {batch!r:.80}",
            hint=f"it has {len(batch)} parts",
        )
    x, y, weight = (*batch, None, None)[:3]
    return x, y, weight


def _in_turn(sequence: Any, shuffle: bool) -> Iterator[Any]:
    """The batches of a Sequence, epoch after epoch."""
    while True:
        order = list(range(len(sequence)))
        if shuffle:
            random.shuffle(order)
        for index in order:
            yield sequence[index]
        if hasattr(sequence, "on_epoch_end"):
            sequence.on_epoch_end()
