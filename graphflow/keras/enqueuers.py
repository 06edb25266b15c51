"""Batches made ahead by workers: of a Sequence by several, in order; of a generator by one.

    enqueuer = OrderedEnqueuer(sequence)
    enqueuer.start(workers=4, max_queue_size=8)
    batches = enqueuer.get()        # endless for a Sequence
    ...
    enqueuer.stop()

What a worker raises is raised by `next(batches)`.
"""

from __future__ import annotations

import multiprocessing
import queue
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np

from graphflow.graph.errors import StateError
from graphflow.keras.sequences import Sequence

_END = object()
_POLL = 0.1  # seconds after which a full queue looks whether it should stop


class SequenceEnqueuer:
    """What both have in common: a thread that fills a queue, and what reads it."""

    def __init__(self, use_multiprocessing: bool = False) -> None:
        self.use_multiprocessing = use_multiprocessing
        self.queue: queue.Queue[Any] = queue.Queue()
        self.workers = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def is_running(self) -> bool:
        return self._thread is not None and not self._stop.is_set()

    def start(self, workers: int = 1, max_queue_size: int = 10) -> None:
        """Begin to make batches, `max_queue_size` ahead at most."""
        if self.is_running():
            raise StateError("the workers have been started already", hint="stop() ends them")
        self.workers = max(1, workers)
        self.queue = queue.Queue(max(1, max_queue_size))
        self._stop.clear()
        self._thread = threading.Thread(target=self._fill, daemon=True)
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Make no more; waits `timeout` seconds at most for what is being made."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)
            self._thread = None

    def get(self) -> Iterator[Any]:
        """The batches in order; raises what a worker raised, and StateError before `start`."""
        if not self.is_running():
            raise StateError("no worker has been started", hint="call start() first")
        while self.is_running():
            try:
                entry = self.queue.get(timeout=_POLL)
            except queue.Empty:
                continue
            if entry is _END:
                self.stop()
                return
            try:
                batch = entry()
            except BaseException:
                self.stop()
                raise
            yield batch

    def _put(self, entry: Any) -> bool:
        """Enter, waiting for a place; False if told to stop instead."""
        while not self._stop.is_set():
            try:
                self.queue.put(entry, timeout=_POLL)
                return True
            except queue.Full:
                continue
        return False

    def _fill(self) -> None:
        raise NotImplementedError


class OrderedEnqueuer(SequenceEnqueuer):
    """The batches of a Sequence, epoch after epoch, made by several workers and given in order.

    `use_multiprocessing`: workers are processes, with a copy of the Sequence each.  `shuffle`: batches come in another
    order in each epoch.
    """

    def __init__(self, sequence: Sequence, use_multiprocessing: bool = False, shuffle: bool = False) -> None:
        super().__init__(use_multiprocessing)
        self.sequence = sequence
        self.shuffle = shuffle

    def _fill(self) -> None:
        while not self._stop.is_set():
            order = list(range(len(self.sequence)))
            if self.shuffle:
                random.shuffle(order)
            if not order:
                self._put(_END)
                return
            with self._executor() as executor:  # processes begin each epoch with the Sequence as it is then
                if not self._epoch(executor, order):
                    executor.shutdown(cancel_futures=True)
                    return
            try:
                self.sequence.on_epoch_end()
            except BaseException as error:
                self._put(_raising(error))
                return

    def _epoch(self, executor: Executor, order: list[int]) -> bool:
        """All batches of an epoch; False if told to stop."""
        made: list[Future[Any]] = []
        for index in order:
            future = executor.submit(_inherited_batch, index) if self.use_multiprocessing else executor.submit(self.sequence.__getitem__, index)
            made.append(future)
            if not self._put(future.result):
                return False
        return True

    def _executor(self) -> Executor:
        if self.use_multiprocessing:
            return ProcessPoolExecutor(self.workers, multiprocessing.get_context(), _inherit, (self.sequence, np.random.randint(2**31)))
        return ThreadPoolExecutor(self.workers)


class GeneratorEnqueuer(SequenceEnqueuer):
    """The batches of a generator, made ahead.

    One thread runs the generator whatever `workers` says: a generator cannot be entered twice, and copies of it in
    processes would give the same data several times.
    """

    def __init__(self, generator: Iterable[Any], use_multiprocessing: bool = False, wait_time: float | None = None, random_seed: int | None = None) -> None:
        super().__init__(use_multiprocessing)
        self._generator = iter(generator)
        self.wait_time = wait_time
        self.random_seed = random_seed

    def _fill(self) -> None:
        while not self._stop.is_set():
            try:
                batch = next(self._generator)
            except StopIteration:
                self._put(_END)
                return
            except BaseException as error:
                self._put(_raising(error))
                return
            if not self._put(_giving(batch)):
                return


def _giving(batch: Any) -> Callable[[], Any]:
    return lambda: batch


def _raising(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


# --- in worker processes -------------------------------------------------------------------------
class _Inherited:
    sequence: Sequence


def _inherit(sequence: Sequence, seed: int) -> None:
    """Begin a process: keep the Sequence, and draw random numbers that no other process draws."""
    _Inherited.sequence = sequence
    own = (seed + (multiprocessing.current_process()._identity or (0,))[0]) % 2**32
    np.random.seed(own)
    random.seed(own)


def _inherited_batch(index: int) -> Any:
    return _Inherited.sequence[index]
