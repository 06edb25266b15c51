"""The manifest: all that is needed to call compiled code, as plain data.

A fresh compilation, a hit in the disk cache and a bundle go through the same manifest.  Sizes are
expressions over the program's Dims, which are bound to axes of inputs and state.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from graphflow.graph.dim import Compound, Dim, Size, Symbol, floordiv, maximum, minimum, mod
from graphflow.graph.types import TensorType

VERSION = 1
VALUE = -1  # in place of an axis: the value of an integer scalar
Binding = tuple[str, int, int]  # ("in" | "state" | "computed", number, axis or VALUE)


@dataclass(frozen=True)
class Tensor:
    """A parameter or result: its dtype name and sizes (ints or encoded expressions)."""

    name: str
    dtype: str
    shape: tuple[Any, ...]


@dataclass(frozen=True)
class Equality:
    """Two sizes that must be equal at entry, and what to say if they are not."""

    a: Any
    b: Any
    text: str


@dataclass(frozen=True)
class Manifest:
    """What an Executable is called with.

    `updates`: (state number, 'inplace') or (state number, number of the output that replaces it).
    The first `fetched` outputs are the user's; the others replace state of another size.
    `work` estimates elementary operations, as an encoded size.  `externs`: symbols of foreign code that is called.
    Dims bound to ("computed", k, 0) become known during a run; `bounds` are the most they may be, and `rooms` the
    shapes that outputs may have at most.
    """

    name: str
    inputs: tuple[Tensor, ...]
    state: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    fetched: int
    updates: tuple[tuple[int, int | str], ...]
    dims: tuple[Binding, ...]
    equalities: tuple[Equality, ...]
    workspace: Any
    sites: tuple[str, ...]
    kernels: tuple[dict[str, Any], ...]
    work: Any = 0
    externs: tuple[str, ...] = ()
    bounds: tuple[Any, ...] = ()
    rooms: tuple[tuple[Any, ...], ...] = ()
    version: int = VERSION

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Manifest:
        d = json.loads(text)
        for key in ("inputs", "state", "outputs"):
            d[key] = tuple(Tensor(t["name"], t["dtype"], tuple(map(as_tuples, t["shape"]))) for t in d[key])
        d["equalities"] = tuple(Equality(as_tuples(e["a"]), as_tuples(e["b"]), e["text"]) for e in d["equalities"])
        for key in ("updates", "dims", "sites", "kernels", "externs", "bounds", "rooms"):
            d[key] = tuple(map(as_tuples, d[key])) if key != "kernels" else tuple(d[key])
        for key in ("workspace", "work"):
            d[key] = as_tuples(d[key])
        return Manifest(**d)


def as_tuples(value: Any) -> Any:
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


# --- sizes as data --------------------------------------------------------------------------------
def encode_size(size: Size, number: dict[Symbol, int]) -> Any:
    """An int, or ((coefficient, (atom, ...)), ...) where an atom is a Dim's number or (kind, a, b)."""
    if isinstance(size, int):
        return size

    def atom(a: Symbol | Compound) -> Any:
        if isinstance(a, Symbol):
            return number[a]
        return (a.kind, encode_size(a.a, number), encode_size(a.b, number))

    return tuple((c, tuple(atom(a) for a in mono)) for mono, c in size.terms.items())


def size_function(encoded: Any) -> Callable[[Any], int]:
    """The encoded size as a function of the sequence of Dim values."""
    if isinstance(encoded, int):
        return lambda dims: encoded
    if len(encoded) == 1 and encoded[0][0] == 1 and len(encoded[0][1]) == 1 and isinstance(encoded[0][1][0], int):
        only = encoded[0][1][0]
        return lambda dims: int(dims[only])
    terms = [(c, [_atom_function(a) for a in atoms]) for c, atoms in encoded]

    def value(dims: Any) -> int:
        total = 0
        for c, atoms in terms:
            for f in atoms:
                c *= f(dims)
            total += c
        return total

    return value


_KINDS: dict[str, Callable[[int, int], int]] = {
    "//": lambda a, b: a // b if b else 0,
    "%": lambda a, b: a % b if b else 0,
    "min": min,
    "max": max,
}


def _atom_function(encoded: Any) -> Callable[[Any], int]:
    if isinstance(encoded, int):
        return lambda dims: int(dims[encoded])
    kind, a, b = encoded
    op, fa, fb = _KINDS[kind], size_function(a), size_function(b)
    return lambda dims: op(fa(dims), fb(dims))


def describe_size(encoded: Any, names: tuple[str, ...]) -> str:
    """The encoded size as text, for messages and metadata."""
    if isinstance(encoded, int):
        return str(encoded)
    symbols = [Symbol(n) for n in names]
    return str(decode_size(encoded, symbols))


def decode_size(encoded: Any, symbols: list[Symbol]) -> Size:
    if isinstance(encoded, int):
        return encoded
    ops: dict[str, Callable[[Size, Size], Size]] = {"//": floordiv, "%": mod, "min": minimum, "max": maximum}
    total: Size = 0
    for c, atoms in encoded:
        product: Size = c
        for a in atoms:
            product = product * (Dim.of(symbols[a]) if isinstance(a, int) else ops[a[0]](decode_size(a[1], symbols), decode_size(a[2], symbols)))
        total = total + product
    return total


def tensor(name: str, type: TensorType, number: dict[Symbol, int]) -> Tensor:
    return Tensor(name, type.dtype.name, tuple(encode_size(s, number) for s in type.known_shape))
