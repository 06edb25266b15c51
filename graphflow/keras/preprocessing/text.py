"""Texts as sequences of word numbers, and as vectors."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.op import Array
from graphflow.keras.arguments import no_more, with_new_names

__all__ = ["Tokenizer", "hashing_trick", "one_hot", "text_to_word_sequence", "tokenizer_from_json"]

FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def text_to_word_sequence(text: str, filters: Any = FILTERS, lower: bool = True, split: str = " ") -> list[str]:
    """The words of a text; `filters`: characters that part words like `split`."""
    text = text.lower() if lower else text
    return [word for word in text.translate({ord(c): split for c in filters}).split(split) if word]


def one_hot(text: str, n: int, filters: Any = FILTERS, lower: bool = True, split: str = " ", analyzer: Callable[[str], Any] | None = None) -> list[int]:
    """Words as numbers 1 .. n - 1 by Python's `hash`, which is another one in each process."""
    return hashing_trick(text, n, hash, filters, lower, split, analyzer)


def hashing_trick(
    text: str,
    n: int,
    hash_function: Any = None,
    filters: Any = FILTERS,
    lower: bool = True,
    split: str = " ",
    analyzer: Callable[[str], Any] | None = None,
) -> list[int]:
    """Words as numbers 1 .. n - 1 by a hash, so that several words may share one.

    `hash_function`: a function from str to int, 'md5', or None for Python's `hash`, which is another one in each process.
    """
    function = {None: hash, "md5": _md5}.get(hash_function, hash_function)
    words = analyzer(text) if analyzer is not None else text_to_word_sequence(text, filters, lower, split)
    return [function(word) % (n - 1) + 1 for word in words]


def _md5(word: str) -> int:
    return int(hashlib.md5(word.encode()).hexdigest(), 16)


class Tokenizer:
    """Numbers for words: 1 for the most frequent one, 2 for the next ...; 0 is no word.

    `num_words`: only numbers below it are given out.  `char_level`: each character is a word.  `oov_token`: what stands
    for words that are not known or too rare; it gets the number 1.  `analyzer`: a function from a text to its words.
    """

    def __init__(
        self,
        num_words: int | None = None,
        filters: Any = FILTERS,
        lower: bool = True,
        split: str = " ",
        char_level: bool = False,
        oov_token: str | None = None,
        analyzer: Callable[[str], Any] | None = None,
        document_count: int = 0,
        **renamed: Any,
    ) -> None:
        arguments = with_new_names("Tokenizer", renamed)
        self.num_words = arguments.pop("num_words", num_words)
        no_more("Tokenizer", arguments)
        self.filters = filters
        self.lower = lower
        self.split = split
        self.char_level = char_level
        self.oov_token = oov_token
        self.analyzer = analyzer
        self.document_count = document_count
        self.word_counts: dict[str, int] = OrderedDict()  # by first appearance
        self.word_docs: dict[str, int] = defaultdict(int)
        self.index_docs: dict[int, int] = defaultdict(int)
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}

    # --- learning the words ------------------------------------------------------------------------
    def fit_on_texts(self, texts: Iterable[Any]) -> None:
        """Count the words of texts, or of lists of words, and number them by frequency."""
        for text in texts:
            self.document_count += 1
            words = self._words(text)
            for word in words:
                self.word_counts[word] = self.word_counts.get(word, 0) + 1
            for word in set(words):
                self.word_docs[word] += 1
        by_frequency = sorted(self.word_counts, key=lambda word: -self.word_counts[word])
        first = [] if self.oov_token is None else [self.oov_token]
        self.word_index = {word: number for number, word in enumerate([*first, *by_frequency], 1)}
        self.index_word = {number: word for word, number in self.word_index.items()}
        for word, count in self.word_docs.items():
            self.index_docs[self.word_index[word]] = count

    def fit_on_sequences(self, sequences: Any) -> None:
        """Count in how many sequences each number occurs, for 'tfidf'."""
        self.document_count += len(sequences)
        for sequence in sequences:
            for number in set(sequence):
                self.index_docs[number] += 1

    def _words(self, text: Any) -> Any:
        if isinstance(text, list):
            return [word.lower() for word in text] if self.lower else text
        if self.char_level:
            return text.lower() if self.lower else text
        if self.analyzer is not None:
            return self.analyzer(text)
        return text_to_word_sequence(text, self.filters, self.lower, self.split)

    # --- texts and sequences -----------------------------------------------------------------------
    def texts_to_sequences(self, texts: Iterable[Any]) -> list[list[int]]:
        """The numbers of each text's words; words without a number are left out, or become the `oov_token`'s."""
        return list(self.texts_to_sequences_generator(texts))

    def texts_to_sequences_generator(self, texts: Iterable[Any]) -> Iterator[list[int]]:
        for text in texts:
            numbers = (self._in_use(self.word_index.get(word)) for word in self._words(text))
            yield [number for number in numbers if number is not None]

    def sequences_to_texts(self, sequences: Iterable[Any]) -> list[str]:
        """The words of each sequence's numbers, with spaces between them."""
        return list(self.sequences_to_texts_generator(sequences))

    def sequences_to_texts_generator(self, sequences: Iterable[Any]) -> Iterator[str]:
        for sequence in sequences:
            numbers = (self._in_use(number if number in self.index_word else None) for number in sequence)
            yield " ".join(self.index_word[number] for number in numbers if number is not None)

    def _in_use(self, number: int | None) -> int | None:
        """A word's number, or the `oov_token`'s for one that is unknown or too large."""
        if number is not None and not (self.num_words and number >= self.num_words):
            return number
        return self.word_index.get(self.oov_token) if self.oov_token is not None else None

    # --- vectors -----------------------------------------------------------------------------------
    def texts_to_matrix(self, texts: Iterable[Any], mode: str = "binary") -> Array:
        """A row for each text, as `sequences_to_matrix` makes it."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(self, sequences: Any, mode: str = "binary") -> Array:
        """A row for each sequence, a column for each number.

        `mode`: 'binary' for whether it occurs, 'count' for how often, 'freq' for its share, 'tfidf' for
        (1 + log count) log(1 + documents / (1 + documents with it)).
        """
        columns = self.num_words or (len(self.word_index) + 1 if self.word_index else 0)
        if not columns:
            raise GraphError("the number of columns is not known", hint="give num_words, or fit_on_texts first")
        if mode not in ("binary", "count", "freq", "tfidf"):
            raise GraphError(f"mode={mode!r} is not known", hint="use 'binary', 'count', 'freq' or 'tfidf'")
        if mode == "tfidf" and not self.document_count:
            raise GraphError("'tfidf' counts documents, and there are none yet", hint="fit_on_texts first")
        matrix = np.zeros((len(sequences), columns))
        for row, sequence in zip(matrix, sequences, strict=True):
            for number, count in Counter(n for n in sequence if n < columns).items():
                row[number] = self._weight(number, count, len(sequence), mode)
        return matrix

    def _weight(self, number: int, count: int, length: int, mode: str) -> float:
        if mode == "tfidf":
            return float((1 + np.log(count)) * np.log(1 + self.document_count / (1 + self.index_docs.get(number, 0))))
        return {"binary": 1.0, "count": count, "freq": count / length}[mode]

    # --- as data -----------------------------------------------------------------------------------
    def get_config(self) -> dict[str, Any]:
        """The arguments and what was learned, the tables as JSON text."""
        arguments = ("num_words", "filters", "lower", "split", "char_level", "oov_token", "document_count")
        tables = ("word_counts", "word_docs", "index_docs", "index_word", "word_index")
        return {**{name: getattr(self, name) for name in arguments}, **{name: json.dumps(getattr(self, name)) for name in tables}}

    def to_json(self, **kwargs: Any) -> str:
        """The configuration as JSON text; `kwargs` are `json.dumps`'s."""
        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **kwargs)


def tokenizer_from_json(json_string: str) -> Tokenizer:
    """The Tokenizer of `to_json`'s text."""
    config = json.loads(json_string)["config"]
    tables = {name: json.loads(config.pop(name)) for name in ("word_counts", "word_docs", "index_docs", "index_word", "word_index")}
    tokenizer = Tokenizer(**config)
    tokenizer.word_counts = OrderedDict(tables["word_counts"])
    tokenizer.word_docs.update(tables["word_docs"])
    tokenizer.word_index = tables["word_index"]
    tokenizer.index_docs.update({int(number): count for number, count in tables["index_docs"].items()})
    tokenizer.index_word = {int(number): word for number, word in tables["index_word"].items()}
    return tokenizer
