"""`gf.export`: a function, its gradient or its training step as one object file without dependencies.

`exportable` says what can be exported, `plan` compiles it and lays out state and constants, `object` writes
the C ABI around it, `trial` computes what the self-test expects, and `header`, `selftest` and `readme` write
the other files.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphflow.bundle.exportable import exportable, given_arrays
from graphflow.bundle.header import header_text
from graphflow.bundle.link import link_shared
from graphflow.bundle.object import make_object
from graphflow.bundle.plan import make_plan
from graphflow.bundle.readme import readme_text
from graphflow.bundle.selftest import selftest_text
from graphflow.bundle.target import find_target
from graphflow.bundle.trial import make_trials
from graphflow.graph.errors import ExportError

__all__ = ["Bundle", "export"]

@dataclass(frozen=True)
class Bundle:
    """What an export wrote.  `library` is None where there is no linker; `linker` names the one used."""

    name: str
    folder: Path
    object: Path
    header: Path
    library: Path | None
    linker: str
    metadata: dict[str, Any]

    @property
    def files(self) -> list[Path]:
        found = [self.object, self.header, self.folder / "main.c", self.folder / "README.md"]
        return found if self.library is None else [*found, self.library]


def export(
    what: Any,
    out_dir: str | os.PathLike[str],
    name: str | None = None,
    target: str | None = None,
    train: bool = False,
    inputs: Any = None,
) -> Bundle:
    """Write NAME.o, NAME.h, main.c (a self-test), README.md and NAME.so to `out_dir`.

    `what`: a `gf.function`, a model, or a pair (inputs, outputs).  State is embedded with the values it has
    now; where there are updates, `NAME_train_step` performs them on a copy the caller owns.  `train`: of a
    model, its training step too.  `target`: see `graphflow info`; None: the CPU at hand.  `inputs`: arrays
    for the self-test, in order or by name.
    Raises ExportError for what cannot stand alone, and for a name that is no C identifier.
    """
    name = name or c_name(getattr(what, "name", None) or "model")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ExportError(f"name={name!r} cannot begin the names of C functions", hint="use letters, digits and _")
    source = exportable(what, train)
    given = given_arrays(source.inputs, inputs)
    plan = make_plan(name, find_target(target), source.run, source.step, {v: a.ndim for v, a in given.items()}, source.store)
    trials = make_trials(plan, source, given)
    made = make_object(plan)
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {ending: folder / f"{name}{ending}" for ending in (".o", ".h", ".so")}
    paths[".o"].write_bytes(made.code)
    paths[".h"].write_text(header_text(plan), encoding="utf-8")
    (folder / "main.c").write_text(selftest_text(plan, trials), encoding="utf-8")
    linker = link_shared(paths[".o"], paths[".so"])
    (folder / "README.md").write_text(readme_text(plan, linker), encoding="utf-8")
    return Bundle(name, folder, paths[".o"], paths[".h"], paths[".so"] if linker else None, linker, made.metadata)


def c_name(text: str) -> str:
    return re.sub(r"\W", "_", text.lower(), flags=re.ASCII)
