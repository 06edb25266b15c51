"""The roofline: what this machine can do at most, measured by kernels that do nothing else.

For one thread and for all of them: multiply-adds in registers for each dtype, and bytes read,
written and copied in memory of the size of each cache and of main memory.  Takes about 0.2 s,
once; the result is kept beside the compiled code, under the machine and the number of threads.

S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model", CACM 52(4), 2009.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from graphflow.compiler import kernel as K
from graphflow.compiler import probes
from graphflow.compiler.emit import Emitter, finish_module
from graphflow.compiler.library import trampoline
from graphflow.compiler.target.machine import Loaded, compile_module, host
from graphflow.configuration import config
from graphflow.runtime import cache
from graphflow.runtime.pool import Pool, available_threads, current_pool

VERSION = 1
PATTERNS = ("read", "write", "copy")
_USUAL_CACHES = ((1, 32 << 10), (2, 512 << 10), (3, 16 << 20))  # where the system does not say
_MEMORY = (48 << 20, 96 << 20)  # least and most bytes to measure main memory with; three times the last cache
_BUDGET = 2.5e-3  # seconds a figure may take
_RUNS = 5  # of a figure, at least: the system may take the core away for longer than the budget
_PATIENCE = 4  # times that when it is measured again, for the machine may have been busy
_PASSES = 20_000  # multiply-adds of a chain in a run
_BYTES_A_RUN = 8 << 20
_PAGE = 2 << 20
_RESULT = 4096  # bytes a probe leaves, of each thread, at most
SPILL = 4
_numbers = itertools.count()


@dataclass(frozen=True)
class Level:
    """A cache or main memory: bytes it holds, and bytes a second; a copied byte counts twice, read and written."""

    name: str
    holds: float
    read: float
    write: float
    copy: float

    def seconds(self, read: int, written: int) -> float:
        """The least time for this traffic: pairs of a read and a written byte as in a copy, the rest alone."""
        pairs = min(read, written)
        return 2 * pairs / self.copy + (read - pairs) / self.read + (written - pairs) / self.write


@dataclass(frozen=True)
class Bound:
    """The least time of a kernel and what sets it: a dtype's name or a Level's."""

    seconds: float
    by: str


@dataclass(frozen=True)
class Speed:
    """What a number of threads do together: `flops` a second by dtype name, and each level of memory, nearest first."""

    flops: dict[str, float]
    levels: tuple[Level, ...]

    def __str__(self) -> str:
        peaks = ", ".join(f"{f / 1e9:.0f} GFLOP/s {name}" for name, f in self.flops.items())
        return f"{peaks}; copies " + ", ".join(f"{level.name} {level.copy / 1e9:.0f} GB/s" for level in self.levels)

    def memory(self, read: int, written: int) -> Bound:
        """The least time of this traffic, from the nearest level that holds it.

        Of up to SPILL times what a level holds, a part that falls with the logarithm still comes from there.
        """
        moved = read + written
        number = next((i for i, level in enumerate(self.levels) if moved <= level.holds), len(self.levels) - 1)
        seconds = self.levels[number].seconds(read, written)
        if number:
            near = self.levels[number - 1]
            there = max(0.0, 1 - math.log(moved / near.holds, SPILL))
            seconds += there * (near.seconds(read, written) - seconds)
        return Bound(seconds, self.levels[number].name)

    def bound(self, flops: Mapping[str, int], read: int, written: int) -> Bound:
        """The roofline's time for a kernel of these operations and this traffic."""
        compute = sum(n / self.flops.get(dtype, self.flops["float64"]) for dtype, n in flops.items())
        memory = self.memory(read, written)
        return Bound(compute, max(flops, key=lambda d: flops[d])) if compute > memory.seconds else memory


@dataclass(frozen=True)
class Roofline:
    """The Speed of one thread and of all, by number of threads."""

    cpu: str
    speeds: dict[int, Speed]

    def speed(self, threads: int) -> Speed:
        """That of `threads`; the nearest number that was measured."""
        return self.speeds[min(self.speeds, key=lambda n: abs(n - threads))]

    def lines(self) -> dict[str, str]:
        """Each Speed in words, under whose it is."""
        return {f"{n} thread{'s' if n > 1 else ''}": str(speed) for n, speed in self.speeds.items()}

    def merged(self, other: Roofline) -> Roofline:
        """The better figure of each: a busy machine only makes them lower."""
        return Roofline(self.cpu, {n: _better(s, other.speeds[n]) if n in other.speeds else s for n, s in self.speeds.items()})

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Roofline:
        """Raises KeyError, TypeError or ValueError for text that is not a Roofline's."""
        data = json.loads(text)
        made = Roofline(data["cpu"], {int(n): Speed(s["flops"], tuple(Level(**level) for level in s["levels"])) for n, s in data["speeds"].items()})
        figures = [f for s in made.speeds.values() for f in (*s.flops.values(), *(v for x in s.levels for v in (x.read, x.write, x.copy)))]
        if not figures or not all(f > 0 for f in figures):
            raise ValueError("figures are positive")
        return made


def _better(a: Speed, b: Speed) -> Speed:
    levels = tuple(Level(x.name, x.holds, max(x.read, y.read), max(x.write, y.write), max(x.copy, y.copy)) for x, y in zip(a.levels, b.levels, strict=True))
    return Speed({d: max(f, b.flops[d]) for d, f in a.flops.items()}, levels)


# --- measuring ----------------------------------------------------------------------------------
class Probe:
    """A loaded probe, timed on one thread or on all of a pool's."""

    def __init__(self, proc: K.Proc) -> None:
        machine = host()
        code = compile_module(finish_module(Emitter(proc, machine).function() + trampoline(proc), machine), machine)
        assert isinstance(code, bytes)
        self.code = Loaded([code], ["probe", "probe.team"], {}, f"graphflow-probe-{next(_numbers)}")
        self._team = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(self.code.address("probe.team"))

    def seconds(self, budget: float, pool: Pool | None, x: int, y: int, *dims: int) -> float:
        """The shortest of runs, for `budget` seconds, on the arrays at x and y; the first dim is the number of threads."""
        arguments = (ctypes.c_int64 * (3 + len(dims)))(x, y, *dims, 0)
        run = self._runner(pool, ctypes.addressof(arguments), dims[0])
        run()
        taken: list[float] = []
        began = time.perf_counter()
        while len(taken) < _RUNS or time.perf_counter() - began < budget:
            before = time.perf_counter_ns()
            run()
            taken.append((time.perf_counter_ns() - before) * 1e-9)
        return min(taken)

    def _runner(self, pool: Pool | None, arguments: int, threads: int) -> Callable[[], object]:
        if pool is None:
            return lambda: self._team(arguments, 0, threads)
        run, context = (ctypes.c_size_t * 2).from_address(pool.par)  # gf_parallel
        share = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(run)
        team = self.code.address("probe.team")
        return lambda: share(context, team, arguments, threads)


@dataclass(frozen=True)
class Region:
    """A level of memory: bytes it holds, whether each core has its own, and the bytes to measure it with."""

    name: str
    holds: int
    own: bool
    measured: int


class Arena:
    """Memory to go through, and room for what a probe must leave somewhere.

    It begins with a large page: the ways of a first-level cache are predicted from addresses, and pages that lie
    elsewhere can get in each other's way.
    """

    def __init__(self, size: int, threads: int) -> None:
        self.memory = np.empty(size + _PAGE + _RESULT * threads, np.uint8)
        self.start = self.memory.ctypes.data + -self.memory.ctypes.data % _PAGE
        self.results = self.start + size
        self.memory[:] = 0  # a page that was only promised would be read from one place


@dataclass(frozen=True)
class Bench:
    """Loaded probes, memory for them, and a number of threads (`pool`: who they are, if several)."""

    arithmetic: Mapping[str, Probe]
    traffic: Mapping[str, Probe]
    arena: Arena
    budget: float
    threads: int
    pool: Pool | None

    def flops(self, dtype: str) -> float:
        """Operations a second."""
        done = 2 * host().lanes(np.dtype(dtype)) * probes.CHAINS * _PASSES * self.threads
        return done / self.arithmetic[dtype].seconds(self.budget, self.pool, self.arena.start, self.arena.results, self.threads, _PASSES)

    def level(self, region: Region) -> Level:
        """Each thread goes through memory of its own; all of it together, where they share the level, has its size."""
        figures = {pattern: self.bandwidth(pattern, region.measured // (1 if region.own else self.threads)) for pattern in PATTERNS}
        return Level(region.name, region.holds * (self.threads if region.own else 1), **figures)

    def bandwidth(self, pattern: str, size: int) -> float:
        """Bytes a second through `size` bytes of each thread."""
        arrays = 2 if pattern == "copy" else 1
        rows = max(1, size // (arrays * probes.ROW_BYTES))
        touched = rows * arrays * probes.ROW_BYTES
        passes = max(1, _BYTES_A_RUN // touched)
        x = self.arena.start
        y = self.arena.results if pattern == "read" else x + (arrays - 1) * rows * self.threads * probes.ROW_BYTES
        return touched * passes * self.threads / self.traffic[pattern].seconds(self.budget, self.pool, x, y, self.threads, passes, rows)


def measure(budget: float = _BUDGET) -> Roofline:
    """Measure now, each figure for `budget` seconds."""
    pool = current_pool()
    crews = [(1, None), *([(pool.count, pool)] if pool is not None else [])]
    most = crews[-1][0]
    regions = memory_regions()
    arithmetic = {d.name: Probe(probes.multiply_adds(d, host())) for d in (K.F32, K.F64)}
    traffic = {pattern: Probe(probes.memory(pattern, host())) for pattern in PATTERNS}
    arena = Arena(max(r.measured * (most if r.own else 1) for r in regions), most)
    speeds: dict[int, Speed] = {}
    for threads, crew in crews:
        bench = Bench(arithmetic, traffic, arena, budget, threads, crew)
        found = Speed({dtype: bench.flops(dtype) for dtype in arithmetic}, tuple(map(bench.level, regions)))
        speeds[threads] = _better(found, speeds[1]) if speeds else found  # where others work beside us, one thread may do more
    return Roofline(host().cpu, speeds)


def memory_regions() -> list[Region]:
    """The data caches the system tells of, else usual ones, and main memory; nearest first."""
    caches = _caches() or list(_USUAL_CACHES)
    least, most = _MEMORY
    far = Region("memory", 1 << 62, False, min(max(least, 3 * caches[-1][1]), most))
    return [*(Region(f"L{level}", size, level < 3, min(size // (2 if level < 3 else 4), most)) for level, size in caches), far]


def _caches() -> list[tuple[int, int]]:
    """(level, bytes) of each data cache of the first core, as Linux has them."""
    found: dict[int, int] = {}
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
            if kind != "Instruction":
                found[int(level)] = int(size[:-1]) * {"K": 1 << 10, "M": 1 << 20}[size[-1]]
    return sorted(found.items())


# --- keeping --------------------------------------------------------------------------------------
_known: dict[int, Roofline] = {}


def roofline(again: bool = False) -> Roofline:
    """This machine's, for the threads now set: as this process or an earlier one measured it.

    `again`: measure now; of two measurements the better figures are kept.
    """
    threads = available_threads()
    found = _known.get(threads) or _load(threads)
    if found is None or again:
        found = measure() if found is None else measure(_PATIENCE * _BUDGET).merged(found)
        _save(threads, found)
    _known[threads] = found
    return found


def _file(threads: int) -> Path | None:
    where = cache.folder() if config.cache else None
    return None if where is None else where / f"roofline-{hashlib.sha256(f'{VERSION} {host()} {threads}'.encode()).hexdigest()[:16]}.json"


def _load(threads: int) -> Roofline | None:
    path = _file(threads)
    if path is None:
        return None
    try:
        return Roofline.from_json(path.read_text())
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged: it is measured again
        return None


def _save(threads: int, made: Roofline) -> None:
    path = _file(threads)
    if path is not None:
        with contextlib.suppress(OSError):
            descriptor, temporary = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(descriptor, "w") as f:
                f.write(made.to_json())
            os.replace(temporary, path)
