"""A request and the Executables it has needed so far."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from graphflow.graph.dim import Dim
from graphflow.graph.errors import ShapeError
from graphflow.graph.op import Array
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.types import Shape
from graphflow.graph.variable import Shared
from graphflow.ops.random import is_rng_state
from graphflow.ops.state import Assign
from graphflow.runtime.compile import Request, Specialisation, build
from graphflow.runtime.executable import Executable
from graphflow.runtime.store import Store

MAX_SPECIALISATIONS = 4  # of axes that turned out to be 1


class Compiled:
    """A request and its Executables: one for all sizes, and further ones for ranks, ones and resized state."""

    def __init__(self, request: Request, name: str) -> None:
        self.request = collect_assignments(request)
        self.name = name
        self.check_nan = False  # whatever the setting is
        self._built: dict[Specialisation, Executable] = {}
        self._fixed: dict[tuple[tuple[int, ...], ...], Specialisation] = {}
        self._lock = threading.Lock()
        self._ranks_known = all(v.type.shape is not None for v in self.request.inputs)
        self._last: Specialisation | None = None  # what the last call was made with: most calls are like it
        self.last: Executable | None = None  # what the last call that went through Python ran

    @property
    def executables(self) -> list[Executable]:
        return list(self._built.values())

    def __call__(self, arrays: Sequence[Array], store: Store) -> list[Array]:
        spec = self._last if self._last is not None else self.specialisation(arrays, store)
        for _ in range(8):
            try:
                executable = self.executable(spec)
                results = executable(arrays, store)
                self._last, self.last = spec if self._ranks_known else None, executable
                break
            except ShapeError:
                better = self.specialisation(arrays, store)
                if better == spec or better.state == spec.state:
                    better = self.with_ones(better, arrays)
                if better == spec:
                    raise
                spec = better
        return results

    def executable(self, spec: Specialisation) -> Executable:
        found = self._built.get(spec)
        if found is None:
            with self._lock:
                found = self._built.get(spec)
                if found is None:
                    found = self._built[spec] = build(self.request, spec, self.name)
        return found

    def specialisation(self, arrays: Sequence[Array], store: Store) -> Specialisation:
        """The declared types where they say enough; ranks as fed; state in its present sizes."""
        shapes: list[Shape | None] = []
        for v, array in zip(self.request.inputs, arrays, strict=True):
            shapes.append(None if v.type.shape is not None else tuple(Dim.symbol(f"{v.label}.{i}", origin=v) for i in range(array.ndim)))
        ranks = tuple(tuple(() if s is None else (len(s),)) for s in shapes)
        known = self._fixed.get(ranks)
        state = self.resized_state(store)
        if known is None or known.state != state:
            previous = dict(known.state) if known else {}
            state = tuple((s, previous.get(s, shape)) for s, shape in state)
            if known is None or known.state != state:
                known = self._fixed[ranks] = Specialisation(known.inputs if known else tuple(shapes), state)
        return known

    def resized_state(self, store: Store) -> tuple[tuple[Shared, Shape], ...]:
        """Shared variables whose value has other sizes than the graph was built with: those axes become Dims."""
        found: list[tuple[Shared, Shape]] = []
        for s in self.shared:
            have = store.cell(s).array.shape
            if any(isinstance(n, int) and n != m for n, m in zip(s.shape, have, strict=True)):
                known = self.__dict__.setdefault("_resized", {})
                changed = tuple(isinstance(n, int) and n != m for n, m in zip(s.shape, have, strict=True))
                key = (s, changed)
                if key not in known:
                    known[key] = tuple(Dim.symbol(f"{s.label}.{i}", origin=s) if c else n for i, (n, c) in enumerate(zip(s.shape, changed, strict=True)))
                found.append((s, known[key]))
        return tuple(found)

    @property
    def shared(self) -> list[Shared]:
        found: list[Shared] | None = self.__dict__.get("_shared")
        if found is None:
            results = [*self.request.outputs, *(v for _, v in self.request.updates)]
            found = [v for v in leaves(results) if isinstance(v, Shared)]
            found += [s for s, _ in self.request.updates if s not in found]
            self.__dict__["_shared"] = found
        return found

    @property
    def written(self) -> list[Shared]:
        """State that a call may write: what has updates, and the random state if anything is drawn."""
        return [s.state for s, _ in self.request.updates] + [s.state for s in self.shared if is_rng_state(s)]

    def with_ones(self, spec: Specialisation, arrays: Sequence[Array]) -> Specialisation:
        """Axes of run-time size that were fed with size 1 become 1: then they broadcast."""
        shapes: list[Shape | None] = []
        for v, array, shape in zip(self.request.inputs, arrays, spec.inputs, strict=True):
            sizes = shape if shape is not None else v.type.shape
            if sizes is None or len(sizes) != array.ndim:
                return spec
            new = tuple(1 if isinstance(s, Dim) and n == 1 else s for s, n in zip(sizes, array.shape, strict=True))
            shapes.append(shape if new == sizes else new)
        made = Specialisation(tuple(shapes), spec.state)
        if made not in self._built and sum(s.inputs != spec.inputs for s in self._built) > MAX_SPECIALISATIONS * 4:
            return spec
        return made


def collect_assignments(request: Request) -> Request:
    """`gf.assign` nodes among what is fetched become updates; fetched, they give the new value."""
    updates = list(request.updates)
    written = {s for s, _ in updates}
    for node in toposort([*request.outputs, *(v for _, v in updates)]):
        if isinstance(node.op, Assign):
            target = node.inputs[0]
            assert isinstance(target, Shared)
            if target in written:
                updates = [(s, v) for s, v in updates if s is not target]
            written.add(target)
            updates.append((target, node.outputs[0]))
    return Request(request.inputs, request.outputs, tuple(updates))
