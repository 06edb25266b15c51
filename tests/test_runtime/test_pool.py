"""The thread pool: each iteration once, nobody waits for a thread that does not come, bits never depend on threads."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler.entry import Entry
from graphflow.compiler.target.machine import host
from graphflow.runtime import cores, executable, pool, pool_code
from graphflow.runtime.pool_layout import JOB, slot

pytestmark = pytest.mark.skipif(not pool_code.supports(host()), reason="no pool for this machine")
several_cores = pytest.mark.skipif(len(cores.affinity()) < 2, reason="needs two cores")


# --- claiming -----------------------------------------------------------------------------------
@pytest.mark.smoke
@pytest.mark.parametrize("threads", [2, 3, 4, 8])
def test_each_iteration_is_done_once(make_pool, jobs, threads: int) -> None:
    """Also by more threads than there are cores, and by jobs too short for a worker to wake."""
    p = make_pool(threads)
    for n in (1, 2, 3, threads, 7, 31, 200):
        jobs.many(p, n, times=300)
        jobs.many(p, n, times=20, wait=2000)
    assert p["shared"] > 2000  # of 2240: now and then some run alone


def test_each_iteration_is_done_once_under_stress(make_pool, jobs) -> None:
    """Pools in turn, resized and slept between jobs, beside threads that keep the cores busy."""
    rng = random.Random(0)
    pools = [make_pool(2), make_pool(4), make_pool(4, spinning=False), make_pool(3, always=False)]
    ending = threading.Event()
    others = [threading.Thread(target=run_until, args=(ending, lambda: jobs.many(pools[0], 5, 50))) for _ in range(2)]
    for other in others:
        other.start()
    try:
        for _ in range(400):
            p = rng.choice(pools)
            n, wait = rng.choice([1, 2, 5, 8, 56, 300]), rng.choice([0, 0, 30, 1000])
            jobs.many(p, n, min(200, 1 + 200_000 // (n * (wait + 20))), wait)
            if rng.random() < 0.05:
                p.adapt(rng.randint(1, p.capacity), cores.affinity(), rng.random() < 0.5)
            if rng.random() < 0.05:
                time.sleep(0.001)
    finally:
        ending.set()
        for other in others:
            other.join()


def run_until(ending: threading.Event, act: Callable[[], None]) -> None:
    while not ending.is_set():
        act()


def test_jobs_of_more_iterations_than_a_range_holds(make_pool, jobs) -> None:
    pieces: list[tuple[int, int]] = []
    n = 5 * 2**32 + 3
    jobs.python(make_pool(2), lambda lo, hi: pieces.append((lo, hi)), n)
    pieces.sort()
    assert pieces[0][0] == 0 and pieces[-1][1] == n
    assert all(a[1] == b[0] for a, b in itertools.pairwise(pieces))


@pytest.mark.smoke
def test_workers_take_part(make_pool, jobs) -> None:
    p, record = make_pool(2), jobs.Record()
    jobs.python(p, record, 40)
    assert record.iterations == list(range(40))
    assert len(record.threads) == 2 and p["done"] > 0


def test_a_range_stays_with_its_thread(make_pool, jobs) -> None:
    """The caller begins at the front, the worker in the middle."""
    p = make_pool(2)
    for _ in range(5):
        record = jobs.Record()
        jobs.python(p, record, 40)
        first = {}
        for thread, lo, _ in record.pieces:
            first.setdefault(thread, lo)
        me = threading.get_ident()
        assert first[me] == 0 and all(lo == 20 for thread, lo in first.items() if thread != me)


# --- threads that do not come -------------------------------------------------------------------
@pytest.mark.smoke
def test_a_caller_does_without_its_workers(make_pool, jobs) -> None:
    p, record = make_pool(4), jobs.Record()
    p.stop()
    jobs.python(p, record, 20)
    assert record.iterations == list(range(20)) and record.threads == {threading.get_ident()}


def test_a_worker_that_is_held_up_keeps_one_piece_only(make_pool, jobs) -> None:
    """The caller does all the rest, then sleeps until that piece is done."""
    p, record, free = make_pool(2), jobs.Record(), threading.Event()
    caller = threading.get_ident()
    held: list[tuple[int, int]] = []

    def body(lo: int, hi: int) -> None:
        record(lo, hi)
        if threading.get_ident() != caller:
            held.append((lo, hi))
            free.wait()
        elif held and len(record.iterations) == 40:
            threading.Timer(0.05, free.set).start()

    jobs.python(p, body, 40)
    assert record.iterations == list(range(40))
    assert len(held) == 1


def test_a_second_caller_works_alone(make_pool, jobs) -> None:
    """So does a job inside a job."""
    p, outer, inner, begun, free = make_pool(2), jobs.Record(), jobs.Record(), threading.Event(), threading.Event()

    def wait(lo: int, hi: int) -> None:
        outer(lo, hi)
        begun.set()
        free.wait()

    first = threading.Thread(target=jobs.python, args=(p, wait, 2))
    first.start()
    begun.wait()
    jobs.python(p, inner, 10)
    assert inner.iterations == list(range(10)) and inner.threads == {threading.get_ident()}
    free.set()
    first.join()
    assert outer.iterations == [0, 1]

    nested = []

    def again(lo: int, hi: int) -> None:
        nested.append(jobs.Record())
        jobs.python(p, nested[-1], 4)

    jobs.python(p, again, 3)
    assert all(r.iterations == [0, 1, 2, 3] and len(r.threads) == 1 for r in nested)


def test_workers_sleep_until_a_job_is_worth_waking_them(make_pool, jobs) -> None:
    p = make_pool(2)
    jobs.many(p, 8, times=1)
    time.sleep(0.05)  # many times as long as workers spin
    assert p["sleepers"] == 1
    rings = p["rings"]
    for _ in range(5):
        jobs.many(p, 8, times=1)
        time.sleep(0.01)
    assert p["rings"] == rings
    jobs.python(p, jobs.Record(), 8)
    assert p["rings"] > rings


# --- losses -------------------------------------------------------------------------------------
def test_jobs_run_alone_after_losses(make_pool, jobs) -> None:
    """A worker that is held up in each job costs the caller a few of them."""
    p, caller = make_pool(2, always=False), threading.get_ident()

    def body(lo: int, hi: int) -> None:
        time.sleep(0.0002 * (hi - lo) if threading.get_ident() == caller else 0.02)

    for _ in range(200):
        jobs.python(p, body, 8)
        if p["debts"]:
            break
    assert p["debts"]
    record = jobs.Record()
    jobs.python(p, record, 8)
    assert record.threads == {caller}


def test_rounds_alone_are_tried(make_pool, jobs) -> None:
    """A few in some hundred, and then it is known what they take."""
    p = make_pool(2)
    jobs.many(p, 8, times=1000, wait=300)
    assert p["trials"] >= 1 and 1000 - 10 * p["trials"] <= p["shared"] < 1000
    assert p._slots[slot("alone_time") : slot("range") : JOB].any()


# --- settings -----------------------------------------------------------------------------------
@several_cores
@pytest.mark.smoke
def test_the_setting_may_change(process_pool, jobs) -> None:
    with gf.config.override(threads=1):
        assert pool.current_pool() is None
    with gf.config.override(threads=2):
        p = pool.current_pool()
        assert p is not None and p.count == 2
        jobs.python(p, jobs.Record(), 8)
    with gf.config.override(threads=1):
        assert pool.current_pool() is None
    with gf.config.override(threads=2):
        assert pool.current_pool() is p
        record = jobs.Record()
        jobs.python(p, record, 40)
        assert record.iterations == list(range(40))


def test_no_more_threads_than_allowed(monkeypatch) -> None:
    monkeypatch.setattr(pool, "_limit", lambda: 1.5)
    with gf.config.override(threads=0):
        assert pool._threads_on(range(8)) == 2
    with gf.config.override(threads=1):
        assert pool._threads_on(range(8)) == 1
    with gf.config.override(threads=64):
        assert pool._threads_on({4, 5}) == 2


def test_a_pool_grows_and_shrinks(make_pool, jobs) -> None:
    p = make_pool(4)
    for threads in (1, 3, 2, 4, 1, 4):
        p.adapt(threads, cores.affinity())
        assert p.count == threads
        jobs.many(p, 50, times=50, wait=50)
        assert p["threads"] == threads
    assert len(p._workers) == 3


# --- results ------------------------------------------------------------------------------------
@pytest.mark.smoke
def test_bits_do_not_depend_on_threads(make_pool, monkeypatch) -> None:
    """Many small kernels one after the other, each shared out: on 1, 2 and 4 threads."""
    monkeypatch.setattr(Entry, "parallel_work", 0)
    x, w = gf.placeholder("float32", (None, 37)), gf.placeholder("float32", (37, 37))
    y = x
    for _ in range(6):
        y = gf.tanh(gf.nn.softmax(y @ w, axis=1) + gf.sum(y, axis=0) * 0.1)
    with gf.config.override(fastcall=False):
        f = gf.function([x, w], [y, gf.sum(y), gf.mean(y * y, axis=1)])
        rng = np.random.default_rng(0)
        a, b = rng.standard_normal((53, 37)).astype("float32"), rng.standard_normal((37, 37)).astype("float32")
        monkeypatch.setattr(executable, "current_pool", lambda: None)
        expected = f(a, b)
        for threads in (2, 4):
            p = make_pool(threads)
            monkeypatch.setattr(executable, "current_pool", lambda p=p: p)
            for _ in range(100):
                for got, wanted in zip(f(a, b), expected, strict=True):
                    np.testing.assert_array_equal(got, wanted)
            assert p["shared"] > 1000
