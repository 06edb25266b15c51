"""Machine code for aarch64 needs no library and gives the bits that the interpreter gives.

The kernels of a test are linked with a C program that calls them on arrays in one memory image.
qemu runs it, and what it leaves in the image is compared with what the interpreter leaves in the arrays.
"""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from graphflow.bundle.elf import Elf
from graphflow.compiler import interpret
from graphflow.compiler import kernel as K
from graphflow.compiler.emit import Emitter, finish_module, module_text
from graphflow.compiler.kernel import Buffer, Expr, For, Kind, Load, Mode, Proc, Store
from graphflow.compiler.library import trampoline
from graphflow.compiler.math import expand_proc
from graphflow.compiler.schedule import schedule
from graphflow.compiler.target.machine import Machine, compile_module
from graphflow.compiler.verify import _SIGNATURES, verify
from graphflow.graph.dim import Dim, Symbol, evaluate
from graphflow.graph.types import FLOAT16, SUPPORTED, DType, bfloat16, is_half

NEON = Machine("aarch64-linux-gnu", "generic", "+neon", vector_bits=128, fma=True)
QEMU, CC = "qemu-aarch64", "aarch64-linux-gnu-gcc"
PACKAGES = "qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross"  # Debian's names; .ci/run installs them
GAP = 64  # bytes at least between two arrays
schedules = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("test_schedules.py"))))

MAIN = """\
#include <stdint.h>
#include <stdio.h>

typedef void Kernel(const int64_t *arguments, int64_t low, int64_t high);
{declarations}

static _Alignas(64) char memory[{size}];
#define AT(offset) (int64_t)(memory + offset)

int main(void) {{
    if (fread(memory, 1, sizeof memory, stdin) != sizeof memory) return 2;
{calls}
    return fwrite(memory, 1, sizeof memory, stdout) != sizeof memory;
}}
"""


@dataclass(frozen=True)
class Placed:
    """An array of a call, which the interpreter changes; `compared`: it has a meaning after the call."""

    what: str
    array: np.ndarray
    compared: bool

    def difference(self, after: np.ndarray) -> list[str]:
        """Why the bytes that came `after` are not those of the array; nothing if they are."""
        got, want = after.view(self.array.dtype), self.array.ravel()
        wrong = np.flatnonzero(bits(got) != bits(want)) if self.compared else []
        return [f"{self.what}: {len(wrong)} of {got.size} elements differ: {got[i]!r}, not {want[i]!r}, at {i}" for i in wrong[:1]]


def bits(flat: np.ndarray) -> np.ndarray:
    """Each element as an unsigned integer; all NaNs are one, for CPUs differ in the sign of those they make."""
    if flat.dtype.kind == "f":
        flat = np.where(np.isnan(flat), flat.dtype.type(np.nan), flat)
    return flat.view(f"u{flat.dtype.itemsize}")


class Program:
    """Kernels as they are on aarch64, and calls of them on arrays in one image of memory."""

    def __init__(self) -> None:
        self.objects: list[bytes] = []
        self.calls: list[tuple[Proc, dict[Buffer, np.ndarray], dict[Symbol, int]]] = []
        self.statements: list[str] = []
        self.image = bytearray(b"\xa5" * GAP)
        self.placed: dict[int, Placed] = {}

    def compile(self, what: str, proc: Proc, shape: str) -> Proc:
        """Add a kernel, in the form the thread pool calls; it as it was scheduled."""
        scheduled = schedule(replace(proc, name=f"kernel{len(self.objects)}"), NEON, shape)
        verify(scheduled, final=True)
        code = compile_module(finish_module(Emitter(scheduled, NEON).function() + trampoline(scheduled), NEON), NEON, jit=False)
        assert isinstance(code, bytes)
        assert not Elf(code).undefined(), f"{what} needs a library"
        self.objects.append(code)
        return scheduled

    def call(self, what: str, proc: Proc, scheduled: Proc, arrays: dict[Buffer, np.ndarray], dims: dict[Symbol, int]) -> None:
        """Add a call, in two halves, as two threads would take them."""
        self.calls.append((proc, arrays, dims))
        what = f"{what} of sizes {[*dims.values()]}"
        pointers = [f"AT({self.place(f'{what}, {p}', arrays[p], p.mode is not Mode.WORK)})" for p in proc.params]
        failures = f"AT({self.place(f'{what}, failed checks', np.zeros(2, np.int64))})"
        arguments = ", ".join([*pointers, *(str(dims[d]) for d in proc.dims), failures])
        extent = 1 if scheduled.team is None else evaluate(scheduled.team.extent, dims)
        for low, high in ((0, 1),) if scheduled.team is None else ((0, extent // 2), (extent // 2, extent)):
            self.statements.append(f"    {scheduled.name}((int64_t[]){{{arguments}}}, {low}, {high});")

    def place(self, what: str, array: np.ndarray, compared: bool = True) -> int:
        """The place of a copy of `array`, a multiple of 64; a gap follows it."""
        at = len(self.image)
        self.placed[at] = Placed(what, array, compared)
        self.image += array.tobytes() + b"\xa5" * (GAP + -array.nbytes % 64)
        return at

    def run(self, folder: Path) -> bytes:
        """The image after all calls."""
        skip_without_tools()
        names = [f"kernel{i}" for i in range(len(self.objects))]
        for name, code in zip(names, self.objects, strict=True):
            (folder / f"{name}.o").write_bytes(code)
        declarations = "\n".join(f'extern Kernel {name} __asm__("{name}.team");' for name in names)
        (folder / "main.c").write_text(MAIN.format(declarations=declarations, size=len(self.image), calls="\n".join(self.statements)))
        shell([CC, "-static", "-o", "program", "main.c", *(f"{name}.o" for name in names)], folder)
        return shell([QEMU, "./program"], folder, self.image)

    def check(self, folder: Path) -> None:
        """Run it: the arrays hold what the interpreter leaves in them, and no byte between them has changed."""
        after = np.frombuffer(self.run(folder), np.uint8)
        changed = after != np.frombuffer(self.image, np.uint8)
        for proc, arrays, dims in self.calls:
            assert interpret.run(proc, arrays, dims, fma=NEON.fma) == []
        found: list[str] = []
        for at, placed in self.placed.items():
            end = at + placed.array.nbytes
            found += placed.difference(after[at:end])
            changed[at:end] = False
        if changed.any():
            byte = int(changed.argmax())
            at = max((at for at in self.placed if at <= byte), default=0)
            found.append(f"byte {byte} was written to, {byte - at} after the start of {self.placed[at].what if at else 'the image'}")
        assert not found, "\n".join(found)


def skip_without_tools() -> None:
    libc = Path(shell([CC, "-print-file-name=libc.a"]).decode()) if shutil.which(CC) else Path()
    if not (libc.is_absolute() and shutil.which(QEMU)):
        pytest.skip(f"the code runs where these packages are: {PACKAGES}")


def shell(command: list[str], folder: Path | None = None, given: bytes = b"") -> bytes:
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stderr.decode()}"
    return done.stdout


# --- kernels of every kind of nest -------------------------------------------------------------------
@pytest.mark.slow
def test_schedules_keep_the_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program()
    rng = np.random.default_rng(0)
    # the last one changes from which size on products are packed
    cases = schedules.CASES | {"blocks of a large product": lambda: schedules.packed_product(monkeypatch)}
    for name, make in cases.items():
        for i, (proc, shape) in enumerate(schedules.kernels(make())):
            scheduled = program.compile(f"{name}, kernel {i}", proc, shape)
            for size in (1, 9, 26) if proc.dims else (1,):
                dims = dict.fromkeys(proc.dims, size)
                program.call(f"{name}, kernel {i}", proc, scheduled, schedules.arrays_for(proc, dims, rng), dims)
    program.check(tmp_path)


@pytest.mark.smoke
def test_products_are_made_in_vector_registers() -> None:
    [(proc, shape)] = schedules.kernels(schedules.CASES["dense"]())
    text = compile_module(module_text([schedule(proc, NEON, shape)], NEON), NEON, assembly=True, jit=False)
    assert re.search(r"\bfmla\s+v\d+\.4s", str(text)) and not re.search(r"\bfmadd\b", str(text))


# --- every operation on every dtype ------------------------------------------------------------------
COUNT = 67  # elements of an operand: no multiple of any number of lanes
# neighbours meet: an element of one operand and the one before it, of the next operand
EDGES = {
    "f": [0.0, -0.0, 0.0, 1.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 127.5, 255.5, 2.0**31, 2.0**32, 2.0**63, -(2.0**63), 2.0**64, 1e30, 1e-30, np.inf, np.inf, -np.inf, np.nan, 3.0],
    "i": [0, 0, 1, 1, 0, 3, 7, 3, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 2, -3, 2, -1],
}  # fmt: skip


def values(dtype: DType, place: int, rng: np.random.Generator) -> np.ndarray:
    """An operand: edges, turned by its `place` among the operands, then numbers of many magnitudes."""
    if dtype.kind == "b":
        return rng.integers(0, 2, COUNT).astype(bool)
    if is_half(dtype):
        edges = np.array([0, 0x8000, 1, 0x8001, 0x3FF, 0x400, 0x7BFF, 0x7C00, 0xFC00, 0x7E00, 0x7F7F, 0x7F80, 0xFF80, 0x7FC0], "uint16")
        return np.concatenate([np.roll(edges, place), rng.integers(0, 2**16, COUNT - len(edges), "uint16")]).view(dtype)
    if dtype.kind == "f":
        limits = np.finfo(dtype)
        edges = np.array([*EDGES["f"], limits.max, limits.min, limits.tiny, -limits.tiny / 4, limits.smallest_subnormal], dtype)
        others = rng.standard_normal(COUNT - len(edges)) * 10 ** rng.uniform(-6, 6, COUNT - len(edges))
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        edges = np.array([*np.array(EDGES["i"]).astype(dtype), low, high, high - 1], dtype)
        others = rng.integers(low, high, COUNT - len(edges), dtype, endpoint=True)
    return np.concatenate([np.roll(edges, place), others.astype(dtype)])


def elementwise(result: DType, dtype: DType, count: int, make: Callable[..., Expr]) -> Proc:
    """`make` of the elements of `count` operands, for as many elements as there are."""
    n, i = Symbol("n"), Symbol("i")
    operands = [Buffer(f"x{k}", dtype, (Dim.of(n),)) for k in range(count)]
    out = Buffer("out", result, (Dim.of(n),), mode=Mode.OUT)
    body = Store(out, (Dim.of(i),), make(*(Load(x, (Dim.of(i),)) for x in operands)))
    return expand_proc(Proc("k", (n,), (*operands, out), (For(i, Dim.of(n), Kind.ANY, (body,)),), work=Dim.of(n)))


def operations() -> Iterator[tuple[str, Proc]]:
    for dtype in (*SUPPORTED, FLOAT16, bfloat16()):
        for prim, (count, kinds) in _SIGNATURES.items():
            if dtype in SUPPORTED and dtype.kind in kinds:
                result = K.BOOL if prim in K.COMPARISONS else dtype
                yield f"{prim} of {dtype}", elementwise(result, dtype, count, lambda *xs, prim=prim: K.call(prim, *xs))
        for other in (*SUPPORTED, FLOAT16, bfloat16()):
            if other != dtype:
                yield f"{dtype} to {other}", elementwise(other, dtype, 1, lambda x, other=other: x.cast(other))


@pytest.mark.slow
def test_operations_give_the_interpreters_bits(tmp_path: Path) -> None:
    program = Program()
    rng = np.random.default_rng(0)
    for name, proc in operations():
        arrays = {p: np.zeros(COUNT, p.dtype) if p.mode is Mode.OUT else values(p.dtype, i, rng) for i, p in enumerate(proc.params)}
        program.call(name, proc, program.compile(name, proc, "map"), arrays, dict.fromkeys(proc.dims, COUNT))
    program.check(tmp_path)
