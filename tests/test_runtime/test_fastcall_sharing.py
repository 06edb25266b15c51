"""Native calls and what they share: state, locks, threads, references, a forked process."""

from __future__ import annotations

import collections
import copy
import gc
import os
import subprocess
import sys
import threading
import time
import tracemalloc
import weakref

import numpy as np
import pytest

import graphflow as gf
from graphflow.runtime import callcode, cpython
from graphflow.runtime.store import ReadWriteLock, Store

pytestmark = pytest.mark.skipif(not cpython.known(), reason="calls go through ctypes in this interpreter")
A, B = np.arange(4, dtype="float32"), np.array([3, 1, 4, 1], "float32")


def vectors(n: int = 2):
    return [gf.placeholder("float32", (None,), name=name) for name in "xyzuvw"[:n]]


# --- state and threads --------------------------------------------------------------------------------------
@pytest.mark.smoke
def test_state_is_read_where_it_is_now(python, settled) -> None:
    w, x = gf.shared(np.ones(4, "float32")), gf.placeholder("float32", (None,))
    read, step = gf.function([x], x * w), gf.function([x], gf.sum(w), updates=[(w, w + x)])
    settled(read, A)
    settled(step, A)
    before = python.calls
    w.set_value(B)
    np.testing.assert_array_equal(read(A), A * B)
    assert step(A) == B.sum()
    np.testing.assert_array_equal(w.get_value(), A + B)
    np.testing.assert_array_equal(read(A), A * (A + B))
    assert python.calls == before
    w.set_value(np.full(7, 2, "float32"))
    assert read(np.ones(7, "float32")).tolist() == [2] * 7
    fetched = gf.function([], w)
    settled(fetched)
    value = fetched()
    value[:] = 9
    assert w.get_value().tolist() == [2] * 7


def test_state_that_grows_goes_through_python() -> None:
    c = gf.shared(np.ones(1, "float32"))
    double = gf.function([], None, updates=[(c, gf.concatenate([c, c]))])
    for _ in range(6):
        double()
    assert c.get_value().shape == (64,) and double._native is None


def test_sessions_run_natively_on_their_own_state(python) -> None:
    w, x = gf.shared(np.zeros(4, "float32")), gf.placeholder("float32", (None,))
    up = gf.assign_add(w, x)
    with gf.Session() as one, gf.Session() as two:
        call = one.make_callable({"w": up}, [x])
        for _ in range(6):
            call(A)
        for _ in range(6):
            two.run([up], {x: A})
        before = python.calls
        np.testing.assert_array_equal(call(A)["w"], 7 * A)
        np.testing.assert_array_equal(two.run([up], {x: A})[0], 7 * A)
        assert python.calls == before
    assert not w.get_value().any()
    with pytest.raises(gf.FeedError, match="2 values for 1 inputs"):
        call(A, A)


def run_together(*works) -> None:
    failed: list[BaseException] = []

    def guarded(work):
        try:
            work()
        except BaseException as e:
            failed.append(e)

    threads = [threading.Thread(target=guarded, args=(w,)) for w in works]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed, failed


@pytest.mark.parametrize("n", [4, 600_000])
def test_one_function_called_from_several_threads(n, settled) -> None:
    """Short calls keep the GIL; long ones let it go, and meet each other and the lock."""
    w, x = gf.shared(np.zeros((), "float64")), gf.placeholder("float32", (None,))
    f = gf.function([x], [x + 1, gf.sum(x)], updates=[(w, w + 1)])
    g = gf.function([x], x * gf.cast(w * 0 + 2, "float32"))
    settled(f, np.ones(n, "float32"))
    settled(g, np.ones(n, "float32"))
    before, rounds = float(w.get_value()), 300 if n < 100 else 30

    def work(k):
        a = np.full(n, k, "float32")

        def calls():
            for _ in range(rounds):
                y, s = f(a)
                assert y[0] == y[-1] == k + 1 and s == k * n
                assert g(a)[-1] == 2 * k

        return calls

    run_together(*(work(k) for k in range(4)))
    assert w.get_value() == before + 4 * rounds
    assert not any(list(f.store.lock._words))


def test_native_calls_respect_who_holds_the_lock(settled) -> None:
    w, x = gf.shared(np.zeros(4, "float32")), gf.placeholder("float32", (None,))
    read, step = settled(gf.function([x], x + w), A), settled(gf.function([x], None, updates=[(w, w + x)]), A)
    store, done = read.store, []
    for hold, call in ((store.lock.writing, read), (store.lock.writing, step), (store.lock.reading, step)):
        with hold():
            thread = threading.Thread(target=lambda call=call: done.append(call(A)))
            thread.start()
            thread.join(0.05)
            assert not done, "it must wait"
        thread.join(5)
        assert len(done) == 1
        done.clear()
    with store.lock.writing():
        step(A)  # the writer itself may go on


def test_long_calls_let_other_threads_run_and_short_ones_do_not(settled) -> None:
    """The table is marked as busy during a call: another thread can see that only where the GIL was let go."""
    w, x = gf.shared(np.zeros((), "float32")), gf.placeholder("float32", (None,))
    f = gf.function([x], gf.sum(gf.exp(x)), updates=[(w, w + 1)])
    busy, held = callcode.CALL["busy"] // 8, ReadWriteLock.WRITER
    for n, long in ((3_000_000, True), (100, False)):
        a = np.zeros(n, "float32")
        settled(f, a)
        seen, stop = set(), threading.Event()

        def calls(a=a, stop=stop):
            while not stop.is_set():
                f(a)

        thread = threading.Thread(target=calls)
        thread.start()
        until = time.monotonic() + (20 if long else 0.2)
        while time.monotonic() < until and (1, True) not in seen:
            seen.add((int(f._native.table[busy]), bool(f.store.lock._words[held])))
        stop.set()
        thread.join()
        assert ((1, True) in seen) if long else seen == {(0, False)}, seen
    assert not f.store.lock._words[held]


def test_state_is_exchanged_while_calls_run(settled) -> None:
    w, x = gf.shared(np.zeros(1000)), gf.placeholder("float64", (None,))
    f = settled(gf.function([x], [gf.min(w), gf.max(w)], updates=[(w, w + x)]), np.zeros(1000))
    stop = threading.Event()

    def call():
        while not stop.is_set():
            low, high = f(np.ones(1000))
            assert low == high

    def exchange():
        for k in range(200):
            w.set_value(np.full(1000, float(k)))
            value = w.get_value()
            assert value.min() == value.max()
        stop.set()

    run_together(call, call, exchange)


def test_a_function_may_call_itself_while_it_builds_its_result(settled) -> None:
    x, _ = vectors()
    depth: list[int] = []

    class Nested(collections.namedtuple("Base", "a b")):
        def __new__(cls, a, b):
            made = super().__new__(cls, a, b)
            if depth and len(depth) < 5:
                depth.append(1)
                made.inner = f(A)
            return made

    f = settled(gf.function([x], Nested(x, x + 1)), A)
    depth.append(1)
    made = f(A)
    np.testing.assert_array_equal(made.inner.inner.inner.inner.b, A + 1)
    depth.clear()
    np.testing.assert_array_equal(f(A).b, A + 1)


def test_stores_keep_apart() -> None:
    w, x = gf.shared(np.zeros(2, "float32")), gf.placeholder("float32", (None,))
    stores = [Store(), Store()]
    functions = [gf.Function([x], w + x, [(w, w + x)], "f", s) for s in stores]
    for k, f in enumerate(functions):
        for _ in range(5 + k):
            f(np.ones(2, "float32"))
    assert [s.get(w).tolist() for s in stores] == [[5, 5], [6, 6]]


# --- memory -----------------------------------------------------------------------------------------------
def test_references_are_neither_lost_nor_kept(settled) -> None:
    x, y = vectors()
    w = gf.shared(np.ones(4, "float32"))
    single = settled(gf.function([x, y], x + y), A, B)
    pair = settled(gf.function([x, y], (x + y, x * w), updates=[(w, w * 1)]), A, B)
    nested = settled(gf.function([x, y], {"a": x + y}), A, B)
    nothing = settled(gf.function([x, y], None, updates=[(w, w * 1)]), A, B)
    index = gf.placeholder("int32", ())
    failing = settled(gf.function([index], w[index]), np.array(0, "int32"))
    bad = np.array(99, "int32")
    watched = [A, B, A.dtype, bad, w, single, pair, NotImplemented, single._native, cpython.process_table()]

    def calls(n):
        for _ in range(n):
            single(A, B), pair(A, B), nested(A, B), nothing(A, B), single(A, [1, 2, 3, 4])
        for _ in range(n // 20):
            with pytest.raises(gf.CheckError):
                failing(bad)
            with pytest.raises(gf.ShapeError):
                single(A, B[:2])

    calls(100)
    gc.collect()
    tracemalloc.start()
    try:
        before, memory = [sys.getrefcount(v) for v in watched], tracemalloc.get_traced_memory()[0]
        calls(5000)
        gc.collect()
        after, grown = [sys.getrefcount(v) for v in watched], tracemalloc.get_traced_memory()[0] - memory
    finally:
        tracemalloc.stop()
    assert all(abs(b - a) < 50 for a, b in zip(before, after, strict=True)), (before, after)
    assert grown < 50_000
    assert sys.getrefcount(single(A, B)) == sys.getrefcount(A + B)


def test_functions_and_what_they_hold_are_freed(settled) -> None:
    x, _ = vectors()
    f = settled(gf.function([x], x + 1), A)
    f.itself = f
    native, executable, me = weakref.ref(f._native), weakref.ref(f.compiled.executables[0]), weakref.ref(f)
    del f
    gc.collect()
    assert me() is None and native() is None and executable() is None


def test_many_functions_come_and_go_in_threads(settled) -> None:
    x, y = vectors()

    def work():
        for k in range(15):
            f = settled(gf.function([x, y], x + y * float(k % 3)), A, B)
            np.testing.assert_array_equal(f(A, B), A + B * np.float32(k % 3))

    run_together(work, work)


def test_a_copy_is_a_function_of_its_own(settled) -> None:
    x, _ = vectors()
    f = settled(gf.function([x], x + 1), A)
    g = copy.copy(f)
    assert g is not f and g._native is None
    np.testing.assert_array_equal(settled(g, A)(A), f(A))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_calls_after_a_fork() -> None:
    code = """
import os, numpy as np, graphflow as gf
x, w = gf.placeholder("float32", (None,)), gf.shared(np.zeros((), "float32"))
f = gf.function([x], gf.exp(x), updates=[(w, w + 1)])
a = np.linspace(0, 1, 600_000, dtype="float32")
want = [f(a) for _ in range(5)][0]
child = os.fork()
ok = all((f(a) == want).all() for _ in range(8)) and f._native.current and w.get_value() == 13
if child == 0:
    os._exit(0 if ok else 1)
print(ok, os.waitpid(child, 0)[1])
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "GRAPHFLOW_THREADS": "2"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.split() == ["True", "0"], done
