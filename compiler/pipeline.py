"""The passes, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from graphflow.compiler.clone import transform
from graphflow.compiler.emit import Emitter, finish_module
from graphflow.compiler.entry import COPY, Entry
from graphflow.compiler.fuse import fuse
from graphflow.compiler.intern import Interner
from graphflow.compiler.layout import arrange
from graphflow.compiler.library import Library
from graphflow.compiler.program import Assembler, Launch, Program
from graphflow.compiler.rematerialise import rematerialise
from graphflow.compiler.rewrite import RewriteOptions, Rewriter
from graphflow.compiler.rules import PHASES
from graphflow.compiler.target.machine import Machine, compile_module, host
from graphflow.compiler.unify import unify
from graphflow.compiler.verify_graph import verify_graph
from graphflow.graph.errors import GraphError
from graphflow.graph.op import ComposeOp, ReshapeOp
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.variable import Apply, Placeholder, Shared, Variable
from graphflow.ops.state import Assign


@dataclass
class Compilation:
    """A function on its way: its outputs and updates as the current pass has them."""

    inputs: list[Placeholder]
    outputs: list[Variable]
    updates: list[tuple[Shared, Variable]]
    machine: Machine
    optimize: bool = True
    fastmath: bool = False
    reuse: bool = True
    verify: bool = False
    rematerialise: str = ""
    interner: Interner = field(default_factory=Interner)

    @property
    def results(self) -> list[Variable]:
        return [*self.outputs, *(v for _, v in self.updates)]

    def replace_results(self, new: Sequence[Variable]) -> None:
        n = len(self.outputs)
        self.outputs = list(new[:n])
        self.updates = [(s, v) for (s, _), v in zip(self.updates, new[n:], strict=True)]


# --- passes -------------------------------------------------------------------------------------
def strip_assignments(c: Compilation) -> None:
    """assign(s, x) -> x: the write itself is an update of the Program."""

    def visit(node: Apply, inputs: list[Variable]) -> Sequence[Variable] | None:
        return [inputs[1]] if isinstance(node.op, Assign) else None

    if any(isinstance(node.op, Assign) for node in toposort(c.results)):
        c.replace_results(transform(c.results, visit))


def rewrite(c: Compilation) -> None:
    """Canonicalise, fold, simplify, stabilise, recognise, with composed ops whole: log(softmax(x)) is still to be seen."""
    if c.optimize:
        c.replace_results(Rewriter(PHASES[0], c.interner, RewriteOptions(c.fastmath)).rewrite(c.results))


def expand(c: Compilation) -> None:
    """softmax, mean, logsumexp ... -> the ops they are made of, and the rules on those."""
    if c.optimize:
        c.replace_results(Rewriter(PHASES[1], c.interner, RewriteOptions(c.fastmath)).rewrite(c.results))
        return
    while any(isinstance(node.op, ComposeOp) for node in toposort(c.results)):
        c.replace_results(transform(c.results, _expand_node))


def _expand_node(node: Apply, inputs: list[Variable]) -> Sequence[Variable] | None:
    if not isinstance(node.op, ComposeOp):
        return None
    made = node.op.expand(*inputs)
    return made if isinstance(made, tuple) else (made,)


def arrange_loops(c: Compilation) -> None:
    """Folds and contractions in the forms lowering has loops for; equal expressions are one node again."""
    before = c.results
    after = arrange(before)
    if not c.optimize or any(a is not b for a, b in zip(before, after, strict=True)):
        c.replace_results(Rewriter((), c.interner).rewrite(after))


def recompute(c: Compilation) -> None:
    """On request: cheap values are made again where they are needed, if that lowers the peak of memory."""
    if c.rematerialise:
        c.replace_results(rematerialise(c.outputs, c.updates))


def separate_results(c: Compilation) -> None:
    """x -> identity(x) for results that are leaves or share memory: each result gets memory of its own."""
    from graphflow.ops.identity import Identity

    taken: set[Variable] = set()
    new: list[Variable] = []
    for v in c.results:
        root = v
        while root.owner is not None and isinstance(root.owner.op, ReshapeOp):
            root = root.owner.inputs[0]
        if root.owner is None or root in taken:
            v = root = Identity()(v)
        taken.add(root)
        new.append(v)
    c.replace_results(new)


PASSES: list[tuple[str, Callable[[Compilation], None]]] = [
    ("assignments", strip_assignments),
    ("rewrite", rewrite),
    ("expand", expand),
    ("arrange", arrange_loops),
    ("recompute", recompute),
    ("separate", separate_results),
]
# then: fuse, lower, schedule, plan memory (program.Assembler), emit


def run_passes(c: Compilation, until: str | None = None, when: str = "after") -> None:
    """Run the passes, all or up to the one called `until` (before or after it)."""
    types = [v.type for v in c.results]
    for name, step in PASSES:
        if name == until and when == "before":
            return
        step(c)
        if c.verify:
            verify_graph(c.results, types, name)
        if name == until:
            return


def compile_program(c: Compilation, name: str, library: Library, entry_kind: type[Entry] = Entry) -> tuple[Program, list[bytes]]:
    """The Program and its object code: one object for each kernel, and one for the entry."""
    run_passes(c)
    program = Assembler(c.inputs, c.outputs, c.updates, c.machine, c.reuse, library, c.verify).run()
    declared = "".join(declaration(launch) for launch in {launch.proc.name: launch for launch in program.launches}.values())
    entry = entry_kind(program, c.machine, name, trampolines=False).text()
    code = compile_module(finish_module((COPY if program.copies else "") + declared + entry, c.machine), c.machine)
    assert isinstance(code, bytes)
    return program, [code, *program.objects]


def declaration(launch: Launch) -> str:
    """How the entry knows a kernel that is code already."""
    types = ["ptr"] * len(launch.places) + ["i64"] * len(launch.dims) + ["ptr", "i64", "i64"]
    text = f"declare void @{launch.proc.name}({', '.join(types)})\n"
    return text + (f"declare void @{launch.proc.name}.team(ptr, i64, i64)\n" if launch.team is not None else "")


def module_of(c: Compilation, name: str) -> tuple[Program, str]:
    """The Program and all of its LLVM text as one module, for reading."""
    run_passes(c)
    program = Assembler(c.inputs, c.outputs, c.updates, c.machine, c.reuse).run()
    body = "".join(Emitter(p, c.machine).function() for p in program.kernels)
    body += (COPY if program.copies else "") + Entry(program, c.machine, name).text()
    return program, finish_module(body, c.machine)


# --- looking at passes ----------------------------------------------------------------------------
def pass_names() -> list[str]:
    return [name for name, _ in PASSES] + ["fuse"]


def snapshot(outputs: Sequence[Variable], pass_name: str, when: str = "after") -> list[Variable]:
    """The graph before or after a pass, for drawing.  Raises GraphError for an unknown pass."""
    if pass_name not in pass_names():
        raise GraphError(f"no pass is called {pass_name!r}", hint=f"passes: {', '.join(pass_names())}")
    outputs = unify(outputs)
    inputs = [v for v in leaves(outputs) if isinstance(v, Placeholder)]
    c = Compilation(inputs, outputs, [], host())
    run_passes(c, None if pass_name == "fuse" else pass_name, when)
    return c.outputs


def groups(outputs: Sequence[Variable]) -> list[list[Apply]]:
    """The nodes of each kernel, for the graph that `snapshot(..., "fuse")` gave."""
    return [list(g.members) for g in fuse(outputs).groups if g.members]


