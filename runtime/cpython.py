"""What native calls rely on in CPython and NumPy, checked in this process before any of it is used.

Offsets inside objects, slots of NumPy's function table, and types with a vectorcall.  Where a check
fails, and on interpreters that are not known, calls go through ctypes.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import sys
import weakref
from typing import Any, TypeVar

import numpy as np

from graphflow.graph.op import Array
from graphflow.runtime.callcode import ARRAY, CELL, OBJECT, PLAIN, PROCESS
from graphflow.runtime.store import Cell

T = TypeVar("T")

KNOWN = ((3, 11), (3, 14))  # the first and the last version of CPython whose objects are known
_ABI = 0x02000000  # NumPy 2
_API = {"version": 0, "ndarray": 2, "new_array": 94}  # slots of NumPy's function table
_HAVE_VECTORCALL = 1 << 11
_MEMBERS, _DOC = 72, 56  # Py_tp_members, Py_tp_doc
_SSIZE, _READONLY = 19, 1  # type and flag of a member

_FUNCTIONS = {
    "incref": "Py_IncRef",
    "decref": "Py_DecRef",
    "save_thread": "PyEval_SaveThread",
    "restore_thread": "PyEval_RestoreThread",
    "thread_ident": "PyThread_get_thread_ident",
    "new_list": "PyList_New",
    "set_list": "PyList_SetItem",
    "new_tuple": "PyTuple_New",
    "set_tuple": "PyTuple_SetItem",
    "tuple_size": "PyTuple_Size",
    "call_no_args": "PyObject_CallNoArgs",
    "call_one_arg": "PyObject_CallOneArg",
    "call_method": "PyObject_VectorcallMethod",
    "take_memory": "PyMem_Malloc",
    "free_memory": "PyMem_Free",
    "no_memory": "PyErr_NoMemory",
}


class _Member(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("type", ctypes.c_int), ("offset", ctypes.c_ssize_t), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


class _Slot(ctypes.Structure):
    _fields_ = [("number", ctypes.c_int), ("value", ctypes.c_void_p)]


class _Spec(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("size", ctypes.c_int), ("item_size", ctypes.c_int), ("flags", ctypes.c_uint), ("slots", ctypes.POINTER(_Slot))]


def word_at(address: int) -> int:
    return int(ctypes.c_int64.from_address(address).value)


def put_word(address: int, value: int) -> None:
    ctypes.c_int64.from_address(address).value = value


def for_ever(thing: T) -> T:
    """`thing`, which CPython now keeps an address of: it is never freed, not even when the interpreter ends."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    return thing


# --- is it as we think? ---------------------------------------------------------------------------
@functools.cache
def known() -> bool:
    """May native calls be made in this interpreter?"""
    ours = sys.implementation.name == "cpython" and KNOWN[0] <= sys.version_info[:2] <= KNOWN[1]
    usual = "free-threading" not in sys.version and not hasattr(sys, "gettotalrefcount")  # nor a debug build
    wide = ctypes.sizeof(ctypes.c_void_p) == 8 and sys.byteorder == "little"
    return ours and usual and wide and all(hasattr(ctypes.pythonapi, name) for name in _FUNCTIONS.values()) and layout_holds() and types_hold() and numpy_functions() is not None


def layout_holds() -> bool:
    """Do arrays of several kinds, and a Cell, have everything where the native code looks for it?"""
    whole = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    frozen = np.zeros((3, 0), np.int16)
    frozen.flags.writeable = False
    arrays: list[Array] = [whole, whole.T, whole[:, ::2], np.zeros((), np.float64), frozen, np.frombuffer(bytes(9), np.uint8)[1:].view(np.int64)]
    cell = Cell(whole)
    return all(map(_array_holds, arrays)) and word_at(id(cell) + CELL["array"]) == id(whole)


def _array_holds(a: Array) -> bool:
    here = id(a)
    rank, flags = (ctypes.c_int32.from_address(here + ARRAY[field]).value for field in ("rank", "flags"))
    if word_at(here + OBJECT["type"]) != id(np.ndarray) or rank != a.ndim or flags != a.flags.num:
        return False
    plain = a.flags.c_contiguous and a.flags.aligned
    sizes = [word_at(word_at(here + ARRAY["sizes"]) + 8 * i) for i in range(rank)]
    singleton = np.dtype(a.dtype.name)
    return (
        word_at(here + ARRAY["data"]) == a.__array_interface__["data"][0]
        and sizes == list(a.shape)
        and word_at(here + ARRAY["dtype"]) == id(a.dtype) == id(singleton)
        and (flags & PLAIN == PLAIN) == plain
    )


@functools.cache
def numpy_functions() -> int | None:
    """The address of NumPy's function table, if it is the one we know."""
    try:
        capsule = importlib.import_module("numpy._core._multiarray_umath")._ARRAY_API
    except (ImportError, AttributeError):
        return None
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(ctypes.cast(pointer, ctypes.c_void_p).value or 0)
    table = get(capsule, None) or 0
    if not table or word_at(table + 8 * _API["ndarray"]) != id(np.ndarray):
        return None
    version = ctypes.PYFUNCTYPE(ctypes.c_uint)(word_at(table + 8 * _API["version"]))()
    return table if version == _ABI and _makes_arrays(word_at(table + 8 * _API["new_array"])) else None


def _makes_arrays(address: int) -> bool:
    """Is the function there PyArray_NewFromDescr?"""
    pointer, word, thing = ctypes.c_void_p, ctypes.c_int64, ctypes.py_object
    function = ctypes.PYFUNCTYPE(thing, thing, thing, word, pointer, pointer, pointer, word, pointer)(address)
    dtype = for_ever(np.dtype(np.float32))  # the function takes a reference
    made = function(np.ndarray, dtype, 2, (word * 2)(3, 5), None, None, 0, None)
    return type(made) is np.ndarray and made.shape == (3, 5) and made.dtype is dtype and made.flags.owndata and made.flags.carray


# --- what the native code is given ------------------------------------------------------------------
@functools.cache
def process_table() -> Array:
    """Addresses of this process, in the order of `callcode.PROCESS`; its first word numbers the states of the settings."""
    functions = numpy_functions()
    assert functions is not None
    table = np.zeros(len(PROCESS), np.int64)
    objects: dict[str, Any] = {"ndarray": np.ndarray, "none": None, "not_implemented": NotImplemented, "call_name": for_ever(sys.intern("__call__"))}
    found = {name: id(thing) for name, thing in objects.items()}
    found.update({name: ctypes.cast(getattr(ctypes.pythonapi, symbol), ctypes.c_void_p).value or 0 for name, symbol in _FUNCTIONS.items()})
    found["new_array"] = word_at(functions + 8 * _API["new_array"])
    for name, value in found.items():
        table[PROCESS[name] // 8] = value
    return for_ever(table)


def generation() -> int:
    return int(process_table()[PROCESS["generation"] // 8])


def look_anew() -> None:
    """Something that calls were made for has changed: each goes through Python until it is made again."""
    if process_table.cache_info().currsize:
        process_table()[PROCESS["generation"] // 8] += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=look_anew)  # the thread pool is gone, and calls of other threads never end


# --- objects that are called natively -----------------------------------------------------------------
class _Plain:
    itself: Any

    def __call__(self, *values: Any) -> Any:
        return values


VECTORCALL = _Plain.__basicsize__  # where objects that are called natively keep the function; the address of its table follows
_native: dict[type, type] = {}


def called_natively(cls: type[T]) -> type[T]:
    """A subclass of a class without slots; its instances end in the two words, which are 0 at first: then `__call__` is called."""
    if cls not in _native:
        assert cls.__basicsize__ == VECTORCALL, cls
        members = (_Member * 2)(_Member(b"__vectorcalloffset__", _SSIZE, VECTORCALL, _READONLY, None))
        doc = ctypes.create_string_buffer((cls.__doc__ or "").encode())
        slots = (_Slot * 3)(_Slot(_MEMBERS, ctypes.addressof(members)), _Slot(_DOC, ctypes.addressof(doc)))
        spec = _Spec(f"{cls.__module__}.{cls.__qualname__}".encode(), VECTORCALL + 16, 0, _HAVE_VECTORCALL, slots)
        for_ever((members, doc, slots, spec))
        make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object)(("PyType_FromSpecWithBases", ctypes.pythonapi))
        _native[cls] = make(ctypes.addressof(spec), (cls,))
    return _native[cls]


def set_native(thing: object, function: int, table: int) -> None:
    """Let calls of `thing` go to the vectorcall function at an address, if its type is one of these."""
    if type(thing) in _native.values():
        put_word(id(thing) + VECTORCALL + 8, table)
        put_word(id(thing) + VECTORCALL, function)


def types_hold() -> bool:
    """Do such objects have their two words at the end, behave as others do, and leave?"""
    made = called_natively(_Plain)()
    made.itself = made
    gone = weakref.ref(made)
    sound = type(made).__basicsize__ == VECTORCALL + 16 and not word_at(id(made) + VECTORCALL) and not word_at(id(made) + VECTORCALL + 8)
    sound = sound and made(1, 2) == (1, 2) and made.itself is made and sys.getrefcount(made) == sys.getrefcount(made.itself)
    del made.itself, made
    return bool(sound) and gone() is None

