"""The native entry: one LLVM function that does everything a call of a Program needs, in order.

    int32 NAME(const void *const *in, void *const *out, const int64 *dims, void *const *state,
               const void *const *consts, void *workspace, const gf_parallel *par)

`gf_parallel` is `{ void (*run)(void *ctx, void (*fn)(void *, int64, int64), void *args, int64 n); void *ctx; }`.
The workspace begins with the error record (site + 1, operand), then room for a launch's
arguments, then the arena.
"""

from __future__ import annotations

from graphflow.compiler import kernel as K
from graphflow.compiler import memory
from graphflow.compiler.emit import Emitter, Value
from graphflow.compiler.library import trampoline
from graphflow.compiler.program import Launch, Place, Program
from graphflow.compiler.target.machine import Machine
from graphflow.graph.dim import Dim, Size

# elementary operations (some 60 in a nanosecond) above which a kernel is shared out: sharing costs 0.2 us with the
# pool of `runtime/pool.py`, and with a caller's own some microseconds
PARALLEL_WORK, FOREIGN_PARALLEL_WORK = 120_000, 400_000


class Entry:
    """LLVM text of the Program's one function."""

    parallel_work = PARALLEL_WORK

    def __init__(self, program: Program, machine: Machine, name: str, trampolines: bool = True) -> None:
        self.program, self.name = program, name
        self.defines_trampolines = trampolines
        outline = K.Proc(name, tuple(program.dims), (), ())
        self.e = Emitter(outline, machine)
        self.e.env = {d: Value(f"%d{i}", K.I64) for i, d in enumerate(program.dims)}
        self.trampolines: dict[str, str] = {}

    def text(self) -> str:
        e, p = self.e, self.program
        for i in range(len(p.dims)):
            e.effect(f"%dp{i} = getelementptr i64, ptr %dims, i64 {i}")
            e.effect(f"%d{i} = load i64, ptr %dp{i}, align 8")
        e.effect("store i64 0, ptr %ws, align 8")
        for launch in p.launches:
            self.launch(launch)
            if launch.sites:
                self.stop_on_error(launch)
        for source, target, size in p.copies:
            self.copy(source, target, size)
        e.scopes[-1].block.end = "ret i32 0"
        body = "\n".join(f"{b.label}:\n" + "".join(f"  {line}\n" for line in b.lines) + f"  {b.end}" for b in e.blocks)
        head = f"define i32 @{self.name}(ptr %in, ptr %out, ptr %dims, ptr %state, ptr %consts, ptr %ws, ptr %par) #0 {{\n"
        return head + body + "\n}\n" + "".join(self.trampolines.values())

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
        if place.kind == "arena":
            offset = e.index(place.offset)
            return e.pure(f"getelementptr i8, ptr %ws, i64 {offset.text}", K.I64, 1, 0).text
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
