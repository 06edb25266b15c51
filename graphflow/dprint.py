"""`gf.dprint`: a graph as a text tree, results above what they are made of.

    divide [A] 'loss' float32[]
    ├─ sum{axes=(0,)} [B] float32[]
    │  └─ multiply [C] float32[B]
    │     ├─ x [D] float32[B] placeholder
    │     └─ x [D]
    └─ 128.0 [E] float32[] constant

An id names one Variable; a sub-tree that was shown before is an id and `···`.  The bodies of loops and branches follow
below, each under the id of its node.
"""

from __future__ import annotations

import string
import sys
from types import ModuleType
from typing import Any, TextIO

from graphflow.draw.fetches import named_outputs
from graphflow.graph.op import RegionOp
from graphflow.graph.variable import Apply, Constant, Placeholder, Shared, Variable

_DEPTH_DRAWN = 24  # below, the depth is a number: indentation would grow with the square of a chain's length
_OP_SHOWN, _VALUE_SHOWN = 80, 40


def dprint(fetches: Any, file: TextIO | None = None) -> str:
    """Print the graph of `fetches` to `file` (standard output by default), and return the text.

    `fetches`: a Variable, a list, tuple or dict of them, a compiled function or a model.  Raises
    GraphError for anything else.
    """
    tree = _Tree()
    for name, v in named_outputs(fetches):
        tree.show(v, f"{name} = " if name and name != v.name else "")
    tree.show_bodies()
    text = "\n".join(tree.lines) + "\n"
    (sys.stdout if file is None else file).write(text)
    return text


class _Tree:
    """Lines of the trees shown so far; ids are given in the order of first appearance."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ids: dict[Variable | Apply, str] = {}
        self.with_bodies: list[Apply] = []

    def show(self, root: Variable, title: str) -> None:
        """One tree, depth first, with a stack of its own."""
        # (what, what stands before it, what stands before its children, depth)
        stack = [(root, title, "", 0)]
        while stack:
            v, before, indent, depth = stack.pop()
            key = v.owner or v
            seen = key in self.ids
            number = self.ids.setdefault(key, _letters(len(self.ids)))
            self.lines.append(before + _describe(v, number, seen))
            if seen or v.owner is None:
                continue
            if isinstance(v.owner.op, RegionOp):
                self.with_bodies.append(v.owner)
            inputs = v.owner.inputs
            for i in range(len(inputs) - 1, -1, -1):
                last = i == len(inputs) - 1
                corner, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
                if depth + 1 > _DEPTH_DRAWN:
                    stack.append((inputs[i], f"⋯ {depth + 1} {corner}", "", depth + 1))
                else:
                    stack.append((inputs[i], indent + corner, indent + below, depth + 1))

    def show_bodies(self) -> None:
        """The bodies of all nodes shown, those inside them included."""
        for node in self.with_bodies:  # grows on the way
            assert isinstance(node.op, RegionOp)
            for number, region in enumerate(node.op.regions):
                which = f" {number}" if len(node.op.regions) > 1 else ""
                self.lines += ["", f"body{which} of {node.op.name} [{self.ids[node]}]: {', '.join(f'{p.label} {p.type}' for p in region.inputs)}"]
                for i, v in enumerate(region.outputs):
                    self.show(v, f"result {i} = ")


def _describe(v: Variable, number: str, seen: bool) -> str:
    """`sum{axes=(0,)} [A] 'total' float32[B]`; short if it was shown before."""
    if v.owner is None:
        return f"{_cut(v.label, _VALUE_SHOWN)} [{number}]" + ("" if seen else f" {v.type} {_kind(v)}")
    which = f".{v.index}" if len(v.owner.outputs) > 1 else ""
    op = _cut(" ".join(str(v.owner.op).split()), _OP_SHOWN)
    name = f" {v.name!r}" if v.name else ""
    return f"{op}{which} [{number}]" + (" ···" if seen else f"{name} {v.type}")


def _kind(v: Variable) -> str:
    for kind in (Placeholder, Shared, Constant):
        if isinstance(v, kind):
            return kind.__name__.lower()
    return "leaf"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _letters(number: int) -> str:
    """0 -> A, 25 -> Z, 26 -> AA ..."""
    letters = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        letters = string.ascii_uppercase[digit] + letters
    return letters


class _Callable(ModuleType):
    """Importing this module makes `gf.dprint` the module; it prints all the same."""

    __call__ = staticmethod(dprint)


sys.modules[__name__].__class__ = _Callable
