"""Loops that go on for long can be interrupted."""

from __future__ import annotations

import signal
import threading
from typing import Any

import numpy as np
import pytest

import graphflow as gf

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers that send signals")


class Stopped(Exception):
    """What the handler of the tests raises."""


@pytest.fixture
def alarm() -> Any:
    def stop(*_: Any) -> None:
        raise Stopped

    before = signal.signal(signal.SIGALRM, stop)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.2)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.smoke
def test_a_handler_ends_a_loop_and_state_is_as_before(alarm: Any) -> None:
    trips, count = gf.placeholder("int64", ()), gf.shared(np.float64(0), "count")
    steps, _ = gf.scan(lambda v: gf.sin(v) + 1.0, outputs_info=gf.constant(np.float64(0)), n_steps=trips)
    f = gf.function([trips], steps[-1], updates=[(count, count + 1.0)])
    for _ in range(5):  # calls are native by then
        want = f(np.int64(10))
    alarm()
    with pytest.raises(Stopped):
        f(np.int64(2**31 - 2))
    assert count.get_value() == 5
    assert f(np.int64(10)) == want


def test_an_endless_loop_ends(alarm: Any) -> None:
    f = gf.function([], gf.while_loop(lambda i: i >= 0, lambda i: i + 1, gf.constant(0)))
    alarm()
    with pytest.raises(Stopped):
        f()


def test_loops_in_other_threads_go_on(alarm: Any) -> None:
    f = gf.function([], gf.while_loop(lambda i: i < 200_000_000, lambda i: i + 1, gf.constant(0)))
    found: list[Any] = []
    done = threading.Event()
    worker = threading.Thread(target=lambda: (found.append(f()), done.set()), daemon=True)
    alarm()
    worker.start()
    with pytest.raises(Stopped):
        while not done.wait(0.05):
            pass
        raise Stopped  # a machine on which it took less than the alarm
    assert done.wait(60) and found == [200_000_000]
