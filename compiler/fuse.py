"""Grouping nodes into kernels.

Nodes are visited inputs first; a node joins the newest group among its producers' groups when
its loops fit there, else it opens a group.  Edges between groups therefore always lead from
an older group to a newer one: no cycles, no search, linear work.

A group has a space of loops.  Its members are at one of two levels: FULL (one value per
point of the space) or ROW (one value per point of the leading `rows` axes: results of folds over
the trailing axes, and what is computed from them).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from graphflow.graph.dim import Dim, Size, Symbol, symbols_of
from graphflow.graph.errors import CompileError
from graphflow.graph.op import ContractOp, ExternOp, FoldOp, NestOp, RegionOp, ReshapeOp, ScalarOp, ViewOp
from graphflow.graph.traversal import toposort
from graphflow.graph.types import Shape
from graphflow.graph.variable import Apply, Constant, Variable
from graphflow.ops.loops import Scan

MAX_COST = 800  # instructions an element takes in one group: code generation is super-linear in the size of a block
MAX_INLINE_DEPTH = 24
CHEAP = 2  # instructions it is better to repeat than to store
DEAR = 8  # instructions it is better to store than to repeat in each pass over a row


class Kind(enum.Enum):
    MAP = "map"  # elementwise, with folds over trailing axes
    COLUMN = "column"  # a fold that keeps the last axis, with an elementwise epilogue
    CONTRACT = "contract"  # a sum of products, with an elementwise epilogue
    NEST = "nest"
    EXTERN = "extern"
    REGION = "region"


WITH_EPILOGUE = (Kind.MAP, Kind.COLUMN, Kind.CONTRACT)


class Level(enum.Enum):
    FULL = 1
    ROW = 2


@dataclass(eq=False)
class Group:
    """Nodes that become one kernel.  `stores`: the Variables that leave it (filled by `fuse`)."""

    id: int
    kind: Kind
    space: Shape
    rows: int | None = None
    members: list[Apply] = field(default_factory=list)
    level: dict[Variable, Level] = field(default_factory=dict)
    stores: list[Variable] = field(default_factory=list)
    cost: int = 0

    @property
    def outputs(self) -> list[Variable]:
        return self.stores

    def row_shape(self) -> Shape:
        return self.space if self.rows is None else self.space[: self.rows]


_SYMBOLS: list[Symbol] = []


def axis_symbols(rank: int) -> tuple[Symbol, ...]:
    """The symbols that stand for the loop over each axis of a space, before loops exist."""
    while len(_SYMBOLS) < rank:
        _SYMBOLS.append(Symbol(f"ax{len(_SYMBOLS)}"))
    return tuple(_SYMBOLS[:rank])


def point(shape: Shape) -> tuple[Size, ...]:
    """The canonical index of an element of `shape`: one symbol an axis, 0 on axes of size 1."""
    return tuple(0 if _is_one(s) else Dim.of(a) for s, a in zip(shape, axis_symbols(len(shape)), strict=True))


def _is_one(size: Size) -> bool:
    return isinstance(size, int) and size == 1


def broadcast_index(ix: Sequence[Size], shape: Shape) -> tuple[Size, ...]:
    """The index into an operand of `shape` for an element `ix` of the broadcast result."""
    lead = len(ix) - len(shape)
    return tuple(0 if _is_one(s) else i for i, s in zip(ix[lead:], shape, strict=True))


@dataclass(frozen=True)
class Access:
    """`base` is read at `at` (None: at places that matter to fusion only as "somewhere").

    `base` may be a reshape; its memory is that of its root.
    """

    base: Variable
    at: tuple[Size, ...] | None


class Fusion:
    """The state of one run of `fuse`."""

    def __init__(self, outputs: Sequence[Variable]) -> None:
        self.outputs = list(outputs)
        self.nodes = late_scalars(toposort(outputs))
        self.groups: list[Group] = []
        self.group_of: dict[Variable, Group] = {}
        self.inline: dict[Variable, int] = {}  # recomputed at each use; the depth of such a chain
        self.row_sources: dict[Variable, tuple[Variable, Size]] = {}
        self.stored_operands: dict[Variable, None] = {}  # in memory for a contraction; inlined by all others, which may run before
        self.buffered: dict[Variable, None] = {}  # what other groups, fetches and reshapes need in memory
        self.latest: dict[Shape, Group] = {}  # the newest map over a space
        self.folding: dict[tuple[Variable, tuple[int, ...]], list[Group]] = {}  # kernels that fold axes of a Variable, and keep the last one
        self.uses: dict[Variable, int] = {}
        self.only_user: dict[Variable, Apply] = {}
        for node in self.nodes:
            for v in node.inputs:
                self.uses[v] = self.uses.get(v, 0) + 1
                self.only_user[v] = node
        for v in outputs:
            self.uses[v] = self.uses.get(v, 0) + 2

    def run(self) -> None:
        for node in self.nodes:
            self.place(node)
        for v in self.outputs:
            self.need(v)
        for group in self.groups:
            for node in group.members:
                for access in self.node_accesses(node):
                    if self.home(access.base) is not group:
                        self.need(access.base)
        for group in self.groups:
            self.store_repeated(group)
        for v in self.buffered:
            self.group_of[v].stores.append(v)
        for group in self.groups:
            order = {v: i for i, node in enumerate(group.members) for v in node.outputs}
            group.stores.sort(key=lambda v, order=order: order.get(v, -1))  # type: ignore[misc]

    def store_repeated(self, group: Group) -> None:
        """Keep in memory what is dear and needed by several passes over a row."""
        if group.rows is None:
            return
        phases = phases_of(self, group)
        for node in group.members:
            reads_in = phases[node.outputs[0]] - isinstance(node.op, FoldOp)
            for access in self.node_accesses(node):
                v = access.base
                if group.level.get(v) is Level.FULL and phases[v] < reads_in and v.owner is not None and cost_of(v.owner) >= DEAR:
                    self.buffered.setdefault(v)

    # --- memory -----------------------------------------------------------------------------
    def need(self, v: Variable) -> None:
        """`v` must be in memory: leaves are, reshapes share their input's, the rest gets a buffer."""
        v = self.root(v)
        if v.owner is None or v in self.buffered:
            return
        if v not in self.group_of:  # an inlined view or scalar: a kernel that stores it
            group = self.open(Kind.MAP, v.shape, None)
            self.group_of[v] = group
            for access in self.accesses(v, point(v.shape), inlined_root=True):
                self.need(access.base)
        self.buffered[v] = None

    @staticmethod
    def root(v: Variable) -> Variable:
        """The Variable whose memory a chain of reshapes shares."""
        while v.owner is not None and isinstance(v.owner.op, ReshapeOp):
            v = v.owner.inputs[0]
        return v

    def home(self, v: Variable) -> Group | None:
        """The group that computes the memory of `v`."""
        return self.group_of.get(self.root(v))

    # --- where operands come from -----------------------------------------------------------
    def accesses(self, v: Variable, at: tuple[Size, ...] | None, inlined_root: bool = False) -> Iterator[Access]:
        """The Variables outside the inlined chains above `v`, and where they are read."""
        stack = [(v, at, inlined_root)]
        while stack:
            v, at, enter = stack.pop()
            node = v.owner
            if node is None:
                if not (isinstance(v, Constant) and v.value.ndim == 0):
                    yield Access(v, at)
            elif isinstance(node.op, ReshapeOp) or not (enter or v in self.inline):
                yield Access(v, at)
            elif isinstance(node.op, ViewOp):
                x = node.inputs[0]
                padded = at is not None and node.op.inside(at, x.shape)
                stack.append((x, None if at is None or padded else node.op.index(at, x.shape), False))
            else:
                stack.extend((x, None if at is None else broadcast_index(at, x.shape), False) for x in reversed(node.inputs))

    def operand_accesses(self, v: Variable) -> Iterator[Access]:
        """Like `accesses`, down to what was stored for a contraction."""
        while v in self.inline and v not in self.stored_operands and v.owner is not None and isinstance(v.owner.op, ViewOp):
            v = v.owner.inputs[0]
        yield from [Access(v, None)] if v in self.stored_operands else self.accesses(v, None)

    def node_accesses(self, node: Apply) -> Iterator[Access]:
        """What a group's member reads."""
        match node.op:
            case ScalarOp():
                ix = point(node.outputs[0].shape)
                for x in node.inputs:
                    yield from self.accesses(x, broadcast_index(ix, x.shape))
            case FoldOp():
                yield from self.accesses(node.inputs[0], point(node.inputs[0].shape))
            case ContractOp() | RegionOp():
                for x in node.inputs:
                    yield from self.operand_accesses(x)
            case _:
                for x in node.inputs:
                    yield from self.accesses(x, None)

    # --- placing ------------------------------------------------------------------------------
    def open(self, kind: Kind, space: Shape, rows: int | None) -> Group:
        group = Group(len(self.groups), kind, space, rows)
        self.groups.append(group)
        if kind is Kind.MAP:
            self.latest[space] = group
        return group

    def join(self, group: Group, node: Apply, level: Level) -> None:
        group.members.append(node)
        group.cost += cost_of(node)
        for v in node.outputs:
            self.group_of[v] = group
            group.level[v] = level

    def place(self, node: Apply) -> None:
        op = node.op
        match op:
            case ReshapeOp():
                self.need(node.inputs[0])
            case ViewOp():
                self.place_view(node)
            case ScalarOp():
                if not self.inlines(node):
                    self.place_scalar(node)
            case FoldOp():
                self.place_fold(node)
            case ContractOp():
                for k, x in enumerate(node.inputs):
                    self.need_operand(x, contiguous=k == 1)
                self.join(self.open(Kind.CONTRACT, node.outputs[0].shape, None), node, Level.FULL)
            case NestOp() | ExternOp():
                for x in node.inputs:
                    if x not in self.inline or isinstance(op, ExternOp):
                        self.need(x)
                    else:
                        for access in self.accesses(x, None):
                            self.need(access.base)
                kind = Kind.NEST if isinstance(op, NestOp) else Kind.EXTERN
                self.join(self.open(kind, node.outputs[0].shape, None), node, Level.FULL)
                for v in node.outputs:  # its loops write them all, used or not
                    self.need(v)
            case RegionOp():
                for x in self.read_by_region(node):
                    self.store_operand(x)
                self.join(self.open(Kind.REGION, (), None), node, Level.FULL)
                for v in node.outputs:
                    if self.uses.get(v):
                        self.need(v)
            case _:
                raise CompileError(f"{op} has no lowering form", hint="an op must be one of the forms of graphflow.graph.op")

    def depth_below(self, node: Apply) -> int:
        return max((self.inline.get(x, 0) for x in node.inputs), default=0)

    def place_view(self, node: Apply) -> None:
        depth = self.depth_below(node) + 1
        if depth > MAX_INLINE_DEPTH:
            self.need(node.inputs[0])
            depth = 1
        self.inline[node.outputs[0]] = depth

    def inlines(self, node: Apply) -> bool:
        """Scalars worth repeating at each use instead of storing: made of nothing, or cheap, or used by one loop nest."""
        v = node.outputs[0]
        depth = self.depth_below(node) + 1
        if depth > MAX_INLINE_DEPTH:
            return False
        op = node.op
        assert isinstance(op, ScalarOp)
        real = [x for x in node.inputs if not isinstance(x, Constant)]
        if not real or self.feeds_nest(node):
            self.inline[v] = depth
            return True
        from_memory = all(x not in self.group_of for x in real)
        if op.cost <= CHEAP and len(real) == 1 and from_memory and depth <= 3:
            self.inline[v] = depth
            return True
        return False

    def feeds_nest(self, node: Apply) -> bool:
        """Is it used once, through single uses, by a loop nest that can take it in?"""
        v = node.outputs[0]
        for _ in range(8):
            user = self.only_user.get(v)
            if self.uses.get(v, 0) != 1 or user is None:
                return False
            if isinstance(user.op, NestOp) or (isinstance(user.op, FoldOp) and not is_trailing(user)):
                return not isinstance(user.op, NestOp) or all(x not in self.group_of for x in node.inputs)
            if not isinstance(user.op, ScalarOp | ViewOp) or isinstance(user.op, ReshapeOp):
                return False
            v = user.outputs[0]
        return False

    def place_scalar(self, node: Apply) -> None:
        shape = node.outputs[0].shape
        for group in self.candidates(node, shape):
            for level, space in ((Level.FULL, group.space), (Level.ROW, self.row_like(group, shape))):
                if space is not None and shape == space and (level is Level.ROW or shape == group.space) and self.fits(node, group, level):
                    self.join(group, node, level)
                    return
        self.join(self.open(Kind.MAP, shape, None), node, Level.FULL)

    def candidates(self, node: Apply, shape: Shape) -> Iterator[Group]:
        """Groups the node may join without a cycle: its newest producer's, else the newest with the same loops."""
        producer = self.newest_producer(node)
        latest = self.latest.get(shape)
        for group in (producer, latest if latest is not producer else None):
            if group is None or group.kind not in WITH_EPILOGUE or group.cost >= MAX_COST:
                continue
            if producer is None or group.id >= producer.id:
                yield group

    @staticmethod
    def row_like(group: Group, shape: Shape) -> Shape | None:
        """`shape` if it is the rows' shape, with ones in place of the folded axes or without."""
        if group.rows is None:
            return None
        rows = group.row_shape()
        rest = shape[len(rows) :]
        fits = shape[: len(rows)] == rows and all(_is_one(s) for s in rest) and (not rest or len(shape) == len(group.space))
        return shape if fits else None

    def newest_producer(self, node: Apply) -> Group | None:
        groups = [g for a in self.node_accesses(node) for g in self.waits_for(a.base)]
        return max((g for g in groups if g is not None), key=lambda g: g.id, default=None)

    def waits_for(self, v: Variable) -> Iterator[Group | None]:
        """The groups a reader of `v` comes after: of its memory, and of what a reshape has as further operands."""
        while v.owner is not None and isinstance(v.owner.op, ReshapeOp):
            for x in v.owner.inputs[1:]:
                yield from (self.home(a.base) for a in self.accesses(x, None))
            v = v.owner.inputs[0]
        yield self.group_of.get(v)

    def fits(self, node: Apply, group: Group, level: Level) -> bool:
        """Does the node read members of the group only at its own point (or row)?"""
        row = point(group.row_shape())
        for access in self.node_accesses(node):
            if self.home(access.base) is not group:
                continue
            if access.at is None or access.base not in group.level:
                return False
            if group.level.get(access.base) is Level.ROW:
                good = access.at[: len(row)] == row and all(isinstance(i, int) for i in access.at[len(row) :])
            else:
                good = level is Level.FULL and access.at == point(group.space)
            if not good:
                return False
        return True

    def place_fold(self, node: Apply) -> None:
        x = node.inputs[0]
        op = node.op
        assert isinstance(op, FoldOp)
        if not is_trailing(node):
            for access in self.accesses(x, None):
                self.need(access.base)
            same = self.folding.setdefault((x, op.axes), [])
            column = same[-1] if same and same[-1].cost < MAX_COST else self.open(Kind.COLUMN, node.outputs[0].shape, None)
            same.append(column)
            self.join(column, node, Level.FULL)
            return
        rows = x.type.ndim - len(op.axes) if x.type.ndim is not None else 0
        group = self.newest_producer(node)
        if (
            group is None
            or group.kind is not Kind.MAP
            or group.space != x.shape
            or group.rows not in (None, rows)
            or group.cost >= MAX_COST
            or not self.fits(node, group, Level.FULL)
        ):
            group = self.open(Kind.MAP, x.shape, rows)
        group.rows = rows
        self.join(group, node, Level.ROW)

    def need_operand(self, x: Variable, contiguous: bool) -> None:
        """An operand of a contraction is memory read at an affine index; anything else is stored first.

        `contiguous`: so is memory that is strided along the last axis, which the lanes run along.
        """
        self.store_operand(self.affine_source(x, contiguous))

    def store_operand(self, v: Variable) -> None:
        """`v` is read from memory by a kernel that comes now; others may inline it still."""
        self.need(v)
        if v in self.inline:
            self.stored_operands[v] = None

    def read_by_region(self, node: Apply) -> list[Variable]:
        """What a loop or branch reads from memory: rows of sequences where they lie, and all else as it is."""
        if not isinstance(node.op, Scan):
            return list(node.inputs)
        given = node.op.operands(node.inputs)
        count = [] if given.count is None else [given.count]
        return [*count, *given.carries, *(self.row_source(v)[0] for v in given.sequences), *given.constants]

    def row_source(self, v: Variable) -> tuple[Variable, Size]:
        """The memory in which the rows of an operand of a loop lie whole, seen through views of rows (slices, a flip), and
        which row of it row `ax0` is.  One of rank 0 is its own memory."""
        if v not in self.row_sources:
            self.row_sources[v] = self._row_source(v)
        return self.row_sources[v]

    def _row_source(self, v: Variable) -> tuple[Variable, Size]:
        (axis,) = axis_symbols(1)
        row: Size = Dim.of(axis)
        while v.owner is not None and v in self.inline and v not in self.stored_operands and isinstance(v.owner.op, ViewOp) and v.shape:
            x = v.owner.inputs[0]
            at = (row, *point(v.shape)[1:])
            if not x.shape or v.owner.op.inside(at, x.shape) or x.shape[1:] != v.shape[1:]:
                break
            below = v.owner.op.index(at, x.shape)
            if below[1:] != at[1:] or not symbols_of(below[0]).isdisjoint(axis_symbols(len(at))[1:]):
                break
            v, row = x, below[0]
        return v, row

    def affine_source(self, v: Variable, contiguous: bool) -> Variable:
        """What is read at affine indices through the views below `v`: memory, or what has to be stored."""
        start, at = v, point(v.shape)
        last = at[-1] if at else 0
        while v.owner is not None and v in self.inline and v not in self.stored_operands:
            op, x = v.owner.op, v.owner.inputs[0] if v.owner.inputs else None
            if not isinstance(op, ViewOp) or x is None or op.inside(at, x.shape):
                break
            below = op.index(at, x.shape)
            if not all(isinstance(i, int) or all(isinstance(a, Symbol) for a in i.atoms()) for i in below):
                break
            v, at = x, below
        strided = contiguous and not isinstance(last, int) and (not at or at[-1] != last)
        return start if strided else v


def late_scalars(nodes: Sequence[Apply]) -> list[Apply]:
    """The same order but for elementwise nodes and views, which come right before the first other node that needs them.

    What is only needed by the backward pass is then computed there, and not stored on the way.  Single
    numbers, such as a learning rate, come early: whatever takes them may then join its producer.
    """
    order: list[Apply] = []
    waiting: dict[Apply, None] = {}

    def settle(last: Apply) -> None:
        stack = [last]
        while stack:
            node = stack[-1]
            above = [v.owner for v in node.inputs if v.owner in waiting]
            if above:
                stack.extend(above[::-1])
                continue
            stack.pop()
            if node in waiting:
                del waiting[node]
                order.append(node)

    for node in nodes:
        if isinstance(node.op, ScalarOp | ViewOp) and not isinstance(node.op, ReshapeOp) and node.outputs[0].shape:
            waiting[node] = None
        else:
            for v in node.inputs:
                if v.owner in waiting:
                    settle(v.owner)
            order.append(node)
    for node in nodes:
        if node in waiting:
            settle(node)
    return order


def is_trailing(node: Apply) -> bool:
    """Does a fold go over the last axes of its input?"""
    op, rank = node.op, len(node.inputs[0].shape)
    assert isinstance(op, FoldOp)
    return op.axes == tuple(range(rank - len(op.axes), rank))


def cost_of(node: Apply) -> int:
    return node.op.cost if isinstance(node.op, ScalarOp | NestOp) else 1


def phases_of(fusion: Fusion, group: Group) -> dict[Variable, int]:
    """The pass over a row in which each member can be computed; a fold's result belongs to the next one."""
    phases: dict[Variable, int] = {}
    for node in group.members:
        reads = max((phases.get(a.base, 0) for a in fusion.node_accesses(node)), default=0)
        phases[node.outputs[0]] = reads + isinstance(node.op, FoldOp)
    return phases


def fuse(outputs: Sequence[Variable]) -> Fusion:
    """Groups in an order in which they can run, with what each must store."""
    fusion = Fusion(outputs)
    fusion.run()
    return fusion
