"""What code is made for: triple, CPU, features, vector width, FMA; and LLVM text -> object code."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from typing import Any

from graphflow.graph.types import DType

# llvmlite's own objects are not safe to build from two threads at once
LLVM_LOCK = threading.RLock()


@dataclass(frozen=True)
class Machine:
    """A CPU target.  `vector_bits` is the SIMD width schedules use (0: scalar code)."""

    triple: str
    cpu: str
    features: str
    vector_bits: int
    fma: bool

    def lanes(self, dtype: DType) -> int:
        """SIMD lanes of one register for an element type, at least 1."""
        return max(1, self.vector_bits // (8 * dtype.itemsize))

    @property
    def vector_registers(self) -> int:
        return 32 if self.vector_bits == 512 or self.triple.startswith(("aarch64", "arm64", "riscv")) else 16

    def narrowed(self, vector_bits: int, fma: bool | None = None) -> Machine:
        """The same machine with shorter vectors, for tests and for bundles."""
        off = {512: (), 256: ("avx512f",), 128: ("avx512f", "avx2", "avx"), 0: ("avx512f", "avx2", "avx")}[vector_bits]
        keep = [f for f in self.features.split(",") if f[1:].split("-")[0] not in off and not (off and "avx512" in f)]
        has_fma = self.fma and vector_bits >= 256 if fma is None else fma
        drop = "" if has_fma else ",-fma,-fma4"
        return Machine(self.triple, self.cpu, ",".join(keep) + "".join(f",-{f}" for f in off) + drop, vector_bits, has_fma)


@functools.cache
def host() -> Machine:
    """The machine this process runs on."""
    llvm = _llvm()
    features = llvm.get_host_cpu_features()
    bits = 512 if features.get("avx512f") else 256 if features.get("avx2") else 128
    fma = bool(features.get("fma")) or "aarch64" in llvm.get_process_triple()
    return Machine(llvm.get_process_triple(), llvm.get_host_cpu_name(), features.flatten(), bits, fma)


@functools.cache
def _llvm() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.initialize_native_asmparser()
    return llvm


@functools.cache
def target_machine(machine: Machine, jit: bool = True) -> Any:
    target = _llvm().Target.from_triple(machine.triple)
    return target.create_target_machine(
        cpu=machine.cpu, features=machine.features, opt=1, reloc="pic", codemodel="small", jit=jit
    )


def compile_module(text: str, machine: Machine, assembly: bool = False, jit: bool = True) -> bytes | str:
    """Object code (or assembly text) for LLVM text.  Raises CompileError with LLVM's message."""
    from graphflow.graph.errors import CompileError

    with LLVM_LOCK:
        llvm = _llvm()
        tm = target_machine(machine, jit)
        try:
            module = llvm.parse_assembly(text, llvm.create_context())
            module.verify()
        except RuntimeError as e:
            raise CompileError(f"LLVM rejected generated code: {e}", hint="please report this with GRAPHFLOW_DUMP=1") from e
        _sroa(llvm, module, tm)
        result: bytes | str = tm.emit_assembly(module) if assembly else tm.emit_object(module)
        return result


def _sroa(llvm: Any, module: Any, tm: Any) -> None:
    builder = llvm.create_pass_builder(tm, llvm.create_pipeline_tuning_options(speed_level=1))
    passes = llvm.newpassmanagers.create_new_function_pass_manager()
    passes.add_sroa_pass()
    for fn in module.functions:
        if not fn.is_declaration:
            passes.run(fn, builder)


class Loaded:
    """Object code in this process.  `address(name)`; the code lives as long as this object."""

    def __init__(self, objects: list[bytes], names: list[str], imports: dict[str, int], tag: str) -> None:
        with LLVM_LOCK:
            builder = _llvm().JITLibraryBuilder()
            for code in objects:
                builder.add_object_img(code)
            builder.add_current_process()
            for name, address in imports.items():
                builder.import_symbol(name, address)
            for name in names:
                builder.export_symbol(name)
            self._tracker = builder.link(_lljit(), tag)
            self._addresses = {name: int(self._tracker[name]) for name in names}

    def address(self, name: str) -> int:
        return self._addresses[name]


@functools.cache
def _lljit() -> Any:
    return _llvm().create_lljit_compiler(
        _llvm().Target.from_triple(host().triple).create_target_machine(
            cpu=host().cpu, features=host().features, opt=1, jit=True
        ),
        use_jit_link=True,
    )
