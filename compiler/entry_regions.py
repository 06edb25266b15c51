"""Loops and branches of the native entry.

A loop holds its trip count, and the pointers that take turns, in phi nodes; what else a trip needs is computed at its
beginning from the row number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphflow.compiler import kernel as K
from graphflow.compiler.emit import BasicBlock, Scope, Value
from graphflow.compiler.program import Binding, Choice, Fixed, History, Loop, Overwrite, Place, Read, Row, Swap
from graphflow.graph.dim import Size
from graphflow.graph.types import DType

if TYPE_CHECKING:
    from graphflow.compiler.entry import Entry

UNBOUNDED = 2**63 - 1
POLL, POLL_CYCLES = "poll", 100_000_000  # foreign code that handles signals, and how long a loop goes on without it


class LoopCode:
    """The code of one loop."""

    def __init__(self, entry: Entry, loop: Loop) -> None:
        self.entry, self.e, self.loop = entry, entry.e, loop
        self.phis: list[str] = []

    def write(self) -> None:
        e, loop = self.e, self.loop
        limit = self.limit()
        self.before(limit)
        if self.entry.polls:
            self.clock = e.here("call i64 @llvm.readcyclecounter()", K.I64, 1).text
        outer = e.scopes[-1].block
        body = e.new_block("trip")
        leave = BasicBlock(f"over{e.count}")
        go = e.here(f"icmp slt i64 0, {limit}", K.BOOL, 1).text
        outer.end = f"br i1 {go}, label %{body.label}, label %{leave.label}"
        k, following = e.fresh(), e.fresh()
        e.scopes.append(Scope(body, certain=False))
        row = Value(k, K.I64, 1, e.depth) if not loop.reverse else e.here(f"sub i64 {self.last_row(limit)}, {k}", K.I64, 1)
        e.env[loop.trip] = row
        turns = [self.bind(b, k, row.text) for b in loop.bindings]
        if loop.number is not None:
            e.effect(f"store i64 {row.text}, ptr {self.entry.pointer(loop.number)}, align 8")
        self.check()
        self.entry.steps(loop.steps)
        if self.entry.polls:
            self.poll()
        stop = self.stop()
        latch = e.scopes.pop().block
        again = e.fresh()
        latch.lines += [f"{following} = add i64 {k}, 1", f"{again} = icmp slt i64 {following}, {limit}"]
        if stop:
            going = e.fresh()
            latch.lines += [f"{going} = and i1 {again}, {stop}"]
            again = going
        latch.end = f"br i1 {again}, label %{body.label}, label %{leave.label}"
        body.lines.insert(0, f"{k} = phi i64 [ 0, %{outer.label} ], [ {following}, %{latch.label} ]")
        for text in self.phis:
            body.lines.insert(0, text.format(outer=outer.label, latch=latch.label))
        e.blocks.append(leave)
        e.scopes[-1].block = leave
        trips = e.fresh()
        leave.lines.append(f"{trips} = phi i64 [ 0, %{outer.label} ], [ {following}, %{latch.label} ]")
        ends = [self.end_of_turns(*turn, outer.label, latch.label) for turn in turns if turn is not None]
        self.after(trips, limit, ends)

    # --- around the trips ----------------------------------------------------------------------------
    def limit(self) -> str:
        """The number of trips that are made at most."""
        e, loop = self.e, self.loop
        length = str(UNBOUNDED) if loop.length is None else e.index(loop.length).text
        if loop.count is None:
            return length
        count = e.here(f"load i64, ptr {self.entry.pointer(loop.count)}, align 8", K.I64, 1).text
        less = e.here(f"icmp slt i64 {count}, {length}", K.BOOL, 1).text
        return e.here(f"select i1 {less}, i64 {count}, i64 {length}", K.I64, 1).text

    def last_row(self, limit: str) -> str:
        return self.e.pure(f"sub i64 {limit}, 1", K.I64, 1, self.e.depth - 1).text

    def before(self, limit: str) -> None:
        """What carries begin with."""
        for b in self.loop.bindings:
            match b:
                case History():
                    first = self.at_row(b, limit if self.loop.reverse else "0")
                    self.copy(b.initial, first, b.stride)
                case Overwrite():
                    self.copy(b.initial, self.entry.pointer(b.final), b.nbytes)

    def copy(self, source: str | Place, target: str, nbytes: Size) -> None:
        pointer = source if isinstance(source, str) else self.entry.pointer(source)
        self.e.effect(f"call void @gf.copy(ptr {target}, ptr {pointer}, i64 {self.e.index(nbytes).text})")

    def at_row(self, b: History, row: str) -> str:
        e = self.e
        stride = e.index(b.stride).text
        offset = e.here(f"mul i64 {row}, {stride}", K.I64, 1).text
        return e.here(f"getelementptr i8, ptr {self.entry.pointer(b.place)}, i64 {offset}", K.I64, 1).text

    def after(self, trips: str, limit: str, ends: Sequence[tuple[Swap, str]]) -> None:
        """Last values to where they belong, zeros where no trip was, and the number of trips."""
        e, loop = self.e, self.loop
        for b in loop.bindings:
            if isinstance(b, History) and b.final is not None:
                last = e.here(f"sub i64 {limit}, {trips}", K.I64, 1).text if loop.reverse else trips
                self.copy(self.at_row(b, last), self.entry.pointer(b.final), b.stride)
        for b, last in ends:
            self.entry.copy_unless_same(last, self.entry.pointer(b.final), b.nbytes)
        for place, extra, nbytes in loop.cleared:
            self.clear(self.entry.pointer(place), extra, nbytes, trips, limit)
        if loop.trips is not None:
            e.effect(f"store i64 {trips}, ptr {self.entry.pointer(loop.trips)}, align 8")

    def clear(self, pointer: str, extra: Size, nbytes: Size, trips: str, limit: str) -> None:
        """Zero the rows after those of the trips made; backwards, only the rows from `limit` on had none."""
        e, loop = self.e, self.loop
        assert loop.length is not None
        rows = e.index(loop.length + extra).text
        made = e.here(f"add i64 {limit if loop.reverse else trips}, {e.index(extra).text}", K.I64, 1).text
        positive = e.here(f"icmp sgt i64 {made}, {e.index(extra).text}", K.BOOL, 1).text
        made = e.here(f"select i1 {positive}, i64 {made}, i64 {e.index(extra).text}", K.I64, 1).text
        left = e.here(f"sub i64 {rows}, {made}", K.I64, 1).text
        size = e.index(nbytes).text
        first = e.here(f"mul i64 {made}, {size}", K.I64, 1).text
        start = e.here(f"getelementptr i8, ptr {pointer}, i64 {first}", K.I64, 1).text
        e.effect(f"call void @gf.zero(ptr {start}, i64 {e.here(f'mul i64 {left}, {size}', K.I64, 1).text})")

    # --- one trip -------------------------------------------------------------------------------------
    def bind(self, b: Binding, k: str, row: str) -> tuple[Swap, str, str] | None:
        """Set the pointers (or the size) of a binding; for those that take turns (binding, first pointer, next one)."""
        e, pointers = self.e, self.entry.locals
        match b:
            case Fixed():
                pointers[b.local] = self.entry.pointer(b.place)
            case Row():
                offset = e.index(b.row * b.stride)
                pointers[b.local] = e.pure(f"getelementptr i8, ptr {self.entry.pointer(b.place)}, i64 {offset.text}", K.I64, 1, e.depth).text
            case History():
                before, after = (row, e.here(f"add i64 {row}, 1", K.I64, 1).text)
                if self.loop.reverse:
                    before, after = after, before
                pointers[b.read], pointers[b.write] = self.at_row(b, before), self.at_row(b, after)
            case Overwrite():
                pointers[b.local] = self.entry.pointer(b.final)
            case Swap():
                return self.take_turns(b)
            case Read():
                e.env[b.symbol] = load_size(self.entry, b.place, b.dtype)
        return None

    def take_turns(self, b: Swap) -> tuple[Swap, str, str]:
        e = self.e
        initial, final, other = (self.outside(p) for p in (b.initial, b.final, b.other))
        read, write = e.fresh(), e.fresh()
        is_final = e.here(f"icmp eq ptr {write}, {final}", K.BOOL, 1).text
        following = e.here(f"select i1 {is_final}, ptr {other}, ptr {final}", K.I64, 1).text
        self.phis.append(f"{read} = phi ptr [ {initial}, %{{outer}} ], [ {write}, %{{latch}} ]")
        self.phis.append(f"{write} = phi ptr [ {final}, %{{outer}} ], [ {following}, %{{latch}} ]")
        self.entry.locals[b.read], self.entry.locals[b.write] = read, write
        return b, initial, write

    def outside(self, place: Place) -> str:
        """A pointer as it is before the loop."""
        scope = self.e.scopes.pop()
        try:
            return self.entry.pointer(place)
        finally:
            self.e.scopes.append(scope)

    def end_of_turns(self, b: Swap, initial: str, write: str, outer: str, latch: str) -> tuple[Swap, str]:
        last = self.e.fresh()
        self.e.scopes[-1].block.lines.append(f"{last} = phi ptr [ {initial}, %{outer} ], [ {write}, %{latch} ]")
        return b, last

    def poll(self) -> None:
        """A loop that has gone on for some 50 ms lets signals be handled; where a handler raises, the run fails."""
        e = self.e
        last, now, following = e.fresh(), e.here("call i64 @llvm.readcyclecounter()", K.I64, 1).text, e.fresh()
        self.phis.append(f"{last} = phi i64 [ {self.clock}, %{{outer}} ], [ {following}, %{{latch}} ]")
        passed = e.here(f"sub i64 {now}, {last}", K.I64, 1).text
        long = e.here(f"icmp ugt i64 {passed}, {POLL_CYCLES}", K.BOOL, 1).text
        outer = e.scopes[-1].block
        handle, go = e.new_block("signals"), e.new_block("go")
        failed, fine = e.fresh(), e.fresh()
        handle.lines += [f'{failed} = call i32 @"gf.extern.{POLL}"(ptr null, ptr null, ptr null, ptr null)', f"{fine} = icmp eq i32 {failed}, 0"]
        leave = e.new_block("interrupted")
        leave.end = "ret i32 6"
        handle.end = f"br i1 {fine}, label %{go.label}, label %{leave.label}"
        outer.end = f"br i1 {long}, label %{handle.label}, label %{go.label}"
        go.lines.append(f"{following} = phi i64 [ {last}, %{outer.label} ], [ {now}, %{handle.label} ]")
        e.scopes[-1].block = go

    def check(self) -> None:
        e = self.e
        for a, b, site in self.loop.checks:
            same = e.here(f"icmp eq i64 {e.index(a).text}, {e.index(b).text}", K.BOOL, 1).text
            self.entry.fail_unless(same, str(site + 1))

    def stop(self) -> str:
        """i1: was this not the last trip?  Empty where no trip says so."""
        if self.loop.stop is None:
            return ""
        e = self.e
        flag = e.here(f"load i8, ptr {self.entry.pointer(self.loop.stop)}, align 1", K.BOOL, 1).text
        return e.here(f"icmp eq i8 {flag}, 0", K.BOOL, 1).text


def load_size(entry: Entry, place: Place, dtype: DType) -> Value:
    """The integer at a place as an i64."""
    bits = dtype.itemsize * 8
    found = entry.e.here(f"load i{bits}, ptr {entry.pointer(place)}, align {dtype.itemsize}", K.I64, 1)
    if bits == 64:
        return found
    return entry.e.here(f"{'sext' if dtype.kind == 'i' else 'zext'} i{bits} {found.text} to i64", K.I64, 1)


def write_choice(entry: Entry, choice: Choice) -> None:
    """One of two lists of steps."""
    e = entry.e
    for b in choice.bindings:
        assert isinstance(b, Fixed)
        entry.locals[b.local] = entry.pointer(b.place)
    flag = e.here(f"load i8, ptr {entry.pointer(choice.flag)}, align 1", K.BOOL, 1).text
    cond = e.here(f"icmp ne i8 {flag}, 0", K.BOOL, 1).text
    outer = e.scopes[-1].block
    starts: list[BasicBlock] = []
    ends: list[BasicBlock] = []
    for part in (choice.yes, choice.no):
        starts.append(e.new_block("case"))
        e.scopes.append(Scope(starts[-1], certain=False))
        entry.steps(part)
        ends.append(e.scopes.pop().block)
    merge = e.new_block("merge")
    for end in ends:
        end.end = f"br label %{merge.label}"
    outer.end = f"br i1 {cond}, label %{starts[0].label}, label %{starts[1].label}"
    e.scopes[-1].block = merge
