"""The C ABI around the Programs of a Plan: LLVM text, and object code that needs no other symbol.

Parameters of the exported functions are checked in the order of their codes; after that a Program's own
entry runs.  State and constants are addressed from the start of the state block and of the image, so no
table of pointers is made.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphflow.bundle.elf import Elf
from graphflow.bundle.plan import ALIGNMENT, Plan, Routine
from graphflow.bundle.sizes import DECLARATIONS, DIVIDE, SizeCode
from graphflow.bundle.target import FeatureCheck
from graphflow.compiler.emit import Emitter, finish_module
from graphflow.compiler.entry import FOREIGN_PARALLEL_WORK, Entry, runtime_text
from graphflow.compiler.program import Place
from graphflow.compiler.target.machine import Machine, compile_module
from graphflow.graph.dim import MAX_EXTENT, proves_nonnegative
from graphflow.graph.errors import ExportError

ABI_VERSION = 1
OK, NULL_POINTER, BAD_SHAPE, BAD_WORKSPACE, BAD_STATE, NO_FEATURES, FAILED_CHECK = range(7)
FUNCTIONS = ("abi_version", "init", "metadata", "workspace_size", "run", "train_step", "state_init")
INLINE_IMAGE = 1 << 20  # bytes of weights above which they are assembled from a file: 32 MB of text take seconds


@dataclass(frozen=True)
class Object:
    """Object code of a bundle, and its metadata."""

    code: bytes
    metadata: dict[str, Any]


def make_object(plan: Plan) -> Object:
    """Compile a plan.  Raises ExportError if the code would need a symbol from elsewhere."""
    code = Code(plan)
    body = code.text()
    metadata = describe(plan, hashlib.sha256(body.encode() + plan.image + repr(plan.target).encode()).hexdigest())
    body += c_string(f"{plan.name}.metadata", json.dumps(metadata)) + constant_function("ptr", f"{plan.name}_metadata", f"@{plan.name}.metadata")
    with tempfile.TemporaryDirectory() as folder:
        text = internal(finish_module(body, plan.target.machine), plan.name) + image_text(plan, Path(folder))
        made = compile_module(text, plan.target.machine, jit=False)
    assert isinstance(made, bytes)
    refuse_undefined(made, plan)
    return Object(made, metadata)


def describe(plan: Plan, digest: str) -> dict[str, Any]:
    """The metadata: plain data, sizes as expressions of the Dims."""
    run = plan.routines[0]
    data: dict[str, Any] = {
        "abi": ABI_VERSION, "name": plan.name, "target": plan.target.name, "cpu": list(plan.target.features), "sha256": digest,
        "dims": plan.dim_names, "inputs": plan.metadata_of(run.inputs), "outputs": plan.metadata_of(run.outputs),
        "state": plan.metadata_of(plan.state, offsets=True), "state_bytes": plan.state_bytes, "alignment": ALIGNMENT,
        "workspace": [plan.size_text(r.program.workspace) for r in plan.routines], "checks": run.program.sites,
    }  # fmt: skip
    for r in plan.routines[1:]:
        written = [plan.state[plan.shared.index(s.state)].name for s, _ in r.program.updates]
        data[r.suffix] = {"inputs": plan.metadata_of(r.inputs), "outputs": plan.metadata_of(r.outputs), "updates": written, "checks": r.program.sites}
    return data


def refuse_undefined(code: bytes, plan: Plan) -> None:
    undefined = Elf(code).undefined()
    if not undefined:
        return
    ops = {k["name"]: f"{k['name']}: {', '.join(k['ops'])}" for r in plan.routines for k in r.manifest.kernels}
    raise ExportError(
        f"the code for {plan.target.name} would need symbols from a library: {', '.join(undefined)}",
        hint="please report this: a bundle must stand alone",
        context=tuple(f"  {symbol}, needed by {'; '.join(ops.get(u, u) for u in users)}" for symbol, users in undefined.items()),
    )


# --- the module -----------------------------------------------------------------------------------
class BundleEntry(Entry):
    """A Program's entry with state at offsets from the block `%state`, and constants in the image."""

    parallel_work = FOREIGN_PARALLEL_WORK
    in_process = False

    def __init__(self, plan: Plan, routine: Routine, machine: Machine) -> None:
        super().__init__(routine.program, machine, f"{plan.name}.{routine.suffix}")
        self.plan = plan

    def pointer(self, place: Place) -> str:
        if place.kind == "state":
            offset = self.plan.state[self.plan.shared.index(self.program.state[place.number].state)].offset
            return f"%state.{offset}"
        if place.kind == "const":
            return f"getelementptr (i8, ptr @{self.plan.name}.image, i64 {self.plan.constant_offset[self.program.constants[place.number]]})"
        return super().pointer(place)

    def text(self) -> str:
        for s in dict.fromkeys(s.state for s in self.program.state):
            offset = self.plan.state[self.plan.shared.index(s)].offset
            self.e.effect(f"%state.{offset} = getelementptr i8, ptr %state, i64 {offset}")
        return super().text()


class Code:
    """LLVM text of kernels, entries and ABI functions."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def text(self) -> str:
        plan, machine = self.plan, self.plan.target.machine
        kernels = {p.name: p for r in plan.routines for p in r.program.kernels}
        parts = [Emitter(p, machine).function() for p in kernels.values()]
        teams: dict[str, str] = {}
        for r in plan.routines:
            entry = BundleEntry(plan, r, machine)
            entry.trampolines = dict.fromkeys(teams, "")  # each is defined once
            parts += [entry.text(), self.layout(r), self.call(r)]
            teams.update(entry.trampolines)
        parts += [self.workspace_size(), FeatureCheck(f"{plan.name}_init", plan.target.features).text]
        parts.append(constant_function("i32", f"{plan.name}_abi_version", str(ABI_VERSION)))
        if plan.state:
            parts.append(self.state_init())
        parts.append(runtime_text("".join(parts)))
        if any("@gf.floordiv" in p for p in parts):
            parts.append(DIVIDE)
        if any("with.overflow" in p for p in parts):
            parts.append(DECLARATIONS)
        return "".join(parts)

    def layout(self, r: Routine) -> str:
        """`i64 @NAME.run.layout(ptr dims)`: bytes of workspace, or -1 for Dims that do not fit."""
        plan = self.plan
        code = SizeCode({s: f"%d{i}" for i, s in enumerate(plan.dims)})
        for i in range(len(plan.dims)):
            code.lines += [f"%p{i} = getelementptr i64, ptr %dims, i64 {i}", f"%d{i} = load i64, ptr %p{i}, align 8"]
            code.reject_if(code.value(f"icmp ugt i64 %d{i}, {MAX_EXTENT}"))
        for a, b, _ in r.equalities:
            code.reject_if(code.value(f"icmp ne i64 {code.size(a)}, {code.size(b)}"))
        for t in (*r.inputs, *r.outputs):
            for size in t.shape:
                if not proves_nonnegative(size):
                    code.reject_if(code.value(f"icmp slt i64 {code.size(size)}, 0"))
            code.size(t.type.nbytes)
        needed = code.size(r.program.workspace)
        lines = "".join(f"  {line}\n" for line in code.lines)
        return f"define i64 @{plan.name}.{r.suffix}.layout(ptr %dims) #0 {{\nentry:\n{lines}  %r = select i1 {code.bad}, i64 -1, i64 {needed}\n  ret i64 %r\n}}\n"

    def call(self, r: Routine) -> str:
        """`NAME_run` or `NAME_train_step`."""
        name = self.plan.name
        f = Checked(f"{name}_{r.suffix}", "ptr %in, ptr %out, ptr %dims, ptr %state, ptr %ws, i64 %bytes, ptr %par")
        f.refuse_null(["%ws", *(["%in"] if r.inputs else []), *(["%out"] if r.outputs else []), *(["%dims"] if self.plan.dims else [])])
        f.refuse_null([*f.elements("%in", len(r.inputs)), *f.elements("%out", len(r.outputs))])
        given = f.value("icmp ne ptr %par, null")
        place = f.value(f"select i1 {given}, ptr %par, ptr @gf.nowhere")
        no_function = f.value(f"icmp eq ptr {f.value(f'load ptr, ptr {place}, align 8')}, null")
        f.fail_if(f.value(f"and i1 {given}, {no_function}"), NULL_POINTER)
        needed = f.value(f"call i64 @{name}.{r.suffix}.layout(ptr %dims)")
        f.fail_if(f.value(f"icmp slt i64 {needed}, 0"), BAD_SHAPE)
        f.fail_if(f.value(f"or i1 {f.value(f'icmp ult i64 %bytes, {needed}')}, {f.misaligned('%ws')}"), BAD_WORKSPACE)
        state = "null"
        if self.plan.state:
            absent = f.value("icmp eq ptr %state, null")
            if r.writes:
                f.fail_if(absent, BAD_STATE)
            state = "%state" if r.writes else f.value(f"select i1 {absent}, ptr @{name}.image, ptr %state")
            f.fail_if(f.misaligned(state), BAD_STATE)
        return f.end(f.value(f"call i32 @{name}.{r.suffix}(ptr %in, ptr %out, ptr %dims, ptr {state}, ptr null, ptr %ws, ptr %par)"))

    def workspace_size(self) -> str:
        """The larger of the two functions' needs."""
        f = Checked(f"{self.plan.name}_workspace_size", "ptr %dims, ptr %bytes, ptr %align")
        f.refuse_null(["%bytes", "%align", *(["%dims"] if self.plan.dims else [])])
        largest = "0"
        for r in self.plan.routines:
            needed = f.value(f"call i64 @{self.plan.name}.{r.suffix}.layout(ptr %dims)")
            f.fail_if(f.value(f"icmp slt i64 {needed}, 0"), BAD_SHAPE)
            more = f.value(f"icmp sgt i64 {needed}, {largest}")
            largest = f.value(f"select i1 {more}, i64 {needed}, i64 {largest}")
        f.lines += [f"store i64 {largest}, ptr %bytes, align 8", f"store i32 {ALIGNMENT}, ptr %align, align 4"]
        return f.end(str(OK))

    def state_init(self) -> str:
        """`NAME_state_init`: the state's values at the time of the export."""
        f = Checked(f"{self.plan.name}_state_init", "ptr %state")
        f.refuse_null(["%state"])
        f.fail_if(f.misaligned("%state"), BAD_STATE)
        f.lines.append(f"call void @gf.copy(ptr %state, ptr @{self.plan.name}.image, i64 {self.plan.state_bytes})")
        return f.end(str(OK))


class Checked:
    """LLVM text of a C function that returns a code as soon as something is wrong."""

    def __init__(self, name: str, parameters: str) -> None:
        self.name, self.parameters = name, parameters
        self.lines: list[str] = []
        self.codes: set[int] = set()
        self.count = 0

    def value(self, text: str) -> str:
        self.count += 1
        self.lines.append(f"%c{self.count} = {text}")
        return f"%c{self.count}"

    def elements(self, table: str, n: int) -> list[str]:
        return [self.value(f"load ptr, ptr {self.value(f'getelementptr ptr, ptr {table}, i64 {i}')}, align 8") for i in range(n)]

    def misaligned(self, pointer: str) -> str:
        bits = self.value(f"ptrtoint ptr {pointer} to i64")
        return self.value(f"icmp ne i64 {self.value(f'and i64 {bits}, {ALIGNMENT - 1}')}, 0")

    def refuse_null(self, pointers: list[str]) -> None:
        bad = ""
        for p in pointers:
            null = self.value(f"icmp eq ptr {p}, null")
            bad = self.value(f"or i1 {bad}, {null}") if bad else null
        if bad:
            self.fail_if(bad, NULL_POINTER)

    def fail_if(self, condition: str, code: int) -> None:
        self.count += 1
        self.codes.add(code)
        self.lines += [f"br i1 {condition}, label %code{code}, label %go{self.count}", f"go{self.count}:"]

    def end(self, result: str) -> str:
        lines = [*self.lines, f"ret i32 {result}"]
        for code in sorted(self.codes):
            lines += [f"code{code}:", f"ret i32 {code}"]
        body = "".join(f"{line}\n" if line.endswith(":") else f"  {line}\n" for line in lines)
        return f"define i32 @{self.name}({self.parameters}) #0 {{\nentry:\n{body}}}\n"


# --- data and linkage -------------------------------------------------------------------------------
def constant_function(type: str, name: str, value: str) -> str:
    return f"define {type} @{name}() #0 {{\nentry:\n  ret {type} {value}\n}}\n"


def c_bytes(data: bytes) -> str:
    return f'c"\\{data.hex(chr(92))}"' if data else "zeroinitializer"


def c_string(name: str, text: str) -> str:
    data = text.encode() + b"\0"
    return f"@{name} = internal constant [{len(data)} x i8] {c_bytes(data)}\n"


def image_text(plan: Plan, folder: Path) -> str:
    """The image as data: in the text where it is small, else assembled from a file in `folder`."""
    n = len(plan.image)
    if not n:
        return ""
    if n <= INLINE_IMAGE:
        return f"@{plan.name}.image = internal constant [{n} x i8] {c_bytes(plan.image)}, align {ALIGNMENT}\n"
    (folder / "image").write_bytes(plan.image)
    lines = [
        f'.section .rodata.{plan.name},"a",@progbits', f".p2align {ALIGNMENT.bit_length() - 1}", f".type {plan.name}.image, @object",
        f".size {plan.name}.image, {n}", f"{plan.name}.image:", f'.incbin "{folder / "image"}"', ".text",
    ]  # fmt: skip
    quoted = [line.replace('"', "\\22") for line in lines]
    return "".join(f'module asm "{line}"\n' for line in quoted) + f"@{plan.name}.image = external dso_local constant [{n} x i8], align {ALIGNMENT}\n"


def internal(text: str, name: str) -> str:
    """Only the ABI's functions are visible: bundles with equal kernels can be linked together."""
    public = "|".join(FUNCTIONS)
    return re.sub(rf"^define (?!internal )(?!\w+ @{name}_({public})\()", "define internal ", text, flags=re.MULTILINE)
