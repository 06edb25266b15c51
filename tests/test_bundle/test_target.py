"""Targets and the check of CPU features."""

from __future__ import annotations

import ctypes
import itertools
import platform

import pytest

import graphflow as gf
from graphflow.bundle.target import BITS, TARGETS, FeatureCheck, feature_masks, find_target, host_target, system_mask
from graphflow.compiler.emit import finish_module
from graphflow.compiler.target.machine import Loaded, compile_module, host

TAGS = itertools.count()
here = pytest.mark.skipif(platform.machine() != "x86_64", reason="CPUID")


def check(*lists: tuple[str, ...]) -> list[int]:
    """What the native check says of lists of features."""
    text = finish_module("".join(FeatureCheck(f"f{i}", features).text for i, features in enumerate(lists)), host())
    made = compile_module(text, host())
    assert isinstance(made, bytes)
    names = [f"f{i}" for i in range(len(lists))]
    loaded = Loaded([made], names, {}, f"features-{next(TAGS)}")
    return [ctypes.CFUNCTYPE(ctypes.c_int32)(loaded.address(name))() for name in names]


@here
def test_each_feature_is_found_where_llvm_finds_it() -> None:
    present = {f[1:] for f in host().features.split(",") if f.startswith("+")} | {"osxsave"}
    names = [name for bits in BITS.values() for name in bits]
    assert dict(zip(names, check(*[(n,) for n in names]), strict=True)) == {n: 0 if n in present else 5 for n in names}


@here
def test_levels_and_this_machine() -> None:
    present = {f[1:] for f in host().features.split(",") if f.startswith("+")} | {"osxsave"}
    lists = [t.features for t in TARGETS.values()] + [host_target().features, ()]
    assert check(*lists) == [0 if set(features) <= present else 5 for features in lists]
    assert check((*host_target().features, "xop", "sse4a", "avx512fp16", "avxifma", "tbm")) == [5]


def test_masks() -> None:
    assert feature_masks(("fma", "avx2", "sse3")) == {(1, 0, "ecx"): 1 << 12 | 1, (7, 0, "ebx"): 1 << 5}
    assert system_mask(("sse3",)) == 0 and system_mask(("avx",)) == 6 and system_mask(("avx", "avx512f")) == 0xE6
    assert all(set(t.features) <= {n for bits in BITS.values() for n in bits} for t in TARGETS.values())


def test_unknown_targets_name_the_known() -> None:
    with pytest.raises(gf.ExportError, match="x86_64-linux-v2"):
        find_target("armv7")
