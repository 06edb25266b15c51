"""Kernels under the name of their text: the second level of the cache.

A kernel is named by a digest of its canonical text before scheduling, of the machine, and of
graphflow's build.  Equal kernels of one program, of several, and of several processes are one
piece of object code; a known one is neither scheduled nor emitted nor compiled again.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from graphflow.compiler import kernel as K
from graphflow.compiler.emit import Emitter, finish_module
from graphflow.compiler.manifest import decode_size, encode_size
from graphflow.compiler.print import to_text
from graphflow.compiler.rebuild import Substitution
from graphflow.compiler.schedule import schedule
from graphflow.compiler.target.machine import Machine, compile_module
from graphflow.compiler.verify import verify
from graphflow.graph.dim import Dim, Size, Symbol, substitute

KEPT = 4096  # kernels kept in memory


@dataclass(frozen=True)
class Code:
    """Object code of one kernel; `team`: the encoded extent of its team loop over its dims, None without one."""

    object: bytes
    team: Any


class Library:
    """Compiled kernels by name, the most recently used ones in memory."""

    build = ""  # a digest of the compiler itself, set by the runtime

    def __init__(self) -> None:
        self._known: OrderedDict[str, Code] = OrderedDict()

    def find(self, name: str) -> Code | None:
        code = self._known.get(name)
        if code is not None:
            self._known.move_to_end(name)
        return code

    def add(self, name: str, code: Code) -> None:
        self._known[name] = code
        while len(self._known) > KEPT:
            self._known.popitem(last=False)


def canonical(proc: K.Proc) -> K.Proc:
    """The kernel over dims n0, n1 ...: kernels of different graphs become equal texts."""
    fresh = [Symbol(f"n{i}", d.lo, d.hi) for i, d in enumerate(proc.dims)]
    renamed: dict[Symbol, Size] = {d: Dim.of(s) for d, s in zip(proc.dims, fresh, strict=True)}
    params = [replace(b, shape=tuple(substitute(s, renamed) for s in b.shape)) for b in proc.params]
    places = {old: (new, ()) for old, new in zip(proc.params, params, strict=True)}
    body = Substitution(renamed, places).block(proc.body)
    return replace(proc, dims=tuple(fresh), params=tuple(params), body=body, work=substitute(proc.work, renamed), notes=())


def name_of(proc: K.Proc, shape: str, machine: Machine, build: str) -> str:
    bounds = [(str(d.lo), str(d.hi)) for d in proc.dims]
    modes = [p.mode.value for p in proc.params]
    text = f"{shape} {machine} {build} {bounds} {modes} {to_text(replace(proc, name='k'))}"
    return "k_" + hashlib.sha256(text.encode()).hexdigest()[:20]


def compile_kernel(proc: K.Proc, shape: str, machine: Machine, check: bool) -> Code:
    """Schedule, verify if asked, emit and compile one canonical kernel, with the form the thread pool calls."""
    scheduled = schedule(proc, machine, shape)
    if check:
        verify(scheduled, final=True)
    loop = scheduled.team
    text = Emitter(scheduled, machine).function() + (trampoline(scheduled) if loop is not None else "")
    code = compile_module(finish_module(text, machine), machine)
    assert isinstance(code, bytes)
    number = {d: i for i, d in enumerate(proc.dims)}
    return Code(code, None if loop is None else encode_size(loop.extent, number))


def team_extent(code: Code, dims: tuple[Symbol, ...]) -> Size | None:
    """The extent of the team loop over a launch's own dims."""
    return None if code.team is None else decode_size(code.team, list(dims))


def trampoline(proc: K.Proc) -> str:
    """`@kernel.team(ptr args, i64 lo, i64 hi)`: the form the thread pool calls."""
    lines: list[str] = []
    args: list[str] = []
    for i, t in enumerate(["ptr"] * len(proc.params) + ["i64"] * len(proc.dims) + ["ptr"]):
        lines.append(f"  %s{i} = getelementptr i64, ptr %args, i64 {i}\n  %a{i} = load {t}, ptr %s{i}, align 8\n")
        args.append(f"{t} %a{i}")
    call = f"  call void @{proc.name}({', '.join(args)}, i64 %lo, i64 %hi)\n  ret void\n"
    return f"define void @{proc.name}.team(ptr %args, i64 %lo, i64 %hi) #0 {{\nentry:\n{''.join(lines)}{call}}}\n"
