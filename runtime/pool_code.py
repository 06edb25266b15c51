"""The native code of the thread pool for this machine: `pool_worker.py`, `pool_caller.py` and `pool_account.py`.

    int64 gf.ticks()      the CPU's counter, in which all times are
"""

from __future__ import annotations

import hashlib

from graphflow.compiler.emit import finish_module
from graphflow.compiler.library import Code
from graphflow.compiler.target.machine import Loaded, Machine, compile_module, host
from graphflow.runtime.cache import library
from graphflow.runtime.pool_account import ACCOUNT
from graphflow.runtime.pool_caller import CALLER
from graphflow.runtime.pool_worker import CLAIM, WORKER

# what differs between CPUs: the counter, the pause, and Linux's numbers of system calls
_X86 = {
    "TICKS": '  %r = call { i32, i32 } asm sideeffect "rdtsc", "={ax},={dx}"()\n  %lo32 = extractvalue { i32, i32 } %r, 0\n  %hi32 = extractvalue { i32, i32 } %r, 1\n'
    "  %lo = zext i32 %lo32 to i64\n  %hi = zext i32 %hi32 to i64\n  %high = shl i64 %hi, 32\n  %t = or i64 %high, %lo\n",
    "PAUSE": 'call void asm sideeffect "pause", ""()',
    "FLOCK": "73", "FUTEX": "202", "SETAFFINITY": "203", "GETAFFINITY": "204", "GETCPU": "309",
}  # fmt: skip
_ARM = {
    "TICKS": "  %t = call i64 @llvm.read_volatile_register.i64(metadata !0)\n",
    "PAUSE": "call void @llvm.aarch64.hint(i32 1)",
    "FLOCK": "32", "FUTEX": "98", "SETAFFINITY": "122", "GETAFFINITY": "123", "GETCPU": "168",
}  # fmt: skip
_REGISTER = '!0 = !{!"cntvct_el0"}\n'
_TICKS = "declare i64 @syscall(i64, ...)\ndefine i64 @gf.ticks() #0 {\nTICKS  ret i64 %t\n}\n"


def supports(machine: Machine) -> bool:
    """Is there a pool for this kind of machine?"""
    return "linux" in machine.triple and machine.triple.startswith(("x86_64", "aarch64"))


def text(machine: Machine) -> str:
    """The LLVM text for a Linux machine."""
    made = _TICKS + CLAIM + WORKER + ACCOUNT + CALLER
    arm = machine.triple.startswith("aarch64")
    for name, value in (_ARM if arm else _X86).items():
        made = made.replace(name, value)
    return finish_module(made, machine) + (_REGISTER if arm else "")


def load() -> Loaded:
    """The code for this process, from the cache or compiled now."""
    machine = host()
    source = text(machine)
    name = "pool_" + hashlib.sha256(f"{machine} {source}".encode()).hexdigest()[:20]
    found = library().find(name)
    if found is None:
        code = compile_module(source, machine)
        assert isinstance(code, bytes)
        found = Code(code, None)
        library().add(name, found)
    return Loaded([found.object], ["gf.run", "gf.worker", "gf.ring", "gf.ticks"], {}, "graphflow-pool")
