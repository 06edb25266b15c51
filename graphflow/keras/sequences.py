"""Sequence: data that come batch by batch, each by its number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["Sequence"]


class Sequence:
    """A data set of batches.  A subclass gives `__getitem__(index)`, a batch, and `__len__`, how many there are.

    Batches are asked for in any order and from several threads.  `on_epoch_end` is called after each epoch.  Keras 3's
    constructor arguments say how many workers ask at once.
    """

    use_sequence_api = True
    workers = 1
    use_multiprocessing = False
    max_queue_size = 10

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} gives no __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} gives no __len__")

    def on_epoch_end(self) -> None:
        """Called after each epoch, when no batch is being made."""

    def __iter__(self) -> Iterator[Any]:
        """All batches once, in order."""
        for index in range(len(self)):
            yield self[index]
