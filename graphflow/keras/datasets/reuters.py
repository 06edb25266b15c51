"""Reuters: 11,228 newswires as lists of word numbers, and which of 46 topics they are about."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from graphflow.graph.op import Array
from graphflow.keras.arguments import no_more, with_new_names
from graphflow.keras.datasets.files import fetched
from graphflow.keras.datasets.word_numbers import as_rows, in_vocabulary, marked, shorter, shuffled
from graphflow.keras.plain_pickle import load_npz

__all__ = ["get_label_names", "get_word_index", "load_data"]

TOPICS = (
    "cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves ship cotton carcass crude nat-gas cpi money-fx "
    "interest gnp meal-feed alum oilseed gold tin strategic-metal livestock retail ipi iron-steel rubber heat jobs lei bop zinc orange pet-chem "
    "dlr gas silver wpi hog lead"
)


def load_data(
    path: str = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
    **renamed: Any,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(x_train, y_train), (x_test, y_test): lists of word numbers, and topics; the last part of them, `test_split`, is for tests.

    The other arguments are `imdb.load_data`'s.
    """
    arguments = with_new_names("load_data", renamed)
    num_words = arguments.pop("num_words", num_words)
    no_more("reuters.load_data", arguments)
    data = load_npz(fetched("reuters.npz", path))
    wires, labels = shuffled(data["x"], data["y"], np.random.RandomState(seed))
    kept, labels = shorter(maxlen, marked(wires, start_char, index_from), labels)
    xs = in_vocabulary(kept, num_words, skip_top, oov_char)
    at = int(len(xs) * (1 - test_split))
    return (as_rows(xs[:at]), labels[:at]), (as_rows(xs[at:]), labels[at:])


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
    """The number of each word in the file; `load_data` adds `index_from` to it."""
    with open(fetched("reuters_word_index.json", path)) as file:
        index: dict[str, int] = json.load(file)
    return index


def get_label_names() -> tuple[str, ...]:
    """The topics, by number."""
    return tuple(TOPICS.split())
