"""What `graphflow info` prints."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil

import llvmlite
import llvmlite.binding
import numpy

import graphflow
from graphflow.bundle.link import linkers
from graphflow.bundle.target import TARGETS
from graphflow.compiler.target.machine import host
from graphflow.runtime import cache
from graphflow.runtime.pool import available_threads
from graphflow.runtime.roofline import roofline
from graphflow.runtime.session import DEVICES


def information() -> dict[str, str]:
    """Each line of `graphflow info`: its name and text."""
    machine = host()
    return {
        "graphflow": graphflow.__version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "libraries": ", ".join([f"numpy {numpy.__version__}", f"llvmlite {llvmlite.__version__} (LLVM {'.'.join(map(str, llvmlite.binding.llvm_version_info))})", *extras()]),
        "cpu": f"{machine.cpu}, vectors of {machine.vector_bits} bits, {'with' if machine.fma else 'no'} fused multiply-add",
        "threads": str(available_threads()),
        "devices": ", ".join(DEVICES),
        "targets": ", ".join(TARGETS),
        "linkers": ", ".join(name for name, _ in linkers()) or "none",
        "graphviz": shutil.which("dot") or "not installed (drawings use the layout of our own)",
        "cache": cache_text(),
    }


def measured() -> dict[str, str]:
    """The roofline's lines, measured now: what one thread and all of them can do."""
    return roofline(again=True).lines()


def extras() -> list[str]:
    found = []
    for name in ("networkx", "graphviz", "scikit-learn", "scipy", "h5py"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return found


def cache_text() -> str:
    folder = cache.folder()
    if folder is None:
        return "none: its folder cannot be written, or others may write to it"
    sizes = [p.stat().st_size for p in folder.glob("*.gf")]
    return f"{folder}, {len(sizes)} entries, {sum(sizes) / 1e6:.1f} MB"
