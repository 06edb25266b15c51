"""The thread pool: daemon threads inside one native loop (`pool_code.py`), which share out the iterations of a job.

As many threads work as the affinity mask, the cgroup quota and the setting `threads` allow, the caller being one
of them; fewer while other processes use the same cores with pools like this.  A worker that holds the lock of its core (`cores.py`) is pinned to it and spins between jobs; one that
does not, floats and sleeps.  The caller is never pinned.  The pool adapts itself when the affinity mask changes,
and is made anew in a forked process.  How a job is shared out never changes a bit of its results.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import mmap
import os
import threading
import time
from collections.abc import Callable, Collection

import numpy as np

from graphflow.compiler.target.machine import Loaded, host
from graphflow.configuration import config
from graphflow.runtime import cores, pool_code
from graphflow.runtime.pool_layout import LINE, MASK, PROCESSES, slot, slots

# microseconds
LIMITS = {
    "spin": 100,  # a worker without a job, before it sleeps
    "patience": 100,  # a caller that waits for workers, before it sleeps; and an eighth of the time it worked
    "wake": 60,  # work, done and expected, for which sleeping workers are woken: about what waking takes
    "period": 50_000,  # between looks at the affinity mask
    "look": 1_000,  # between looks at other processes
    "active": 50_000,  # since its last job a process is counted
    "grace": 50,  # loss that has no consequence
    "most_credit": 5_000,  # gain that may be lost again
    "most_alone": 500_000,  # running alone because of losses
    "most_gap": 1_000,  # between jobs, that counts as part of a round
}


class Pool:
    """`count` threads in all, the caller included; `par` is the address of its gf_parallel, for as long as it lives.

    `capacity` is the most threads it can have.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.setting: int | None  # of `threads`, for which `count` was chosen
        self._code = _code()
        size = slots(capacity)
        memory = np.zeros(size + LINE, np.int64)
        shift = (-memory.ctypes.data % (8 * LINE)) // 8
        self._slots = memory[shift : shift + size]
        self._context = self._slots.ctypes.data
        self._gf_parallel = (ctypes.c_void_p * 2)(self._code.address("gf.run"), self._context)
        self.par = ctypes.addressof(self._gf_parallel)
        self._ring = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._code.address("gf.ring"))
        self._loop = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)(self._code.address("gf.worker"))
        self.reset()

    def reset(self) -> None:
        """Become a pool without workers: at first, and in a forked process, to which threads do not come along."""
        self.count, self.setting = 1, None
        self._workers: list[threading.Thread] = []
        self._cores: list[int] = []  # of the workers
        self._adapting = threading.RLock()
        self._slots[:] = 0
        self._set("threads", 1)
        self._set("wanted", 1)
        self._set("pid", os.getpid())
        self._set("presence", _presence())
        for name, microseconds in LIMITS.items():
            self._set(name, round(microseconds * _ticks_per_microsecond()))
        self._slots[slot("credit") : slot("credit") + 1].view(np.float64)[0] = self["grace"]

    def __getitem__(self, name: str) -> int:
        """What a slot holds."""
        return int(self._slots[slot(name)])

    def _set(self, name: str, value: int, thread: int = 0) -> None:
        self._slots[slot(name, thread)] = value

    def adapt(self, count: int, allowed: Collection[int], spinning: bool = True, setting: int | None = None) -> None:
        """Have `count` threads from the next job on, on the `allowed` cores; `spinning` and pinned, or not."""
        with self._adapting:
            self._place(min(count, self.capacity), allowed, spinning)
            self._start(min(count, self.capacity))
            self.count, self.setting = 1 + min(count - 1, len(self._workers)), setting
            self._set("wanted", self.count)
            self._set("stale", 0)
            self._ring(self._context)

    def _place(self, count: int, allowed: Collection[int], spinning: bool) -> None:
        """Cores and their locks for the workers, and the mask for those that get none."""
        mask = _mask_of(allowed)
        self._set("cores", max(count, len(allowed)))
        self._set("allowed", self["cores"])
        self._slots[slot("mask") : slot("mask") + MASK] = mask
        usable = [c for c in cores.in_order(allowed, _core_of_caller()) if c < 64 * MASK]
        usable.sort(key=lambda core: core not in self._cores and not _locks.free(core))
        self._cores = usable[: count - 1] if spinning else []
        for me in range(1, max(count, 1 + len(self._workers))):
            has_core = me <= len(self._cores)
            self._set("lock", -1, me)  # before the core: a worker that looks now takes neither
            self._set("core", self._cores[me - 1] if has_core else 0, me)
            self._set("lock", _locks.file(self._cores[me - 1]) if has_core else -1, me)
        self._set("epoch", self["epoch"] + 1)

    def _start(self, count: int) -> None:
        while len(self._workers) < count - 1:
            me = 1 + len(self._workers)
            worker = threading.Thread(target=self._work, args=(me,), daemon=True, name=f"graphflow-{me}")
            try:
                worker.start()
            except RuntimeError:  # no more threads: the process ends, or has reached its limit
                return
            self._workers.append(worker)

    def _work(self, me: int) -> None:
        """A worker's life: the native loop, which comes back when the affinity mask of callers has changed."""
        while self._loop(self._context, me):
            with self._adapting:
                if self["stale"]:
                    allowed = _cores_of(self._slots[slot("mask_now") : slot("mask_now") + MASK])
                    _limit.cache_clear()
                    self.adapt(_threads_on(allowed), allowed, cores.whole(_limit()), config.threads)

    def stop(self, timeout: float | None = None) -> None:
        """Let the workers end; what they have begun is finished first."""
        self._set("stop", 1)
        self._ring(self._context)
        for worker in self._workers:
            worker.join(timeout)


@functools.cache
def _code() -> Loaded:
    return pool_code.load()


@functools.cache
def _ticks_per_microsecond() -> float:
    """The rate of the CPU's counter, from two readings beside the system's clock."""
    read: Callable[[], int] = ctypes.CFUNCTYPE(ctypes.c_int64)(_code().address("gf.ticks"))

    def both() -> tuple[int, int]:
        tries: list[tuple[int, int, int]] = []
        for _ in range(8):  # the least disturbed one
            before = time.perf_counter_ns()
            ticks = read()
            tries.append((time.perf_counter_ns() - before, before, ticks))
        return min(tries)[1:]

    (begun, first), (ended, last) = both(), both()
    while ended - begun < 300_000:
        ended, last = both()
    return max(1e-3, (last - first) / (ended - begun) * 1000)


@functools.cache
def _shared_memory() -> tuple[mmap.mmap | None, int]:
    memory = cores.shared_memory(8 * LINE * PROCESSES)
    return memory, 0 if memory is None else ctypes.addressof(ctypes.c_char.from_buffer(memory))


def _presence() -> int:
    """The address of what processes tell each other, 0 if they cannot."""
    return _shared_memory()[1]


def _mask_of(allowed: Collection[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    number = sum(1 << core for core in allowed if core < 64 * MASK)
    return np.frombuffer(number.to_bytes(8 * MASK, "little"), np.int64)


def _cores_of(mask: np.ndarray[tuple[int], np.dtype[np.int64]]) -> frozenset[int]:
    number = int.from_bytes(mask.tobytes(), "little")
    return frozenset(core for core in range(number.bit_length()) if number >> core & 1)


def _core_of_caller() -> int:
    """Where this thread runs at the moment; -1 if the system does not say."""
    try:
        return int(ctypes.CDLL(None).sched_getcpu())
    except (AttributeError, OSError):
        return -1


# --- the process's pool -----------------------------------------------------------------------------
_pool: Pool | None = None
_making = threading.Lock()
_locks = cores.Locks()


@functools.cache
def _limit() -> float:
    return cores.quota()


def _threads_on(allowed: Collection[int]) -> int:
    usable = cores.count(allowed, _limit())
    setting: int = config.threads
    return max(1, min(usable, setting) if setting > 0 else usable)


def available_threads() -> int:
    """The least of the affinity mask, the cgroup quota rounded up, and the setting `threads` if there is one."""
    return _threads_on(cores.affinity())


def current_pool() -> Pool | None:
    """The process's pool, for the present setting; None where one thread is all there is."""
    setting: int = config.threads
    if setting == 1:
        return None
    if _pool is not None and _pool.setting == setting and _pool.count > 1:
        return _pool
    return _adapted_pool(setting)


def _adapted_pool(setting: int) -> Pool | None:
    global _pool
    allowed = cores.affinity()
    count = _threads_on(allowed)
    if count == 1 or not pool_code.supports(host()):
        return None
    with _making:
        if _pool is None:
            _pool = Pool(max(count, os.cpu_count() or 1))
        if _pool.setting != setting or _pool.count == 1:
            _pool.adapt(count, allowed, cores.whole(_limit()), setting)
    return _pool


def _after_fork() -> None:
    global _making
    _making = threading.Lock()
    _locks.close()
    if _pool is not None:
        _pool.reset()


@atexit.register
def _at_exit() -> None:
    """No thread may be in native code when the interpreter takes its memory apart."""
    if _pool is not None:
        _pool.stop(timeout=1.0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
