"""Work that leaves a loop for the place after it.

A product that only makes stacked rows is one contraction over all rows of its operands.  A carry that only sums
products, or sums, of values of the trips is a contraction, or a sum, over all rows too: so the gradient of a weight is
one product after the loop.
"""

from __future__ import annotations

from graphflow.compiler.loops.batching import Batch, Rows, can_batch, contraction_of_rows, fold_of_rows
from graphflow.compiler.loops.before import Level, levels_of
from graphflow.compiler.loops.draft import Carry, Draft, RowResult
from graphflow.graph.op import ContractOp, FoldOp
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.variable import Apply, Variable
from graphflow.ops.elementwise import Add, add
from graphflow.ops.reduction import Sum
from graphflow.ops.shape import ExpandDims, Reshape, Squeeze, Transpose

LINEAR_VIEWS = (Transpose, Reshape, Squeeze, ExpandDims)


class Later:
    """What is computed after the loop, planned before the loop is built."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.level = levels_of(draft)
        self.sums = self.movable_sums() if draft.always_complete else {}
        self.rows = self.movable_rows() if draft.always_complete else []
        self.given: dict[Variable, Rows] = {k.param: (k.given, False) for k in draft.constants}
        self.given.update({s.param: (s.given, True) for s in draft.sequences})
        self.boundary: dict[Variable, None] = {}
        for c in self.sums:
            draft.carries.remove(c)
        for r in self.rows:
            draft.rows.remove(r)
        for term in (t for terms in self.sums.values() for t in terms):
            source = term_source(term)
            assert source.owner is not None
            self.need(*source.owner.inputs)
        for r in self.rows:
            self.need(*self.row_boundary(r.value))
        if self.sums or self.rows:
            draft.changed = True
            self.stack()

    # --- sums -------------------------------------------------------------------------------------
    def movable_sums(self) -> dict[Carry, list[Variable]]:
        """Carries that become themselves plus terms that can be summed at once, and the terms."""
        found: dict[Carry, list[Variable]] = {}
        for c in self.draft.carries:
            others = self.draft.values(without=c)
            terms = added_to(c)
            if c.history is None and c.final is not None and terms and c.param not in leaves(others) and all(map(self.can_sum, terms)):
                found[c] = terms
        return found

    def can_sum(self, term: Variable) -> bool:
        node = term_source(term).owner
        if node is None or self.level[node.outputs[0]] < Level.ROW:
            return False
        if isinstance(node.op, ContractOp):
            return all(self.level.get(v, Level.CLOSED) >= Level.ROW for v in node.inputs)
        return type(node.op) is Sum

    # --- rows -------------------------------------------------------------------------------------
    def movable_rows(self) -> list[RowResult]:
        """Stacked rows whose making has a product in it that nothing else needs."""
        return [r for r in self.draft.rows if any(isinstance(n.op, ContractOp) for n in self.row_cone(r.value))]

    def loop_values(self) -> list[Variable]:
        """What the loop needs for itself."""
        kept = [c.new for c in self.draft.carries if c not in self.sums]
        return [*kept, *([self.draft.stop] if self.draft.stop is not None else [])]

    def row_cone(self, value: Variable) -> list[Apply]:
        """The nodes from which on `value` is needed by nothing in the loop, and which can be batched."""
        inside = set(toposort(self.loop_values()))
        found: dict[Apply, None] = {}
        stack = [value]
        while stack:
            node = stack.pop().owner
            if node is None or node in found or node in inside or not can_batch(node) or self.level[node.outputs[0]] < Level.ROW:
                continue
            found[node] = None
            stack += node.inputs
        return list(found)

    def row_boundary(self, value: Variable) -> list[Variable]:
        nodes = self.row_cone(value)
        made = {v for node in nodes for v in node.outputs}
        return [v for node in nodes for v in node.inputs if v not in made]

    # --- what has to be stacked ---------------------------------------------------------------------
    def need(self, *values: Variable) -> None:
        self.boundary.update(dict.fromkeys(values))

    def stack(self) -> None:
        """Values of the loop that are wanted outside become rows; sequences and carries have theirs."""
        draft = self.draft
        have = {s.param for s in draft.sequences} | {c.param for c in draft.carries} | {c.new for c in draft.carries} | {r.value for r in draft.rows}
        for v in self.boundary:
            if self.level.get(v, Level.CLOSED) >= Level.ROW and v not in have:
                draft.rows.append(RowResult(v, None))
                have.add(v)

    # --- after the loop -------------------------------------------------------------------------------
    def finish(self) -> None:
        """Compute what was taken out; the loop has been built."""
        if not self.sums and not self.rows:
            return
        draft = self.draft
        assert draft.length is not None
        stacked = {v: (draft.stacked(v), True) for v in self.boundary if v not in self.given and self.level.get(v, Level.CLOSED) >= Level.ROW}
        batch = Batch({**self.given, **stacked}, draft.length)
        for c, terms in self.sums.items():
            total = c.initial
            for term in terms:
                total = add(total, self.summed(term, batch))
            assert c.final is not None
            draft.results[c.final] = total
        for r in self.rows:
            assert r.output is not None
            draft.results[r.output] = batch.value(r.value)[0]

    @staticmethod
    def summed(term: Variable, batch: Batch) -> Variable:
        """The sum of a term over all rows."""
        views: list[Apply] = []
        while term.owner is not None and isinstance(term.owner.op, LINEAR_VIEWS):
            views.append(term.owner)
            term = term.owner.inputs[0]
        node = term.owner
        assert node is not None
        operands = [batch.value(v) for v in node.inputs]
        if isinstance(node.op, ContractOp):
            total = contraction_of_rows(node.op, operands, keep=False)
        else:
            assert isinstance(node.op, FoldOp)
            total = fold_of_rows(node.op, operands[0][0], rows=True)
        for view in reversed(views):
            total = view.op(total)
        return total


def term_source(term: Variable) -> Variable:
    """The term without the views that only arrange its elements."""
    while term.owner is not None and isinstance(term.owner.op, LINEAR_VIEWS):
        term = term.owner.inputs[0]
    return term


def added_to(c: Carry) -> list[Variable]:
    """The terms that a trip adds to a carry; none if it does anything else with it."""
    terms: list[Variable] = []
    stack, seen = [c.new], 0
    while stack:
        v = stack.pop()
        if v is c.param:
            seen += 1
        elif v.owner is not None and isinstance(v.owner.op, Add) and v.shape == c.param.shape and all(x.shape == v.shape for x in v.owner.inputs):
            stack += v.owner.inputs
        else:
            terms.append(v)
    return terms if seen == 1 and not any(c.param in leaves([t]) for t in terms) else []
