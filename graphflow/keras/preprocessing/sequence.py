"""Sequences of numbers: padding, windows of a time series, pairs of neighbouring words."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.op import Array
from graphflow.keras.sequences import Sequence

__all__ = ["TimeseriesGenerator", "make_sampling_table", "pad_sequences", "skipgrams", "timeseries_generator_from_json"]


def pad_sequences(
    sequences: Any, maxlen: int | None = None, dtype: Any = "int32", padding: str = "pre", truncating: str = "pre", value: Any = 0.0
) -> Array:
    """Sequences of different lengths as one array (len(sequences), maxlen, ...).

    Shorter ones get `value` before ('pre') or behind ('post'), longer ones lose their beginning ('pre') or end ('post').
    `maxlen`: the longest's length by default.  Raises ShapeError for samples of different shapes.
    """
    if not hasattr(sequences, "__len__"):
        raise GraphError(f"pad_sequences takes a list of sequences, and {type(sequences).__name__} came", hint="make a list of it")
    for option, name in ((padding, "padding"), (truncating, "truncating")):
        if option not in ("pre", "post"):
            raise GraphError(f"pad_sequences: {name} is {option!r}", hint="use 'pre' or 'post'")
    if any(not hasattr(s, "__len__") for s in sequences):
        raise GraphError("pad_sequences takes a list of sequences, and one of the items is none", hint="for one sequence pass [sequence]")
    text = np.issubdtype(dtype, np.str_) or np.issubdtype(dtype, np.object_)
    if isinstance(value, str) and not text:
        raise GraphError(f"pad_sequences: the value {value!r} is no {np.dtype(dtype).name}", hint="pass dtype=object for strings")
    maxlen = max((len(s) for s in sequences), default=0) if maxlen is None else maxlen
    sample = next((np.asarray(s).shape[1:] for s in sequences if len(s)), ())
    padded = np.full((len(sequences), maxlen, *sample), value, dtype=dtype)
    for number, sequence in enumerate(sequences):
        if not len(sequence) or not maxlen:
            continue
        kept = np.asarray(sequence[-maxlen:] if truncating == "pre" else sequence[:maxlen], dtype=dtype)
        if kept.shape[1:] != sample:
            raise ShapeError(f"pad_sequences: sequence {number} has samples of the shape {kept.shape[1:]}, and the first has {sample}")
        if padding == "post":
            padded[number, : len(kept)] = kept
        else:
            padded[number, -len(kept) :] = kept
    return padded


def make_sampling_table(size: int, sampling_factor: float = 1e-5) -> Array:
    """How probably a word of each rank is kept, so that frequent ones do not prevail.

    Word2vec's min(1, sqrt(t / frequency)), with the frequencies of Zipf's law, 1 / (rank (log(rank) + gamma) + 1/2 - 1 / (12 rank)).
    """
    rank = np.maximum(np.arange(size), 1)
    inverse_frequency = rank * (np.log(rank) + 0.577) + 0.5 - 1.0 / (12.0 * rank)
    kept: Array = np.minimum(1.0, np.sqrt(sampling_factor * inverse_frequency))
    return kept


def skipgrams(
    sequence: Any,
    vocabulary_size: int,
    window_size: int = 4,
    negative_samples: float = 1.0,
    shuffle: bool = True,
    categorical: bool = False,
    sampling_table: Any = None,
    seed: int | None = None,
) -> tuple[list[list[int]], list[Any]]:
    """(couples, labels): pairs of words at most `window_size` apart, label 1, and of a word and a random one, label 0.

    0 is no word.  `negative_samples`: how many of the latter for each of the former.  `categorical`: labels are [0, 1]
    and [1, 0].  `sampling_table`: how probably each word is taken (`make_sampling_table`).  [Mikolov et al. 2013]
    """
    couples = _neighbours(sequence, window_size, sampling_table)
    positive, negative = ([0, 1], [1, 0]) if categorical else (1, 0)
    labels: list[Any] = [positive for _ in couples]
    if negative_samples > 0:
        count = int(len(labels) * negative_samples)
        words = [first for first, _ in couples]
        random.shuffle(words)
        couples += [[words[i % len(words)], random.randint(1, int(vocabulary_size) - 1)] for i in range(count)]
        labels += [negative for _ in range(count)]
    if shuffle:
        seed = random.randint(0, 10_000_000) if seed is None else seed
        for items in (couples, labels):  # the same order twice
            random.seed(seed)
            random.shuffle(items)
    return couples, labels


def _neighbours(sequence: Any, window_size: int, sampling_table: Any) -> list[list[int]]:
    couples: list[list[int]] = []
    for i, word in enumerate(sequence):
        if not word or (sampling_table is not None and sampling_table[word] < random.random()):
            continue
        near = range(max(0, i - window_size), min(len(sequence), i + window_size + 1))
        couples += [[word, sequence[j]] for j in near if j != i and sequence[j]]
    return couples


class TimeseriesGenerator(Sequence):
    """Batches of windows of a time series, each with the target of the step behind it.

    A sample is data[i - length : i : sampling_rate] and its target targets[i], for i from start_index + length to
    end_index, `stride` apart.  `shuffle`: i is drawn at random.  `reverse`: windows run back in time.
    """

    def __init__(
        self,
        data: Any,
        targets: Any,
        length: int,
        sampling_rate: int = 1,
        stride: int = 1,
        start_index: int = 0,
        end_index: int | None = None,
        shuffle: bool = False,
        reverse: bool = False,
        batch_size: int = 128,
        **workers: Any,
    ) -> None:
        super().__init__(**workers)
        if len(data) != len(targets):
            raise ShapeError(f"TimeseriesGenerator: the data have {len(data)} steps, the targets {len(targets)}")
        self.data = data
        self.targets = targets
        self.length = length
        self.sampling_rate = sampling_rate
        self.stride = stride
        self.start_index = start_index + length
        self.end_index = len(data) - 1 if end_index is None else end_index
        self.shuffle = shuffle
        self.reverse = reverse
        self.batch_size = batch_size
        if self.start_index > self.end_index:
            message = f"TimeseriesGenerator: `start_index+length={self.start_index} > end_index={self.end_index}` is disallowed, as no step is left"
            raise GraphError(message, hint="take shorter windows, or more data")

    def __len__(self) -> int:
        reach = self.batch_size * self.stride
        return (self.end_index - self.start_index + reach) // reach

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        if self.shuffle:
            steps = np.random.randint(self.start_index, self.end_index + 1, size=self.batch_size)
        else:
            first = self.start_index + self.batch_size * self.stride * index
            steps = np.arange(first, min(first + self.batch_size * self.stride, self.end_index + 1), self.stride)
        samples = np.array([self.data[i - self.length : i : self.sampling_rate] for i in steps])
        targets = np.array([self.targets[i] for i in steps])
        return (samples[:, ::-1] if self.reverse else samples), targets

    def get_config(self) -> dict[str, Any]:
        """The arguments as data, the series as JSON text."""
        config = {name: getattr(self, name) for name in ("length", "sampling_rate", "stride", "end_index", "shuffle", "reverse", "batch_size")}
        config["start_index"] = self.start_index
        return {"data": _as_json(self.data), "targets": _as_json(self.targets), **config}

    def to_json(self, **kwargs: Any) -> str:
        """The configuration as JSON text; `kwargs` are `json.dumps`'s."""
        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **kwargs)


def _as_json(series: Iterable[Any]) -> str:
    return json.dumps(series.tolist() if isinstance(series, np.ndarray) else series)


def timeseries_generator_from_json(json_string: str) -> TimeseriesGenerator:
    """The generator of `to_json`'s text."""
    config = json.loads(json_string)["config"]
    start = config.pop("start_index") - config["length"]
    data, targets = (np.array(json.loads(config.pop(name))) for name in ("data", "targets"))
    return TimeseriesGenerator(data, targets, start_index=start, **config)
