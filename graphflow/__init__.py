"""graphflow: a static computation-graph compiler.

Build symbolic graphs, differentiate them, compile them to native kernels, run them in a
Session or export them as standalone objects.  `import graphflow as gf` loads almost
nothing; names arrive on first use.
"""

from __future__ import annotations

import importlib as _importlib
import os as _os
from typing import Any as _Any

# `compiler/` and `runtime/` stand beside this folder in a checkout and inside it in a wheel.
_folder = _os.path.dirname(_os.path.abspath(__file__))
if not _os.path.isdir(_os.path.join(_folder, "compiler")):
    __path__.append(_os.path.dirname(_folder))

__version__ = "0.1.0"

# name -> module that defines it, for everything that is not a function of graphflow.ops
_WHERE = {
    **dict.fromkeys(["placeholder", "constant", "shared", "Variable", "Apply", "name_scope", "as_variable", "Placeholder", "Constant", "Shared"], "graphflow.graph.variable"),
    **dict.fromkeys(["Op", "Sample", "In", "ScalarOp", "FoldOp", "ContractOp", "ViewOp", "NestOp", "ExternOp", "ComposeOp", "register"], "graphflow.graph.op"),
    **dict.fromkeys(["TensorType"], "graphflow.graph.types"),
    **dict.fromkeys(["Dim"], "graphflow.graph.dim"),
    **dict.fromkeys(
        ["GraphflowError", "ShapeError", "DTypeError", "GraphError", "DisconnectedError", "FeedError", "StateError", "CheckError", "CompileError", "ExportError", "MissingExtraError"],
        "graphflow.graph.errors",
    ),
    **dict.fromkeys(["grad", "vjp", "jvp", "jacobian", "hessian", "hvp"], "graphflow.compiler.autodiff"),
    **dict.fromkeys(["scan", "while_loop", "cond", "until"], "graphflow.ops.control"),
    "scan_checkpoints": "graphflow.ops.checkpoints",
    **dict.fromkeys(["clone"], "graphflow.compiler.clone"),
    **dict.fromkeys(["Session", "default_store"], "graphflow.runtime.session"),
    **dict.fromkeys(["function", "Function"], "graphflow.runtime.function"),
    **dict.fromkeys(["Store"], "graphflow.runtime.store"),
    **dict.fromkeys(["verify_grad"], "graphflow.runtime.verify_grad"),
    **dict.fromkeys(["profile"], "graphflow.profiling"),
    **dict.fromkeys(["draw"], "graphflow.draw"),
    **dict.fromkeys(["explain"], "graphflow.explain"),
    **dict.fromkeys(["dprint"], "graphflow.dprint"),
    **dict.fromkeys(["export"], "graphflow.bundle"),
    **dict.fromkeys(["config"], "graphflow.configuration"),
}
_MODULES = {"nn": "graphflow.ops.nn", "linalg": "graphflow.ops.linalg", "random": "graphflow.ops.random", "keras": "graphflow.keras", "extending": "graphflow.extending"}


def __getattr__(name: str) -> _Any:
    if name in _MODULES:
        return _importlib.import_module(_MODULES[name])
    if name in _WHERE:
        module = _importlib.import_module(_WHERE[name])
        value = getattr(module, name)
    elif name.startswith("__"):
        raise AttributeError(name)
    else:
        ops = _importlib.import_module("graphflow.ops")
        try:
            value = ops.PUBLIC[name]
        except KeyError:
            raise AttributeError(f"module 'graphflow' has no attribute {name!r}") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    ops = _importlib.import_module("graphflow.ops")
    return sorted({*globals(), *_WHERE, *_MODULES, *ops.PUBLIC})
