"""The native loop over batches, as LLVM text: written once, holds no addresses, cached like a kernel.

    int64 gf.loop(job *job)       0: went as far as asked; -1: a watched result was NaN or infinite;
                                  else the code of the entry that failed

All it needs is in the job, an array of 64-bit slots that points to records of columns, means and rows (the
tables below).  For each batch it points the entry's inputs at rows of their columns, or gathers
those rows first; calls the entry; and adds the scalar results, times the rows of the batch, to the
sums of the epoch.  `at` counts the batches that are done: it is right however the loop ends.

    void gf.rows.T(T *to, const T *from, const int64 *order, int64 rows, int64 units)

gathers rows of `units` elements: `to[r][:] = from[order[r]][:]`.  Rows of one element, of few and of many
have variants of their own, and so have conversions from another dtype.

    void gf.shuffle(int64 *orders, int64 rows, int64 epochs, uint32 word(void *), void *state)

makes each of `epochs` orders out of the one before it, with random words as NumPy's bit generators give them.
"""

from __future__ import annotations

import ctypes
import hashlib
import threading
from collections.abc import Callable
from functools import partial

from graphflow.compiler.emit import finish_module
from graphflow.compiler.library import Code
from graphflow.compiler.target.machine import Loaded, compile_module, host
from graphflow.graph.types import DType
from graphflow.runtime import cache

# the job and its records: names of 64-bit slots, in order
JOB = (
    "entry", "inputs", "outputs", "full_dims", "last_dims", "state", "consts", "workspace", "par",  # what the entry is called with
    "columns", "column_count", "means", "mean_count", "rows", "row_count",  # records
    "batch", "last", "samples", "per_epoch",  # rows of a full and of the last batch; rows and batches of an epoch
    "order", "sums", "values", "watched",  # rows in order, sums by epoch, values of the batch, how many of them must be finite
    "at", "until",
)  # fmt: skip
COLUMN = ("base", "stride", "gathered", "gather", "units")  # without `gather`, batches are `stride` bytes a row from `base` on
MEAN = ("result", "read")
ROWS = ("output", "base", "stride")  # the output's number; bytes of a full batch
STOPPED = -1  # what gf.loop returns after a watched result that was NaN or infinite


def _load(record: str, pointer: str, slots: tuple[str, ...], names: dict[str, str]) -> str:
    """Loads of slots: name -> LLVM type."""
    return "".join(
        f"  %{record}.{name}.p = getelementptr i64, ptr {pointer}, i64 {slots.index(name)}\n  %{record}.{name} = load {kind}, ptr %{record}.{name}.p, align 8\n"
        for name, kind in names.items()
    )


_POINTERS = ("entry", "inputs", "outputs", "full_dims", "last_dims", "state", "consts", "workspace", "par", "columns", "means", "rows", "order", "sums", "values")
_LOOP = f"""
define i64 @gf.loop(ptr %j) #0 {{
entry:
{_load("j", "%j", JOB, {name: "ptr" if name in _POINTERS else "i64" for name in JOB})}
  %final = sub i64 %j.per_epoch, 1
  %epoch0 = sdiv i64 %j.at, %j.per_epoch
  %place0 = srem i64 %j.at, %j.per_epoch
  %row0 = mul i64 %place0, %j.batch
  %skipped = mul i64 %epoch0, %j.samples
  %from = add i64 %skipped, %row0
  %order0 = getelementptr i64, ptr %j.order, i64 %from
  %sum0 = mul i64 %epoch0, %j.mean_count
  %sums0 = getelementptr double, ptr %j.sums, i64 %sum0
  %some = icmp slt i64 %j.at, %j.until
  br i1 %some, label %batch, label %finished
batch:
  %at = phi i64 [ %j.at, %entry ], [ %at1, %next ]
  %place = phi i64 [ %place0, %entry ], [ %place1, %next ]
  %row = phi i64 [ %row0, %entry ], [ %row1, %next ]
  %order = phi ptr [ %order0, %entry ], [ %order1, %next ]
  %sums = phi ptr [ %sums0, %entry ], [ %sums1, %next ]
  %ends = icmp eq i64 %place, %final
  %n = select i1 %ends, i64 %j.last, i64 %j.batch
  %dims = select i1 %ends, ptr %j.last_dims, ptr %j.full_dims
  %columns = icmp sgt i64 %j.column_count, 0
  br i1 %columns, label %column, label %outputs
column:
  %c = phi i64 [ 0, %batch ], [ %c1, %placed ]
  %c.at = mul i64 %c, {len(COLUMN)}
  %c.p = getelementptr i64, ptr %j.columns, i64 %c.at
{_load("c", "%c.p", COLUMN, {"base": "ptr", "stride": "i64", "gathered": "ptr", "gather": "ptr", "units": "i64"})}
  %scattered = icmp ne ptr %c.gather, null
  br i1 %scattered, label %gather, label %direct
gather:
  call void %c.gather(ptr %c.gathered, ptr %c.base, ptr %order, i64 %n, i64 %c.units)
  br label %placed
direct:
  %offset = mul i64 %row, %c.stride
  %here = getelementptr i8, ptr %c.base, i64 %offset
  br label %placed
placed:
  %data = phi ptr [ %c.gathered, %gather ], [ %here, %direct ]
  %in = getelementptr ptr, ptr %j.inputs, i64 %c
  store ptr %data, ptr %in, align 8
  %c1 = add i64 %c, 1
  %more = icmp slt i64 %c1, %j.column_count
  br i1 %more, label %column, label %outputs
outputs:
  %rows = icmp sgt i64 %j.row_count, 0
  br i1 %rows, label %output, label %run
output:
  %r = phi i64 [ 0, %outputs ], [ %r1, %output ]
  %r.at = mul i64 %r, {len(ROWS)}
  %r.p = getelementptr i64, ptr %j.rows, i64 %r.at
{_load("r", "%r.p", ROWS, {"output": "i64", "base": "ptr", "stride": "i64"})}
  %filled = mul i64 %at, %r.stride
  %result = getelementptr i8, ptr %r.base, i64 %filled
  %out = getelementptr ptr, ptr %j.outputs, i64 %r.output
  store ptr %result, ptr %out, align 8
  %r1 = add i64 %r, 1
  %further = icmp slt i64 %r1, %j.row_count
  br i1 %further, label %output, label %run
run:
  %code = call i32 %j.entry(ptr %j.inputs, ptr %j.outputs, ptr %dims, ptr %j.state, ptr %j.consts, ptr %j.workspace, ptr %j.par)
  %failed = icmp ne i32 %code, 0
  br i1 %failed, label %failure, label %scalars
scalars:
  %weight = sitofp i64 %n to double
  %means = icmp sgt i64 %j.mean_count, 0
  br i1 %means, label %mean, label %done
mean:
  %m = phi i64 [ 0, %scalars ], [ %m1, %mean ]
  %bad = phi i1 [ false, %scalars ], [ %worse, %mean ]
  %m.at = mul i64 %m, {len(MEAN)}
  %m.p = getelementptr i64, ptr %j.means, i64 %m.at
{_load("m", "%m.p", MEAN, {"result": "ptr", "read": "ptr"})}
  %value = call double %m.read(ptr %m.result)
  %kept = getelementptr double, ptr %j.values, i64 %m
  store double %value, ptr %kept, align 8
  %sum.p = getelementptr double, ptr %sums, i64 %m
  %sum = load double, ptr %sum.p, align 8
  %weighted = fmul double %value, %weight
  %total = fadd double %sum, %weighted
  store double %total, ptr %sum.p, align 8
  %zero = fsub double %value, %value
  %infinite = fcmp uno double %zero, %zero
  %seen = icmp slt i64 %m, %j.watched
  %wrong = and i1 %infinite, %seen
  %worse = or i1 %bad, %wrong
  %m1 = add i64 %m, 1
  %others = icmp slt i64 %m1, %j.mean_count
  br i1 %others, label %mean, label %done
done:
  %stop = phi i1 [ false, %scalars ], [ %worse, %mean ]
  %at1 = add i64 %at, 1
  store i64 %at1, ptr %j.at.p, align 8
  br i1 %stop, label %stopped, label %next
next:
  %place2 = add i64 %place, 1
  %place1 = select i1 %ends, i64 0, i64 %place2
  %row2 = add i64 %row, %j.batch
  %row1 = select i1 %ends, i64 0, i64 %row2
  %order1 = getelementptr i64, ptr %order, i64 %n
  %step = select i1 %ends, i64 %j.mean_count, i64 0
  %sums1 = getelementptr double, ptr %sums, i64 %step
  %again = icmp slt i64 %at1, %j.until
  br i1 %again, label %batch, label %finished
finished:
  ret i64 0
stopped:
  ret i64 {STOPPED}
failure:
  %why = sext i32 %code to i64
  ret i64 %why
}}
"""

# --- scalars -------------------------------------------------------------------------------------
_TYPE = {"f4": "float", "f8": "double", "b1": "i8", "i1": "i8", "u1": "i8", "i2": "i16", "u2": "i16", "i4": "i32", "u4": "i32", "i8": "i64", "u8": "i64"}


def _conversion(source: str, target: str) -> str:
    """The instruction from a number to a float."""
    return {"f": "fpext" if source < target else "fptrunc", "i": "sitofp"}.get(source[0], "uitofp")


def _read(source: str) -> str:
    widen, result = (f"  %d = {_conversion(source, 'f8')} {_TYPE[source]} %v to double\n", "%d") if source != "f8" else ("", "%v")
    return f"define double @gf.read.{source}(ptr %p) #0 {{\n  %v = load {_TYPE[source]}, ptr %p, align 1\n{widen}  ret double {result}\n}}\n"


# Halves, by their bits as the kernels' casts (compiler/math/half.py): float16, and bfloat16, whose kind is V.
_READ_HALF = {
    "f2": """\
  %sign.low = and i64 %w, 32768
  %sign = shl i64 %sign.low, 48
  %rest = and i64 %w, 32767
  %finite = icmp ult i64 %rest, 31744
  %bias = select i1 %finite, i64 4539628424389459968, i64 9079256848778919936
  %high = shl i64 %rest, 42
  %normal = add i64 %high, %bias
  %whole = sitofp i64 %rest to double
  %part = fmul double %whole, 0x3E70000000000000
  %small = bitcast double %part to i64
  %subnormal = icmp ult i64 %rest, 1024
  %size = select i1 %subnormal, i64 %small, i64 %normal
  %bits = or i64 %size, %sign
  %d = bitcast i64 %bits to double
""",
    "V2": """\
  %n = trunc i64 %w to i32
  %high = shl i32 %n, 16
  %f = bitcast i32 %high to float
  %d = fpext float %f to double
""",
}


def _read_half(source: str) -> str:
    return f"define double @gf.read.{source}(ptr %p) #0 {{\n  %v = load i16, ptr %p, align 1\n  %w = zext i16 %v to i64\n{_READ_HALF[source]}  ret double %d\n}}\n"


# --- rows ----------------------------------------------------------------------------------------
VECTOR = 64  # bytes
LANES = 16


def _rows(name: str, source: str, target: str, units: str, row: str) -> str:
    """A loop over rows; `row` handles the one from %src to %dst and ends with a branch to %end."""
    return f"""
define void @gf.rows.{name}(ptr %to, ptr %from, ptr %order, i64 %rows, i64 %units) #0 {{
entry:
  %some = icmp sgt i64 %rows, 0
  br i1 %some, label %row, label %leave
row:
  %r = phi i64 [ 0, %entry ], [ %r1, %end ]
  %which.p = getelementptr i64, ptr %order, i64 %r
  %which = load i64, ptr %which.p, align 8
  %a = mul i64 %which, {units}
  %b = mul i64 %r, {units}
  %src = getelementptr {source}, ptr %from, i64 %a
  %dst = getelementptr {target}, ptr %to, i64 %b
{row}
end:
  %r1 = add i64 %r, 1
  %more = icmp slt i64 %r1, %rows
  br i1 %more, label %row, label %leave
leave:
  ret void
}}
"""


def _one(element: str) -> str:
    """Rows of one element."""
    return _rows(f"one.{element}", element, element, "1", f"""\
  %v = load {element}, ptr %src, align 1
  store {element} %v, ptr %dst, align 1
  br label %end""")  # fmt: skip


def _few(element: str) -> str:
    """Short rows, an element at a time; at least one."""
    return _rows(f"few.{element}", element, element, "%units", f"""\
  br label %unit
unit:
  %u = phi i64 [ 0, %row ], [ %u1, %unit ]
  %s = getelementptr {element}, ptr %src, i64 %u
  %d = getelementptr {element}, ptr %dst, i64 %u
  %v = load {element}, ptr %s, align 1
  store {element} %v, ptr %d, align 1
  %u1 = add i64 %u, 1
  %further = icmp slt i64 %u1, %units
  br i1 %further, label %unit, label %end""")  # fmt: skip


def _many() -> str:
    """Rows of at least VECTOR bytes, a vector at a time; the last one overlaps the one before it."""
    return _rows("many", "i8", "i8", "%units", f"""\
  %tail = sub i64 %units, {VECTOR}
  br label %vector
vector:
  %u = phi i64 [ 0, %row ], [ %u2, %vector ]
  %s = getelementptr i8, ptr %src, i64 %u
  %d = getelementptr i8, ptr %dst, i64 %u
  %v = load <{VECTOR} x i8>, ptr %s, align 1
  store <{VECTOR} x i8> %v, ptr %d, align 1
  %u1 = add i64 %u, {VECTOR}
  %over = icmp sgt i64 %u1, %tail
  %u2 = select i1 %over, i64 %tail, i64 %u1
  %further = icmp slt i64 %u, %tail
  br i1 %further, label %vector, label %end""")  # fmt: skip


def _converted(source: str, target: str) -> str:
    """Rows of another dtype, LANES elements at a time and the rest one by one."""
    s, t, convert = _TYPE[source], _TYPE[target], _conversion(source, target)
    return _rows(f"{source}.{target}", s, t, "%units", f"""\
  br label %look
look:
  %u = phi i64 [ 0, %row ], [ %u1, %vector ]
  %u1 = add i64 %u, {LANES}
  %fits = icmp sle i64 %u1, %units
  br i1 %fits, label %vector, label %rest
vector:
  %s = getelementptr {s}, ptr %src, i64 %u
  %d = getelementptr {t}, ptr %dst, i64 %u
  %v = load <{LANES} x {s}>, ptr %s, align 1
  %w = {convert} <{LANES} x {s}> %v to <{LANES} x {t}>
  store <{LANES} x {t}> %w, ptr %d, align 1
  br label %look
rest:
  %i = phi i64 [ %u, %look ], [ %i1, %unit ]
  %left = icmp slt i64 %i, %units
  br i1 %left, label %unit, label %end
unit:
  %sp = getelementptr {s}, ptr %src, i64 %i
  %dp = getelementptr {t}, ptr %dst, i64 %i
  %x = load {s}, ptr %sp, align 1
  %y = {convert} {s} %x to {t}
  store {t} %y, ptr %dp, align 1
  %i1 = add i64 %i, 1
  br label %rest""")  # fmt: skip


# --- shuffling ------------------------------------------------------------------------------------
# Fisher and Yates from the last row down; a word above the row's number is drawn again.  Rows change places without a branch.
_SHUFFLE = """
define void @gf.shuffle(ptr %orders, i64 %rows, i64 %epochs, ptr %word, ptr %state) #0 {
entry:
  %top = sub i64 %rows, 1
  br label %epoch
epoch:
  %e = phi i64 [ 0, %entry ], [ %e1, %shuffled ]
  %passed = mul i64 %e, %rows
  %before = getelementptr i64, ptr %orders, i64 %passed
  %order = getelementptr i64, ptr %before, i64 %rows
  br label %copy
copy:
  %c = phi i64 [ 0, %epoch ], [ %c1, %copy ]
  %from = getelementptr i64, ptr %before, i64 %c
  %to = getelementptr i64, ptr %order, i64 %c
  %kept = load i64, ptr %from, align 8
  store i64 %kept, ptr %to, align 8
  %c1 = add i64 %c, 1
  %uncopied = icmp slt i64 %c1, %rows
  br i1 %uncopied, label %copy, label %draw
draw:
  %i = phi i64 [ %top, %copy ], [ %i1, %draw ]
  %zeros = call i64 @llvm.ctlz.i64(i64 %i, i1 true)
  %mask = lshr i64 -1, %zeros
  %drawn = call i32 %word(ptr %state)
  %wide = zext i32 %drawn to i64
  %masked = and i64 %wide, %mask
  %taken = icmp ule i64 %masked, %i
  %j = select i1 %taken, i64 %masked, i64 %i
  %at.i = getelementptr i64, ptr %order, i64 %i
  %at.j = getelementptr i64, ptr %order, i64 %j
  %a = load i64, ptr %at.i, align 8
  %b = load i64, ptr %at.j, align 8
  store i64 %b, ptr %at.i, align 8
  store i64 %a, ptr %at.j, align 8
  %step = zext i1 %taken to i64
  %i1 = sub i64 %i, %step
  %more = icmp sgt i64 %i1, 0
  br i1 %more, label %draw, label %shuffled
shuffled:
  %e1 = add i64 %e, 1
  %unshuffled = icmp slt i64 %e1, %epochs
  br i1 %unshuffled, label %epoch, label %leave
leave:
  ret void
}
"""

_FLOATS = ("f4", "f8")
_TEXTS: dict[str, Callable[[], str]] = {
    "loop": lambda: _LOOP,
    "shuffle": lambda: _SHUFFLE,
    **{f"read.{t}": partial(_read, t) for t in _TYPE},
    **{f"read.{t}": partial(_read_half, t) for t in _READ_HALF},
    **{f"rows.one.{t}": partial(_one, t) for t in ("i32", "i64")},
    **{f"rows.few.{t}": partial(_few, t) for t in ("i8", "i32")},
    "rows.many": _many,
    **{f"rows.{s}.{t}": partial(_converted, s, t) for s in _TYPE for t in _FLOATS if s != t},
}


def reader(dtype: DType) -> int:
    """The address of the function that reads a scalar of this dtype as double."""
    return _address(f"read.{_key(dtype)}")


def shuffler() -> int:
    """The address of gf.shuffle."""
    return _address("shuffle")


def converts(source: DType, target: DType) -> bool:
    """Whether rows of one dtype can be gathered as another."""
    return source == target or f"rows.{_key(source)}.{_key(target)}" in _TEXTS


def gatherer(source: DType, target: DType, row: int) -> tuple[int, int]:
    """(address, units) of the function that gathers rows of `row` elements, one or more."""
    if source != target:
        return _address(f"rows.{_key(source)}.{_key(target)}"), row
    size = row * source.itemsize
    if size in (4, 8):
        return _address(f"rows.one.i{8 * size}"), 1
    if size >= VECTOR:
        return _address("rows.many"), size
    return (_address("rows.few.i32"), size // 4) if size % 4 == 0 else (_address("rows.few.i8"), size)


def _key(dtype: DType) -> str:
    return f"{dtype.kind}{dtype.itemsize}"


_loaded: dict[str, Loaded] = {}
_lock = threading.Lock()


def _address(name: str) -> int:
    """The address of a function of this module, compiled when it is first wanted."""
    with _lock:
        if name not in _loaded:
            text = finish_module(_TEXTS[name](), host())
            library = cache.library()
            stored = "loop_" + hashlib.sha256(f"{library.build} {host()} {text}".encode()).hexdigest()[:20]
            code = library.find(stored)
            if code is None:
                made = compile_module(text, host())
                assert isinstance(made, bytes)
                code = Code(made, None)
                library.add(stored, code)
            _loaded[name] = Loaded([code.object], [f"gf.{name}"], {}, f"graphflow-{name}")
        return _loaded[name].address(f"gf.{name}")


_PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)  # ctypes releases the GIL


def loop() -> Callable[[int], int]:
    """gf.loop, as a function of the job's address."""
    return _PROTOTYPE(_address("loop"))
