"""Linking an object into a shared library: by the system's C compiler, else by the linker of ziglang."""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from graphflow.graph.errors import ExportError


def link_shared(object_file: Path, library: Path) -> str:
    """Write `library`; the name of the linker used, or '' where there is none and nothing was written.

    Raises ExportError with the linker's message if it fails.
    """
    for name, command in linkers():
        done = subprocess.run([*command, "-o", str(library), str(object_file)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ExportError(f"{name} could not link {object_file.name}", context=(done.stderr.strip(),), hint="the object itself is complete: link it by hand")
        return name
    library.unlink(missing_ok=True)  # of an export before
    return ""


def linkers() -> list[tuple[str, list[str]]]:
    """Linkers at hand for x86-64 Linux, the best first, each as (name, command)."""
    found: list[tuple[str, list[str]]] = []
    compiler = c_compiler()
    if compiler and platform.machine() == "x86_64" and platform.system() == "Linux":
        found.append((compiler[0], [*compiler, "-shared", "-nostdlib", "-Wl,--no-undefined"]))
    if importlib.util.find_spec("ziglang") is not None:
        found.append(("ziglang", [sys.executable, "-m", "ziglang", "ld.lld", "-shared", "--no-undefined"]))
    return found


def c_compiler() -> list[str]:
    """The command of the system's C compiler (the environment's CC, else cc, gcc or clang); empty if there is none."""
    named = shlex.split(os.environ.get("CC", ""))
    for command in ([named] if named else [["cc"], ["gcc"], ["clang"]]):
        if shutil.which(command[0]):
            return command
    return []
