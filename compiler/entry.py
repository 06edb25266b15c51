"""The native entry: one LLVM function that does everything a call of a Program needs, in order.

    int32 NAME(const void *const *in, void *const *out, const int64 *dims, void *const *state,
               const void *const *consts, void *workspace, const gf_parallel *par)

`gf_parallel` is `{ void (*run)(void *ctx, void (*fn)(void *, int64, int64), void *args, int64 n); void *ctx; }`.
The workspace begins with the error record (site + 1, operand), then room for a launch's
arguments, then the arena.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from graphflow.compiler import kernel as K
from graphflow.compiler import memory
from graphflow.compiler.emit import Emitter, Value
from graphflow.compiler.entry_regions import LoopCode, load_size, write_choice
from graphflow.compiler.library import trampoline
from graphflow.compiler.program import Call, Choice, Launch, Loop, Measure, Place, Program, Step
from graphflow.compiler.target.machine import Machine
from graphflow.graph.dim import Dim, Size

# elementary operations (some 60 in a nanosecond) above which a kernel is shared out: sharing costs 0.2 us with the
# pool of `runtime/pool.py`, and with a caller's own some microseconds
PARALLEL_WORK, FOREIGN_PARALLEL_WORK = 120_000, 400_000
NO_OPERAND = -(2**63)  # in the record of a failure that has no value to show


class Entry:
    """LLVM text of the Program's one function."""

    parallel_work = PARALLEL_WORK
    in_process = True  # may long loops ask Python whether a signal has come?

    def __init__(self, program: Program, machine: Machine, name: str, trampolines: bool = True) -> None:
        self.program, self.name = program, name
        self.defines_trampolines = trampolines
        outline = K.Proc(name, tuple(program.dims), (), ())
        self.e = Emitter(outline, machine)
        self.e.env = {d: Value(f"%d{i}", K.I64) for i, d in enumerate(program.dims)}
        self.trampolines: dict[str, str] = {}
        self.polls = self.in_process and machine.triple.startswith("x86_64")  # elsewhere the cycle counter may not be read
        self.locals: dict[int, str] = {}

    def text(self) -> str:
        e, p = self.e, self.program
        for i in range(len(p.dims)):
            e.effect(f"%dp{i} = getelementptr i64, ptr %dims, i64 {i}")
            e.effect(f"%d{i} = load i64, ptr %dp{i}, align 8")
        e.effect("store i64 0, ptr %ws, align 8")
        self.steps(p.steps)
        for source, target, size in p.copies:
            self.copy(source, target, size)
        e.scopes[-1].block.end = "ret i32 0"
        body = "\n".join(f"{b.label}:\n" + "".join(f"  {line}\n" for line in b.lines) + f"  {b.end}" for b in e.blocks)
        head = f"define i32 @{self.name}(ptr %in, ptr %out, ptr %dims, ptr %state, ptr %consts, ptr %ws, ptr %par) #0 {{\n"
        return head + body + "\n}\n" + "".join(self.trampolines.values())

    def steps(self, steps: Sequence[Step]) -> None:
        for step in steps:
            match step:
                case Launch():
                    self.launch(step)
                    if step.sites:
                        self.stop_on_error(step)
                case Call():
                    self.call(step)
                case Loop():
                    self.loop(step)
                case Choice():
                    self.choice(step)
                case Measure():
                    self.measure(step)

    def loop(self, loop: Loop) -> None:
        LoopCode(self, loop).write()

    def choice(self, choice: Choice) -> None:
        write_choice(self, choice)

    def measure(self, step: Measure) -> None:
        """A computed size, within its bounds; the caller finds it among the Dims."""
        e = self.e
        e.env[step.symbol] = value = load_size(self, step.place, step.dtype)
        number = self.program.dims.index(step.symbol)
        self.report_dim(number, value.text)
        for a, b, site in step.checks:
            same = e.here(f"icmp eq i64 {e.index(a).text}, {e.index(b).text}", K.BOOL, 1).text
            self.fail_unless(same, str(site + 1))

    def report_dim(self, number: int, value: str) -> None:
        self.e.effect(f"store i64 {value}, ptr %dp{number}, align 8")

    def call(self, call: Call) -> None:
        """Foreign code gets tables of pointers and sizes, which lie where a launch's arguments do."""
        e = self.e
        words = [*(("ptr", self.pointer(p)) for p in (*call.inputs, *call.outputs)), *(("i64", e.index(s).text) for s in call.sizes)]
        tables: list[str] = []
        for i, (t, value) in enumerate(words):
            slot = e.fresh()
            e.effect(f"{slot} = getelementptr i8, ptr %ws, i64 {memory.HEADER + 8 * i}")
            e.effect(f"store {t} {value}, ptr {slot}, align 8")
        for first in (0, len(call.inputs), len(call.inputs) + len(call.outputs)):
            tables.append(e.fresh())
            e.effect(f"{tables[-1]} = getelementptr i8, ptr %ws, i64 {memory.HEADER + 8 * first}")
        scratch = "null" if call.scratch is None else self.pointer(call.scratch)
        failed = e.here(f'call i32 @"{entry_symbol(call.symbol)}"(ptr {tables[0]}, ptr {tables[1]}, ptr {tables[2]}, ptr {scratch})', K.I64, 1).text
        self.fail_unless(e.here(f"icmp eq i32 {failed}, 0", K.BOOL, 1).text, str(call.site + 1))

    def fail_unless(self, condition: str, number: str) -> None:
        """Return 6 with the number of a site in the record where an i1 is false."""
        e = self.e
        outer = e.scopes[-1].block
        leave, go = e.new_block("failed"), e.new_block("fine")
        outer.end = f"br i1 {condition}, label %{go.label}, label %{leave.label}"
        slot = e.fresh()
        leave.lines += [f"store i64 {number}, ptr %ws, align 8", f"{slot} = getelementptr i64, ptr %ws, i64 1", f"store i64 {NO_OPERAND}, ptr {slot}, align 8"]
        leave.end = "ret i32 6"
        e.scopes[-1].block = go

    def stop_on_error(self, launch: Launch) -> None:
        """After a kernel with checks: return 6, with the Program's number of the site in the record."""
        e = self.e
        record = e.here("load i64, ptr %ws, align 8", K.I64, 1)
        failed = e.here(f"icmp ne i64 {record.text}, 0", K.BOOL, 1)
        outer = e.scopes[-1].block
        leave, go = e.new_block("failed"), e.new_block("fine")
        outer.end = f"br i1 {failed.text}, label %{leave.label}, label %{go.label}"
        number = e.fresh()
        leave.lines += [f"{number} = add i64 {record.text}, {launch.first_site}", f"store i64 {number}, ptr %ws, align 8"]
        leave.end = "ret i32 6"
        e.scopes[-1].block = go

    def pointer(self, place: Place) -> str:
        e = self.e
        if place.kind == "local":
            return self.locals[place.number]
        if place.kind == "arena":
            offset = e.index(place.offset)
            return e.pure(f"getelementptr i8, ptr %ws, i64 {offset.text}", K.I64, 1, offset.depth).text
        table = {"in": "%in", "out": "%out", "state": "%state", "const": "%consts"}[place.kind]
        slot = e.pure(f"getelementptr ptr, ptr {table}, i64 {place.number}", K.I64, 1, 0).text
        return e.pure(f"load ptr, ptr {slot}, align 8", K.I64, 1, 0).text

    def launch(self, launch: Launch) -> None:
        e, proc = self.e, launch.proc
        pointers = [self.pointer(p) for p in launch.places]
        dims = [e.index(Dim.of(d)).text for d in launch.dims]
        args = ", ".join([*(f"ptr {p}" for p in pointers), *(f"i64 {d}" for d in dims), "ptr %ws"])
        if launch.team is None or launch.team == 1 or self.is_small(launch):
            extent = e.index(1 if launch.team is None else launch.team)
            e.effect(f"call void @{proc.name}({args}, i64 0, i64 {extent.text})")
            return
        extent = e.index(launch.team)
        work = e.index(launch.work)
        big = e.here(f"icmp sgt i64 {work.text}, {self.parallel_work}", K.BOOL, 1)
        several = e.here(f"icmp sgt i64 {extent.text}, 1", K.BOOL, 1)
        has = e.here("icmp ne ptr %par, null", K.BOOL, 1)
        both = e.here(f"and i1 {big.text}, {several.text}", K.BOOL, 1)
        shared = e.here(f"and i1 {both.text}, {has.text}", K.BOOL, 1)
        outer = e.scopes[-1].block
        many, one = e.new_block("many"), e.new_block("one")
        e.count += 1
        after = e.new_block("after")
        outer.end = f"br i1 {shared.text}, label %{many.label}, label %{one.label}"
        one.lines.append(f"call void @{proc.name}({args}, i64 0, i64 {extent.text})")
        one.end = many.end = f"br label %{after.label}"
        self.team_call(many.lines, launch, pointers, dims, extent.text)
        e.scopes[-1].block = after

    def is_small(self, launch: Launch) -> bool:
        """Is it known to have too little work for more than one thread?"""
        return isinstance(launch.work, int) and launch.work <= self.parallel_work

    def team_call(self, lines: list[str], launch: Launch, pointers: list[str], dims: list[str], extent: str) -> None:
        e = self.e
        for i, (t, value) in enumerate([*(("ptr", p) for p in pointers), *(("i64", d) for d in dims), ("ptr", "%ws")]):
            slot = e.fresh()
            lines.append(f"{slot} = getelementptr i8, ptr %ws, i64 {memory.HEADER + 8 * i}")
            lines.append(f"store {t} {value}, ptr {slot}, align 8")
        args, run, ctx_slot, ctx = e.fresh(), e.fresh(), e.fresh(), e.fresh()
        lines += [
            f"{args} = getelementptr i8, ptr %ws, i64 {memory.HEADER}",
            f"{run} = load ptr, ptr %par, align 8",
            f"{ctx_slot} = getelementptr ptr, ptr %par, i64 1",
            f"{ctx} = load ptr, ptr {ctx_slot}, align 8",
            f"call void {run}(ptr {ctx}, ptr @{launch.proc.name}.team, ptr {args}, i64 {extent})",
        ]
        if self.defines_trampolines:
            self.trampolines.setdefault(launch.proc.name, trampoline(launch.proc))

    def copy(self, source: Place, target: Place, size: Size) -> None:
        """Bytes from a buffer to state, eight at a time (no memcpy call: bundles have no libc)."""
        e = self.e
        src, dst, n = self.pointer(source), self.pointer(target), e.index(size).text
        e.effect(f"call void @gf.copy(ptr {dst}, ptr {src}, i64 {n})")

    def copy_unless_same(self, source: str, target: str, nbytes: Size) -> None:
        e = self.e
        same = e.here(f"icmp eq ptr {source}, {target}", K.BOOL, 1).text
        n = e.here(f"select i1 {same}, i64 0, i64 {e.index(nbytes).text}", K.I64, 1).text
        e.effect(f"call void @gf.copy(ptr {target}, ptr {source}, i64 {n})")


def entry_symbol(symbol: str) -> str:
    """The name by which the entry calls foreign code."""
    return f"gf.extern.{symbol}"


def runtime_text(code: str) -> str:
    """The functions that entries in `code` call, and declarations of foreign ones."""
    found = "".join(text for name, text in (("@gf.copy(", COPY), ("@gf.zero(", ZERO)) if name in code)
    foreign = dict.fromkeys(re.findall(r'call i32 (@"gf\.extern\.[^"]*")', code))
    return found + "".join(f"declare i32 {symbol}(ptr, ptr, ptr, ptr)\n" for symbol in foreign)


ZERO = """define internal void @gf.zero(ptr %dst, i64 %n) #0 {
entry:
  %any = icmp sgt i64 %n, 0
  br i1 %any, label %byte, label %end
byte:
  %j = phi i64 [ 0, %entry ], [ %j1, %byte ]
  %p = getelementptr i8, ptr %dst, i64 %j
  store i8 0, ptr %p, align 1
  %j1 = add i64 %j, 1
  %more = icmp ult i64 %j1, %n
  br i1 %more, label %byte, label %end
end:
  ret void
}
"""

COPY = """define internal void @gf.copy(ptr %dst, ptr %src, i64 %n) #0 {
entry:
  %words = lshr i64 %n, 3
  %any = icmp ne i64 %words, 0
  br i1 %any, label %word, label %bytes
word:
  %i = phi i64 [ 0, %entry ], [ %i1, %word ]
  %ps = getelementptr i64, ptr %src, i64 %i
  %pd = getelementptr i64, ptr %dst, i64 %i
  %v = load i64, ptr %ps, align 1
  store i64 %v, ptr %pd, align 1
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, %words
  br i1 %more, label %word, label %bytes
bytes:
  %done = shl i64 %words, 3
  %left = icmp ult i64 %done, %n
  br i1 %left, label %byte, label %end
byte:
  %j = phi i64 [ %done, %bytes ], [ %j1, %byte ]
  %qs = getelementptr i8, ptr %src, i64 %j
  %qd = getelementptr i8, ptr %dst, i64 %j
  %b = load i8, ptr %qs, align 1
  store i8 %b, ptr %qd, align 1
  %j1 = add i64 %j, 1
  %again = icmp ult i64 %j1, %n
  br i1 %again, label %byte, label %end
end:
  ret void
}
"""
