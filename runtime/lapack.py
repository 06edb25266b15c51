"""Adapters from ExternOps on batches of row-major matrices (batch, rows, columns) to LAPACK's column-major routines.

A row-major matrix is its transpose in column-major order, so most adapters call the routine for the transpose
and copy nothing: the Cholesky factor below is the one above, a solution from the left one from the
right, a QR an LQ, and in a singular value decomposition U and V change places.
Routines are called through the pointers that SciPy exports for Cython (`scipy.linalg.cython_lapack`).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

from graphflow.graph.errors import MissingExtraError
from graphflow.runtime.adapter_text import Adapter


def cholesky(a: Adapter) -> None:
    """A = L L^T from the lower triangle of A; the other triangle of L is 0."""
    batch, n = a.size(0), a.size(1)
    area = a.mul(n, n)
    source, target = a.buffer("in", 0), a.buffer("out", 0)
    order, leading, info, upper = a.integer(n), a.leading(n), a.integer(0), a.character("U")
    with a.loop(batch) as b:
        offset = a.mul(b, area)
        matrix = a.at(target, offset)
        a.copy(matrix, a.at(source, offset), area)
        a.call("lapack.potrf", upper, order, matrix, leading, info)
        a.fail_if(a.info("ne", info))
        with a.loop(n) as i, a.loop(n, a.add(i, 1)) as j:
            a.store("0.0", matrix, a.add(a.mul(i, n), j))


def triangular_solve(a: Adapter, lower: bool, transposed: bool, unit: bool) -> None:
    """A X = B or A^T X = B for a triangle of A: from the right for the transposes."""
    batch, n, width = a.size(0), a.size(1), a.size(5)
    area, panel = a.mul(n, n), a.mul(n, width)
    left, right, result = a.buffer("in", 0), a.buffer("in", 1), a.buffer("out", 0)
    with a.loop(batch) as b:
        matrix, offset = a.at(left, a.mul(b, area)), a.mul(b, panel)
        if not unit:
            with a.loop(n) as i:
                pivot = a.load(matrix, a.mul(i, a.add(n, 1)))
                a.fail_if(a.value(f"fcmp oeq {a.real} {pivot}, 0.0"))
        solution = a.at(result, offset)
        a.copy(solution, a.at(right, offset), panel)
        _solve_right(a, matrix, solution, n, width, lower, transposed, unit)


def _solve_right(a: Adapter, matrix: str, panel: str, n: str, width: str, lower: bool, transposed: bool, unit: bool) -> None:
    """The row-major `panel` (n x width) becomes what solves the row-major triangle, or its transpose."""
    a.call(
        "blas.trsm", a.character("R"), a.character("U" if lower else "L"), a.character("T" if transposed else "N"), a.character("U" if unit else "N"),
        a.integer(width), a.integer(n), a.number("1.0"), matrix, a.leading(n), panel, a.leading(width),
    )  # fmt: skip


def solve(a: Adapter) -> None:
    """A X = B by A^T = P L U: X^T P L U = B^T, whose columns, which are rows of X, are exchanged last."""
    batch, n, width = a.size(0), a.size(1), a.size(5)
    area, panel = a.mul(n, n), a.mul(n, width)
    left, right, result = a.buffer("in", 0), a.buffer("in", 1), a.buffer("out", 0)
    factors, pivots = a.take(area), a.take(n, "i32")
    order, leading, info = a.integer(n), a.leading(n), a.integer(0)
    row, one = a.integer(width), a.integer(1)
    with a.loop(batch) as b:
        a.copy(factors, a.at(left, a.mul(b, area)), area)
        a.call("lapack.getrf", order, order, factors, leading, pivots, info)
        a.fail_if(a.info("ne", info))
        offset = a.mul(b, panel)
        solution = a.at(result, offset)
        a.copy(solution, a.at(right, offset), panel)
        # column-major U is the row-major lower triangle, L the upper one with ones
        _solve_right(a, factors, solution, n, width, lower=True, transposed=False, unit=False)
        _solve_right(a, factors, solution, n, width, lower=False, transposed=False, unit=True)
        with a.loop(n) as back:
            i = a.sub(a.sub(n, 1), back)
            pivot = a.value(f"sext i32 {a.load(pivots, i, 'i32')} to i64")
            other = a.sub(pivot, 1)
            a.call("blas.swap", row, a.at(solution, a.mul(i, width)), one, a.at(solution, a.mul(other, width)), one)


def lu(a: Adapter) -> None:
    """L and U in one matrix, the rows exchanged with (from 0), and the resulting order of the rows."""
    batch, m, n = a.size(0), a.size(1), a.size(2)
    area, k = a.mul(m, n), a.minimum(m, n)
    source, packed, exchanges, order = a.buffer("in", 0), a.buffer("out", 0), a.buffer("out", 1), a.buffer("out", 2)
    columns = a.take(area)
    rows, width, leading, info = a.integer(m), a.integer(n), a.leading(m), a.integer(0)
    with a.loop(batch) as b:
        offset = a.mul(b, area)
        pivots, places = a.at(exchanges, a.mul(b, k), "i32"), a.at(order, a.mul(b, m), "i32")
        a.transpose(columns, a.at(source, offset), m, n)
        a.call("lapack.getrf", rows, width, columns, leading, pivots, info)
        a.fail_if(a.info("slt", info))
        a.transpose(a.at(packed, offset), columns, n, m)
        with a.loop(m) as i:
            a.store(a.value(f"trunc i64 {i} to i32"), places, i, "i32")
        with a.loop(k) as i:
            other = a.value(f"sub i32 {a.load(pivots, i, 'i32')}, 1")
            a.store(other, pivots, i, "i32")
            j = a.value(f"sext i32 {other} to i64")
            x, y = a.load(places, i, "i32"), a.load(places, j, "i32")
            a.store(y, places, i, "i32")
            a.store(x, places, j, "i32")


def qr(a: Adapter, complete: bool) -> None:
    """A = Q R by A^T = L Q^T."""
    batch, m, n = a.size(0), a.size(1), a.size(2)
    k = a.minimum(m, n)
    width = m if complete else k  # columns of Q, rows of R
    source, q, r = a.buffer("in", 0), a.buffer("out", 0), a.buffer("out", 1)
    area, room = a.mul(m, n), a.mul(a.maximum(m, n), 64)
    factors, tau, work = a.take(area), a.take(k), a.take(room)
    columns, rows, reflections, order = a.integer(n), a.integer(m), a.integer(k), a.integer(width)
    leading, q_leading, length, info = a.leading(n), a.leading(width), a.integer(room), a.integer(0)
    with a.loop(batch) as b:
        a.copy(factors, a.at(source, a.mul(b, area)), area)
        a.call("lapack.gelqf", columns, rows, factors, leading, tau, work, length, info)
        triangle, basis = a.at(r, a.mul(b, a.mul(width, n))), a.at(q, a.mul(b, a.mul(m, width)))
        with a.loop(width) as i, a.loop(n) as j:
            at = a.add(a.mul(i, n), j)
            a.store("0.0", triangle, at)
            with a.when(a.value(f"icmp sge i64 {j}, {i}")):
                a.store(a.load(factors, at), triangle, at)
        with a.loop(m) as j, a.loop(k) as i:
            a.store(a.load(factors, a.add(a.mul(j, n), i)), basis, a.add(a.mul(j, width), i))
        a.call("lapack.orglq", order, rows, reflections, basis, q_leading, tau, work, length, info)


def svd(a: Adapter, full: bool, vectors: bool) -> None:
    """A = U S V^T by A^T = V S U^T; of a matrix without elements the bases are identities."""
    batch, m, n = a.size(0), a.size(1), a.size(2)
    k = a.minimum(m, n)
    source = a.buffer("in", 0)
    u, s, vt = (a.buffer("out", i) for i in range(3)) if vectors else (source, a.buffer("out", 0), source)
    area = a.mul(m, n)
    room = svd_room(a, m, n, k)
    matrix, work, places = a.take(area), a.take(room), a.take(a.mul(k, 8), "i32")
    u_width, vt_height = (m, n) if full else (k, k)
    rows, columns, leading, length, info = a.integer(n), a.integer(m), a.leading(n), a.integer(room), a.integer(0)
    v_leading, u_leading = a.leading(n), a.leading(u_width)
    job = a.character(("A" if full else "S") if vectors else "N")
    with a.loop(batch) as b:
        values = a.at(s, a.mul(b, k))
        left, right = a.at(u, a.mul(b, a.mul(m, u_width))), a.at(vt, a.mul(b, a.mul(vt_height, n)))
        if full and vectors:
            with a.when(a.value(f"icmp eq i64 {k}, 0")):
                a.identity(left, m)
                a.identity(right, n)
        with a.when(a.value(f"icmp sgt i64 {k}, 0")):
            a.copy(matrix, a.at(source, a.mul(b, area)), area)
            a.call("lapack.gesdd", job, rows, columns, matrix, leading, values, right, v_leading, left, u_leading, work, length, places, info)
            a.fail_if(a.info("ne", info))


def svd_room(a: Adapter, m: str, n: str, k: str) -> str:
    """Elements of work for gesdd: 4 k^2 + 7 k are the least for any job with k = min(m, n), 64 rows help it to work in blocks."""
    return a.add(a.add(a.mul(a.mul(k, k), 4), a.mul(k, 7)), a.mul(a.add(m, n), 64))


def eigh(a: Adapter, lower: bool, vectors: bool) -> None:
    """Eigenvalues in ascending order, and eigenvectors as columns, of a symmetric matrix given by one triangle."""
    batch, n = a.size(0), a.size(1)
    area = a.mul(n, n)
    source, values = a.buffer("in", 0), a.buffer("out", 0)
    room = a.add(a.mul(area, 2), a.add(a.mul(n, 70), 1))
    own = None if vectors else a.take(area)
    work, places = a.take(room), a.take(a.add(a.mul(n, 5), 3), "i32")
    basis = a.buffer("out", 1) if vectors else ""
    job, triangle = a.character("V" if vectors else "N"), a.character("U" if lower else "L")
    order, leading, length, place_length, info = a.integer(n), a.leading(n), a.integer(room), a.integer(a.add(a.mul(n, 5), 3)), a.integer(0)
    with a.loop(batch) as b:
        offset = a.mul(b, area)
        matrix = own or a.at(basis, offset)
        a.copy(matrix, a.at(source, offset), area)
        a.call("lapack.syevd", job, triangle, order, matrix, leading, a.at(values, a.mul(b, n)), work, length, places, place_length, info)
        a.fail_if(a.info("ne", info))
        if vectors:
            a.transpose_in_place(matrix, n)


def squarings(a: Adapter) -> None:
    """Matrices squared as often as the second operand says."""
    batch, n = a.size(0), a.size(1)
    area = a.mul(n, n)
    source, counts, target = a.buffer("in", 0), a.buffer("in", 1), a.buffer("out", 0)
    work, plain, order, leading = a.take(area), a.character("N"), a.integer(n), a.leading(n)
    one, zero = a.number("1.0"), a.number("0.0")
    with a.loop(batch) as b:
        matrix = a.at(target, a.mul(b, area))
        a.copy(matrix, a.at(source, a.mul(b, area)), area)
        count = a.value(f"sext i32 {a.load(counts, b, 'i32')} to i64")
        with a.loop(count):
            a.copy(work, matrix, area)
            a.call("blas.gemm", plain, plain, order, order, order, one, work, leading, work, leading, zero, matrix, leading)


# symbol without "lapack." and the dtype -> what writes its adapter
ADAPTERS: dict[str, Callable[[Adapter], None]] = {
    "cholesky": cholesky,
    "solve": solve,
    "lu": lu,
    "squarings": squarings,
    **{f"qr.{mode}": functools.partial(qr, complete=mode == "complete") for mode in ("reduced", "complete")},
    **{
        f"triangular_solve.{'lower' if lower else 'upper'}.{'transposed' if transposed else 'plain'}.{'unit' if unit else 'any'}": functools.partial(
            triangular_solve, lower=lower, transposed=transposed, unit=unit
        )
        for lower in (False, True)
        for transposed in (False, True)
        for unit in (False, True)
    },
    "svd.reduced": functools.partial(svd, full=False, vectors=True),
    "svd.full": functools.partial(svd, full=True, vectors=True),
    "svd.values": functools.partial(svd, full=False, vectors=False),
    **{
        f"eigh.{'vectors' if vectors else 'values'}.{'lower' if lower else 'upper'}": functools.partial(eigh, lower=lower, vectors=vectors)
        for vectors in (False, True)
        for lower in (False, True)
    },
}


def adapter(symbol: str) -> Adapter:
    """The adapter of a symbol such as "lapack.qr.reduced.float32"; raises KeyError for one that is not known."""
    name, _, dtype = symbol.removeprefix("lapack.").rpartition(".")
    made = Adapter(symbol, {"float32": "float", "float64": "double"}[dtype])
    ADAPTERS[name](made)
    return made


# --- SciPy's function pointers -----------------------------------------------------------------------
@functools.cache
def routine(symbol: str) -> int:
    """The address of "lapack.dpotrf" or "blas.dtrsm" in SciPy.

    Raises MissingExtraError without SciPy, or where its LAPACK takes integers of another size than C's int.
    """
    library, name = symbol.split(".")
    try:
        from scipy.linalg import cython_blas, cython_lapack
    except ImportError:
        raise MissingExtraError(
            "linear algebra calls LAPACK through SciPy, which is not installed", hint="pip install graphflow[linalg]"
        ) from None
    capsule = (cython_lapack if library == "lapack" else cython_blas).__pyx_capi__[name]
    signature: bytes = _capsule("GetName", ctypes.c_char_p)(capsule)
    if b"int *" not in signature or b"64" in signature:
        raise MissingExtraError(f"SciPy's {name} has the signature {signature.decode()}", hint="use a SciPy build with 32-bit LAPACK integers")
    address: int = _capsule("GetPointer", ctypes.c_void_p, ctypes.c_char_p)(capsule, signature)
    return address


def _capsule(function: str, result: type, *more: type) -> Callable[..., Any]:
    prototype = ctypes.PYFUNCTYPE(result, ctypes.py_object, *more)
    return prototype((f"PyCapsule_{function}", ctypes.pythonapi))
