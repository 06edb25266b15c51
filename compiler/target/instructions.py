"""Prims, casts and vector memory accesses as LLVM instructions.  Every one is total."""

from __future__ import annotations

import operator
import re
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from graphflow.compiler import kernel as K
from graphflow.compiler.target.machine import Machine
from graphflow.graph.types import DType, is_half

if TYPE_CHECKING:
    from graphflow.compiler.emit import Emitter, Value

FLAT = np.dtype("uint64")  # the dtype slot of pointers, which have none

_FLOATS = {4: "float", 8: "double"}
_FLOAT_OPS = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_INT_OPS = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
_FOLDED: dict[str, Callable[[int, int], int]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le,
}  # fmt: skip
_ROUNDING = {"sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "rint": "rint", "trunc": "trunc", "abs": "fabs"}
_FLOAT_COMPARE = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole"}


def llvm_type(dtype: DType) -> str:
    if dtype.kind == "b":
        return "i1"
    if is_half(dtype):
        return "i16"  # bits that are moved; casts compute with them
    return _FLOATS[dtype.itemsize] if dtype.kind == "f" else f"i{8 * dtype.itemsize}"


def memory_type(dtype: DType) -> str:
    return "i8" if dtype.kind == "b" else llvm_type(dtype)


def llvm_constant(value: Any) -> str:
    """Floats by their bits (LLVM writes float32 constants as doubles)."""
    if is_half(value.dtype):
        return str(int(value.view(np.uint16)))
    if isinstance(value, np.floating):
        return f"0x{struct.unpack('<Q', struct.pack('<d', float(value)))[0]:016X}" if value == value else "0x7FF8000000000000"
    if isinstance(value, np.bool_):
        return "true" if value else "false"
    return str(int(value))


def suffix(dtype: DType, lanes: int, memory: bool = False) -> str:
    t = (f"f{8 * dtype.itemsize}" if dtype.kind == "f" and not is_half(dtype) else memory_type(dtype) if memory else llvm_type(dtype)).replace("bool", "i1")
    return f"v{lanes}{t}" if lanes > 1 else t


class Instructions:
    """The instruction builder of one Emitter."""

    def __init__(self, emitter: Emitter, machine: Machine) -> None:
        self.e = emitter
        self.machine = machine

    # --- plumbing ---------------------------------------------------------------------------
    def type_of(self, v: Value) -> str:
        t = llvm_type(v.dtype)
        return f"<{v.lanes} x {t}>" if v.lanes > 1 else t

    def splat(self, v: Value) -> Value:
        """The same value in every lane of the current vector width."""
        from graphflow.compiler.emit import Value

        w = self.e.width
        if v.lanes > 1 or w == 1:
            return v
        t = memory_type(v.dtype) if v.dtype.kind == "b" and v.text.startswith("%m") else llvm_type(v.dtype)
        if not v.text.startswith("%"):
            return Value("<" + ", ".join([f"{t} {v.text}"] * w) + ">", v.dtype, w, 0)
        first = self.e.pure(f"insertelement <{w} x {t}> poison, {t} {v.text}, i64 0", v.dtype, w, v.depth)
        return self.e.pure(f"shufflevector <{w} x {t}> {first.text}, <{w} x {t}> poison, <{w} x i32> zeroinitializer", v.dtype, w, v.depth)

    def level(self, *values: Value) -> list[Value]:
        """Operands with the same number of lanes."""
        lanes = max(v.lanes for v in values)
        return list(values) if lanes == 1 else [self.splat(v) for v in values]

    def instruction(self, text: str, values: list[Value], dtype: DType) -> Value:
        return self.e.pure(text, dtype, values[0].lanes, max(v.depth for v in values))

    def intrinsic(self, name: str, values: list[Value], extra: str = "") -> Value:
        t = self.type_of(values[0])
        args = ", ".join(f"{t} {v.text}" for v in values)
        return self.instruction(f"call {t} @llvm.{name}.{suffix(values[0].dtype, values[0].lanes)}({args}{extra})", values, values[0].dtype)

    def constant(self, like: Value, value: Any) -> Value:
        from graphflow.compiler.emit import Value

        text = llvm_constant(like.dtype.type(value))
        if like.lanes == 1:
            return Value(text, like.dtype)
        return Value("<" + ", ".join([f"{llvm_type(like.dtype)} {text}"] * like.lanes) + ">", like.dtype, like.lanes)

    # --- prims --------------------------------------------------------------------------------
    def call(self, prim: str, args: list[Value]) -> Value:
        xs = self.level(*args)
        x = xs[0]
        t = self.type_of(x)
        floating = x.dtype.kind == "f"
        if prim in _FLOAT_OPS and floating:
            return self.instruction(f"{_FLOAT_OPS[prim]} {t} {x.text}, {xs[1].text}", xs, x.dtype)
        if prim in _INT_OPS and not floating:
            return self.integer_op(prim, xs)
        if prim in _ROUNDING and floating:
            return self.intrinsic(_ROUNDING[prim], xs)
        if prim in K.COMPARISONS:
            return self.compare(prim, xs)
        match prim:
            case "muladd":
                if floating and self.machine.fma:
                    return self.intrinsic("fma", xs)
                return self.call("add", [self.call("mul", xs[:2]), xs[2]])
            case "neg":
                if floating:
                    return self.instruction(f"fneg {t} {x.text}", xs, x.dtype)
                return self.instruction(f"sub {t} {self.constant(x, 0).text}, {x.text}", xs, x.dtype)
            case "abs":
                return x if x.dtype.kind in "ub" else self.intrinsic("abs", xs, ", i1 false")
            case "min" | "max":
                return self.extreme(prim, xs)
            case "idiv" | "imod":
                return self.division(prim, xs)
            case "not":
                return self.instruction(f"xor {t} {x.text}, {self.constant(x, True if x.dtype.kind == 'b' else x.dtype.type(0) - x.dtype.type(1) if x.dtype.kind == 'i' else np.iinfo(x.dtype).max).text}", xs, x.dtype)
            case "shl" | "shr":
                return self.shift(prim, xs)
            case "popcount":
                return self.intrinsic("ctpop", xs)
            case "mulhi":
                return self.high_product(xs)
        raise AssertionError(f"{prim} on {x.dtype}")

    def integer_op(self, prim: str, xs: list[Value]) -> Value:
        x, y = xs
        if prim in _FOLDED and (known := _known_lanes(x, y)) is not None:
            made = [_FOLDED[prim](a, b) for a, b in known]
            if all(abs(v) < 2**62 for v in made):
                return self.constant_lanes([str(v) for v in made], x.dtype)
        if prim == "mul" and "1" in (x.text, y.text):
            return y if x.text == "1" else x
        if prim == "add" and "0" in (x.text, y.text):
            return y if x.text == "0" else x
        return self.instruction(f"{_INT_OPS[prim]} {self.type_of(x)} {x.text}, {y.text}", xs, x.dtype)

    def compare(self, prim: str, xs: list[Value]) -> Value:
        x, y = xs
        if x.dtype.kind == "f":
            return self.instruction(f"fcmp {_FLOAT_COMPARE[prim]} {self.type_of(x)} {x.text}, {y.text}", xs, K.BOOL)
        if (known := _known_lanes(x, y)) is not None:
            return self.constant_lanes(["true" if _FOLDED[prim](a, b) else "false" for a, b in known], K.BOOL)
        word = prim if prim in ("eq", "ne") else ("s" if x.dtype.kind == "i" else "u") + prim
        return self.instruction(f"icmp {word} {self.type_of(x)} {x.text}, {y.text}", xs, K.BOOL)

    def constant_lanes(self, texts: list[str], dtype: DType) -> Value:
        """A constant: no pass of LLVM's folds what a mask of a tail is computed from."""
        from graphflow.compiler.emit import Value

        if len(texts) == 1:
            return Value(texts[0], dtype)
        return Value("<" + ", ".join(f"{llvm_type(dtype)} {t}" for t in texts) + ">", dtype, len(texts))

    def extreme(self, prim: str, xs: list[Value]) -> Value:
        """max(a, b) = a where a > b or a is NaN, else b."""
        a, b = xs
        t = self.type_of(a)
        if a.dtype.kind != "f":
            word = ("s" if a.dtype.kind == "i" else "u") + prim
            if a.dtype.kind == "b":
                return self.integer_op("and" if prim == "min" else "or", xs)
            return self.intrinsic(word, xs)
        better = self.instruction(f"fcmp {'ogt' if prim == 'max' else 'olt'} {t} {a.text}, {b.text}", xs, K.BOOL)
        picked = self.select(better, a, b)
        if not a.text.startswith("%"):  # a constant, which is not NaN
            return picked
        nan = self.instruction(f"fcmp uno {t} {a.text}, {a.text}", [a], K.BOOL)
        return self.select(nan, a, picked)

    def division(self, prim: str, xs: list[Value]) -> Value:
        """Floor division and modulo; by zero gives 0, INT_MIN by -1 wraps."""
        a, b = xs
        t, signed = self.type_of(a), a.dtype.kind == "i"
        zero, one = self.constant(a, 0), self.constant(a, 1)
        is_zero = self.compare("eq", [b, zero])
        safe = self.select(is_zero, one, b)
        if not signed:
            word = "udiv" if prim == "idiv" else "urem"
            result = self.instruction(f"{word} {t} {a.text}, {safe.text}", [a, safe], a.dtype)
            return self.select(is_zero, zero, result)
        minus = self.compare("eq", [b, self.constant(a, -1)])
        safe = self.select(minus, one, safe)
        q = self.instruction(f"sdiv {t} {a.text}, {safe.text}", [a, safe], a.dtype)
        r = self.call("sub", [a, self.call("mul", [q, safe])])
        crossing = self.compare("lt", [self.call("xor", [r, safe]), zero])
        uneven = self.call("and", [self.compare("ne", [r, zero]), crossing])
        if prim == "idiv":
            result = self.call("sub", [q, self.cast(uneven, a.dtype)])
            result = self.select(minus, self.call("neg", [a]), result)
        else:
            result = self.call("add", [r, self.select(uneven, safe, zero)])
            result = self.select(minus, zero, result)
        return self.select(is_zero, zero, result)

    def unsigned_division(self, kind: str, a: Value, b: Value) -> Value:
        """Index arithmetic whose operands are known to be non-negative and positive."""
        xs = self.level(a, b)
        word = "udiv" if kind == "//" else "urem"
        return self.instruction(f"{word} {self.type_of(xs[0])} {xs[0].text}, {xs[1].text}", xs, K.I64)

    def shift(self, prim: str, xs: list[Value]) -> Value:
        """A shift by the width or more gives 0, or the sign for a signed right shift."""
        x, n = xs
        bits = 8 * x.dtype.itemsize
        signed_right = prim == "shr" and x.dtype.kind == "i"
        t = self.type_of(x)
        limit = self.constant(n, bits - 1)
        fits = self.instruction(f"icmp ule {t} {n.text}, {limit.text}", [n], K.BOOL)
        amount = self.select(fits, n, limit)
        word = "shl" if prim == "shl" else "ashr" if signed_right else "lshr"
        shifted = self.instruction(f"{word} {t} {x.text}, {amount.text}", [x, amount], x.dtype)
        return shifted if signed_right else self.select(fits, shifted, self.constant(x, 0))

    def high_product(self, xs: list[Value]) -> Value:
        x = xs[0]
        bits = 8 * x.dtype.itemsize
        narrow, lanes = self.type_of(x), x.lanes
        wide = f"<{lanes} x i{2 * bits}>" if lanes > 1 else f"i{2 * bits}"
        extend = "sext" if x.dtype.kind == "i" else "zext"
        a, b = (self.instruction(f"{extend} {narrow} {v.text} to {wide}", [v], v.dtype) for v in xs)
        product = self.instruction(f"mul {wide} {a.text}, {b.text}", [a, b], x.dtype)
        amount = f"<{', '.join([f'i{2 * bits} {bits}'] * lanes)}>" if lanes > 1 else str(bits)
        high = self.instruction(f"lshr {wide} {product.text}, {amount}", [product], x.dtype)
        return self.instruction(f"trunc {wide} {high.text} to {narrow}", [high], x.dtype)

    def select(self, cond: Value, a: Value, b: Value) -> Value:
        if a.text == b.text:
            return a
        if is_all_true(cond):
            return self.splat(a)
        if cond.lanes == 1 and cond.text in ("true", "false"):
            return a if cond.text == "true" else b
        if cond.lanes == 1 and max(a.lanes, b.lanes) == 1:
            xs = [cond, a, b]
        else:
            xs = [self.splat(v) for v in (cond, a, b)]
        c, a, b = xs
        text = f"select {self.type_of(c)} {c.text}, {self.type_of(a)} {a.text}, {self.type_of(b)} {b.text}"
        return self.e.pure(text, a.dtype, a.lanes, max(v.depth for v in xs))

    # --- conversions --------------------------------------------------------------------------
    def cast(self, x: Value, dtype: DType) -> Value:
        if x.dtype == dtype:
            return x
        src, dst = x.dtype, dtype
        to = f"<{x.lanes} x {llvm_type(dst)}>" if x.lanes > 1 else llvm_type(dst)
        t = self.type_of(x)
        if dst.kind == "b":
            return self.compare("ne", [x, self.constant(x, 0)])
        if src.kind == "f" and dst.kind in "iu":
            word = "fptosi.sat" if dst.kind == "i" else "fptoui.sat"
            name = f"@llvm.{word}.{suffix(dst, x.lanes)}.{suffix(src, x.lanes)}"
            return self.instruction(f"call {to} {name}({t} {x.text})", [x], dst)
        if dst.kind == "f":
            if src.kind == "f":
                word = "fpext" if dst.itemsize > src.itemsize else "fptrunc"
            else:
                word = "sitofp" if src.kind == "i" else "uitofp"
        elif src.kind == "b" or dst.itemsize > src.itemsize:
            word = "sext" if src.kind == "i" else "zext"
        elif dst.itemsize < src.itemsize:
            word = "trunc"
        else:
            return type(x)(x.text, dst, x.lanes, x.depth) if x.text.startswith("%") else self.bits(x, dst)
        return self.instruction(f"{word} {t} {x.text} to {to}", [x], dst)

    def bits(self, x: Value, dtype: DType) -> Value:
        to = f"<{x.lanes} x {llvm_type(dtype)}>" if x.lanes > 1 else llvm_type(dtype)
        return self.instruction(f"bitcast {self.type_of(x)} {x.text} to {to}", [x], dtype)

    def from_memory(self, v: Value, dtype: DType) -> Value:
        """A bool is a byte in memory and a bit in registers."""
        if dtype.kind != "b":
            return v
        t = f"<{v.lanes} x i8>" if v.lanes > 1 else "i8"
        zero = "zeroinitializer" if v.lanes > 1 else "0"
        return self.e.pure(f"icmp ne {t} {v.text}, {zero}", dtype, v.lanes, v.depth)

    def to_memory(self, v: Value) -> Value:
        return self.cast(v, np.dtype("uint8")) if v.dtype.kind == "b" else v

    # --- vectors ------------------------------------------------------------------------------
    def vector_load(self, dtype: DType, p: str, stride: int | None, indices: Value | None, mask: Value | None, kind: str, depth: int) -> Value:
        e, w = self.e, self.e.width
        mask = None if mask is not None and is_all_true(mask) else mask
        t = memory_type(dtype)
        vt = f"<{w} x {t}>"
        m = mask.text if mask is not None else "<" + ", ".join(["i1 true"] * w) + ">"
        depth = max(depth, mask.depth if mask is not None else 0)
        if stride == 1 and mask is None:
            text = f"load {vt}, ptr {p}, align {dtype.itemsize}"
        elif stride == 1:
            text = f"call {vt} @llvm.masked.load.{suffix(dtype, w, memory=True)}.p0(ptr align {dtype.itemsize} {p}, <{w} x i1> {m}, {vt} zeroinitializer)"
        else:
            pointers = self.lane_pointers(t, p, stride, indices)
            depth = max(depth, pointers.depth)
            text = f"call {vt} @llvm.masked.gather.{suffix(dtype, w, memory=True)}.v{w}p0(<{w} x ptr> align {dtype.itemsize} {pointers.text}, <{w} x i1> {m}, {vt} zeroinitializer)"
        if kind != "invariant":
            return e.here(text, dtype, w)
        while depth < e.depth and not (mask is not None or all(s.certain for s in e.scopes[depth + 1 :])):
            depth += 1
        return e.pure(text, dtype, w, depth)

    def lane_pointers(self, t: str, p: str, stride: int | None, indices: Value | None) -> Value:
        w = self.e.width
        if indices is None:
            assert stride is not None
            text = "<" + ", ".join(f"i64 {i * stride}" for i in range(w)) + ">"
            depth = self.e.depth
        else:
            text, depth = indices.text, indices.depth
        return self.e.pure(f"getelementptr {t}, ptr {p}, <{w} x i64> {text}", FLAT, w, depth)

    def vector_store(self, v: Value, p: str, stride: int | None, indices: Value | None, mask: Value | None, b: K.Buffer) -> None:
        w = self.e.width
        mask = None if mask is not None and is_all_true(mask) else mask
        dtype, t = b.dtype, memory_type(b.dtype)
        vt = f"<{w} x {t}>"
        if b.space is K.Space.REG and mask is not None:
            old = self.e.here(f"load {vt}, ptr {p}, align {dtype.itemsize}", v.dtype, w)
            v, mask = self.select(mask, v, old), None
        if stride == 1 and mask is None:
            self.e.effect(f"store {vt} {v.text}, ptr {p}, align {dtype.itemsize}")
            return
        m = mask.text if mask is not None else "<" + ", ".join(["i1 true"] * w) + ">"
        if stride == 1:
            self.e.effect(f"call void @llvm.masked.store.{suffix(dtype, w, memory=True)}.p0({vt} {v.text}, ptr align {dtype.itemsize} {p}, <{w} x i1> {m})")
            return
        pointers = self.lane_pointers(t, p, stride, indices)
        self.e.effect(f"call void @llvm.masked.scatter.{suffix(dtype, w, memory=True)}.v{w}p0({vt} {v.text}, <{w} x ptr> align {dtype.itemsize} {pointers.text}, <{w} x i1> {m})")

    def any_lane(self, v: Value) -> Value:
        return self.e.pure(f"call i1 @llvm.vector.reduce.or.v{v.lanes}i1(<{v.lanes} x i1> {v.text})", K.BOOL, 1, v.depth)

    def first_where(self, cond: Value, v: Value) -> Value:
        """The largest lane of `v` among those where `cond` holds: one culprit to report."""
        low = self.constant(v, np.iinfo(v.dtype).min)
        picked = self.select(cond, v, low)
        return self.e.pure(f"call i64 @llvm.vector.reduce.smax.v{v.lanes}i64(<{v.lanes} x i64> {picked.text})", v.dtype, 1, picked.depth)


def is_all_true(mask: Value) -> bool:
    """Is a vector mask a constant that lets all lanes through?"""
    return mask.lanes > 1 and set(_lane_texts(mask)) == {"true"}


def _known_lanes(x: Value, y: Value) -> list[tuple[int, int]] | None:
    """The lanes of two int64 constants."""
    if x.dtype != K.I64 or x.lanes != y.lanes or "%" in x.text or "%" in y.text:
        return None
    a, b = _lane_texts(x), _lane_texts(y)
    if len(a) != len(b) or not all(t.lstrip("-").isdigit() for t in (*a, *b)):
        return None
    return [(int(p), int(q)) for p, q in zip(a, b, strict=True)]


def _lane_texts(v: Value) -> list[str]:
    return [t.split()[-1] for t in v.text.strip("<>").split(",")]


_CALL = re.compile(r"call (void|<[^>]*>|[a-z0-9]+) @(llvm\.[\w.]+)\((.*)\)")


def declarations(body: str) -> str:
    """`declare` lines for the intrinsics a module's text calls."""
    found: dict[str, str] = {}
    for result, name, args in _CALL.findall(body):
        if name not in found:
            found[name] = f"declare {result} @{name}({', '.join(_arg_types(args))})"
    return "\n".join(found[name] for name in sorted(found))


def _arg_types(args: str) -> list[str]:
    types: list[str] = []
    depth, start = 0, 0
    for i, c in enumerate(args + ","):
        if c in "<(":
            depth += 1
        elif c in ">)":
            depth -= 1
        elif c == "," and depth == 0:
            arg = args[start:i].strip()
            if not arg:
                break
            types.append(arg[: arg.index(">") + 1] if arg.startswith("<") else arg.split()[0])
            start = i + 1
    return types
