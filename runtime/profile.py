"""`profile`: where the time and the memory of a compiled function go, kernel by kernel."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.compiler.cost import cost
from graphflow.compiler.profile_entry import events
from graphflow.compiler.program import Call, Launch, Place, Program
from graphflow.graph.dim import Symbol, evaluate
from graphflow.graph.errors import GraphError
from graphflow.graph.op import Array
from graphflow.runtime import chrome_trace, profile_table
from graphflow.runtime.buffer import as_fed_array
from graphflow.runtime.function import Function, check_ranks
from graphflow.runtime.instrument import Call as Timing
from graphflow.runtime.instrument import Timed, now, sizes_of
from graphflow.runtime.kernel_names import KernelName, name_call, name_launch
from graphflow.runtime.memory_profile import MemoryProfile, memory_profile
from graphflow.runtime.roofline import Bound, Roofline, roofline

WARM_UP = 4  # calls that are not counted: code and data come into the caches, native calls are made
SECONDS = 0.3  # of measured calls, where their number is not given
CALLS = (5, 200)  # the least and the most of them
KEPT = 20  # calls of which a trace shows everything


@dataclass(frozen=True)
class Row:
    """A launch: times in seconds (median and least of `calls`), traffic in bytes, operations by dtype name.

    `threads`: how many had a part in it, in most calls.  `exact`: bytes and operations were counted, not estimated.
    `trips`: how often it runs in a call, which times, bytes and operations are of.
    """

    number: int
    name: KernelName
    calls: int
    seconds: float
    least: float
    threads: int
    read: int
    written: int
    flops: dict[str, int]
    exact: bool
    bound: Bound
    trips: int = 1

    @property
    def bytes(self) -> int:
        return self.read + self.written

    @property
    def operations(self) -> int:
        return sum(self.flops.values())

    @property
    def roofline(self) -> float:
        """The least time the machine could take, as a share of the time it took; 0 where that was too short to see."""
        return self.bound.seconds / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Profile:
    """What `gf.profile` measured; its text is a table.

    `rows`: each launch in the order in which they run, copies into state last.  `seconds`, `least`: of a call from
    Python without clocks inside, median and least.  `history`: the calls a trace shows, `caller`: the
    thread that made them.
    """

    name: str
    rows: list[Row]
    calls: int
    seconds: float
    least: float
    roofline: Roofline
    memory: MemoryProfile
    history: list[Timing]
    caller: int

    @property
    def inside(self) -> float:
        """Seconds in kernels: the sum of their medians."""
        return sum(row.seconds for row in self.rows)

    @property
    def outside(self) -> float:
        """Seconds of a call that no kernel explains, where nothing disturbed either."""
        return max(0.0, self.least - sum(row.least for row in self.rows))

    def table(self, width: int = 120, rows: int = 40) -> str:
        """The table: the `rows` launches that take longest, in the order in which they run."""
        return profile_table.table(self, width, rows)

    def trace(self, path: str) -> None:
        """Write Chrome's trace format, for ui.perfetto.dev or chrome://tracing."""
        chrome_trace.write(self, path)

    def __str__(self) -> str:
        return self.table()


def profile_function(fn: Function, values: Sequence[Any], repeat: int | None = None) -> Profile:
    """Profile calls of `fn` with `values`; state is copied first, so that of the user stays as it is.

    `repeat`: how many calls are measured; by default as many as fit into SECONDS.
    """
    if repeat is not None and repeat < 1:
        raise GraphError(f"profile: repeat={repeat} measures nothing", hint="leave it out, or give the number of calls")
    plain = copy.copy(fn)
    plain.store = fn.store.copy_of(fn.compiled.shared)
    plain(*values)  # says what is wrong with the values, if anything is
    arrays = check_ranks(fn.inputs, [as_fed_array(v, x.dtype, x) for x, v in zip(fn.inputs, values, strict=True)])
    timed = Timed(fn.compiled.request, fn.name)
    for _ in range(WARM_UP):
        plain(*arrays)
        timed.timed(arrays, plain.store)
    began = now()
    plain(*arrays)
    wanted = repeat or int(np.clip(SECONDS * 1e9 / (2 * (now() - began) + 1), *CALLS))
    durations, calls = [], []
    for _ in range(wanted):
        before = now()
        plain(*arrays)
        durations.append((now() - before) * 1e-9)
        calls.append(timed.timed(arrays, plain.store))
    sizes = sizes_of(timed.current, timed.program, arrays, plain.store)
    found = roofline()
    rows = make_rows(timed.program, sizes, calls, found)
    if any(map(profile_table.impossible, rows)):
        found = roofline(again=True)
        rows = make_rows(timed.program, sizes, calls, found)
    held = sum(plain.store.cell(s).array.nbytes for s in timed.program.state)
    memory = memory_profile(timed.program, sizes, [row.name for row in rows], sum(a.nbytes for a in arrays), held)
    return Profile(fn.name, rows, wanted, *middle(np.array(durations)), found, memory, calls[:KEPT], threading.get_ident())


def make_rows(program: Program, sizes: Mapping[Symbol, int], calls: Sequence[Timing], measured: Roofline) -> list[Row]:
    reading = min(call.reading for call in calls)
    counts = np.array([call.counts for call in calls])
    times = np.maximum(np.array([call.events[:, 1] - call.events[:, 0] for call in calls]) - reading * counts, 0) * 1e-9
    usual = [int(n) for n in np.median(counts, axis=0)]
    at_work = np.array([threads_at_work(call) for call in calls])
    threads = [int(n) for n in np.median(at_work, axis=0)]
    rows: list[Row] = []
    for i, step in enumerate(events(program)):
        work = (launch_work(step, sizes) if isinstance(step, Launch) else call_work(step, sizes)).times(usual[i])
        bound = measured.speed(threads[i]).bound(work.flops, work.read, work.written)
        name = name_launch(step, sizes) if isinstance(step, Launch) else name_call(step)
        rows.append(Row(i, name, len(calls), *middle(times[:, i]), threads[i], work.read, work.written, work.flops, work.exact, bound, usual[i]))
    for i, (_, target, size) in enumerate(program.copies, len(rows)):
        moved = evaluate(size, sizes)
        name = KernelName("gf.copy", (f"copy into {program.state[target.number].label}",), "", 0)
        rows.append(Row(i, name, len(calls), *middle(times[:, i]), 1, moved, moved, {}, True, measured.speed(1).bound({}, moved, moved)))
    return rows


def threads_at_work(call: Timing) -> list[int]:
    """How many threads had a part in each event."""
    seen: list[set[int]] = [set() for _ in call.events]
    for chunk in call.chunks:
        seen[chunk.event].add(chunk.thread)
    return [max(1, len(threads)) for threads in seen]


def middle(times: Array) -> tuple[float, float]:
    """(median, least)."""
    return float(np.median(times)), float(times.min())


@dataclass(frozen=True)
class Work:
    """Bytes read and written, operations by dtype name, and whether they were counted or estimated."""

    read: int
    written: int
    flops: dict[str, int]
    exact: bool

    def times(self, n: int) -> Work:
        return Work(n * self.read, n * self.written, {dtype: n * count for dtype, count in self.flops.items()}, self.exact)


def call_work(call: Call, sizes: Mapping[Symbol, int]) -> Work:
    """A foreign call's operands and results, once; what it computes is not known."""
    (node,) = call.group.members
    read, written = (sum(evaluate(v.type.nbytes, sizes) for v in values) for values in (node.inputs, node.outputs))
    return Work(read, written, {}, False)


def launch_work(launch: Launch, sizes: Mapping[Symbol, int]) -> Work:
    """What a launch does at the sizes of a call; memory that has several parameters counts once."""
    own = {d: sizes.get(outer, 1) for d, outer in zip(launch.proc.dims, launch.dims, strict=True)}  # a loop's row number is no size of the call
    found = cost(launch.proc, own)
    read: dict[Place, int] = {}
    written: dict[Place, int] = {}
    for place, r, w in zip(launch.places, found.read, found.written, strict=True):
        read[place] = max(read.get(place, 0), r)
        written[place] = max(written.get(place, 0), w)
    return Work(sum(read.values()), sum(written.values()), found.flops, found.exact)
