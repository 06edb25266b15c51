"""The memory of the thread pool: 64-bit slots by name, for its native code and for Python.

What different threads write is on different cache lines.
"""

from __future__ import annotations

LINE = 8  # slots of a cache line
MASK = 16  # slots of an affinity mask: 1024 cores
JOBS = 64  # kinds of jobs that are told apart
PROCESSES = 32  # that see each other; a line each in memory that they share: pid, time of the last job, cores (mod 64)

_LINES = (
    ("busy", "seen", "owed", "last_end", "checked", "credit", "strikes", "alone_until"),  # the caller that holds `busy`
    ("clock", "trial_left", "rounds", "alones", "jobs", "anchor", "anchor_jobs", "anchor_size"),  # the same; see pool_account.py
    ("done", "waiting"),  # iterations that workers ever did; does the caller sleep until there are more?
    ("bell", "sleepers", "stop", "stale"),  # stale: the affinity mask is not the one the pool was made for
    ("threads", "wanted", "epoch", "here"),  # who may claim; who may from the next job on; the epoch of cores and masks; where the caller was
    ("spin", "wake", "patience", "period", "grace", "most_credit", "most_alone", "most_gap"),  # limits, in ticks
    ("shared", "rings", "debts", "trials"),  # how often it happened
    ("presence", "entry", "pid", "cores", "allowed", "looked", "look", "active"),  # of other processes; two limits
)  # fmt: skip
_JOB = ("fn", "start", "alone_time", "when")  # when it began last; a round of it alone; in which period
_SHARE = ("range", "share_fn", "share_args", "share_n", "share_unit", "core", "lock")  # a line for each thread: its part of the job, its core

assert all(len(line) <= LINE for line in (*_LINES, _SHARE))

SLOT = {name: LINE * i + j for i, line in enumerate(_LINES) for j, name in enumerate(line)}
SLOT["mask"] = LINE * len(_LINES)
SLOT["mask_now"] = SLOT["mask"] + MASK
_FIRST_JOB = SLOT["mask_now"] + MASK
_FIRST_SHARE = _FIRST_JOB + len(_JOB) * JOBS
SLOT |= {name: _FIRST_JOB + j for j, name in enumerate(_JOB)}
SLOT |= {name: _FIRST_SHARE + j for j, name in enumerate(_SHARE)}
JOB = len(_JOB)  # slots of a kind of job


def slot(name: str, thread: int = 0) -> int:
    """The number of a slot; `thread` for those that each thread has."""
    return SLOT[name] + LINE * thread


def slots(threads: int) -> int:
    """How many slots a pool of so many threads takes."""
    return slot("range", threads)


def fields(*names: str, base: str = "%c") -> str:
    """LLVM text: `%name.p`, the address of each slot, from the pool `%c`, a thread's `%share`, or a kind of `%job`."""
    first = {"%c": 0, "%share": _FIRST_SHARE, "%job": _FIRST_JOB}[base]
    return "".join(f"  %{name}.p = getelementptr i64, ptr {base}, i64 {SLOT[name] - first}\n" for name in names)
