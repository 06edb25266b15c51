"""Batches of the rows of tables, and epochs that go through them.

A round is one epoch or several; its batches are numbered through, so that batch `at` is batch
`at % batches` of epoch `at // batches`.  Batches run in slices of about SLICE_SECONDS, between which
Python handles signals.  `Loop` (loop.py) runs a slice natively; `Stepwise` calls a function for each batch,
where that is not possible.  Both give the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import ShapeError
from graphflow.graph.op import Array
from graphflow.runtime.orders import Orders

SLICE_SECONDS = 0.05
GROWTH = 64  # how much longer than the slice before it a slice may be
DRAWN = 1 << 20  # rows of orders that are drawn ahead


class Batches:
    """Batches of `batch_size` rows of `tables`; the last one may be smaller.  An array of rank 0 goes to every batch.

    `scalar` says which results are scalars, and `scalars` how many; `values` are those of the last batch, as float64.
    `results` are the other ones, joined along the first axis.  `at`: the number of the next batch of the round; `stopped`:
    whether a watched scalar was NaN or infinite.  Raises ShapeError for tables of different lengths.
    """

    def __init__(self, tables: Sequence[Array], batch_size: int, scalar: Sequence[bool]) -> None:
        lengths = sorted({len(t) for t in tables if t.ndim})
        if len(lengths) != 1:
            came = f"they have {' and '.join(map(str, lengths))} rows" if lengths else "none came"
            raise ShapeError(f"a loop takes tables with equal numbers of rows, and {came}", hint="what is the same for all batches is a scalar or state")
        if batch_size < 1:
            raise ShapeError(f"a batch has at least one row, not {batch_size}")
        self.tables = list(tables)
        self.samples = lengths[0]
        self.batch_size = min(batch_size, max(1, self.samples))
        self.batches = -(-self.samples // self.batch_size)
        self.scalar, self.scalars = list(scalar), sum(scalar)
        self.values = np.zeros(self.scalars)
        self.at = 0
        self.stopped = False
        self.results: list[Array] = []
        self._pace = 1  # batches of the next slice

    def rows(self, at: int) -> slice:
        """The places of a batch's rows in the order of its epoch."""
        start = at % max(1, self.batches) * self.batch_size
        return slice(start, min(start + self.batch_size, self.samples))

    def part(self, rows: Any) -> list[Array]:
        """These rows of all tables."""
        return [t[rows] if t.ndim else t for t in self.tables]

    @property
    def seen(self) -> int:
        """Rows of the present epoch that were in batches already."""
        return self.rows(self.at - 1).stop if self.at else 0

    @property
    def finished(self) -> int:
        """Epochs of the round that are over; one in which the loop stopped is not."""
        return (self.at - self.stopped) // max(1, self.batches)

    def advance(self, orders: Array | None, sums: Array, at: int, until: int, watched: int = 0) -> None:
        """Run batches from `at` to before `until`, or as many of them as make a slice.

        `orders`, int64 [epochs, samples]: the row at each place, None for rows as they come.  To `sums`, float64
        [epochs, scalars], the scalars are added, each times the rows of its batch.  Stops after a batch in
        which one of the first `watched` scalars is NaN or infinite.  Raises CheckError, and whatever a
        signal's handler raises; `self.at` counts the batches that were done even then.
        """
        self.at, self.stopped = at, False
        began = time.perf_counter()
        self.run(orders, sums, min(until, at + self._pace), watched)
        done = max(1, self.at - at)
        in_time = SLICE_SECONDS * done / max(time.perf_counter() - began, 1e-9)
        longest = self._pace * GROWTH if 2 * done >= self._pace else self._pace
        self._pace = max(1, min(int(in_time), longest))

    def run(self, orders: Array | None, sums: Array, until: int, watched: int) -> None:
        """All batches from `self.at` to before `until`."""
        raise NotImplementedError

    def loop(self, epochs: int, rng: Any = None) -> list[Array]:
        """Run epochs, whose rows `rng` shuffles; of scalars come means over the rows of each epoch, of other results `results`.

        Raises ShapeError where rows of several epochs would have to be joined.
        """
        if epochs != 1 and not all(self.scalar):
            raise ShapeError("results with rows are joined over one epoch, and a loop over several was asked for", hint="return scalars, or loop over one epoch")
        means: list[Array] = [np.zeros((0, self.scalars))]

        def keep(sums: Array) -> bool:
            means.append(sums / (self.samples or np.nan))
            return True

        self.run_epochs(epochs, Orders(self.samples, rng) if rng is not None else None, keep)
        columns, joined = iter(np.concatenate(means).T), iter(self.results)
        return [next(columns if scalar else joined) for scalar in self.scalar]

    def run_epochs(self, epochs: int, orders: Orders | None, report: Callable[[Array], bool], watched: int = 0) -> None:
        """Run epochs, several to a slice if they are short.

        `report(sums)` is called for each round, even if an exception ends it: the first `self.finished`
        rows of `sums` are those of whole epochs.  If it is false, or the loop has stopped, no other round follows.
        `orders` are left where they would be if one were drawn for each epoch in turn.
        """
        going_on = True
        while epochs > 0 and going_on:
            count = min(epochs, max(1, self._pace // max(1, self.batches)), max(1, DRAWN // max(1, self.samples)))
            drawn = orders.draw(count) if orders is not None else None
            count = count if drawn is None else len(drawn)
            sums = np.zeros((count, self.scalars))
            self.at, self.stopped = 0, False
            try:
                while self.at < count * self.batches and not self.stopped:
                    self.advance(drawn, sums, self.at, count * self.batches, watched)
            finally:
                if orders is not None:
                    orders.keep(max(1, -(-self.at // max(1, self.batches))))
                going_on = report(sums) and not self.stopped
            epochs -= count


class Stepwise(Batches):
    """A function called for each batch: for runs that are checked, and where batches do not fit one Executable.

    A signal may end the loop after a call that `at` does not count yet.
    """

    def __init__(self, call: Callable[[Sequence[Array]], Sequence[Array]], tables: Sequence[Array], batch_size: int, scalar: Sequence[bool]) -> None:
        super().__init__(tables, batch_size, scalar)
        self._call = call
        self._parts: list[list[Array]] = []

    def run(self, orders: Array | None, sums: Array, until: int, watched: int) -> None:
        if self.at == 0:
            self._parts = []
        while self.at < until and not self.stopped:
            place, epoch = self.rows(self.at), self.at // max(1, self.batches)
            outputs = self._call(self.part(place if orders is None else orders[epoch, place]))
            self.values[:] = [float(v) for v in outputs if v.ndim == 0]
            sums[epoch] += self.values * float(place.stop - place.start)
            if not all(self.scalar):
                self._parts.append([v for v in outputs if v.ndim])
            self.at += 1
            self.stopped = not np.isfinite(self.values[:watched]).all()
        if self.at >= self.batches:
            self.results = [np.concatenate(parts) for parts in zip(*self._parts, strict=True)]
