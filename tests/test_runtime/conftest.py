"""Fixtures of calls that have become native, and of thread pools."""

from __future__ import annotations

import ctypes
import functools
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from graphflow.compiler.emit import finish_module
from graphflow.compiler.target.machine import Loaded, compile_module, host
from graphflow.runtime import cores, function, pool
from graphflow.runtime.pool import Pool


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


# --- thread pools ---------------------------------------------------------------------------------
_JOB = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)

# gf.test.mark adds 1 to counts[lo..hi), waiting a little after each.  gf.test.many runs that as `jobs` jobs and returns how
# often a count was not as it should be when a job was done.
_NATIVE = """
define void @gf.test.mark(ptr %a, i64 %lo, i64 %hi) #0 {
entry:
  %counts = load ptr, ptr %a, align 8
  %wait.p = getelementptr i64, ptr %a, i64 1
  %wait = load i64, ptr %wait.p, align 8
  br label %iteration
iteration:
  %i = phi i64 [ %lo, %entry ], [ %i1, %done ]
  %go = icmp slt i64 %i, %hi
  br i1 %go, label %mark, label %end
mark:
  %p = getelementptr i32, ptr %counts, i64 %i
  %before = atomicrmw add ptr %p, i32 1 monotonic
  br label %pause
pause:
  %j = phi i64 [ 0, %mark ], [ %j1, %step ]
  %on = icmp slt i64 %j, %wait
  br i1 %on, label %step, label %done
step:
  call void asm sideeffect "nop", ""()
  %j1 = add i64 %j, 1
  br label %pause
done:
  %i1 = add i64 %i, 1
  br label %iteration
end:
  ret void
}
define i64 @gf.test.many(ptr %par, ptr %a, i64 %n, i64 %jobs) #0 {
entry:
  %run = load ptr, ptr %par, align 8
  %context.p = getelementptr ptr, ptr %par, i64 1
  %context = load ptr, ptr %context.p, align 8
  %counts = load ptr, ptr %a, align 8
  br label %job
job:
  %k = phi i64 [ 0, %entry ], [ %k1, %next ]
  %bad = phi i64 [ 0, %entry ], [ %bad2, %next ]
  call void %run(ptr %context, ptr @gf.test.mark, ptr %a, i64 %n)
  %k1 = add i64 %k, 1
  %wanted = trunc i64 %k1 to i32
  br label %check
check:
  %i = phi i64 [ 0, %job ], [ %i1, %check ]
  %bad1 = phi i64 [ %bad, %job ], [ %bad2, %check ]
  %p = getelementptr i32, ptr %counts, i64 %i
  %count = load volatile i32, ptr %p, align 4
  %wrong = icmp ne i32 %count, %wanted
  %one = zext i1 %wrong to i64
  %bad2 = add i64 %bad1, %one
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, %n
  br i1 %more, label %check, label %next
next:
  %again = icmp slt i64 %k1, %jobs
  br i1 %again, label %job, label %end
end:
  ret i64 %bad2
}
"""


@functools.cache
def _many() -> Callable[[int, int, int, int], int]:
    code = compile_module(finish_module(_NATIVE, host()), host())
    loaded = _many.loaded = Loaded([code], ["gf.test.many"], {}, "pool-test")
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(loaded.address("gf.test.many"))


class Record:
    """Which thread did which iterations."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, int, int]] = []

    def __call__(self, lo: int, hi: int) -> None:
        self.pieces.append((threading.get_ident(), lo, hi))
        time.sleep(0.002)

    @property
    def iterations(self) -> list[int]:
        return sorted(i for _, lo, hi in self.pieces for i in range(lo, hi))

    @property
    def threads(self) -> set[int]:
        return {thread for thread, _, _ in self.pieces}


class Jobs:
    """Jobs for a pool."""

    Record = Record

    def marks(self, p: Pool, n: int, times: int, wait: int = 0) -> np.ndarray:
        """A native job of n iterations, several times; how often each iteration was done."""
        counts = np.zeros(n, np.int32)
        arguments = np.array([counts.ctypes.data, wait], np.int64)
        assert _many()(p.par, arguments.ctypes.data, n, times) == 0
        return counts

    def many(self, p: Pool, n: int, times: int, wait: int = 0) -> None:
        """The same; each was done once each time."""
        assert (self.marks(p, n, times, wait) == times).all()

    def python(self, p: Pool, body: Callable[[int, int], None], n: int) -> None:
        """A job whose iterations are done in Python."""
        code, context = (ctypes.c_void_p * 2).from_address(p.par)
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, _JOB, ctypes.c_void_p, ctypes.c_int64)(code)
        call(context, _JOB(lambda _, lo, hi: body(lo, hi)), None, n)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what other threads do."""
        for _ in range(2000):
            if condition():
                return
            time.sleep(0.005)
        raise AssertionError("it did not happen")


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def alone(tmp_path, monkeypatch) -> None:
    """No other process shares cores with this one."""
    tmp_path.chmod(0o700)
    monkeypatch.setattr(pool, "_presence", lambda: 0)
    monkeypatch.setattr(pool, "_locks", cores.Locks(tmp_path))


@pytest.fixture
def make_pool(alone) -> Iterator[Callable[..., Pool]]:
    """Pools that share jobs out whatever that costs, but for trials."""
    made: list[Pool] = []

    def make(threads: int, spinning: bool = True, always: bool = True) -> Pool:
        p = Pool(threads)
        made.append(p)
        p.adapt(threads, cores.affinity(), spinning)
        if always:
            p._set("most_alone", 0)  # whatever was lost
        return p

    yield make
    for p in made:
        p.stop()


@pytest.fixture
def process_pool(alone, monkeypatch) -> Iterator[None]:
    """A process's pool of its own for the test."""
    monkeypatch.setattr(pool, "_pool", None)
    yield
    if pool._pool is not None:
        pool._pool.stop()
