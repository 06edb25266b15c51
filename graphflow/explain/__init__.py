"""`gf.explain`: one self-contained page about how something is compiled.

`subject` finds what is to be explained, `stages` has its graph after each pass, `kernels` each kernel's code and cost,
`memory_map` the arena; `page` writes them, with `page.css` and `page.js` inside.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["explain"]


def explain(what: Any, path: str | os.PathLike[str], *values: Any) -> str:
    """Write a page, HTML without any other file, and return its path.

    It has the graph before and after each pass, the rules that fired, and each kernel: its ops and the user's lines, its
    Kernel IR before and after scheduling, its LLVM text and assembly, operands, places in memory and estimated
    cost; a click on any of these shows what belongs to it among the others.

    `what`: a `gf.function`; a Keras model (its training step if it was compiled, else its prediction); a Variable, or a list, tuple
    or dict of them.  `values`: arguments of the function, or a batch `(x, y)` or `(x,)` of the model, by whose sizes costs are
    stated; without them every size that is not known counts as 128.  Graphs of more than 700 nodes are drawn with
    their name scopes collapsed, or not at all.

    Raises GraphError for something else, and ShapeError where a rank is known from values alone.
    """
    from graphflow.explain.page import page
    from graphflow.explain.report import report
    from graphflow.explain.subject import subject

    Path(path).write_text(page(report(subject(what, values))), encoding="utf-8")
    return os.fspath(path)


class _Callable(ModuleType):
    """Importing a module of this package makes `gf.explain` the package; it explains all the same."""

    __call__ = staticmethod(explain)


sys.modules[__name__].__class__ = _Callable
