"""The thread pool: each iteration once, nobody waits for a thread that does not come, forks, exits, neighbours."""

from __future__ import annotations

import ctypes
import fcntl
import functools
import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler.emit import finish_module
from graphflow.compiler.entry import Entry
from graphflow.compiler.target.machine import Loaded, compile_module, host
from graphflow.runtime import cores, executable, pool, pool_code
from graphflow.runtime.pool import Pool
from graphflow.runtime.pool_layout import LINE, PROCESSES, slot

pytestmark = pytest.mark.skipif(not pool_code.supports(host()), reason="no pool for this machine")
several_cores = pytest.mark.skipif(len(cores.affinity()) < 2, reason="needs two cores")

JOB = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)

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
def native() -> Callable[[int, int, int, int], int]:
    code = compile_module(finish_module(_NATIVE, host()), host())
    loaded = native.loaded = Loaded([code], ["gf.test.many"], {}, "pool-test")
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(loaded.address("gf.test.many"))


def run_many(p: Pool, n: int, jobs: int, wait: int = 0) -> None:
    counts = np.zeros(n, np.int32)
    arguments = np.array([counts.ctypes.data, wait], np.int64)
    assert native()(p.par, arguments.ctypes.data, n, jobs) == 0
    assert (counts == jobs).all()


def run(p: Pool, body: Callable[[int, int], None], n: int) -> None:
    """A job whose iterations are done in Python."""
    code, context = (ctypes.c_void_p * 2).from_address(p.par)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, JOB, ctypes.c_void_p, ctypes.c_int64)(code)
    call(context, JOB(lambda _, lo, hi: body(lo, hi)), None, n)


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


# --- claiming -----------------------------------------------------------------------------------
@pytest.mark.smoke
@pytest.mark.parametrize("threads", [2, 3, 4, 8])
def test_each_iteration_is_done_once(make_pool, threads: int) -> None:
    """Also by more threads than there are cores, and by jobs too short for a worker to wake."""
    p = make_pool(threads)
    for n in (1, 2, 3, threads, 7, 31, 200):
        run_many(p, n, jobs=300)
        run_many(p, n, jobs=20, wait=2000)
    assert p["shared"] > 2000  # of 2240: now and then some run alone


def test_each_iteration_is_done_once_under_stress(make_pool) -> None:
    """Pools in turn, resized and slept between jobs, beside threads that keep the cores busy."""
    rng = random.Random(0)
    pools = [make_pool(2), make_pool(4), make_pool(4, spinning=False), make_pool(3, always=False)]
    ending = threading.Event()
    others = [threading.Thread(target=run_until, args=(ending, lambda: run_many(pools[0], 5, 50))) for _ in range(2)]
    for other in others:
        other.start()
    try:
        for _ in range(400):
            p = rng.choice(pools)
            n, wait = rng.choice([1, 2, 5, 8, 56, 300]), rng.choice([0, 0, 30, 1000])
            run_many(p, n, min(200, 1 + 200_000 // (n * (wait + 20))), wait)
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


def test_jobs_of_more_iterations_than_a_range_holds(make_pool) -> None:
    pieces: list[tuple[int, int]] = []
    n = 5 * 2**32 + 3
    run(make_pool(2), lambda lo, hi: pieces.append((lo, hi)), n)
    pieces.sort()
    assert pieces[0][0] == 0 and pieces[-1][1] == n
    assert all(a[1] == b[0] for a, b in itertools.pairwise(pieces))


@pytest.mark.smoke
def test_workers_take_part(make_pool) -> None:
    p, record = make_pool(2), Record()
    run(p, record, 40)
    assert record.iterations == list(range(40))
    assert len(record.threads) == 2 and p["done"] > 0


def test_a_range_stays_with_its_thread(make_pool) -> None:
    """The caller begins at the front, the worker in the middle."""
    p = make_pool(2)
    for _ in range(5):
        record = Record()
        run(p, record, 40)
        first = {}
        for thread, lo, _ in record.pieces:
            first.setdefault(thread, lo)
        me = threading.get_ident()
        assert first[me] == 0 and all(lo == 20 for thread, lo in first.items() if thread != me)


# --- threads that do not come -------------------------------------------------------------------
@pytest.mark.smoke
def test_a_caller_does_without_its_workers(make_pool) -> None:
    p, record = make_pool(4), Record()
    p.stop()
    run(p, record, 20)
    assert record.iterations == list(range(20)) and record.threads == {threading.get_ident()}


def test_a_worker_that_is_held_up_keeps_one_piece_only(make_pool) -> None:
    """The caller does all the rest, then sleeps until that piece is done."""
    p, record, free = make_pool(2), Record(), threading.Event()
    caller = threading.get_ident()
    held: list[tuple[int, int]] = []

    def body(lo: int, hi: int) -> None:
        record(lo, hi)
        if threading.get_ident() != caller:
            held.append((lo, hi))
            free.wait()
        elif held and len(record.iterations) == 40:
            threading.Timer(0.05, free.set).start()

    run(p, body, 40)
    assert record.iterations == list(range(40))
    assert len(held) == 1


def test_a_second_caller_works_alone(make_pool) -> None:
    """So does a job inside a job."""
    p, outer, inner, begun, free = make_pool(2), Record(), Record(), threading.Event(), threading.Event()

    def wait(lo: int, hi: int) -> None:
        outer(lo, hi)
        begun.set()
        free.wait()

    first = threading.Thread(target=run, args=(p, wait, 2))
    first.start()
    begun.wait()
    run(p, inner, 10)
    assert inner.iterations == list(range(10)) and inner.threads == {threading.get_ident()}
    free.set()
    first.join()
    assert outer.iterations == [0, 1]

    nested: list[Record] = []

    def again(lo: int, hi: int) -> None:
        nested.append(Record())
        run(p, nested[-1], 4)

    run(p, again, 3)
    assert all(r.iterations == [0, 1, 2, 3] and len(r.threads) == 1 for r in nested)


def test_workers_sleep_until_a_job_is_worth_waking_them(make_pool) -> None:
    p = make_pool(2)
    run_many(p, 8, jobs=1)
    time.sleep(0.05)  # many times as long as workers spin
    assert p["sleepers"] == 1
    rings = p["rings"]
    for _ in range(5):
        run_many(p, 8, jobs=1)
        time.sleep(0.01)
    assert p["rings"] == rings
    run(p, Record(), 8)
    assert p["rings"] > rings


# --- losses -------------------------------------------------------------------------------------
def test_jobs_run_alone_after_losses(make_pool) -> None:
    """A worker that is held up in each job costs the caller a few of them."""
    p, caller = make_pool(2, always=False), threading.get_ident()

    def body(lo: int, hi: int) -> None:
        time.sleep(0.0002 * (hi - lo) if threading.get_ident() == caller else 0.02)

    for _ in range(200):
        run(p, body, 8)
        if p["debts"]:
            break
    assert p["debts"]
    record = Record()
    run(p, record, 8)
    assert record.threads == {caller}


def test_rounds_alone_are_tried(make_pool) -> None:
    p = make_pool(2, always=False)
    for _ in range(20):
        run_many(p, 8, jobs=500, wait=300)
    assert p["trials"] + p["debts"] > 0


# --- cores --------------------------------------------------------------------------------------
@several_cores
@pytest.mark.smoke
def test_a_worker_is_pinned_while_it_holds_its_lock(make_pool) -> None:
    before = cores.affinity()
    p = make_pool(2)
    run(p, Record(), 40)
    (worker,) = p._workers
    (core,) = os.sched_getaffinity(worker.native_id)
    assert core in before and p._slots[slot("lock", 1)] >= 0
    assert cores.affinity() == before  # the caller never is


@several_cores
def test_a_worker_without_a_lock_is_not_pinned_and_does_not_spin(make_pool, tmp_path) -> None:
    theirs = cores.Locks(tmp_path)
    assert all(theirs.free(core) for core in cores.affinity())
    descriptors = [os.open(tmp_path / f"graphflow-core-{core}", os.O_RDWR) for core in cores.affinity()]
    for descriptor in descriptors:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        p = make_pool(3 if len(cores.affinity()) > 2 else 2)
        run(p, Record(), 40)
        for worker in p._workers:
            allowed = os.sched_getaffinity(worker.native_id)
            assert allowed <= cores.affinity() and len(allowed) >= len(cores.affinity()) - 1
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def test_a_sleeping_worker_leaves_its_core_to_others(make_pool, tmp_path) -> None:
    p = make_pool(2)
    run(p, Record(), 40)
    until(lambda: p["sleepers"] == 1)
    theirs = cores.Locks(tmp_path)
    until(lambda: all(theirs.free(core) for core in cores.affinity()))


def test_without_whole_cores_nobody_is_pinned(make_pool) -> None:
    p, record = make_pool(2, spinning=False), Record()
    run(p, record, 40)
    assert record.iterations == list(range(40))
    assert p._slots[slot("lock", 1)] == -1


def until(condition: Callable[[], bool]) -> None:
    """Wait for what other threads do."""
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not happen")


@several_cores
def test_the_pool_follows_the_affinity_mask(process_pool) -> None:
    before = cores.affinity()
    with gf.config.override(threads=0):
        p = pool.current_pool()
        assert p is not None and p.count == len(before)
        p._set("period", 0)  # look at each job
        run(p, Record(), 8)
        try:
            os.sched_setaffinity(0, {min(before)})
            record = Record()
            run(p, record, 8)
            assert record.threads == {threading.get_ident()}
            until(lambda: p.count == 1)
            assert pool.current_pool() is None and pool.available_threads() == 1
        finally:
            os.sched_setaffinity(0, before)
        run(p, Record(), 8)
        until(lambda: p.count == len(before))
        assert pool.current_pool() is p


def test_processes_share_cores(make_pool, monkeypatch) -> None:
    """A process that had jobs lately on common cores gets its part; one elsewhere or of long ago does not count."""
    table = np.zeros(LINE * PROCESSES, np.int64)
    monkeypatch.setattr(pool, "_presence", lambda: table.ctypes.data)
    p = make_pool(2)
    p._set("look", 0)
    p._set("cores", 2)
    read = ctypes.CFUNCTYPE(ctypes.c_int64)(p._code.address("gf.ticks"))
    run_many(p, 8, jobs=1)
    assert p["threads"] == 2
    mine = int(np.flatnonzero(table[::LINE])[0])
    assert table[LINE * mine] == os.getpid() and table[LINE * mine + 2] == sum(1 << core for core in cores.affinity() if core < 64)

    other = LINE * (mine + 1)
    table[other : other + 3] = [1, read(), table[LINE * mine + 2]]
    run_many(p, 8, jobs=1)
    assert p["threads"] == 1
    table[other + 1] = read() - 2 * p["active"]
    run_many(p, 8, jobs=1)
    assert p["threads"] == 2
    table[other : other + 3] = [1, read(), 0]
    run_many(p, 8, jobs=1)
    assert p["threads"] == 2


def test_a_crowd_leaves_one_thread(make_pool, monkeypatch) -> None:
    table = np.zeros(LINE * PROCESSES, np.int64)
    monkeypatch.setattr(pool, "_presence", lambda: table.ctypes.data)
    p = make_pool(2)
    p._set("look", 0)
    read = ctypes.CFUNCTYPE(ctypes.c_int64)(p._code.address("gf.ticks"))
    for i in range(PROCESSES):
        table[LINE * i : LINE * i + 3] = [1 + i, read(), -1]
    table[0] = table[LINE] = os.getpid()
    record = Record()
    run(p, record, 8)
    assert record.iterations == list(range(8)) and record.threads == {threading.get_ident()}


# --- settings -----------------------------------------------------------------------------------
@several_cores
@pytest.mark.smoke
def test_the_setting_may_change(process_pool) -> None:
    with gf.config.override(threads=1):
        assert pool.current_pool() is None
    with gf.config.override(threads=2):
        p = pool.current_pool()
        assert p is not None and p.count == 2
        run(p, Record(), 8)
    with gf.config.override(threads=1):
        assert pool.current_pool() is None
    with gf.config.override(threads=2):
        assert pool.current_pool() is p
        record = Record()
        run(p, record, 40)
        assert record.iterations == list(range(40))


def test_no_more_threads_than_allowed(monkeypatch) -> None:
    monkeypatch.setattr(pool, "_limit", lambda: 1.5)
    with gf.config.override(threads=0):
        assert pool._threads_on(range(8)) == 2
    with gf.config.override(threads=1):
        assert pool._threads_on(range(8)) == 1
    with gf.config.override(threads=64):
        assert pool._threads_on({4, 5}) == 2


def test_a_pool_grows_and_shrinks(make_pool) -> None:
    p = make_pool(4)
    for threads in (1, 3, 2, 4, 1, 4):
        p.adapt(threads, cores.affinity())
        assert p.count == threads
        run_many(p, 50, jobs=50, wait=50)
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


# --- the process --------------------------------------------------------------------------------
SCRIPT = """
import multiprocessing, os, sys, threading, time
import numpy as np
import graphflow as gf
from graphflow.runtime import pool

x = gf.placeholder("float32", (None, 64))
f = gf.function([x], gf.tanh(x @ gf.transpose(x)) @ x)
a = np.linspace(-1, 1, 200 * 64, dtype="float32").reshape(200, 64)

def same(expected):
    return all(np.array_equal(f(a), expected) for _ in range(5))

def child(expected, answers):
    answers.put(bool(same(expected)))
"""


def script(body: str, threads: int = 2) -> str:
    """What a program prints; it has to end by itself."""
    environment = {**os.environ, "GRAPHFLOW_THREADS": str(threads), "GRAPHFLOW_CACHE": "0", "GRAPHFLOW_VERIFY": "0"}
    code = SCRIPT + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_fork(act: Callable[[], bool]) -> bool:
    """What `act` returns in a forked process, which must end by itself."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(60)
            code = 0 if act() else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return status == 0


@pytest.mark.smoke
def test_a_forked_process_makes_workers_of_its_own(make_pool, monkeypatch) -> None:
    p = make_pool(2)
    monkeypatch.setattr(pool, "_pool", p)
    run_many(p, 8, jobs=50, wait=500)
    address = p.par

    def takes_part() -> bool:
        record = Record()
        run(p, record, 40)
        return record.iterations == list(range(40)) and len(record.threads) == 2

    def act() -> bool:
        assert not p._workers and p.count == 1
        run_many(p, 8, jobs=50, wait=50)  # alone, with the address that calls may have kept
        p.adapt(2, cores.affinity())
        return takes_part() and p.par == address

    assert in_fork(act)
    assert takes_part()  # the parent's are still there


def test_a_fork_while_a_job_runs(make_pool, monkeypatch) -> None:
    p, begun, free = make_pool(2), threading.Event(), threading.Event()
    monkeypatch.setattr(pool, "_pool", p)

    def wait(lo: int, hi: int) -> None:
        begun.set()
        free.wait()

    other = threading.Thread(target=run, args=(p, wait, 4))
    other.start()
    try:
        begun.wait()
        assert in_fork(lambda: run_many(p, 8, jobs=10) is None)
    finally:
        free.set()
        other.join()
    run_many(p, 8, jobs=10)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing(tmp_path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {method}")
    program = tmp_path / "program.py"
    program.write_text(SCRIPT + textwrap.dedent(f"""
        if __name__ == "__main__":
            expected = f(a)
            context = multiprocessing.get_context("{method}")
            answers = context.Queue()
            children = [context.Process(target=child, args=(expected, answers)) for _ in range(2)]
            for c in children:
                c.start()
            print(*[answers.get(timeout=100) for _ in children], same(expected))
            for c in children:
                c.join()
            print(*[c.exitcode for c in children])
    """))  # fmt: skip
    environment = {**os.environ, "GRAPHFLOW_THREADS": "2", "GRAPHFLOW_CACHE": "0", "GRAPHFLOW_VERIFY": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.stdout.split() == ["True", "True", "True", "0", "0"], done.stderr


@pytest.mark.smoke
def test_the_interpreter_ends_while_workers_spin() -> None:
    assert script("f(a); print('done')") == "done\n"


def test_the_interpreter_ends_while_another_thread_calls() -> None:
    assert script("""
        f(a)
        def forever():
            while True:
                f(a)
        for _ in range(2):
            threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.1)
        print("done")
    """) == "done\n"  # fmt: skip


def test_a_call_after_the_pool_was_stopped() -> None:
    assert script("""
        import atexit
        expected = f(a)
        if pool._pool is not None:
            pool._at_exit()
        print(same(expected))
    """) == "True\n"  # fmt: skip


@pytest.mark.smoke
def test_an_interrupt_during_a_long_job(make_pool) -> None:
    """Python raises when the native call returns, and the pool is as before."""
    p = make_pool(2)
    counts = np.zeros(64, np.int32)
    arguments = np.array([counts.ctypes.data, 300_000], np.int64)
    job = native()
    interrupt = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt.start()
    jobs = 0
    try:
        with pytest.raises(KeyboardInterrupt):
            while True:
                jobs += 1
                job(p.par, arguments.ctypes.data, 64, 1)
    finally:
        interrupt.join()
        signal.signal(signal.SIGINT, before)
    assert (counts >= jobs - 1).all() and p["busy"] == 0
    run_many(p, 64, jobs=20, wait=100)


def test_two_threads_call_at_once(process_pool, monkeypatch) -> None:
    monkeypatch.setattr(Entry, "parallel_work", 0)
    x = gf.placeholder("float32", (None, 64))
    f = gf.function([x], gf.tanh(x @ gf.transpose(x)) @ x)
    inputs = [np.linspace(-1, k, 90 * 64, dtype="float32").reshape(90, 64) for k in (1, 2, 3)]
    with gf.config.override(threads=1):
        expected = [f(a) for a in inputs]
    wrong: list[int] = []

    def call(k: int) -> None:
        wrong.extend(k for _ in range(150) if not np.array_equal(f(inputs[k]), expected[k]))

    with gf.config.override(threads=2):
        callers = [threading.Thread(target=call, args=(k,)) for k in range(3)]
        for c in callers:
            c.start()
        for c in callers:
            c.join()
    assert not wrong
