"""The order in which kernels are launched.

Groups come in an order that can run.  Within what data allows, a launch that frees at least as much memory as it takes
goes as early as it can: a weight's update right after its gradient, while that is still in the cache.  A launch that
writes state waits for the readers of the old value, which lets it work in place, and for the run-time checks, so that a
run that fails changes nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from graphflow.compiler import memory
from graphflow.graph.variable import Constant, Shared, Variable


@dataclass(eq=False)
class Job:
    """A launch: the arena values it reads and makes with their bytes, and what it waits for."""

    number: int
    reads: dict[Variable, int] = field(default_factory=dict)
    makes: dict[Variable, int] = field(default_factory=dict)
    needs: set[int] = field(default_factory=set)
    state_read: set[Variable] = field(default_factory=set)
    state_written: set[Variable] = field(default_factory=set)
    checks: bool = False


class Lowered(Protocol):
    """A step before it is placed: the memory it makes, works in and touches, and whether it may fail."""

    @property
    def stores(self) -> list[Variable]: ...
    @property
    def work(self) -> list[Variable]: ...
    @property
    def touched(self) -> list[Variable]: ...
    @property
    def checks(self) -> bool: ...


OneStep = TypeVar("OneStep", bound=Lowered)


def launch_order(steps: Sequence[OneStep], written: Mapping[Variable, Sequence[Variable]], kept: Collection[Variable]) -> list[OneStep]:
    """`steps`, which can run in the order given, in the better of two orders.

    `written`: values that become state, or carries.  `kept`: values whose memory is not the arena's.
    """
    jobs = jobs_of([([*s.stores, *s.work], s.touched) for s in steps], written, kept)
    for job, step in zip(jobs, steps, strict=True):
        job.checks = step.checks
    return [steps[job.number] for job in scheduled(jobs)]


def cell_of(leaf: Variable) -> Variable:
    """The state that a leaf reads, or a body's operand itself."""
    return leaf.state if isinstance(leaf, Shared) else leaf


def jobs_of(launches: Sequence[tuple[Sequence[Variable], Iterable[Variable]]], written: Mapping[Variable, Sequence[Variable]], kept: Collection[Variable], dim: int = memory.GUIDE) -> list[Job]:
    """A Job for each launch, given as the values it stores and the memory it touches; sizes are those where every Dim is `dim`."""
    maker = {v: i for i, (stores, _) in enumerate(launches) for v in stores}
    size = {v: 0 if v in written or v in kept else memory.guide_size(v.type.nbytes, dim) for v in maker}
    jobs: list[Job] = []
    for i, (stores, touched) in enumerate(launches):
        job = Job(i, makes={v: size[v] for v in stores})
        jobs.append(job)
        for v in dict.fromkeys(touched):
            if v.owner is None and v not in maker and not isinstance(v, Constant):
                job.state_read.add(cell_of(v))
            elif maker.get(v, i) != i:
                job.reads[v] = size[v]
                job.needs.add(maker[v])
        for v in stores:
            job.state_written.update(cell_of(s) for s in written.get(v, ()))
    return jobs


def scheduled(jobs: Sequence[Job]) -> list[Job]:
    """The better of two orders for jobs that can run in the order given, by the most bytes alive at once."""
    orders = [[jobs[i] for i in _Queue(jobs, eager).run()] for eager in (True, False)]
    return min(orders, key=lambda order: max(alive(order), default=0))


def alive(order: Sequence[Job]) -> list[int]:
    """Bytes alive during each launch, when they run in this order."""
    last = {v: at for at, job in enumerate(order) for v in (*job.makes, *job.reads)}
    bytes_, found = 0, []
    for at, job in enumerate(order):
        bytes_ += sum(job.makes.values())
        found.append(bytes_)
        bytes_ -= sum(n for values in (job.makes, job.reads) for v, n in values.items() if last[v] == at)
    return found


class _Queue:
    """List scheduling.  `eager`: launches that free as much as they take go before all others, the most first; else only data and state order."""

    def __init__(self, jobs: Sequence[Job], eager: bool) -> None:
        self.jobs, self.eager = jobs, eager
        self.users: list[list[int]] = [[] for _ in jobs]
        self.missing = [len(job.needs) for job in jobs]
        self.readers: dict[Variable, set[int]] = {}
        self.state_readers: dict[Variable, set[int]] = {}
        self.writers: dict[Variable, int] = {}
        self.checks = {job.number for job in jobs if job.checks}
        for job in jobs:
            for i in job.needs:
                self.users[i].append(job.number)
            for v in job.reads:
                self.readers.setdefault(v, set()).add(job.number)
            for s in job.state_read:
                self.state_readers.setdefault(s, set()).add(job.number)
            self.writers.update(dict.fromkeys(job.state_written, job.number))
        self.ready: list[tuple[int, int]] = []
        self.blocked: list[int] = []  # what has its operands, and writes state that is still read
        self.done: set[int] = set()
        self.order: list[int] = []

    def run(self) -> list[int]:
        for job in self.jobs:
            self.offer(job.number)
        while len(self.order) < len(self.jobs):
            if self.ready:
                _, i = heapq.heappop(self.ready)
            else:  # each waits for another one: the first goes, and its new state is copied later
                i = heapq.heappop(self.blocked)
            if i not in self.done:
                self.launch(i)
        return self.order

    def offer(self, i: int) -> None:
        if i in self.done or self.missing[i]:
            return
        if self.waits(i):
            heapq.heappush(self.blocked, i)
        else:
            freed = self.freed(i) if self.eager else -1
            heapq.heappush(self.ready, (-freed if freed >= 0 else 1, i))

    def waits(self, i: int) -> bool:
        written = self.jobs[i].state_written
        return bool(written) and any(len(others) > (i in others) for others in (self.checks, *(self.state_readers.get(s, ()) for s in written)))

    def freed(self, i: int) -> int:
        """The bytes that are alive less once it has run."""
        job = self.jobs[i]
        ended = sum(n for v, n in job.reads.items() if self.readers[v] == {i})
        return ended - sum(n for v, n in job.makes.items() if v in self.readers)

    def launch(self, i: int) -> None:
        job = self.jobs[i]
        self.done.add(i)
        self.order.append(i)
        for user in self.users[i]:
            self.missing[user] -= 1
            self.offer(user)
        for v in job.reads:
            self.readers[v].discard(i)
            if len(self.readers[v]) == 1:
                self.offer(*self.readers[v])
        for s in job.state_read:
            self.state_readers[s].discard(i)
            if len(self.state_readers[s]) <= 1 and s in self.writers:
                self.offer(self.writers[s])
        if job.checks:
            self.checks.discard(i)
            if len(self.checks) <= 1:
                for writer in dict.fromkeys(self.writers.values()):
                    self.offer(writer)
