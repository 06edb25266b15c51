"""The disk cache of compiled code.

Key: the canonical graph (ops, parameters, types, constants, in order of construction) with the
configuration, graphflow's own sources, LLVM and the CPU.  An entry is one file: manifest,
constants and object code.  Kernels are kept by their own text too, so that other graphs find
them.  Cached code is executed as the user's own files are: the folder is
0700, must belong to the user and is never a link; entries are written atomically; one that does
not parse is compiled again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import stat
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphflow.compiler.intern import encode
from graphflow.compiler.library import Code, Library
from graphflow.compiler.manifest import Manifest, as_tuples
from graphflow.compiler.print import to_text
from graphflow.compiler.program import Program
from graphflow.compiler.rules.user import USER
from graphflow.compiler.target.machine import Loaded, host
from graphflow.configuration import config
from graphflow.graph import source
from graphflow.graph.dim import Compound, Dim, Size, Symbol
from graphflow.graph.op import FORMS, REGISTRY, Array, ComposeOp, ExternOp, NestOp, Op, RegionOp
from graphflow.graph.region import Region
from graphflow.graph.traversal import toposort
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Constant, Placeholder, Shared, Variable
from graphflow.ops.sizes import is_value

MAX_BYTES = 1 << 30  # the oldest entries leave above this
RECENT = 256  # programs this process keeps loaded for graphs that are built again
MAX_CONSTANTS = 64 << 20  # bytes of constants an entry may hold
_MAGIC = b"graphflow-1\n"


@dataclass(frozen=True)
class Entry:
    """A cached compilation; `state` numbers the graph's shared variables in order of first use.

    `code` is set where this process has loaded it.
    """

    manifest: Manifest
    objects: list[bytes]
    constants: list[Array]
    state: list[int]
    code: Loaded | None = None


_recent: OrderedDict[str, Entry] = OrderedDict()
_recent_lock = threading.Lock()


def recent(key: str) -> Entry | None:
    """A program this process has loaded: a loop that builds the same graph again and again loads it once."""
    with _recent_lock:
        entry = _recent.get(key)
        if entry is not None:
            _recent.move_to_end(key)
        return entry


def remember(key: str, entry: Entry) -> None:
    with _recent_lock:
        _recent[key] = entry
        while len(_recent) > RECENT:
            _recent.popitem(last=False)


# --- keys ---------------------------------------------------------------------------------------
class Canonical:
    """Feeds a hash with a graph; Dims and shared variables are numbered by first appearance."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.symbols: dict[Symbol, int] = {}
        self.state: list[Shared] = []
        self.number: dict[Variable, int] = {}
        self.cacheable = True

    def add(self, *parts: Any) -> None:
        for part in parts:
            self.hash.update(part if isinstance(part, bytes) else repr(part).encode())
            self.hash.update(b"\0")

    def size(self, size: Size) -> Any:
        if isinstance(size, int):
            return size
        return sorted(((c, sorted((self.atom(a) for a in mono), key=repr)) for mono, c in size.terms.items()), key=repr)

    def atom(self, a: Symbol | Compound) -> Any:
        if isinstance(a, Symbol):
            return self.symbols.setdefault(a, len(self.symbols))
        return (a.kind, self.size(a.a), self.size(a.b))

    def type(self, t: TensorType) -> Any:
        return t.dtype.str, [self.size(s) for s in t.known_shape]

    def parameter(self, value: Any) -> Any:
        if isinstance(value, Dim):
            return "dim", self.size(value)
        if isinstance(value, tuple):
            return [self.parameter(v) for v in value]
        if isinstance(value, np.dtype):
            return "dtype", value.str
        if isinstance(value, Region):
            return self.region(value)
        if isinstance(value, slice):
            return "slice", self.parameter((value.start, value.stop, value.step))
        if value is None or isinstance(value, bool | int | float | str | np.number):
            return encode(value)
        self.cacheable = False  # what cannot be written down cannot be compared with another process's
        return id(value)

    def leaf(self, v: Variable) -> None:
        if v in self.number:
            return
        self.number[v] = len(self.number)
        if isinstance(v, Constant):
            self.add("const", v.value.dtype.str, v.value.shape, v.value.tobytes())
        elif isinstance(v, Shared):
            if v.state not in self.state:
                self.state.append(v.state)
            self.add("state", self.state.index(v.state), self.type(v.type))
        else:
            self.add(type(v).__name__, self.type(v.type))

    def region(self, region: Region) -> Any:
        """A body by a digest of its own; Dims, and numbers of leaves inside, go on from those outside."""
        outer, self.hash = self.hash, hashlib.sha256()
        self.graph(list(region.inputs), region.outputs)
        inner, self.hash = self.hash, outer
        return "region", inner.hexdigest()

    def graph(self, inputs: Sequence[Variable], results: Sequence[Variable]) -> None:
        """Leaves, nodes and results; constants and further leaves where they first come."""
        for p in inputs:
            self.leaf(p)
        for node in toposort(results):
            for v in node.inputs:
                if v.owner is None:
                    self.leaf(v)
            self.op(node.op)
            self.add([self.number[v] for v in node.inputs], source.line_of(node.source) if _reports_lines(node.op) else "")
            for v in node.outputs:
                self.number[v] = len(self.number)
                self.add(self.type(v.type))
        for v in results:
            if v.owner is None:
                self.leaf(v)
        self.add([self.number[v] for v in results])

    def op(self, op: Op) -> None:
        if type(op) not in _builtin_ops() and (type(op).version is None or not isinstance(op, FORMS)):
            self.cacheable = False  # an op without a form is a call of Python, whose address is this process's
        self.add(type(op).__module__, type(op).__qualname__, type(op).version, [(k, self.parameter(v)) for k, v in op.params().items()])


@functools.cache
def _builtin_ops() -> frozenset[type[Op]]:
    return frozenset(c for c in REGISTRY.classes if c.__module__.startswith("graphflow."))


def canonical_key(inputs: Sequence[Placeholder], outputs: Sequence[Variable], updates: Sequence[tuple[Shared, Variable]], computed: Sequence[Variable] = ()) -> tuple[str, list[Shared]]:
    """(key, shared variables in order of first use); the key is empty if the graph must not be cached."""
    c = Canonical()
    c.add(_build(), host(), config.optimize, config.fastmath, config.debug_memory, config.rematerialise)
    c.graph(inputs, [*outputs, *(v for _, v in updates), *computed])
    for s, _ in updates:
        c.leaf(s)
    c.add([(k, c.number.get(s.origin)) for s, k in c.symbols.items() if isinstance(s.origin, Variable) and is_value(s)])
    c.add(len(outputs), [c.number[s] for s, _ in updates], [c.state.index(s.state) for s, _ in updates])
    usable = c.cacheable and not USER.rules and config.cache and not config.dump
    return (c.hash.hexdigest() if usable else ""), c.state


def _reports_lines(op: Op) -> bool:
    """Run-time checks name the user's line, so code with other lines is other code."""
    return isinstance(op, NestOp | ComposeOp | ExternOp | RegionOp)


@functools.cache
def _build() -> str:
    """A digest of graphflow's own sources and of the libraries that make code."""
    import llvmlite

    import graphflow

    digest = hashlib.sha256(f"{llvmlite.__version__} {np.__version__} {graphflow.__version__}".encode())
    here = Path(__file__).resolve()
    roots = {Path(graphflow.__file__).resolve().parent, here.parent, here.parent.parent / "compiler"}
    for path in sorted(p for root in roots for part in (".", "graph", "ops", "rules", "schedule", "target", "math") for p in (root / part).glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


# --- files --------------------------------------------------------------------------------------
def folder() -> Path | None:
    """The cache folder, made if need be; None where it cannot be trusted."""
    path = Path(config.cache_dir or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "graphflow"))
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = path.lstat()
    except OSError:
        return None
    mine = not hasattr(os, "getuid") or info.st_uid == os.getuid()
    private = stat.S_ISDIR(info.st_mode) and not info.st_mode & 0o077
    return path if mine and private else None


def _read(name: str) -> tuple[dict[str, Any], list[bytes]] | None:
    """(head, parts) of an entry, or None; a damaged one is removed."""
    where = folder()
    if where is None:
        return None
    path = where / name
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as f:
            found = _parse(f.read())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return found


def _parse(data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    digest, body = data[len(_MAGIC) : len(_MAGIC) + 32], data[len(_MAGIC) + 32 :]
    if not data.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        raise ValueError("damaged")
    length = int.from_bytes(body[:8], "little")
    head = json.loads(body[8 : 8 + length])
    rest = memoryview(body)[8 + length :]
    parts: list[bytes] = []
    for n in head["lengths"]:
        parts.append(bytes(rest[:n]))
        rest = rest[n:]
    return head, parts


def _write(name: str, head: dict[str, Any], parts: Sequence[bytes]) -> None:
    """Write an entry atomically; a cache that cannot be written is no error."""
    where = folder()
    if where is None:
        return
    text = json.dumps({**head, "lengths": [len(p) for p in parts]}).encode()
    body = len(text).to_bytes(8, "little") + text + b"".join(parts)
    with contextlib.suppress(OSError):
        descriptor, temporary = tempfile.mkstemp(dir=where)
        with os.fdopen(descriptor, "wb") as f:
            f.write(_MAGIC + hashlib.sha256(body).digest() + body)
        os.replace(temporary, where / name)


def load(key: str) -> Entry | None:
    """The program for a key, or None."""
    found = _read(f"{key}.gf")
    if found is None:
        return None
    head, parts = found
    count = head["objects"]
    constants = [np.load(io.BytesIO(p), allow_pickle=False) for p in parts[count:]]
    return Entry(Manifest.from_json(head["manifest"]), parts[:count], constants, head["state"])


def save(key: str, entry: Entry) -> None:
    """Keep a program, unless its constants are large."""
    if sum(c.nbytes for c in entry.constants) > MAX_CONSTANTS:
        return
    parts = list(entry.objects)
    for c in entry.constants:
        stream = io.BytesIO()
        np.save(stream, c, allow_pickle=False)
        parts.append(stream.getvalue())
    _write(f"{key}.gf", {"manifest": entry.manifest.to_json(), "objects": len(entry.objects), "state": entry.state}, parts)
    where = folder()
    if where is not None:
        with contextlib.suppress(OSError):
            _trim(where)


def _trim(where: Path) -> None:
    entries = [(p.stat().st_mtime, p.stat().st_size, p) for p in where.iterdir() if p.suffix in (".gf", ".k")]
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= MAX_BYTES:
            break
        path.unlink()
        total -= size


class DiskLibrary(Library):
    """Kernels in memory, and as files beside the programs."""

    def find(self, name: str) -> Code | None:
        code = super().find(name)
        if code is None and config.cache:
            found = _read(f"{name}.k")
            if found is not None:
                head, parts = found
                code = Code(parts[0], as_tuples(head["team"]))
                super().add(name, code)
        return code

    def add(self, name: str, code: Code) -> None:
        super().add(name, code)
        if config.cache:
            _write(f"{name}.k", {"team": code.team}, [code.object])


@functools.cache
def library() -> Library:
    """The process's kernels."""
    made = DiskLibrary()
    made.build = _build()
    return made


def dump(program: Program, text: str, name: str) -> None:
    """With the setting `dump`: kernels and LLVM text of a compilation, as files."""
    if not config.dump:
        return
    where = Path(config.dump)
    where.mkdir(parents=True, exist_ok=True)
    stem = f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    (where / f"{stem}.kernels.txt").write_text("\n".join(to_text(p) for p in program.kernels))
    (where / f"{stem}.ll").write_text(text)
