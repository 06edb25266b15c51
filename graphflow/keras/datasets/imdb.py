"""IMDB: 50,000 reviews of films as lists of word numbers, and whether they are favourable."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.op import Array
from graphflow.keras.arguments import no_more, with_new_names
from graphflow.keras.datasets.files import fetched
from graphflow.keras.datasets.word_numbers import as_rows, in_vocabulary, marked, shorter, shuffled
from graphflow.keras.plain_pickle import load_npz

__all__ = ["get_word_index", "load_data"]


def load_data(
    path: str = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
    **renamed: Any,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(x_train, y_train), (x_test, y_test): lists of word numbers, and 0 or 1.

    `num_words`, `skip_top`: numbers from skip_top to num_words - 1 are kept; frequent words have small ones.
    `maxlen`: longer reviews are left out.  `start_char` begins each review, `oov_char` stands for words that are not
    kept, `index_from` is added to the numbers of the file.
    """
    arguments = with_new_names("load_data", renamed)
    num_words = arguments.pop("num_words", num_words)
    no_more("imdb.load_data", arguments)
    data = load_npz(fetched("imdb.npz", path))
    order = np.random.RandomState(seed)
    parts = [shuffled(data[f"x_{part}"], data[f"y_{part}"], order) for part in ("train", "test")]
    kept = [shorter(maxlen, marked(x, start_char, index_from), y) for x, y in parts]
    if any(not x for x, _ in kept):
        raise GraphError(f"no review is shorter than maxlen={maxlen}", hint="take a larger one")
    (train, y_train), (test, y_test) = kept
    xs = in_vocabulary(train + test, num_words, skip_top, oov_char)
    return (as_rows(xs[: len(train)]), y_train), (as_rows(xs[len(train) :]), y_test)


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """The number of each word in the file; `load_data` adds `index_from` to it."""
    with open(fetched("imdb_word_index.json", path)) as file:
        index: dict[str, int] = json.load(file)
    return index
