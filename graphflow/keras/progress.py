"""Progbar: the line that Keras prints while it works."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any


class Progbar:
    """A progress bar with averages of values.

    `target`: the number of steps, None if it is not known.  `verbose`: 1 for a bar, 2 for a line at the
    end, 0 for nothing.  `interval`: seconds between two drawings.  `stateful_metrics`: names of values
    that are shown as they are, not averaged.  `clock`: where the time comes from.
    """

    def __init__(
        self,
        target: int | None,
        width: int = 30,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Sequence[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.stateful_metrics = set(stateful_metrics or ())
        self._sums: dict[str, tuple[float, float]] = {}
        self._clock = clock
        self._start = clock()
        self._drawn = -math.inf
        self._seen = 0
        self._length = 0

    def update(self, current: int, values: Sequence[tuple[str, Any]] | None = None) -> None:
        """`current` steps are done; `values` are the averages over those since the last update."""
        for name, value in values or ():
            total, count = self._sums.get(name, (0.0, 0.0))
            new = current - self._seen
            self._sums[name] = (value, 1) if name in self.stateful_metrics else (total + value * new, count + new)
        self._seen = current
        now = self._clock()
        finished = self.target is not None and current >= self.target
        if self.verbose == 1 and (finished or now - self._drawn >= self.interval):
            self._draw(current, now, finished)
            self._drawn = now
        elif self.verbose == 2 and (finished or self.target is None):
            self._write(f" - {now - self._start:.0f}s{self._values()}\n")

    def add(self, n: int, values: Sequence[tuple[str, Any]] | None = None) -> None:
        """`n` more steps are done."""
        self.update(self._seen + n, values)

    def _draw(self, current: int, now: float, finished: bool) -> None:
        line = self._bar(current) + self._time(current, now - self._start, finished) + self._values()
        again = "\b" * self._length + "\r" if _redraws() else "\n"
        blank = " " * max(0, self._length - len(line))
        self._length = len(line)
        self._write(again + line + blank + ("\n" if finished else ""))

    def _bar(self, current: int) -> str:
        if self.target is None:
            return f"{current:7d}/Unknown"
        done = int(self.width * current / self.target) if self.target else self.width
        head = ">" if current < self.target else "="
        bar = ("=" * (done - 1) + head if done else "") + "." * (self.width - done)
        return f"{current:{len(str(self.target))}d}/{self.target} [{bar}]"

    def _time(self, current: int, elapsed: float, finished: bool) -> str:
        each = elapsed / current if current else 0.0
        if self.target is not None and not finished:
            return f" - ETA: {_duration(each * (self.target - current))}"
        if each >= 1:
            return f" - {elapsed:.0f}s {each:.0f}s/step"
        return f" - {elapsed:.0f}s {each * 1e3:.0f}ms/step" if each >= 1e-3 else f" - {elapsed:.0f}s {each * 1e6:.0f}us/step"

    def _values(self) -> str:
        averages = {name: total / max(1, count) for name, (total, count) in self._sums.items()}
        return "".join(f" - {name}: {v:.4f}" if abs(v) > 1e-3 else f" - {name}: {v:.4e}" for name, v in averages.items())

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _redraws() -> bool:
    """Whether a line that was written can be written over."""
    return sys.stdout.isatty() or "ipykernel" in sys.modules


def _duration(seconds: float) -> str:
    whole = int(seconds)
    if whole > 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    return f"{whole // 60}:{whole % 60:02d}" if whole > 60 else f"{whole}s"
