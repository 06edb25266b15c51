"""Executables whose entry does more than to run: one with a clock in it, and what its record says of a call."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from graphflow.compiler.entry import Entry
from graphflow.compiler.pipeline import compile_program
from graphflow.compiler.profile_entry import CHUNKS, EVENT, FIRST, SYMBOL, ProfiledEntry, chunks_at, clock_id, words
from graphflow.compiler.program import Program
from graphflow.compiler.target.machine import Loaded
from graphflow.graph.dim import Symbol
from graphflow.graph.op import Array
from graphflow.runtime import cache
from graphflow.runtime.compile import Request, Specialisation, prepare
from graphflow.runtime.compiled import Compiled
from graphflow.runtime.executable import Executable, extern_addresses
from graphflow.runtime.store import Store

_tags = itertools.count()


@dataclass(frozen=True)
class Chunk:
    """A part of a launch, done by one thread."""

    event: int
    thread: int
    begin: int
    end: int


@dataclass(frozen=True)
class Call:
    """One call, in nanoseconds of the monotonic clock: when it was made and came back, and (begin, end) of each event.

    `counts`: how often each ran, in a loop or not at all; then its time is from the first beginning on.
    """

    begin: int
    end: int
    events: Array
    counts: Array
    chunks: list[Chunk]
    reading: int  # what reading the clock takes


class Instrumented(Compiled):
    """A request compiled with an entry of another kind, which finds its `words` at `symbol`.

    `current` and `program` are those of the last call.  `reuse`: may values share memory?
    """

    entry_kind: ClassVar[type[Entry]]
    symbol: ClassVar[str]
    reuse: ClassVar[bool] = True

    def __init__(self, request: Request, name: str) -> None:
        super().__init__(request, name)
        self.programs: dict[Executable, Program] = {}
        self.records: dict[Executable, Array] = {}

    def executable(self, spec: Specialisation) -> Executable:
        found = self._built.get(spec)
        if found is None:
            found = self._built[spec] = self.build(spec)
        self.current = found
        return found

    @property
    def program(self) -> Program:
        return self.programs[self.current]

    def words(self, program: Program) -> Array:
        """The int64 words that the entry is given."""
        raise NotImplementedError

    def build(self, spec: Specialisation) -> Executable:
        """As `compile.build`, past the cache of programs: kernels come from the library, the entry is made anew."""
        graph = prepare(self.request, spec)
        c, equalities = graph.compilation()
        c = replace(c, reuse=c.reuse and self.reuse)
        program, objects = compile_program(c, "gf_main", cache.library(), self.entry_kind)
        record = self.words(program)
        manifest = graph.manifest(program, equalities)
        addresses = {self.symbol: record.ctypes.data, **extern_addresses(manifest)}
        code = Loaded(objects, ["gf_main"], addresses, f"graphflow-instrumented-{next(_tags)}")
        made = Executable(manifest, objects, [v.value for v in program.constants], [s.state for s in program.state], graph.typed.reasons, code)
        self.programs[made], self.records[made] = program, record
        return made


class Timed(Instrumented):
    """Calls with a clock around each launch."""

    entry_kind, symbol = ProfiledEntry, SYMBOL

    def words(self, program: Program) -> Array:
        return np.zeros(words(program), np.int64)

    def timed(self, arrays: Sequence[Array], store: Store) -> Call:
        """Make a call, and say how long everything took."""
        for record in self.records.values():
            record[:] = 0
        begin = now()
        self(arrays, store)
        end = now()
        record, at = self.records[self.current], chunks_at(self.program)
        taken = min(int(record[0]), CHUNKS)
        chunks = [Chunk(*map(int, c)) for c in record[at : at + 4 * taken].reshape(-1, 4)]
        events = record[FIRST:at].reshape(-1, EVENT)
        return Call(begin, end, np.stack([events[:, 0], events[:, 0] + events[:, 1]], axis=1), events[:, 2].copy(), chunks, int(record[2] - record[1]))


def sizes_of(executable: Executable, program: Program, arrays: Sequence[Array], store: Store) -> dict[Symbol, int]:
    """The values of the Program's dims: a manifest binds them first, in order."""
    return dict(zip(program.dims, executable.bind(arrays, executable.cells_in(store)), strict=False))


def now() -> int:
    """The clock that the entry reads."""
    return time.clock_gettime_ns(clock_id())


def thread_names() -> dict[int, str]:
    """Names of this process's threads by the number `pthread_self` gives."""
    return {t.ident: t.name for t in threading.enumerate() if t.ident is not None}
