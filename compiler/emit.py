"""Kernel IR -> LLVM text.  Knows loop kinds and prims, never op names.

Pure instructions are placed in the outermost block that dominates their use and whose values
they need, and are numbered there: common subexpressions and loop invariants fall out of the
walk, so no IR pass is needed beyond `sroa`, which turns register buffers (allocas with
constant indices) into SSA values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from graphflow.compiler import kernel as K
from graphflow.compiler.kernel import Kind, Space
from graphflow.compiler.target.instructions import (
    FLAT,
    Instructions,
    llvm_constant,
    memory_type,
)
from graphflow.compiler.target.machine import Machine
from graphflow.graph.dim import Compound, Dim, Monomial, Size, Symbol, proves_nonnegative, row_major_strides, substitute
from graphflow.graph.types import DType


@dataclass(frozen=True, slots=True)
class Value:
    """An SSA value or constant: its text, lanes (1 is a scalar), and the depth of the scope it belongs to."""

    text: str
    dtype: DType
    lanes: int = 1
    depth: int = 0


@dataclass(slots=True)
class BasicBlock:
    label: str
    lines: list[str] = field(default_factory=list)
    end: str = "ret void"


@dataclass(slots=True)
class Scope:
    """A loop body, a branch, or the function: `block` is its newest block; `certain` if entering it was sure to happen."""

    block: BasicBlock
    certain: bool
    known: dict[str, Value] = field(default_factory=dict)
    indices: dict[Dim, Value] = field(default_factory=dict)


class Emitter:
    """Emits one Proc as one LLVM function `void @name(params, dims, ptr err, i64 lo, i64 hi)`."""

    def __init__(self, proc: K.Proc, machine: Machine) -> None:
        self.proc = proc
        self.machine = machine
        self.blocks = [BasicBlock("entry")]
        self.scopes = [Scope(self.blocks[0], certain=True)]
        self.env: dict[Symbol, Value] = {d: Value(f"%{_name(d.name)}.d{i}", K.I64) for i, d in enumerate(proc.dims)}
        self.pointers = {p: f"%p{i}" for i, p in enumerate(proc.params)}
        self.regs: dict[K.Buffer, str] = {}
        self.lane_regs: set[K.Buffer] = set()
        self.allocas: list[str] = []
        self.unrolled: dict[Symbol, Size] = {}
        self.lane: Symbol | None = None
        self.width = 1
        self.mask: Value | None = None
        self.count = 0
        self.instructions = Instructions(self, machine)

    # --- text ---------------------------------------------------------------------------
    def function(self) -> str:
        self.block(self.proc.body)
        params = [f"ptr noalias {self.pointers[p]}" if not p.name.startswith("alias") else f"ptr {self.pointers[p]}" for p in self.proc.params]
        dims = [f"i64 {self.env[d].text}" for d in self.proc.dims]
        args = ", ".join([*params, *dims, "ptr %err", "i64 %lo", "i64 %hi"])
        first, *rest = self.blocks
        first.lines[:0] = self.allocas
        body = "\n".join(f"{b.label}:\n" + "".join(f"  {line}\n" for line in b.lines) + f"  {b.end}" for b in (first, *rest))
        return f"define void @{self.proc.name}({args}) #0 {{\n{body}\n}}\n"

    def fresh(self) -> str:
        self.count += 1
        return f"%v{self.count}"

    @property
    def depth(self) -> int:
        return len(self.scopes) - 1

    def pure(self, text: str, dtype: DType, lanes: int, depth: int) -> Value:
        """A numbered instruction without effects, in the scope at `depth`."""
        scope = self.scopes[depth]
        found = scope.known.get(text)
        if found is None:
            name = self.fresh()
            scope.block.lines.append(f"{name} = {text}")
            found = scope.known[text] = Value(name, dtype, lanes, depth)
        return found if found.dtype == dtype else Value(found.text, dtype, lanes, depth)

    def effect(self, text: str) -> None:
        self.scopes[-1].block.lines.append(text)

    def here(self, text: str, dtype: DType, lanes: int) -> Value:
        """An instruction that stays where it is (a load of memory that changes)."""
        name = self.fresh()
        self.effect(f"{name} = {text}")
        return Value(name, dtype, lanes, self.depth)

    def new_block(self, hint: str) -> BasicBlock:
        self.count += 1
        made = BasicBlock(f"{hint}{self.count}")
        self.blocks.append(made)
        return made

    # --- statements -----------------------------------------------------------------------
    def block(self, body: K.Block) -> None:
        for s in body:
            match s:
                case K.For():
                    self.loop(s)
                case K.Let():
                    self.env[s.var] = self.expr(s.value)
                case K.Alloc():
                    self.alloc(s.buffer)
                case K.Store():
                    self.store(s.buffer, s.at, self.expr(s.value))
                case K.Fold():
                    self.fold(s)
                case K.Mask():
                    self.masked(s)
                case K.If():
                    self.branch(self.expr(s.cond), s.yes, s.no)
                case K.Check():
                    self.check(s)
                case K.Transpose():
                    self.transpose(s)

    def loop(self, s: K.For) -> None:
        if s.kind is Kind.UNROLL or (s.kind is Kind.LANES and s.extent == 1):
            assert isinstance(s.extent, int)
            for i in range(s.extent):
                self.env[s.var] = Value(str(i), K.I64)
                self.unrolled[s.var] = i
                self.block(s.body)
        elif s.kind is Kind.LANES:
            assert isinstance(s.extent, int) and self.lane is None
            self.lane, self.width = s.var, s.extent
            self.block(s.body)
            self.lane, self.width = None, 1
        else:
            self.counted_loop(s)

    def counted_loop(self, s: K.For) -> None:
        team = s.kind is Kind.TEAM
        low = Value("%lo", K.I64) if team else Value("0", K.I64)
        high = Value("%hi", K.I64) if team else self.index(s.extent)
        sure = not team and proves_nonnegative(s.extent - 1)
        outer = self.scopes[-1].block
        body = self.new_block("body")
        leave = BasicBlock(f"exit{self.count}")
        if sure:
            outer.end = f"br label %{body.label}"
        else:
            go = self.fresh()
            outer.lines.append(f"{go} = icmp slt i64 {low.text}, {high.text}")
            outer.end = f"br i1 {go}, label %{body.label}, label %{leave.label}"
        i, following, again = self.fresh(), self.fresh(), self.fresh()
        self.scopes.append(Scope(body, certain=sure))
        self.env[s.var] = Value(i, K.I64, 1, self.depth)
        self.block(s.body)
        latch = self.scopes.pop().block
        body.lines.insert(0, f"{i} = phi i64 [ {low.text}, %{outer.label} ], [ {following}, %{latch.label} ]")
        latch.lines += [f"{following} = add nsw i64 {i}, 1", f"{again} = icmp slt i64 {following}, {high.text}"]
        latch.end = f"br i1 {again}, label %{body.label}, label %{leave.label}"
        self.blocks.append(leave)
        self.scopes[-1].block = leave

    def branch(self, cond: Value, yes: K.Block, no: K.Block) -> None:
        outer = self.scopes[-1].block
        merge = BasicBlock("")
        targets: list[str] = []
        ends: list[BasicBlock] = []
        for part in (yes, no):
            if not part:
                targets.append("")
                continue
            start = self.new_block("then")
            targets.append(start.label)
            self.scopes.append(Scope(start, certain=False))
            self.block(part)
            ends.append(self.scopes.pop().block)
        self.count += 1
        merge.label = f"join{self.count}"
        for end in ends:
            end.end = f"br label %{merge.label}"
        outer.end = f"br i1 {cond.text}, label %{targets[0] or merge.label}, label %{targets[1] or merge.label}"
        self.blocks.append(merge)
        self.scopes[-1].block = merge

    def masked(self, s: K.Mask) -> None:
        cond = self.expr(s.cond)
        if cond.lanes == 1:
            self.branch(cond, s.body, ())
            return
        before = self.mask
        self.mask = cond if before is None else self.instructions.call("and", [before, cond])
        self.block(s.body)
        self.mask = before

    def alloc(self, b: K.Buffer) -> None:
        n = 1
        for extent in b.shape:
            assert isinstance(extent, int)
            n *= extent
        name = f"%r{len(self.regs)}"
        if b not in self.regs:
            self.regs[b] = name
            if self.lane is not None:  # a register of each lane
                self.lane_regs.add(b)
                n *= self.width
            self.allocas.append(f"{name} = alloca [{n} x {memory_type(b.dtype)}], align 64")

    def check(self, s: K.Check) -> None:
        bad = self.instructions.call("not", [self.expr(s.ok)])
        operand = self.expr(s.operand) if s.operand is not None else None
        if bad.lanes > 1:
            if self.mask is not None:
                bad = self.instructions.call("and", [bad, self.mask])
            if operand is not None and operand.lanes > 1:
                operand = self.instructions.first_where(bad, operand)
            bad = self.instructions.any_lane(bad)
        outer = self.scopes[-1].block
        fail, merge = self.new_block("fail"), self.new_block("ok")
        outer.end = f"br i1 {bad.text}, label %{fail.label}, label %{merge.label}"
        if operand is not None:
            slot = self.fresh()
            fail.lines += [f"{slot} = getelementptr i64, ptr %err, i64 1", f"store i64 {operand.text}, ptr {slot}, align 8"]
        fail.lines.append(f"store i64 {s.site + 1}, ptr %err, align 8")
        fail.end = f"br label %{merge.label}"
        self.scopes[-1].block = merge

    def transpose(self, s: K.Transpose) -> None:
        """Blocks off the diagonal change places, ever smaller ones: n log n shuffles of two rows."""
        n = s.source.shape[0]
        assert isinstance(n, int) and self.lane is None
        t = memory_type(s.source.dtype)
        row_at = [f"getelementptr {t}, ptr {{}}, i64 {n * i}" for i in range(n)]
        pointers = [self.pure(g.format(self.regs[s.source]), FLAT, 1, 0).text for g in row_at]
        rows = [self.here(f"load <{n} x {t}>, ptr {p}, align {s.source.dtype.itemsize}", s.source.dtype, n).text for p in pointers]
        half = n // 2
        while half:
            for i in (i for i in range(n) if not i & half):
                first, second = rows[i], rows[i + half]
                for k, lanes in ((i, [e if not e & half else n + e - half for e in range(n)]), (i + half, [e + half if not e & half else n + e for e in range(n)])):
                    mask = ", ".join(f"i32 {e}" for e in lanes)
                    rows[k] = self.pure(f"shufflevector <{n} x {t}> {first}, <{n} x {t}> {second}, <{n} x i32> <{mask}>", s.source.dtype, n, self.depth).text
            half //= 2
        for g, row in zip(row_at, rows, strict=True):
            p = self.pure(g.format(self.regs[s.target]), FLAT, 1, 0).text
            self.effect(f"store <{n} x {t}> {row}, ptr {p}, align {s.source.dtype.itemsize}")

    def fold(self, s: K.Fold) -> None:
        old = self.load(K.Load(s.buffer, s.at))
        values = [self.expr(v) for v in s.values]
        if s.monoid == "dot":
            new = self.instructions.call("muladd", [*values, old])
        else:
            new = self.instructions.call(s.monoid, [old, *values])
        self.store(s.buffer, s.at, new)

    # --- memory -------------------------------------------------------------------------------
    def address(self, b: K.Buffer, at: tuple[Size, ...]) -> tuple[str, int | None, Value | None, int]:
        """(pointer of lane 0, lane stride or None, vector of element indices or None, depth)."""
        flat: Size = 0
        for i, step in zip(at, row_major_strides(b.shape), strict=True):
            flat = flat + i * step
        if b in self.lane_regs:
            assert self.lane is not None
            flat = flat * self.width + Dim.of(self.lane)
        flat = substitute(flat, self.unrolled)
        base = self.regs[b] if b.space is Space.REG else self.pointers[b]
        stride, rest = self.lane_part(flat)
        if stride is None:
            ix = self.vector_index(flat)
            return base, None, ix, ix.depth
        constant = rest if isinstance(rest, int) else rest.constant
        variable = self.index(rest - constant)
        p, depth = base, variable.depth
        if variable.text != "0":
            p = self.pure(f"getelementptr inbounds {memory_type(b.dtype)}, ptr {p}, i64 {variable.text}", FLAT, 1, depth).text
        if constant:
            p = self.pure(f"getelementptr inbounds {memory_type(b.dtype)}, ptr {p}, i64 {constant}", FLAT, 1, depth).text
        return p, stride, None, depth

    def load(self, e: K.Load) -> Value:
        where = self.expr(e.where) if e.where is not None else None
        other = self.expr(e.other) if e.other is not None else None
        p, stride, vector, depth = self.address(e.buffer, e.at)
        reg = e.buffer.space is Space.REG
        vectorial = self.lane is not None and (stride != 0 or (where is not None and where.lanes > 1))
        if not vectorial:
            value = self.scalar_load(e, p, depth, where)
        else:
            mask = self.combined_mask(where) if not reg else None
            value = self.instructions.vector_load(e.buffer.dtype, p, stride, vector, mask, "" if reg or self.mutable(e.buffer) else "invariant", depth)
        value = self.instructions.from_memory(value, e.buffer.dtype)
        if where is not None:
            filler = other if other is not None else Value(llvm_constant(e.dtype.type(0)), e.dtype)
            value = self.instructions.select(where, value, filler)
        return value

    def combined_mask(self, where: Value | None) -> Value | None:
        if where is not None and where.lanes == 1:
            where = self.instructions.splat(where)
        if where is None or self.mask is None:
            return where or self.mask
        return self.instructions.call("and", [self.mask, where])

    def mutable(self, b: K.Buffer) -> bool:
        return b.space is Space.REG or b.mode is not K.Mode.IN

    def scalar_load(self, e: K.Load, p: str, depth: int, where: Value | None) -> Value:
        t, d = memory_type(e.buffer.dtype), e.buffer.dtype
        align = f"align {d.itemsize}"
        if where is not None:  # nothing may be read where it is false: read a place that is always there
            p = self.pure(f"select i1 {where.text}, ptr {p}, ptr @gf.nowhere", FLAT, 1, max(depth, where.depth)).text
            return self.here(f"load {t}, ptr {p}, {align}", d, 1)
        if self.mutable(e.buffer):
            return self.here(f"load {t}, ptr {p}, {align}", d, 1)
        if self.mask is not None:
            depth = self.depth
        while depth < self.depth and not all(s.certain for s in self.scopes[depth + 1 :]):
            depth += 1  # a load may only move out of loops that are sure to run
        return self.pure(f"load {t}, ptr {p}, {align}", d, 1, depth)

    def store(self, b: K.Buffer, at: tuple[Size, ...], value: Value) -> None:
        p, stride, vector, _ = self.address(b, at)
        value = self.instructions.to_memory(value)
        if self.lane is None or (stride == 0 and value.lanes == 1 and self.mask is None):
            self.effect(f"store {memory_type(b.dtype)} {value.text}, ptr {p}, align {b.dtype.itemsize}")
        else:
            self.instructions.vector_store(self.instructions.splat(value), p, stride, vector, self.mask, b)

    # --- indices --------------------------------------------------------------------------------
    def lane_part(self, flat: Size) -> tuple[int | None, Size]:
        """Split `flat = stride * lane + rest`; stride None where it is not linear in the lane."""
        if self.lane is None or isinstance(flat, int):
            return 0, flat
        stride = 0
        rest: dict[Monomial, int] = {}
        for mono, c in flat.terms.items():
            if mono == (self.lane,):
                stride = c
            elif any(self.varies(atom) for atom in mono):
                return None, flat
            else:
                rest[mono] = c
        return stride, (Dim(rest) if rest and tuple(rest) != ((),) else rest.get((), 0))

    def varies(self, atom: Symbol | Compound) -> bool:
        """Does it differ between lanes?"""
        if isinstance(atom, Symbol):
            return atom is self.lane or (atom in self.env and self.env[atom].lanes > 1)
        return any(self.varies(a) for part in (atom.a, atom.b) if isinstance(part, Dim) for a in part.atoms())

    def index(self, size: Size) -> Value:
        """An i64 for an index expression that is the same in all lanes."""
        size = substitute(size, self.unrolled)
        if isinstance(size, int):
            return Value(str(size), K.I64)
        for scope in reversed(self.scopes):
            if size in scope.indices:
                return scope.indices[size]
        made = self.polynomial(size, vector=False)
        self.scopes[made.depth].indices[size] = made
        return made

    def vector_index(self, size: Size) -> Value:
        v = self.polynomial(size, vector=True) if isinstance(size, Dim) else Value(str(size), K.I64)
        return self.instructions.splat(v)

    def polynomial(self, size: Dim, vector: bool) -> Value:
        terms = sorted(size.terms.items(), key=lambda t: max((self.depth_of(a) for a in t[0]), default=-1))
        total: Value | None = None
        for mono, c in terms:
            product = Value(str(c), K.I64) if not mono or c != 1 else None
            for atom in sorted(mono, key=self.depth_of):
                v = self.atom(atom, vector)
                product = v if product is None else self.instructions.call("mul", [v, product])
            assert product is not None
            total = product if total is None else self.instructions.call("add", [total, product])
        assert total is not None
        return total

    def depth_of(self, atom: Symbol | Compound) -> int:
        if isinstance(atom, Symbol):
            return self.env[atom].depth if atom in self.env else self.depth + 1
        return max((self.depth_of(a) for part in (atom.a, atom.b) if isinstance(part, Dim) for a in part.atoms()), default=0)

    def atom(self, atom: Symbol | Compound, vector: bool) -> Value:
        if isinstance(atom, Symbol):
            if atom is self.lane:
                assert vector, "a lane index where a uniform one is needed"
                lanes = ", ".join(f"i64 {i}" for i in range(self.width))
                return Value(f"<{lanes}>", K.I64, self.width)
            return self.env[atom]
        a, b = (Value(str(s), K.I64) if isinstance(s, int) else self.polynomial(s, vector) for s in (atom.a, atom.b))
        if atom.kind in ("min", "max"):
            return self.instructions.call(atom.kind, [a, b])
        if proves_nonnegative(atom.a) and isinstance(atom.b, int) and atom.b > 0:
            return self.instructions.unsigned_division(atom.kind, a, b)
        return self.instructions.call("idiv" if atom.kind == "//" else "imod", [a, b])

    # --- expressions ----------------------------------------------------------------------------
    def expr(self, root: K.Expr) -> Value:
        done: dict[int, Value] = {}
        for e in postorder(root):
            done[id(e)] = self.node(e, done)
        return done[id(root)]

    def node(self, e: K.Expr, done: dict[int, Value]) -> Value:
        match e:
            case K.Const():
                return Value(llvm_constant(e.value), e.dtype)
            case K.Var():
                return self.symbol_value(e.symbol)
            case K.Index():
                stride, _ = self.lane_part(e.size)
                return self.vector_index(e.size) if stride != 0 else self.index(e.size)
            case K.Load():
                return self.load(e)
            case K.Call():
                return self.instructions.call(e.prim, [done[id(a)] for a in e.args])
            case K.Cast():
                return self.instructions.cast(done[id(e.arg)], e.dtype)
            case K.Bits():
                return self.instructions.bits(done[id(e.arg)], e.dtype)
            case K.Select():
                return self.instructions.select(done[id(e.cond)], done[id(e.a)], done[id(e.b)])
        raise AssertionError(type(e))

    def symbol_value(self, symbol: Symbol) -> Value:
        return self.atom(symbol, vector=True) if symbol is self.lane else self.env[symbol]


def postorder(root: K.Expr) -> Iterator[K.Expr]:
    """Sub-expressions before what uses them, each once; what a Load holds is left to the Load."""
    seen: set[int] = set()
    stack: list[tuple[K.Expr, bool]] = [(root, False)]
    while stack:
        e, ready = stack.pop()
        if ready:
            yield e
        elif id(e) not in seen:
            seen.add(id(e))
            stack.append((e, True))
            if not isinstance(e, K.Load):
                stack.extend((c, False) for c in reversed(K.children(e)))


def _name(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text) or "d"


def module_text(procs: list[K.Proc], machine: Machine, extra: str = "") -> str:
    """An LLVM module with one function per Proc, `extra` text, and the declarations they need."""
    body = "".join(Emitter(p, machine).function() for p in procs)
    return finish_module(body + extra, machine)


def finish_module(body: str, machine: Machine) -> str:
    from graphflow.compiler.target.instructions import declarations

    widths = f'"min-legal-vector-width"="{machine.vector_bits}"' if machine.vector_bits else ""
    return (
        f'target triple = "{machine.triple}"\n'
        "@gf.nowhere = internal constant [64 x i8] zeroinitializer, align 64\n"
        f"{body}\n{declarations(body)}\n"
        f'attributes #0 = {{ nounwind "no-builtins" {widths} }}\n'
    )
