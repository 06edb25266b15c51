"""The thread pool: daemon threads inside one native loop, which share out the chunks of a job.

A job is posted by setting `left` to its number of chunks; whoever decrements `left` owns a
chunk, and the caller returns when `completed` reaches that number, so a worker that is slow to wake
costs nothing.  Workers spin for a short while, then sleep on a futex.  A job posted while
another one runs is done by its caller alone.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import sys
import threading

import numpy as np

from graphflow.compiler.emit import finish_module
from graphflow.compiler.target.machine import Loaded, Machine, compile_module, host
from graphflow.configuration import config

SPIN = 4000  # pauses before a worker sleeps
_SLOT = {"busy": 0, "left": 8, "completed": 16, "bell": 24, "sleepers": 32, "stop": 40, "fn": 48, "args": 49, "n": 50, "grain": 51, "workers": 52, "spin": 53}
_SIZE = 64  # i64 slots; contended ones on cache lines of their own

_IR = """
declare i64 @syscall(i64, ...)
declare i32 @sched_yield()
define internal void @gf.chunk(ptr %c, i64 %left) {
entry:
  %fnp = getelementptr i64, ptr %c, i64 48
  %fn = load ptr, ptr %fnp, align 8
  %argp = getelementptr i64, ptr %c, i64 49
  %args = load ptr, ptr %argp, align 8
  %np = getelementptr i64, ptr %c, i64 50
  %n = load i64, ptr %np, align 8
  %gp = getelementptr i64, ptr %c, i64 51
  %grain = load i64, ptr %gp, align 8
  %k = sub i64 %left, 1
  %lo = mul i64 %k, %grain
  %end = add i64 %lo, %grain
  %over = icmp sgt i64 %end, %n
  %hi = select i1 %over, i64 %n, i64 %end
  call void %fn(ptr %args, i64 %lo, i64 %hi)
  %cp = getelementptr i64, ptr %c, i64 16
  %done = atomicrmw add ptr %cp, i64 1 release
  ret void
}
define internal i1 @gf.take(ptr %c) {
entry:
  %lp = getelementptr i64, ptr %c, i64 8
  br label %look
look:
  %v = load atomic i64, ptr %lp acquire, align 8
  %some = icmp sgt i64 %v, 0
  br i1 %some, label %try, label %none
try:
  %next = sub i64 %v, 1
  %pair = cmpxchg ptr %lp, i64 %v, i64 %next acq_rel acquire
  %won = extractvalue { i64, i1 } %pair, 1
  br i1 %won, label %mine, label %look
mine:
  call void @gf.chunk(ptr %c, i64 %v)
  ret i1 true
none:
  ret i1 false
}
define void @gf.worker(ptr %c) {
entry:
  %bp = getelementptr i64, ptr %c, i64 24
  %lp = getelementptr i64, ptr %c, i64 8
  %sp = getelementptr i64, ptr %c, i64 32
  %stopp = getelementptr i64, ptr %c, i64 40
  %spinp = getelementptr i64, ptr %c, i64 53
  br label %work
work:
  %did = call i1 @gf.take(ptr %c)
  br i1 %did, label %work, label %idle
idle:
  %stop = load atomic i64, ptr %stopp acquire, align 8
  %ending = icmp ne i64 %stop, 0
  br i1 %ending, label %end, label %start
start:
  %limit = load i64, ptr %spinp, align 8
  br label %spin
spin:
  %i = phi i64 [ 0, %start ], [ %i1, %again ]
  %v = load atomic i64, ptr %lp acquire, align 8
  %some = icmp sgt i64 %v, 0
  br i1 %some, label %work, label %again
again:
  PAUSE
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, %limit
  br i1 %more, label %spin, label %sleep
sleep:
  %bell = load atomic i64, ptr %bp seq_cst, align 8
  %s0 = atomicrmw add ptr %sp, i64 1 seq_cst
  %late = load atomic i64, ptr %lp seq_cst, align 8
  %work_now = icmp sgt i64 %late, 0
  %stop2 = load atomic i64, ptr %stopp seq_cst, align 8
  %stopping = icmp ne i64 %stop2, 0
  %stay = or i1 %work_now, %stopping
  br i1 %stay, label %awake, label %wait
wait:
  %bell32 = trunc i64 %bell to i32
  %w = call i64 (i64, ...) @syscall(i64 FUTEX, ptr %bp, i64 128, i32 %bell32, ptr null, ptr null, i64 0)
  br label %awake
awake:
  %s1 = atomicrmw sub ptr %sp, i64 1 seq_cst
  br label %work
end:
  ret void
}
define void @gf.ring(ptr %c) {
entry:
  %bp = getelementptr i64, ptr %c, i64 24
  %b = atomicrmw add ptr %bp, i64 1 seq_cst
  %sp = getelementptr i64, ptr %c, i64 32
  %s = load atomic i64, ptr %sp seq_cst, align 8
  %any = icmp sgt i64 %s, 0
  br i1 %any, label %wake, label %end
wake:
  %w = call i64 (i64, ...) @syscall(i64 FUTEX, ptr %bp, i64 129, i32 2147483647, ptr null, ptr null, i64 0)
  br label %end
end:
  ret void
}
define void @gf.run(ptr %c, ptr %fn, ptr %args, i64 %n) {
entry:
  %pair = cmpxchg ptr %c, i64 0, i64 1 acq_rel acquire
  %free = extractvalue { i64, i1 } %pair, 1
  br i1 %free, label %post, label %alone
alone:
  call void %fn(ptr %args, i64 0, i64 %n)
  ret void
post:
  %wp = getelementptr i64, ptr %c, i64 52
  %workers = load i64, ptr %wp, align 8
  %share = mul i64 %workers, 4
  %short = sub i64 %share, 1
  %padded = add i64 %n, %short
  %grain = udiv i64 %padded, %share
  %up = sub i64 %grain, 1
  %whole = add i64 %n, %up
  %chunks = udiv i64 %whole, %grain
  %fnp = getelementptr i64, ptr %c, i64 48
  store ptr %fn, ptr %fnp, align 8
  %argp = getelementptr i64, ptr %c, i64 49
  store ptr %args, ptr %argp, align 8
  %np = getelementptr i64, ptr %c, i64 50
  store i64 %n, ptr %np, align 8
  %gp = getelementptr i64, ptr %c, i64 51
  store i64 %grain, ptr %gp, align 8
  %cp = getelementptr i64, ptr %c, i64 16
  store atomic i64 0, ptr %cp release, align 8
  %lp = getelementptr i64, ptr %c, i64 8
  store atomic i64 %chunks, ptr %lp seq_cst, align 8
  call void @gf.ring(ptr %c)
  br label %work
work:
  %did = call i1 @gf.take(ptr %c)
  br i1 %did, label %work, label %join
join:
  %i = phi i64 [ 0, %work ], [ %i1, %pause ], [ 0, %yield ]
  %done = load atomic i64, ptr %cp acquire, align 8
  %all = icmp sge i64 %done, %chunks
  br i1 %all, label %end, label %pause
pause:
  PAUSE
  %i1 = add i64 %i, 1
  %long = icmp sgt i64 %i1, 20000
  br i1 %long, label %yield, label %join
yield:
  %y = call i32 @sched_yield()
  br label %join
end:
  store atomic i64 0, ptr %c release, align 8
  ret void
}
"""


class Pool:
    """`count` threads in all, the caller included; `par` is the address of its gf_parallel."""

    def __init__(self, count: int, spin: int) -> None:
        self.count = count
        code = _code(host())
        self._memory = np.zeros(_SIZE + 8, np.int64)
        shift = (-self._memory.ctypes.data % 64) // 8
        self._slots = self._memory[shift : shift + _SIZE]
        self._slots[_SLOT["workers"]] = count
        self._slots[_SLOT["spin"]] = spin
        context = self._slots.ctypes.data
        self._gf_parallel = (ctypes.c_void_p * 2)(code.address("gf.run"), context)
        self.par = ctypes.addressof(self._gf_parallel)
        self._ring = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address("gf.ring"))
        loop = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address("gf.worker"))
        self._threads = [threading.Thread(target=loop, args=(context,), daemon=True, name=f"graphflow-{i}") for i in range(1, count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let the workers end; a job that runs is finished first."""
        self._slots[_SLOT["stop"]] = 1
        self._ring(self._slots.ctypes.data)
        for thread in self._threads:
            thread.join()


_loaded: dict[str, Loaded] = {}


def _code(machine: Machine) -> Loaded:
    if "pool" not in _loaded:
        arm = machine.triple.startswith(("aarch64", "arm"))
        pause = 'call void asm sideeffect "yield", ""()' if arm else 'call void asm sideeffect "pause", ""()'
        text = _IR.replace("PAUSE", pause).replace("FUTEX", "98" if arm else "202")
        module = compile_module(finish_module(text, machine), machine)
        assert isinstance(module, bytes)
        _loaded["pool"] = Loaded([module], ["gf.run", "gf.worker", "gf.ring"], {}, "graphflow-pool")
    return _loaded["pool"]


def cgroup_quota() -> float:
    """CPUs the cgroup's quota allows, infinity without one."""
    for quota, period in (("/sys/fs/cgroup/cpu.max", None), ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us")):
        try:
            with open(quota) as f:
                words = f.read().split()
            if period is not None:
                with open(period) as f:
                    words.append(f.read().strip())
            if words[0] in ("max", "-1"):
                continue
            return float(words[0]) / float(words[1])
        except (OSError, ValueError, IndexError):
            continue
    return math.inf


@functools.cache
def usable_cores() -> int:
    """Cores of the affinity mask, or fewer where a cgroup quota says so; asked once a process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota()
    return cores if quota == math.inf else min(cores, max(1, math.ceil(quota)))


def available_threads() -> int:
    """min(affinity mask, cgroup quota rounded up, the setting `threads`)."""
    cores = usable_cores()
    wanted: int = config.threads
    return max(1, min(cores, wanted) if wanted > 0 else cores)


_pools: dict[int, Pool] = {}
_making = threading.Lock()


def current_pool() -> Pool | None:
    """The process's pool for the current setting; None where one thread is all there is."""
    count = available_threads()
    if count == 1 or not sys.platform.startswith("linux"):
        return None
    pool = _pools.get(count)
    if pool is None:
        with _making:
            pool = _pools.get(count)
            if pool is None:
                whole_cores = cgroup_quota() == math.inf
                pool = _pools[count] = Pool(count, SPIN if whole_cores else 0)
    return pool


def _forget_after_fork() -> None:
    global _making
    _pools.clear()  # threads do not survive a fork
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
