"""Native functions over 64-bit words, written in Python with structured control flow, as LLVM text.

The runtime's own code handles addresses, counts and flags.  Here all of them are words: memory is
read and written at a word plus an offset in bytes, a call takes words and returns one.  So the code
knows no C types and holds no address; what it needs of the process comes in tables.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

DECLARATIONS = """
declare { i64, i1 } @llvm.sadd.with.overflow.i64(i64, i64)
declare { i64, i1 } @llvm.smul.with.overflow.i64(i64, i64)
"""


@dataclass(frozen=True, eq=False)
class Truth:
    """A condition."""

    text: str


@dataclass(frozen=True, eq=False)
class Word:
    """A 64-bit value of a function."""

    function: WordFunction
    text: str

    def __add__(self, other: Word | int) -> Word:
        return self.function.value(f"add i64 {self.text}, {_text(other)}") if other != 0 else self

    def __sub__(self, other: Word | int) -> Word:
        return self.function.value(f"sub i64 {self.text}, {_text(other)}")

    def __mul__(self, other: Word | int) -> Word:
        return self.function.value(f"mul i64 {self.text}, {_text(other)}")

    def __and__(self, other: Word | int) -> Word:
        return self.function.value(f"and i64 {self.text}, {_text(other)}")

    def __or__(self, other: Word | int) -> Word:
        return self.function.value(f"or i64 {self.text}, {_text(other)}")

    def __xor__(self, other: Word | int) -> Word:
        return self.function.value(f"xor i64 {self.text}, {_text(other)}")

    def __lshift__(self, other: Word | int) -> Word:
        return self.function.value(f"shl i64 {self.text}, {_text(other)}")

    def __rshift__(self, other: Word | int) -> Word:
        """The arithmetic shift: the sign is kept."""
        return self.function.value(f"ashr i64 {self.text}, {_text(other)}")

    def eq(self, other: Word | int) -> Truth:
        return self.function.condition("eq", self, other)

    def ne(self, other: Word | int) -> Truth:
        return self.function.condition("ne", self, other)

    def __lt__(self, other: Word | int) -> Truth:
        return self.function.condition("slt", self, other)

    def __gt__(self, other: Word | int) -> Truth:
        return self.function.condition("sgt", self, other)

    def at(self, offset: Word | int = 0, bits: int = 64) -> Word:
        """What is in memory at this address plus `offset` bytes; fewer bits are extended with zeros."""
        pointer = self.function.pointer(self + offset)
        found = self.function.value(f"load i{bits}, ptr {pointer}, align {bits // 8}")
        return found if bits == 64 else self.function.value(f"zext i{bits} {found.text} to i64")

    def put(self, offset: Word | int, value: Word | int) -> None:
        pointer = self.function.pointer(self + offset)
        self.function.line(f"store i64 {_text(value)}, ptr {pointer}, align 8")

    def add_to(self, offset: Word | int, value: Word | int) -> None:
        self.put(offset, self.at(offset) + value)


def _text(value: Word | int) -> str:
    return value.text if isinstance(value, Word) else str(value)


class Variable:
    """A word that changes; LLVM keeps it in a register."""

    def __init__(self, function: WordFunction, first: Word | int) -> None:
        self._function, self._place = function, function.fresh()
        function.head.append(f"{self._place} = alloca i64, align 8")
        self.set(first)

    def get(self) -> Word:
        return self._function.value(f"load i64, ptr {self._place}, align 8")

    def set(self, value: Word | int) -> None:
        self._function.line(f"store i64 {_text(value)}, ptr {self._place}, align 8")


class WordFunction:
    """One function under construction.  Blocks have names; code goes to the end of the current one."""

    def __init__(self, name: str, *params: str, internal: bool = False) -> None:
        self._name, self._internal = name, internal
        self.params = tuple(Word(self, f"%{p}") for p in params)
        self.head: list[str] = []
        self._lines: list[str] = []
        self._numbers = itertools.count()
        self._open = True

    # --- text -------------------------------------------------------------------------------------
    def fresh(self, stem: str = "v") -> str:
        return f"%{stem}{next(self._numbers)}"

    def line(self, text: str) -> None:
        self._lines.append(f"  {text}")

    def value(self, text: str) -> Word:
        name = self.fresh()
        self.line(f"{name} = {text}")
        return Word(self, name)

    def pointer(self, address: Word) -> str:
        return self.value(f"inttoptr i64 {address.text} to ptr").text

    def condition(self, kind: str, a: Word, b: Word | int) -> Truth:
        return Truth(self.value(f"icmp {kind} i64 {a.text}, {_text(b)}").text)

    def text(self) -> str:
        params = ", ".join(f"i64 {p.text}" for p in self.params)
        lines = "".join(f"{text}\n" for text in [*(f"  {h}" for h in self.head), *self._lines])
        return f"define {'internal ' if self._internal else ''}i64 @{self._name}({params}) #0 {{\nentry:\n{lines}}}\n"

    # --- calls and arithmetic -----------------------------------------------------------------------
    def call(self, address: Word | str, *args: Word | int) -> Word:
        """Call what is at an address, or a function of this text; its result as a word."""
        callee = f"@{address}" if isinstance(address, str) else self.pointer(address)
        return self.value(f"call i64 {callee}({', '.join(f'i64 {_text(a)}' for a in args)})")

    def checked(self, kind: str, a: Word, b: Word, overflow: str) -> Word:
        """a + b or a * b; goes to the block `overflow` if it does not fit."""
        pair = self.value(f"call {{ i64, i1 }} @llvm.s{kind}.with.overflow.i64(i64 {a.text}, i64 {b.text})")
        lost = self.value(f"extractvalue {{ i64, i1 }} {pair.text}, 1")
        self.leave_if(Truth(lost.text), overflow)
        return self.value(f"extractvalue {{ i64, i1 }} {pair.text}, 0")

    def extreme(self, kind: str, a: Word, b: Word) -> Word:
        return self.value(f"call i64 @llvm.s{kind}.i64(i64 {a.text}, i64 {b.text})")

    def variable(self, first: Word | int) -> Variable:
        return Variable(self, first)

    # --- control ------------------------------------------------------------------------------------
    def block(self, name: str) -> None:
        """Begin the block `name`; the code before runs into it."""
        if self._open:
            self.line(f"br label %{name}")
        self._lines.append(f"{name}:")
        self._open = True

    def leave_if(self, condition: Truth, target: str) -> None:
        go = self.fresh("go")[1:]
        self.line(f"br i1 {condition.text}, label %{target}, label %{go}")
        self._open = False
        self.block(go)

    def leave(self, target: str) -> None:
        self.line(f"br label %{target}")
        self._open = False

    def give(self, result: Word | int) -> None:
        """Return."""
        self.line(f"ret i64 {_text(result)}")
        self._open = False

    @contextmanager
    def when(self, condition: Truth) -> Iterator[None]:
        """What is inside runs if the condition holds."""
        number = next(self._numbers)
        self.line(f"br i1 {condition.text}, label %then{number}, label %end{number}")
        self._open = False
        self.block(f"then{number}")
        yield
        self.block(f"end{number}")

    @contextmanager
    def loop(self, count: Word) -> Iterator[Word]:
        """What is inside runs for 0 .. count - 1."""
        number = next(self._numbers)
        i = self.variable(0)
        self.block(f"head{number}")
        self.leave_if(i.get().eq(count), f"end{number}")
        at = i.get()
        yield at
        i.set(at + 1)
        self.leave(f"head{number}")
        self.block(f"end{number}")
