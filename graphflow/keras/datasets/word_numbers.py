"""Texts as lists of word numbers, of which rare and frequent words are left out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from graphflow.graph.op import Array


def shuffled(xs: Array, labels: Array, order: np.random.RandomState) -> tuple[Array, Array]:
    rows = np.arange(len(xs))
    order.shuffle(rows)
    return xs[rows], labels[rows]


def marked(xs: Iterable[Any], start_char: int | None, index_from: int) -> list[list[int]]:
    """All numbers raised by `index_from`, and `start_char` in front."""
    first = [] if start_char is None else [start_char]
    return [[*first, *(word + index_from for word in x)] for x in xs]


def shorter(maxlen: int | None, xs: list[list[int]], labels: Array) -> tuple[list[list[int]], Array]:
    """The texts with fewer than `maxlen` words."""
    if not maxlen:
        return xs, labels
    kept = [i for i, x in enumerate(xs) if len(x) < maxlen]
    return [xs[i] for i in kept], labels[kept]


def in_vocabulary(xs: list[list[int]], num_words: int | None, skip_top: int, oov_char: int | None) -> list[list[int]]:
    """Words with numbers from skip_top to num_words - 1; the others become `oov_char`, or vanish if that is None."""
    limit = num_words or max(max(x) for x in xs)
    if oov_char is None:
        return [[word for word in x if skip_top <= word < limit] for x in xs]
    return [[word if skip_top <= word < limit else oov_char for word in x] for x in xs]


def as_rows(xs: list[list[int]]) -> Array:
    """An array of lists."""
    rows = np.empty(len(xs), object)
    rows[:] = xs
    return rows
