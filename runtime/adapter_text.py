"""LLVM text of adapters: functions with the ABI of an ExternOp that call Fortran routines for each matrix of a batch.

Structured code is written statement by statement; counters live in allocas, which LLVM turns into registers.
Fortran takes everything by address, so integers and characters get slots of their own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

TILE = 16
Text = str  # an LLVM operand: an i64, a pointer, or an element


class Adapter:
    """One adapter under construction; `real` is "float" or "double"."""

    def __init__(self, name: str, real: str) -> None:
        self.name, self.real, self.itemsize = name, real, 4 if real == "float" else 8
        self.slots: list[str] = []
        self.lines: list[str] = []
        self.routines: dict[str, int] = {}  # and how many arguments they take
        self.count = 0
        self.work: Text = "%work"

    # --- values ----------------------------------------------------------------------------------
    def fresh(self) -> Text:
        self.count += 1
        return f"%v{self.count}"

    def value(self, text: str) -> Text:
        name = self.fresh()
        self.lines.append(f"  {name} = {text}")
        return name

    def do(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def add(self, a: Text | int, b: Text | int) -> Text:
        return self.value(f"add i64 {a}, {b}")

    def sub(self, a: Text | int, b: Text | int) -> Text:
        return self.value(f"sub i64 {a}, {b}")

    def mul(self, a: Text | int, b: Text | int) -> Text:
        return self.value(f"mul i64 {a}, {b}")

    def choose(self, relation: str, a: Text | int, b: Text | int, x: Text | int, y: Text | int) -> Text:
        """x if the signed `relation` of a and b holds, else y."""
        holds = self.value(f"icmp {relation} i64 {a}, {b}")
        return self.value(f"select i1 {holds}, i64 {x}, i64 {y}")

    def minimum(self, a: Text | int, b: Text | int) -> Text:
        return self.choose("slt", a, b, a, b)

    def maximum(self, a: Text | int, b: Text | int) -> Text:
        return self.choose("sgt", a, b, a, b)

    def size(self, number: int) -> Text:
        slot = self.value(f"getelementptr i64, ptr %sizes, i64 {number}")
        return self.value(f"load i64, ptr {slot}, align 8")

    # --- memory ----------------------------------------------------------------------------------
    def buffer(self, table: str, number: int) -> Text:
        """The base of the n-th input ("in") or output ("out")."""
        slot = self.value(f"getelementptr ptr, ptr %{table}, i64 {number}")
        return self.value(f"load ptr, ptr {slot}, align 8")

    def at(self, base: Text, index: Text | int, element: str = "") -> Text:
        return self.value(f"getelementptr {element or self.real}, ptr {base}, i64 {index}")

    def load(self, base: Text, index: Text | int, element: str = "") -> Text:
        return self.value(f"load {element or self.real}, ptr {self.at(base, index, element)}, align {self.align(element)}")

    def store(self, value: Text, base: Text, index: Text | int, element: str = "") -> None:
        self.do(f"store {element or self.real} {value}, ptr {self.at(base, index, element)}, align {self.align(element)}")

    def align(self, element: str) -> int:
        return {"": self.itemsize, "i32": 4, "i64": 8}[element]

    def take(self, count: Text | int, element: str = "") -> Text:
        """The next `count` elements of the scratch memory."""
        base = self.work
        self.work = self.at(base, count, element)
        return base

    # --- control ---------------------------------------------------------------------------------
    @contextlib.contextmanager
    def loop(self, extent: Text | int, start: Text | int = 0) -> Iterator[Text]:
        """For i from `start` to below `extent`."""
        self.count += 1
        n = self.count
        self.slots.append(f"  %c{n} = alloca i64, align 8")
        self.lines += [f"  store i64 {start}, ptr %c{n}, align 8", f"  br label %test{n}", f"test{n}:"]
        i = self.value(f"load i64, ptr %c{n}, align 8")
        more = self.value(f"icmp slt i64 {i}, {extent}")
        self.lines += [f"  br i1 {more}, label %body{n}, label %after{n}", f"body{n}:"]
        yield i
        following = self.add(i, 1)
        self.lines += [f"  store i64 {following}, ptr %c{n}, align 8", f"  br label %test{n}", f"after{n}:"]

    @contextlib.contextmanager
    def when(self, condition: Text) -> Iterator[None]:
        self.count += 1
        n = self.count
        self.lines += [f"  br i1 {condition}, label %then{n}, label %after{n}", f"then{n}:"]
        yield
        self.lines += [f"  br label %after{n}", f"after{n}:"]

    def fail_if(self, condition: Text) -> None:
        self.count += 1
        self.lines += [f"  br i1 {condition}, label %failed, label %go{self.count}", f"go{self.count}:"]

    # --- matrices --------------------------------------------------------------------------------
    def copy(self, target: Text, source: Text, count: Text, element: str = "") -> None:
        with self.loop(count) as i:
            self.store(self.load(source, i, element), target, i, element)

    def transpose(self, target: Text, source: Text, rows: Text, columns: Text) -> None:
        """target (columns x rows) becomes the transpose of source (rows x columns), both row-major."""
        with self.tiles(rows) as (top, bottom), self.tiles(columns) as (first, last), self.loop(last, first) as j, self.loop(bottom, top) as i:
            self.store(self.load(source, self.add(self.mul(i, columns), j)), target, self.add(self.mul(j, rows), i))

    @contextlib.contextmanager
    def tiles(self, extent: Text) -> Iterator[tuple[Text, Text]]:
        """The range in pieces that caches hold, for orders of access that differ."""
        with self.loop(self.value(f"sdiv i64 {self.add(extent, TILE - 1)}, {TILE}")) as piece:
            start = self.mul(piece, TILE)
            yield start, self.minimum(self.add(start, TILE), extent)

    def transpose_in_place(self, matrix: Text, n: Text) -> None:
        with self.tiles(n) as (top, bottom), self.tiles(n) as (first, last), self.loop(bottom, top) as i, self.loop(self.minimum(i, last), first) as j:
            a, b = self.add(self.mul(i, n), j), self.add(self.mul(j, n), i)
            x, y = self.load(matrix, a), self.load(matrix, b)
            self.store(y, matrix, a)
            self.store(x, matrix, b)

    def identity(self, matrix: Text, n: Text) -> None:
        with self.loop(n) as i, self.loop(n) as j:
            equal = self.value(f"icmp eq i64 {i}, {j}")
            one = self.value(f"select i1 {equal}, {self.real} 1.0, {self.real} 0.0")
            self.store(one, matrix, self.add(self.mul(i, n), j))

    # --- Fortran ---------------------------------------------------------------------------------
    def integer(self, value: Text | int) -> Text:
        """The address of a 32-bit integer; larger values become the largest one."""
        self.count += 1
        slot = f"%f{self.count}"
        self.slots.append(f"  {slot} = alloca i32, align 4")
        number = self.value(f"trunc i64 {self.minimum(value, 2**31 - 1)} to i32")
        self.do(f"store i32 {number}, ptr {slot}, align 4")
        return slot

    def leading(self, value: Text) -> Text:
        """The address of a leading dimension, which is at least 1."""
        return self.integer(self.maximum(value, 1))

    def character(self, c: str) -> Text:
        self.count += 1
        slot = f"%f{self.count}"
        self.slots.append(f"  {slot} = alloca i8, align 1")
        self.do(f"store i8 {ord(c)}, ptr {slot}, align 1")
        return slot

    def number(self, value: str) -> Text:
        self.count += 1
        slot = f"%f{self.count}"
        self.slots.append(f"  {slot} = alloca {self.real}, align 8")
        self.do(f"store {self.real} {value}, ptr {slot}, align 8")
        return slot

    def call(self, routine: str, *addresses: Text) -> None:
        """Call e.g. "lapack.potrf" in this precision."""
        library, name = routine.split(".")
        symbol = f"{library}.{'s' if self.real == 'float' else 'd'}{name}"
        self.routines[symbol] = len(addresses)
        self.do(f'call void @"{symbol}"({", ".join(f"ptr {a}" for a in addresses)})')

    def info(self, relation: str, slot: Text) -> Text:
        found = self.value(f"load i32, ptr {slot}, align 4")
        return self.value(f"icmp {relation} i32 {found}, 0")

    # --- the whole -------------------------------------------------------------------------------
    def text(self) -> str:
        body = "\n".join(["entry:", *self.slots, *self.lines, "  ret i32 0", "failed:", "  ret i32 1"])
        declared = "".join(f'declare void @"{r}"({", ".join(["ptr"] * n)})\n' for r, n in self.routines.items())
        return f'{declared}define i32 @"{self.name}"(ptr %in, ptr %out, ptr %sizes, ptr %work) #0 {{\n{body}\n}}\n'
