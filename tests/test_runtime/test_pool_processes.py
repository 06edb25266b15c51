"""The thread pool and its process: forks, children, the end of the interpreter, interrupts, several threads that call."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler.entry import Entry
from graphflow.compiler.target.machine import host
from graphflow.runtime import cores, pool, pool_code

pytestmark = pytest.mark.skipif(not pool_code.supports(host()), reason="no pool for this machine")


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
def test_a_forked_process_makes_workers_of_its_own(make_pool, monkeypatch, jobs) -> None:
    p = make_pool(2)
    monkeypatch.setattr(pool, "_pool", p)
    jobs.many(p, 8, times=50, wait=500)
    address = p.par

    def takes_part() -> bool:
        record = jobs.Record()
        jobs.python(p, record, 40)
        return record.iterations == list(range(40)) and len(record.threads) == 2

    def act() -> bool:
        assert not p._workers and p.count == 1
        jobs.many(p, 8, times=50, wait=50)  # alone, with the address that calls may have kept
        p.adapt(2, cores.affinity())
        return takes_part() and p.par == address

    assert in_fork(act)
    assert takes_part()  # the parent's are still there


def test_a_fork_while_a_job_runs(make_pool, monkeypatch, jobs) -> None:
    p, begun, free = make_pool(2), threading.Event(), threading.Event()
    monkeypatch.setattr(pool, "_pool", p)

    def wait(lo: int, hi: int) -> None:
        begun.set()
        free.wait()

    other = threading.Thread(target=jobs.python, args=(p, wait, 4))
    other.start()
    try:
        begun.wait()
        assert in_fork(lambda: jobs.many(p, 8, times=10) is None)
    finally:
        free.set()
        other.join()
    jobs.many(p, 8, times=10)


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
def test_an_interrupt_during_a_long_job(make_pool, jobs) -> None:
    """Python raises when the native call returns, and the pool is as before."""
    p = make_pool(2)
    interrupt = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            while True:
                jobs.marks(p, 64, times=1, wait=300_000)
    finally:
        interrupt.join()
        signal.signal(signal.SIGINT, before)
    assert p["busy"] == 0
    jobs.many(p, 64, times=20, wait=100)


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
