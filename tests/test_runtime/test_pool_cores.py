"""The thread pool on its cores: locks, pinning, the affinity mask, other processes."""

from __future__ import annotations

import ctypes
import fcntl
import os
import threading

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler.target.machine import Machine, compile_module, host
from graphflow.runtime import cores, pool, pool_code
from graphflow.runtime.pool_layout import LINE, PROCESSES, slot

pytestmark = pytest.mark.skipif(not pool_code.supports(host()), reason="no pool for this machine")
several_cores = pytest.mark.skipif(len(cores.affinity()) < 2, reason="needs two cores")


@several_cores
@pytest.mark.smoke
def test_a_worker_is_pinned_while_it_holds_its_lock(make_pool, jobs) -> None:
    before = cores.affinity()
    p = make_pool(2)
    jobs.python(p, jobs.Record(), 40)
    (worker,) = p._workers
    (core,) = os.sched_getaffinity(worker.native_id)
    assert core in before and p._slots[slot("lock", 1)] >= 0
    assert cores.affinity() == before  # the caller never is


@several_cores
def test_a_worker_without_a_lock_is_not_pinned_and_does_not_spin(make_pool, tmp_path, jobs) -> None:
    theirs = cores.Locks(tmp_path)
    assert all(theirs.free(core) for core in cores.affinity())
    descriptors = [os.open(tmp_path / f"graphflow-core-{core}", os.O_RDWR) for core in cores.affinity()]
    for descriptor in descriptors:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        p = make_pool(3 if len(cores.affinity()) > 2 else 2)
        jobs.python(p, jobs.Record(), 40)
        for worker in p._workers:
            allowed = os.sched_getaffinity(worker.native_id)
            assert allowed <= cores.affinity() and len(allowed) >= len(cores.affinity()) - 1
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def test_a_sleeping_worker_leaves_its_core_to_others(make_pool, tmp_path, jobs) -> None:
    p = make_pool(2)
    jobs.python(p, jobs.Record(), 40)
    jobs.until(lambda: p["sleepers"] == 1)
    theirs = cores.Locks(tmp_path)
    jobs.until(lambda: all(theirs.free(core) for core in cores.affinity()))


def test_without_whole_cores_nobody_is_pinned(make_pool, jobs) -> None:
    p, record = make_pool(2, spinning=False), jobs.Record()
    jobs.python(p, record, 40)
    assert record.iterations == list(range(40))
    assert p._slots[slot("lock", 1)] == -1


@several_cores
def test_the_pool_follows_the_affinity_mask(process_pool, jobs) -> None:
    before = cores.affinity()
    with gf.config.override(threads=0):
        p = pool.current_pool()
        assert p is not None and p.count == len(before)
        p._set("period", 0)  # look at each job
        jobs.python(p, jobs.Record(), 8)
        try:
            os.sched_setaffinity(0, {min(before)})
            record = jobs.Record()
            jobs.python(p, record, 8)
            assert record.threads == {threading.get_ident()}
            jobs.until(lambda: p.count == 1)
            assert pool.current_pool() is None and pool.available_threads() == 1
        finally:
            os.sched_setaffinity(0, before)
        jobs.python(p, jobs.Record(), 8)
        jobs.until(lambda: p.count == len(before))
        assert pool.current_pool() is p


def test_processes_share_cores(make_pool, monkeypatch, jobs) -> None:
    """A process that had jobs lately on common cores gets its part; one elsewhere or of long ago does not count."""
    table = np.zeros(LINE * PROCESSES, np.int64)
    monkeypatch.setattr(pool, "_presence", lambda: table.ctypes.data)
    p = make_pool(2)
    p._set("look", 0)
    p._set("cores", 2)
    read = ctypes.CFUNCTYPE(ctypes.c_int64)(p._code.address("gf.ticks"))
    jobs.many(p, 8, times=1)
    assert p["threads"] == 2
    mine = int(np.flatnonzero(table[::LINE])[0])
    assert table[LINE * mine] == os.getpid() and table[LINE * mine + 2] == sum(1 << core for core in cores.affinity() if core < 64)

    other = LINE * (mine + 1)
    table[other : other + 3] = [1, read(), table[LINE * mine + 2]]
    jobs.many(p, 8, times=1)
    assert p["threads"] == 1
    table[other + 1] = read() - 2 * p["active"]
    jobs.many(p, 8, times=1)
    assert p["threads"] == 2
    table[other : other + 3] = [1, read(), 0]
    jobs.many(p, 8, times=1)
    assert p["threads"] == 2


def test_a_crowd_leaves_one_thread(make_pool, monkeypatch, jobs) -> None:
    table = np.zeros(LINE * PROCESSES, np.int64)
    monkeypatch.setattr(pool, "_presence", lambda: table.ctypes.data)
    p = make_pool(2)
    p._set("look", 0)
    read = ctypes.CFUNCTYPE(ctypes.c_int64)(p._code.address("gf.ticks"))
    for i in range(PROCESSES):
        table[LINE * i : LINE * i + 3] = [1 + i, read(), -1]
    table[0] = table[LINE] = os.getpid()
    record = jobs.Record()
    jobs.python(p, record, 8)
    assert record.iterations == list(range(8)) and record.threads == {threading.get_ident()}


@pytest.mark.parametrize("triple", ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"])
def test_the_code_compiles_for(triple: str) -> None:
    machine = Machine(triple, "generic", "", 128, False)
    assert pool_code.supports(machine)
    assert len(compile_module(pool_code.text(machine), machine, jit=False)) > 1000


def test_there_is_no_pool_where_there_is_no_futex() -> None:
    assert not pool_code.supports(Machine("x86_64-apple-darwin", "generic", "", 128, False))
    assert not pool_code.supports(Machine("armv7-unknown-linux-gnueabihf", "generic", "", 128, False))
