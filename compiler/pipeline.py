"""The passes, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from graphflow.compiler.assemble import assemble
from graphflow.compiler.clone import transform
from graphflow.compiler.emit import Emitter, finish_module
from graphflow.compiler.entry import Entry, runtime_text
from graphflow.compiler.fuse import fuse
from graphflow.compiler.intern import Interner
from graphflow.compiler.layout import arrange
from graphflow.compiler.library import Library
from graphflow.compiler.loops.passes import has_loops, keep_residuals, lighten, turn_operands
from graphflow.compiler.program import Launch, Program
from graphflow.compiler.reference_calls import with_calls
from graphflow.compiler.rematerialise import rematerialise
from graphflow.compiler.rewrite import RewriteOptions, Rewriter
from graphflow.compiler.rules import PHASES
from graphflow.compiler.target.machine import Machine, compile_module, host
from graphflow.compiler.unify import unify
from graphflow.compiler.verify_graph import verify_graph
from graphflow.graph.dim import Size, Symbol
from graphflow.graph.errors import GraphError
from graphflow.graph.op import ComposeOp, RegionOp, ReshapeOp
from graphflow.graph.region import Region
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.variable import Apply, Placeholder, Shared, Variable
from graphflow.ops.identity import Identity
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
    computed: list[tuple[Symbol, Variable]] = field(default_factory=list)  # Dims that are values of scalars of the graph
    checks: list[tuple[Size, Size, str]] = field(default_factory=list)  # sizes that must be equal once those are known
    interner: Interner = field(default_factory=Interner)
    fired: Counter[str] = field(default_factory=Counter)  # how often each rule did

    @property
    def results(self) -> list[Variable]:
        return [*self.outputs, *(v for _, v in self.updates), *(v for _, v in self.computed)]

    def by_rules(self, phase: int, results: Sequence[Variable]) -> list[Variable]:
        """What the rules of a phase make of `results`."""
        rewriter = Rewriter(PHASES[phase], self.interner, RewriteOptions(self.fastmath))
        made = rewriter.rewrite(results)
        self.fired.update(rewriter.stats.fired)
        return made

    def replace_results(self, new: Sequence[Variable]) -> None:
        n, m = len(self.outputs), len(self.outputs) + len(self.updates)
        self.outputs = list(new[:n])
        self.updates = [(s, v) for (s, _), v in zip(self.updates, new[n:m], strict=True)]
        self.computed = [(s, v) for (s, _), v in zip(self.computed, new[m:], strict=True)]


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
        c.replace_results(c.by_rules(0, c.results))


def keep_loop_values(c: Compilation) -> None:
    """What a loop's gradient would have to compute again is kept by the loop."""
    if c.optimize and has_loops(c.results):
        c.replace_results(keep_residuals(c.results))


def lighten_loops(c: Compilation) -> None:
    """Work that does not need its loop leaves it: products of all rows are one product before or after."""
    if c.optimize and has_loops(c.results):
        c.replace_results(c.by_rules(1, lighten(c.results)))


def expand(c: Compilation) -> None:
    """softmax, mean, logsumexp ... -> the ops they are made of, and the rules on those."""
    if c.optimize:
        c.replace_results(c.by_rules(1, c.results))
        return
    while any(isinstance(node.op, ComposeOp) for node in toposort(c.results)):
        c.replace_results(transform(c.results, _expand_node))


def _expand_node(node: Apply, inputs: list[Variable]) -> Sequence[Variable] | None:
    if not isinstance(node.op, ComposeOp):
        return None
    made = node.op.expand(*inputs)
    return made if isinstance(made, tuple) else (made,)


def call_references(c: Compilation) -> None:
    """Ops that have no form but NumPy -> calls of their references."""
    c.replace_results(with_calls(c.results))


def arrange_loops(c: Compilation) -> None:
    """Folds and contractions in the forms lowering has loops for; equal expressions are one node again."""
    before = c.results
    after = arrange(before)
    if c.optimize and has_loops(after):
        after = turn_operands(after)
    if not c.optimize or any(a is not b for a, b in zip(before, after, strict=True)):
        c.replace_results(Rewriter((), c.interner).rewrite(after))


def recompute(c: Compilation) -> None:
    """On request: cheap values are made again where they are needed, if that lowers the peak of memory."""
    if c.rematerialise and not c.computed:
        c.replace_results(rematerialise(c.outputs, c.updates))


def separate_results(c: Compilation) -> None:
    """x -> identity(x) for results that are leaves or share memory: each result gets memory of its own."""
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
    ("loop values", keep_loop_values),
    ("rewrite", rewrite),
    ("expand", expand),
    ("loops", lighten_loops),
    ("call", call_references),
    ("arrange", arrange_loops),
    ("recompute", recompute),
    ("separate", separate_results),
]
# then: fuse, lower, schedule, plan memory (assemble), emit


def in_bodies(c: Compilation, step: Callable[[Compilation], None]) -> None:
    """Run a pass on the bodies of loops and branches, the innermost first."""

    def visit(node: Apply, inputs: list[Variable]) -> Sequence[Variable] | None:
        op = node.op
        if not isinstance(op, RegionOp):
            return None
        changed = op.with_regions([body_after(r) for r in op.regions])
        made = changed(*inputs)
        return made if isinstance(made, tuple) else (made,)

    def body_after(region: Region) -> Region:
        inner = replace(c, inputs=list(region.inputs), outputs=list(region.outputs), updates=[], computed=[], interner=Interner())
        in_bodies(inner, step)
        step(inner)
        return region.with_outputs(inner.outputs)

    if any(isinstance(node.op, RegionOp) for node in toposort(c.results)):
        c.replace_results(transform(c.results, visit))


def run_passes(c: Compilation, until: str | None = None, when: str = "after", look: Callable[[str, Callable[[Compilation], None]], None] | None = None) -> None:
    """Run the passes, all or up to the one called `until` (before or after it); `look` is called with each one that ran."""
    types = [v.type for v in c.results]
    for name, step in PASSES:
        if name == until and when == "before":
            return
        in_bodies(c, step)
        step(c)
        if c.verify:
            verify_graph(c.results, types, name)
        if look is not None:
            look(name, step)
        if name == until:
            return


def compile_program(c: Compilation, name: str, library: Library, entry_kind: type[Entry] = Entry) -> tuple[Program, list[bytes]]:
    """The Program and its object code: one object for each kernel, and one for the entry."""
    run_passes(c)
    program = assemble(c.inputs, c.outputs, c.updates, c.machine, c.reuse, library, c.verify, c.computed, c.checks)
    declared = "".join(declaration(launch) for launch in {launch.proc.name: launch for launch in program.launches}.values())
    entry = entry_kind(program, c.machine, name, trampolines=False).text()
    code = compile_module(finish_module(runtime_text(entry) + declared + entry, c.machine), c.machine)
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
    program = assemble(c.inputs, c.outputs, c.updates, c.machine, c.reuse, computed=c.computed, checks=c.checks)
    kernels = "".join(Emitter(p, c.machine).function() for p in program.kernels)
    entry = Entry(program, c.machine, name).text()
    return program, finish_module(kernels + runtime_text(entry) + entry, c.machine)


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
