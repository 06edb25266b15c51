"""Addresses of the code that ExternOps call: adapters to LAPACK, and Python callables.

What has an address once keeps it for the life of the process.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from graphflow.compiler.emit import finish_module
from graphflow.compiler.entry_regions import POLL
from graphflow.compiler.target.machine import Loaded, compile_module, host
from graphflow.graph.errors import CompileError, ShapeError
from graphflow.graph.op import Array
from graphflow.ops.python_call import Callee
from graphflow.runtime import lapack

EXTERN = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)

_lock = threading.RLock()
_addresses: dict[str, int] = {}
_alive: list[object] = []  # what holds the code at the addresses
_raised = threading.local()


def address(symbol: str) -> int:
    """The address of the code of an ExternOp's symbol.

    Raises MissingExtraError for "lapack..." without SciPy, CompileError for a symbol nothing defines.
    """
    with _lock:
        found = _addresses.get(symbol)
        if found is None:
            kind, _, name = symbol.partition(".")
            made, found = _poll() if symbol == POLL else _adapter(symbol) if kind == "lapack" else _callback(symbol, name if kind == "python" else "")
            _alive.append(made)
            _addresses[symbol] = found
        return found


def define(symbol: str, function: Any) -> None:
    """Let `symbol` stand for native code: a ctypes function, or an address as an int, with the signature of an ExternOp.

    Raises CompileError for a symbol that stands for something already, or that begins as graphflow's own do.
    """
    with _lock:
        if symbol in _addresses or symbol.startswith(("lapack.", "python.")):
            raise CompileError(f"the symbol {symbol} is taken", hint="choose another name")
        found = function if isinstance(function, int) else ctypes.cast(function, ctypes.c_void_p).value
        if not found:
            raise CompileError(f"{function!r} has no address", hint="give a ctypes function or an int")
        _alive.append(function)
        _addresses[symbol] = found


def _adapter(symbol: str) -> tuple[object, int]:
    try:
        adapter = lapack.adapter(symbol)
    except KeyError:
        raise CompileError(f"no code is known for {symbol}") from None
    imports = {routine: lapack.routine(routine) for routine in adapter.routines}
    code = compile_module(finish_module(adapter.text(), host()), host())
    assert isinstance(code, bytes)
    loaded = Loaded([code], [symbol], imports, f"graphflow-{symbol}")
    return loaded, loaded.address(symbol)


# --- signals ---------------------------------------------------------------------------------------
def _handler() -> Iterator[int]:
    """Each `next` lets Python handle signals that have come: 1 if a handler raised, which `take_exception` then gives.

    A generator goes on inside its `try`; a function's first instruction, where handlers run, would be outside.
    """
    result = 0
    while True:
        try:
            while True:
                yield result
                result = 0
        except GeneratorExit:
            return
        except BaseException as error:
            _raised.error, result = error, 1


def _poll() -> tuple[object, int]:
    """What long loops call from time to time: handles signals, which Python does in the main thread only."""
    handler = _handler()
    next(handler)
    handle = ctypes.CFUNCTYPE(ctypes.c_int32)(handler.__next__)
    text = f"""
declare i64 @pthread_self()
declare i32 @gf.handle()
define i32 @gf.poll(ptr %in, ptr %out, ptr %sizes, ptr %work) #0 {{
  %me = call i64 @pthread_self()
  %main = icmp eq i64 %me, {threading.main_thread().ident}
  br i1 %main, label %signals, label %none
signals:
  %raised = call i32 @gf.handle()
  ret i32 %raised
none:
  ret i32 0
}}
"""
    code = compile_module(finish_module(text, host()), host())
    assert isinstance(code, bytes)
    loaded = Loaded([code], ["gf.poll"], {"gf.handle": ctypes.cast(handle, ctypes.c_void_p).value or 0}, "graphflow-poll")
    return (handle, handler, loaded), loaded.address("gf.poll")


# --- Python ----------------------------------------------------------------------------------------
def _callback(symbol: str, number: str) -> tuple[object, int]:
    try:
        callee = Callee.numbered(int(number))
    except (KeyError, ValueError):
        raise CompileError(f"no code is known for {symbol}", hint="see gf.extending.define_native") from None
    made = EXTERN(_native_form(callee))
    found = ctypes.cast(made, ctypes.c_void_p).value
    assert found is not None
    return made, found


def _native_form(callee: Callee) -> Callable[[int, int, int, int], int]:
    operands, results = callee.operands, callee.results
    ranks = [rank for _, rank in (*operands, *results)]

    def call(ins: int, outs: int, sizes: int, work: int) -> int:
        try:
            shapes = _shapes(sizes, ranks)
            arrays = [_view(ins, i, dtype, shapes[i]) for i, (dtype, _) in enumerate(operands)]
            found = callee(*arrays)
            for i, (value, shape) in enumerate(zip(found, shapes[len(operands) :], strict=True)):
                if value.shape != shape:
                    raise ShapeError(f"{callee.what}: result {i} has the shape {list(value.shape)}, and {list(shape)} is declared")
                _view(outs, i, value.dtype, shape)[...] = value
        except BaseException as error:  # raised again where the native call came from
            _raised.error = error
            return 1
        return 0

    return call


def take_exception() -> BaseException | None:
    """What a Python callable raised in this thread's last run, once."""
    error: BaseException | None = getattr(_raised, "error", None)
    _raised.error = None
    return error


def _shapes(sizes: int, ranks: Sequence[int]) -> list[tuple[int, ...]]:
    numbers = iter((ctypes.c_int64 * sum(ranks)).from_address(sizes)) if sum(ranks) else iter(())
    return [tuple(next(numbers) for _ in range(rank)) for rank in ranks]


def _view(table: int, number: int, dtype: Any, shape: tuple[int, ...]) -> Array:
    """The n-th buffer of a table of pointers as an array."""
    count = math.prod(shape)
    if not count:
        return np.empty(shape, dtype)
    pointer = ctypes.c_void_p.from_address(table + 8 * number).value
    assert pointer is not None
    memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(pointer)
    return np.frombuffer(memory, dtype, count).reshape(shape)
