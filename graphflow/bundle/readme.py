"""The README of a bundle: how to build it, what goes in and out."""

from __future__ import annotations

from collections.abc import Iterable

from graphflow.bundle.header import type_text
from graphflow.bundle.plan import ALIGNMENT, Plan, Tensor

_README = """\
# {name}

A function made by graphflow for {target}: one object file, no other library.

    cc main.c *.o -o selftest     # the self-test
    ./selftest                    # exits 0 when it agrees with graphflow
    cc program.c {name}.o         # your program, with #include "{name}.h"

{library}

Call `{name}_init()` once; `{name}_workspace_size` says how many bytes of workspace (on a boundary of {alignment} bytes)
a call needs for given `dims`. `{name}.h` lists the codes that come back. `{name}_metadata()` has all of this as JSON.

{tables}
The code needs a CPU with: {features}.
"""


def readme_text(plan: Plan, linker: str) -> str:
    """`README.md`; `linker` is what made the shared library, '' if nothing could."""
    if linker:
        library = f"`{plan.name}.so` is the same as a shared library (linked by {linker})."
    else:
        library = f"There is no `{plan.name}.so`: no C compiler and no ziglang was found. `cc -shared -nostdlib {plan.name}.o -o {plan.name}.so` makes it."
    tables = _table(f"dims: {', '.join(plan.dim_names)}", "", []) if plan.dims else ""
    for r in plan.routines:
        tables += _table(f"{plan.name}_{r.suffix}", "in", _rows(plan, r.inputs)) + _table("", "out", _rows(plan, r.outputs))
    if plan.state:
        tables += _table(f"state: {plan.state_bytes} bytes", "at", [(str(t.offset), t.name, type_text(plan, t)) for t in plan.state])
    return _README.format(
        name=plan.name, target=plan.target.name, library=library, alignment=ALIGNMENT, tables=tables, features=", ".join(plan.target.features) or "nothing special"
    )


def _rows(plan: Plan, tensors: Iterable[Tensor]) -> list[tuple[str, str, str]]:
    return [(str(i), t.name, type_text(plan, t)) for i, t in enumerate(tensors)]


def _table(title: str, first: str, rows: list[tuple[str, str, str]]) -> str:
    head = f"## {title}\n\n" if title else ""
    body = "".join(f"| {a} | {b} | `{c}` |\n" for a, b, c in rows)
    return head + (f"| {first} | name | type |\n|---|---|---|\n{body}\n" if rows else "")
