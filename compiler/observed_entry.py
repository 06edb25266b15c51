"""The native entry with an observer: a function that is called before and after each launch.

The observer's address is the word at the imported symbol `gf.observer`; its type is

    void observe(int64 launch, int64 done, const int64 *operands)

`launch` is the launch's number in the Program, `done` is 0 before it and 1 after it, `operands` are the addresses of the
launch's memory, followed by its dims.
"""

from __future__ import annotations

from graphflow.compiler import memory
from graphflow.compiler.entry import Entry
from graphflow.compiler.program import Launch, Program
from graphflow.compiler.target.machine import Machine
from graphflow.graph.dim import Dim

SYMBOL = "gf.observer"


class ObservedEntry(Entry):
    """LLVM text of an entry that reports its launches."""

    def __init__(self, program: Program, machine: Machine, name: str, trampolines: bool = True) -> None:
        super().__init__(program, machine, name, trampolines)
        self.number = {id(launch): i for i, launch in enumerate(program.launches)}

    def text(self) -> str:
        return super().text() + f"@{SYMBOL} = external global ptr\n"

    def launch(self, launch: Launch) -> None:
        self.report(launch, 0)
        super().launch(launch)
        self.report(launch, 1)

    def report(self, launch: Launch, done: int) -> None:
        e = self.e
        operands = [*(("ptr", self.pointer(p)) for p in launch.places), *(("i64", e.index(Dim.of(d)).text) for d in launch.dims)]
        for i, (kind, value) in enumerate(operands):
            slot = e.fresh()
            e.effect(f"{slot} = getelementptr i8, ptr %ws, i64 {memory.HEADER + 8 * i}")
            e.effect(f"store {kind} {value}, ptr {slot}, align 8")
        observe, table = e.fresh(), e.fresh()
        e.effect(f"{observe} = load ptr, ptr @{SYMBOL}, align 8")
        e.effect(f"{table} = getelementptr i8, ptr %ws, i64 {memory.HEADER}")
        e.effect(f"call void {observe}(i64 {self.number[id(launch)]}, i64 {done}, ptr {table})")
