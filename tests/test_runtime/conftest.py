"""Fixtures of calls that have become native."""

from __future__ import annotations

import pytest

from graphflow.runtime import function


def settle(f, *args):
    """`f` after enough calls that the next one like them is native."""
    for _ in range(function.FEW + 1):
        f(*args)
    assert f._native is not None and f._native.current
    return f


class Python:
    """Counts what goes through Python: `feeds` that are looked at, and `calls` that are not native even after conversion."""

    def __init__(self, monkeypatch) -> None:
        self.feeds = self.calls = 0
        convert, run = function.as_fed_array, function.Compiled.__call__

        def count_feeds(*args):
            self.feeds += 1
            return convert(*args)

        def count_calls(*args):
            self.calls += 1
            return run(*args)

        monkeypatch.setattr(function, "as_fed_array", count_feeds)
        monkeypatch.setattr(function.Compiled, "__call__", count_calls)


@pytest.fixture
def settled():
    return settle


@pytest.fixture
def python(monkeypatch) -> Python:
    return Python(monkeypatch)
