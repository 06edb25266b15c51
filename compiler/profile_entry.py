"""The native entry with a clock: the same calls in the same order, with the time before and after each.

Times go to a record of int64 words at the imported symbol `gf.profile`, in nanoseconds of the system's
monotonic clock:

    word 0       how many chunks were recorded
    words 1, 2   two readings of the clock at the beginning: what one reading takes
    then         (when it first began, how long it took, how often it ran) of each event: the launches and foreign calls in
                 order, then the copies into state
    then         (event, thread, from, to) of each chunk that a thread ran of a shared launch
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from graphflow.compiler.entry import Entry
from graphflow.compiler.program import Call, Launch, Place, Program, Step, walk
from graphflow.compiler.target.machine import Machine
from graphflow.graph.dim import Size
from graphflow.graph.errors import GraphflowError

CHUNKS = 4096  # recorded of one call; more are dropped
FIRST, EVENT = 3, 3  # the word of the first event; words of each
SYMBOL, CLOCK = "gf.profile", "clock_gettime"


def clock_id() -> int:
    """The system's number of its monotonic clock.  Raises GraphflowError where there is none."""
    found: int | None = getattr(time, "CLOCK_MONOTONIC", None)
    if found is None:
        raise GraphflowError("profiling needs the system's clock_gettime", hint="it is there on Linux and macOS")
    return found


def events(program: Program) -> list[Launch | Call]:
    """What is timed, in order, before the copies."""
    return events_in(program.steps)


def events_in(steps: Sequence[Step]) -> list[Launch | Call]:
    return [step for step in walk(steps) if isinstance(step, Launch | Call)]


def words(program: Program) -> int:
    """The size of the record."""
    return chunks_at(program) + 4 * CHUNKS


def chunks_at(program: Program) -> int:
    """The word at which chunks begin."""
    return FIRST + EVENT * (len(events(program)) + len(program.copies))


class ProfiledEntry(Entry):
    """LLVM text of an entry that records times; chunks of shared launches too."""

    def __init__(self, program: Program, machine: Machine, name: str, trampolines: bool = True) -> None:
        super().__init__(program, machine, name, trampolines)
        self.event = 0
        self.chunk_functions: list[str] = []
        for word in (1, 2):
            self.e.effect(f"call void @gf.stamp(i64 {word})")

    def text(self) -> str:
        return super().text() + "".join(self.chunk_functions) + _runtime(chunks_at(self.program))

    @contextmanager
    def clock(self) -> Iterator[None]:
        """What is emitted inside is the next event."""
        word, since = FIRST + EVENT * self.event, self.e.fresh()
        self.e.effect(f"{since} = call i64 @gf.begin(i64 {word})")
        yield
        self.e.effect(f"call void @gf.end(i64 {word}, i64 {since})")
        self.event += 1

    def launch(self, launch: Launch) -> None:
        with self.clock():
            super().launch(launch)

    def call(self, call: Call) -> None:
        with self.clock():
            super().call(call)

    def copy(self, source: Place, target: Place, size: Size) -> None:
        with self.clock():
            super().copy(source, target, size)

    def team_call(self, lines: list[str], launch: Launch, pointers: list[str], dims: list[str], extent: str) -> None:
        """As ever, with a function that times each chunk in place of the kernel's own."""
        at = len(lines)
        super().team_call(lines, launch, pointers, dims, extent)
        kernel, timed = f"@{launch.proc.name}.team", f"@gf.chunk{self.event}"
        lines[at:] = [line.replace(f"ptr {kernel},", f"ptr {timed},") for line in lines[at:]]
        assert any(timed in line for line in lines[at:]), lines[at:]
        self.chunk_functions.append(
            f"define internal void {timed}(ptr %args, i64 %lo, i64 %hi) #0 {{\n"
            "  %from = call i64 @gf.now()\n"
            f"  call void {kernel}(ptr %args, i64 %lo, i64 %hi)\n"
            f"  call void @gf.chunk_done(i64 {self.event}, i64 %from)\n"
            "  ret void\n}\n"
        )


def _runtime(chunks: int) -> str:
    """The clock, and where its readings go."""
    return f"""
@{SYMBOL} = external global i64
declare i32 @{CLOCK}(i32, ptr)
declare i64 @pthread_self()
define internal i64 @gf.now() #0 {{
  %t = alloca [2 x i64], align 8
  %r = call i32 @{CLOCK}(i32 {clock_id()}, ptr %t)
  %s = load i64, ptr %t, align 8
  %np = getelementptr i64, ptr %t, i64 1
  %n = load i64, ptr %np, align 8
  %sn = mul i64 %s, 1000000000
  %now = add i64 %sn, %n
  ret i64 %now
}}
define internal void @gf.stamp(i64 %word) #0 {{
  %now = call i64 @gf.now()
  %p = getelementptr i64, ptr @{SYMBOL}, i64 %word
  store i64 %now, ptr %p, align 8
  ret void
}}
define internal i64 @gf.begin(i64 %word) #0 {{
  %p = getelementptr i64, ptr @{SYMBOL}, i64 %word
  %count.p = getelementptr i64, ptr %p, i64 2
  %count = load i64, ptr %count.p, align 8
  %first = icmp eq i64 %count, 0
  br i1 %first, label %keep, label %end
keep:
  call void @gf.stamp(i64 %word)
  br label %end
end:
  %now = call i64 @gf.now()
  ret i64 %now
}}
define internal void @gf.end(i64 %word, i64 %since) #0 {{
  %now = call i64 @gf.now()
  %took = sub i64 %now, %since
  %p = getelementptr i64, ptr @{SYMBOL}, i64 %word
  %total.p = getelementptr i64, ptr %p, i64 1
  %total = load i64, ptr %total.p, align 8
  %total1 = add i64 %total, %took
  store i64 %total1, ptr %total.p, align 8
  %count.p = getelementptr i64, ptr %p, i64 2
  %count = load i64, ptr %count.p, align 8
  %count1 = add i64 %count, 1
  store i64 %count1, ptr %count.p, align 8
  ret void
}}
define internal void @gf.chunk_done(i64 %event, i64 %from) #0 {{
  %to = call i64 @gf.now()
  %k = atomicrmw add ptr @{SYMBOL}, i64 1 monotonic
  %room = icmp ult i64 %k, {CHUNKS}
  br i1 %room, label %keep, label %end
keep:
  %me = call i64 @pthread_self()
  %k4 = shl i64 %k, 2
  %at = add i64 %k4, {chunks}
  %p0 = getelementptr i64, ptr @{SYMBOL}, i64 %at
  store i64 %event, ptr %p0, align 8
  %p1 = getelementptr i64, ptr %p0, i64 1
  store i64 %me, ptr %p1, align 8
  %p2 = getelementptr i64, ptr %p0, i64 2
  store i64 %from, ptr %p2, align 8
  %p3 = getelementptr i64, ptr %p0, i64 3
  store i64 %to, ptr %p3, align 8
  br label %end
end:
  ret void
}}
"""
