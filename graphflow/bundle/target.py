"""What bundles can be made for, and the check of the CPU's features that `NAME_init` makes.

Bits: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.  The levels v2 to v4 are those of the
x86-64 psABI.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass

from graphflow.compiler.target.machine import Machine, host
from graphflow.graph.errors import ExportError

Place = tuple[int, int, str]  # CPUID leaf, subleaf, register


@dataclass(frozen=True)
class Target:
    """A machine to make code for, and the CPU features its code may use."""

    name: str
    machine: Machine
    features: tuple[str, ...]


BITS: dict[Place, dict[str, int]] = {
    (1, 0, "ecx"): {
        "sse3": 0, "pclmul": 1, "ssse3": 9, "fma": 12, "cx16": 13, "sse4.1": 19, "sse4.2": 20, "movbe": 22,
        "popcnt": 23, "aes": 25, "osxsave": 27, "avx": 28, "f16c": 29,
    },
    (7, 0, "ebx"): {
        "bmi": 3, "avx2": 5, "bmi2": 8, "avx512f": 16, "avx512dq": 17, "adx": 19, "avx512ifma": 21, "avx512cd": 28,
        "sha": 29, "avx512bw": 30, "avx512vl": 31,
    },
    (7, 0, "ecx"): {
        "avx512vbmi": 1, "avx512vbmi2": 6, "gfni": 8, "vaes": 9, "vpclmulqdq": 10, "avx512vnni": 11,
        "avx512bitalg": 12, "avx512vpopcntdq": 14,
    },
    (7, 0, "edx"): {"avx512vp2intersect": 8, "avx512fp16": 23},
    (7, 1, "eax"): {"avxvnni": 4, "avx512bf16": 5, "avxifma": 23},
    (0x80000001, 0, "ecx"): {"sahf": 0, "lzcnt": 5, "sse4a": 6, "xop": 11, "fma4": 16, "tbm": 21},
}  # fmt: skip

_V2 = ("cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3")
_V3 = (*_V2, "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "osxsave")
_V4 = (*_V3, "avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl")
_TRIPLE = "x86_64-unknown-linux-gnu"
TARGETS = {
    "x86_64-linux": Target("x86_64-linux", Machine(_TRIPLE, "x86-64-v3", "", 256, True), _V3),
    "x86_64-linux-v2": Target("x86_64-linux-v2", Machine(_TRIPLE, "x86-64-v2", "", 128, False), _V2),
    "x86_64-linux-v3": Target("x86_64-linux-v3", Machine(_TRIPLE, "x86-64-v3", "", 256, True), _V3),
    "x86_64-linux-v4": Target("x86_64-linux-v4", Machine(_TRIPLE, "x86-64-v4", "", 512, True), _V4),
}


def find_target(name: str | None) -> Target:
    """The target called `name`; None: this machine's CPU.  Raises ExportError for one there is no code for."""
    if name is None:
        return host_target()
    if name not in TARGETS:
        raise ExportError(f"there is no target {name!r}", hint=f"targets: {', '.join(TARGETS)}; none given: the CPU at hand")
    return TARGETS[name]


def host_target() -> Target:
    machine = host()
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        raise ExportError(
            f"bundles for this machine ({platform.machine()} {platform.system()}) are not supported",
            hint=f"name one of the targets {', '.join(TARGETS)}",
        )
    present = {f[1:] for f in machine.features.split(",") if f.startswith("+")}
    used = {name for bits in BITS.values() for name in bits if name in present}
    return Target("x86_64-linux-host", machine, tuple(sorted(used | ({"osxsave"} if "avx" in used else set()))))


# --- the check ----------------------------------------------------------------------------------
def feature_masks(features: Iterable[str]) -> dict[Place, int]:
    """The bits that must be set, by CPUID leaf, subleaf and register; leaf 1 comes first."""
    masks: dict[Place, int] = {}
    for place, bits in BITS.items():
        mask = sum(1 << bits[f] for f in features if f in bits)
        if mask:
            masks[place] = mask
    return masks


def system_mask(features: Iterable[str]) -> int:
    """Bits of XCR0: the registers the operating system must save (SSE, AVX, AVX-512's masks and upper halves)."""
    names = set(features)
    return (0x06 if "avx" in names else 0) | (0xE6 if "avx512f" in names else 0)


_CPUID = 'call {{ i32, i32, i32, i32 }} asm sideeffect "cpuid", "={{ax}},={{bx}},={{cx}},={{dx}},{{ax}},{{cx}},~{{dirflag}},~{{fpsr}},~{{flags}}"(i32 {leaf}, i32 {subleaf})'
_XGETBV = 'call { i32, i32 } asm sideeffect "xgetbv", "={ax},={dx},{cx},~{dirflag},~{fpsr},~{flags}"(i32 0)'
_REGISTERS = ("eax", "ebx", "ecx", "edx")


class FeatureCheck:
    """LLVM text of `i32 @NAME()`: 0 if the CPU and the operating system have the features, else 5."""

    def __init__(self, name: str, features: tuple[str, ...]) -> None:
        self.lines: list[str] = []
        self.count = 0
        masks = feature_masks(features)
        self.leaves(masks)
        for (leaf, subleaf, register), mask in masks.items():
            self.need(self.cpuid(leaf, subleaf, register), mask)
            if leaf == 1 and system_mask(features):
                self.need(self.xcr0(), system_mask(features))
        body = "".join(f"  {line}\n" if not line.endswith(":") else f"{line}\n" for line in self.lines)
        self.text = f"define i32 @{name}() #0 {{\nentry:\n{body}  ret i32 0\nmissing:\n  ret i32 5\n}}\n"

    def leaves(self, masks: dict[Place, int]) -> None:
        """Leaves and subleaves that are not there would answer with another leaf's bits."""
        for base in (0, 0x80000000):
            wanted = [leaf for leaf, _, _ in masks if leaf & 0x80000000 == base]
            if wanted:
                self.at_least(self.cpuid(base, 0, "eax"), max(wanted))
        if any(subleaf for _, subleaf, _ in masks):
            self.at_least(self.cpuid(7, 0, "eax"), 1)

    def value(self, text: str) -> str:
        self.count += 1
        self.lines.append(f"%v{self.count} = {text}")
        return f"%v{self.count}"

    def cpuid(self, leaf: int, subleaf: int, register: str) -> str:
        four = self.value(_CPUID.format(leaf=leaf, subleaf=subleaf))
        return self.value(f"extractvalue {{ i32, i32, i32, i32 }} {four}, {_REGISTERS.index(register)}")

    def xcr0(self) -> str:
        return self.value(f"extractvalue {{ i32, i32 }} {self.value(_XGETBV)}, 0")

    def at_least(self, value: str, bound: int) -> None:
        self.go_on_if(self.value(f"icmp uge i32 {value}, {bound}"))

    def need(self, value: str, mask: int) -> None:
        self.go_on_if(self.value(f"icmp eq i32 {self.value(f'and i32 {value}, {mask}')}, {mask}"))

    def go_on_if(self, good: str) -> None:
        self.count += 1
        self.lines += [f"br i1 {good}, label %next{self.count}, label %missing", f"next{self.count}:"]
