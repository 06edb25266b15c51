"""An Executable whose entry has a clock in it, and what its record says of a call."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphflow.compiler.pipeline import compile_program
from graphflow.compiler.profile_entry import CHUNKS, FIRST, SYMBOL, ProfiledEntry, chunks_at, clock_id, words
from graphflow.compiler.program import Program
from graphflow.compiler.target.machine import Loaded
from graphflow.graph.op import Array
from graphflow.graph.traversal import toposort
from graphflow.runtime import cache
from graphflow.runtime.compile import (
    Request,
    Specialisation,
    advance_random_state,
    configured,
    describe,
    size_equalities,
    specialise,
    split_updates,
)
from graphflow.runtime.executable import Executable
from graphflow.runtime.function import Compiled
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
    """One call, in nanoseconds of the monotonic clock: when it was made and came back, and (begin, end) of each event."""

    begin: int
    end: int
    events: Array
    chunks: list[Chunk]
    reading: int  # what reading the clock takes


class Instrumented(Compiled):
    """A request compiled with a clock; `current` and `program` are those of the last call."""

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

    def build(self, spec: Specialisation) -> Executable:
        """As `compile.build`, past the cache of programs: kernels come from the library, the entry is made anew."""
        typed = specialise(self.request, spec)
        updates = advance_random_state(typed.outputs, typed.updates)
        outputs, updates, replaced = split_updates(typed.outputs, updates)
        c = configured(typed.inputs, outputs, updates)
        equalities = size_equalities(toposort(c.results))
        program, objects = compile_program(c, "gf_main", cache.library(), ProfiledEntry)
        record = np.zeros(words(program), np.int64)
        code = Loaded(objects, ["gf_main"], {SYMBOL: record.ctypes.data}, f"graphflow-profile-{next(_tags)}")
        manifest = describe(program, len(typed.outputs), replaced, equalities)
        made = Executable(manifest, objects, [v.value for v in program.constants], [s.state for s in program.state], typed.reasons, code)
        self.programs[made], self.records[made] = program, record
        return made

    def timed(self, arrays: Sequence[Array], store: Store) -> Call:
        """Make a call, and say how long everything took."""
        for record in self.records.values():
            record[0] = 0
        begin = now()
        self(arrays, store)
        end = now()
        record, at = self.records[self.current], chunks_at(self.program)
        taken = min(int(record[0]), CHUNKS)
        chunks = [Chunk(*map(int, c)) for c in record[at : at + 4 * taken].reshape(-1, 4)]
        return Call(begin, end, record[FIRST:at].reshape(-1, 2).copy(), chunks, int(record[2] - record[1]))


def now() -> int:
    """The clock that the entry reads."""
    return time.clock_gettime_ns(clock_id())


def thread_names() -> dict[int, str]:
    """Names of this process's threads by the number `pthread_self` gives."""
    return {t.ident: t.name for t in threading.enumerate() if t.ident is not None}
