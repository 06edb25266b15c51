"""The command line: `graphflow draw`, `explain`, `export`, `run`, `info`; `python -m graphflow` is the same."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import graphflow
from graphflow.graph.errors import ExportError, GraphError, GraphflowError

ERROR = 2  # what a command that failed with an explanation exits with


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code.  Errors of graphflow are printed without a traceback."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.command(options) or 0
    except GraphflowError as error:
        error.location = tuple((code, at) for code, at in error.location if not _starts_us(code.co_filename))
        print(f"graphflow: {type(error).__name__}: {error}", file=sys.stderr)
        return ERROR
    return code


def _starts_us(filename: str) -> bool:
    """Is it the file that called `main`?  It is not the user's code, though it is not graphflow's either."""
    return os.path.abspath(filename) == os.path.abspath(sys.argv[0])


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="graphflow", description="A static computation-graph compiler.")
    top.add_argument("--version", action="version", version=f"graphflow {graphflow.__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    p = commands.add_parser("draw", help="write a graph as SVG")
    p.add_argument("what", metavar="FILE.py:NAME", help="a Variable, function or model that a file defines")
    p.add_argument("-o", "--output", required=True, metavar="X.svg")
    p.add_argument("--pass", dest="pass_", metavar="NAME", help="the graph after this pass of the compiler")
    p.set_defaults(command=draw)

    p = commands.add_parser("explain", help="write a page about how something is compiled")
    p.add_argument("what", metavar="FILE.py:NAME", help="a function, model or Variable that a file defines")
    p.add_argument("-o", "--output", required=True, metavar="X.html")
    p.set_defaults(command=explain)

    p = commands.add_parser("export", help="write standalone kernels")
    p.add_argument("what", metavar="FILE.py:NAME", help="a function or model that a file defines")
    p.add_argument("-o", "--output", required=True, metavar="DIR")
    p.add_argument("--name", help="what the C functions' names begin with; default: NAME")
    p.add_argument("--target", metavar="T", help="see `graphflow info`; default: this machine's CPU")
    p.add_argument("--train", action="store_true", help="of a model, the training step too")
    p.set_defaults(command=export)

    p = commands.add_parser("run", help="run a Theano, TF1 or Keras program")
    p.add_argument("script")
    p.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the script")
    p.set_defaults(command=run)

    p = commands.add_parser("info", help="versions, devices, targets, cache: what to paste into a bug report")
    p.add_argument("--measure", action="store_true", help="measure what the CPU can do, too: arithmetic and memory")
    p.set_defaults(command=info)
    return top


# --- commands -------------------------------------------------------------------------------------
def draw(options: argparse.Namespace) -> None:
    what, _ = load(options.what)
    graphflow.draw(what, options.output, options.pass_)
    print(options.output)


def explain(options: argparse.Namespace) -> None:
    what, _ = load(options.what)
    print(graphflow.explain(what, options.output))


def export(options: argparse.Namespace) -> None:
    what, name = load(options.what)
    bundle = graphflow.export(what, options.output, name=options.name or name, target=options.target, train=options.train)
    for path in bundle.files:
        print(path)
    if bundle.library is None:
        print("no shared library: no C compiler and no ziglang was found", file=sys.stderr)


def run(options: argparse.Namespace) -> None:
    from graphflow.frontends import run_script

    run_script(options.script, options.arguments)


def info(options: argparse.Namespace) -> None:
    from graphflow.information import information, measured

    for key, value in {**information(), **(measured() if options.measure else {})}.items():
        print(f"{key:<10} {value}")


# --- loading what the user names --------------------------------------------------------------------
def load(what: str) -> tuple[Any, str]:
    """The object `FILE.py:NAME` or `module:NAME` names, and NAME.

    Raises GraphflowError where the file or the name is not there.
    """
    place, _, name = what.rpartition(":")
    if not place:
        raise GraphError(f"{what!r} names no object", hint="write FILE.py:NAME, where FILE.py defines NAME; model files cannot be read yet")
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    if not hasattr(module, name):
        public = ", ".join(n for n in vars(module) if not n.startswith("_"))
        raise GraphError(f"{place} defines no {name!r}", hint=f"it defines {public}" if public else "it defines nothing")
    return getattr(module, name), name


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise GraphError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    spec.loader.exec_module(module)
    return module


def _load_module(name: str) -> Any:
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ExportError(f"there is no module {error.name}", hint="a file's name ends in .py") from error
