"""The files of a bundle: built and run with the lines of its README."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.bundle.selftest import c_number

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-std=c99"]


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True, check=False)


def build_lines(folder: Path) -> list[str]:
    """The lines of code in the README, without what they say after #."""
    return [line.split("#")[0].strip() for line in (folder / "README.md").read_text().splitlines() if line.startswith("    ")]


@pytest.mark.smoke
def test_readme_lines_build_a_self_test_that_agrees(mlp: Any, tmp_path: Path) -> None:
    bundle = gf.export(mlp.step, tmp_path, name="digits")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "digits.h", "digits.o", "digits.so", "main.c"]
    assert set(bundle.files) == set(tmp_path.iterdir())
    build, test, program = build_lines(tmp_path)
    done = shell(f"{build} && {test}", tmp_path)
    assert done.returncode == 0 and done.stdout == "digits: agrees\n", done
    (tmp_path / "program.c").write_text('#include "digits.h"\nint main(void) { return digits_init(); }\n')
    assert shell(f"{program} -o program && ./program", tmp_path).returncode == 0


def test_self_test_fails_when_the_results_differ(mlp: Any, tmp_path: Path) -> None:
    gf.export(mlp.step, tmp_path, name="digits")
    text = (tmp_path / "main.c").read_text()
    for array in ("run_expected0_0", "train_step_expected0_2", "train_step_state2"):
        changed = re.sub(rf"({array}\[\d+\] = \{{\n    )[^,]+", r"\g<1>7.5f", text)
        assert changed != text
        (tmp_path / "main.c").write_text(changed)
        done = shell("cc main.c *.o -o selftest && ./selftest", tmp_path)
        assert done.returncode == 1 and "should be 7.5" in done.stdout, done


def test_files_are_clean_c_and_cpp_under_sanitizers(mlp: Any, tmp_path: Path) -> None:
    gf.export(mlp.step, tmp_path, name="digits", target="x86_64-linux")
    strict = " ".join(STRICT)
    done = shell(f"cc {strict} -g -fsanitize=address,undefined main.c *.o -o selftest && ./selftest", tmp_path)
    assert done.returncode == 0 and not done.stderr, done
    (tmp_path / "main.cpp").write_text('#include "digits.h"\nint main() { return static_cast<int>(digits_abi_version()) - DIGITS_ABI; }\n')
    done = shell("cc -x c++ -Wall -Wextra -Werror -fsyntax-only main.cpp", tmp_path)
    assert done.returncode == 0, done


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="no valgrind")
def test_self_test_is_clean_under_valgrind(mlp: Any, tmp_path: Path) -> None:
    gf.export(mlp.step, tmp_path, name="digits", target="x86_64-linux")
    done = shell("cc main.c *.o -o selftest && valgrind -q --error-exitcode=9 ./selftest", tmp_path)
    assert done.returncode == 0 and not done.stderr, done


def test_every_dtype_and_no_inputs_or_outputs(tmp_path: Path) -> None:
    names = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
    xs = [gf.placeholder(n, (None, 2), name=n) for n in names]
    seen = gf.shared(np.array(2, "int64"), name="seen")
    bundles = {
        "all": gf.function(xs, [gf.where(xs[0], x, gf.cast(1, x.dtype)) for x in xs]),
        "ticks": gf.function([], None, updates=[(seen, seen + 1)]),
        "odd": gf.function([], gf.constant(np.array([np.nan, np.inf, -np.inf, -0.0, 1e-42], "float32"))),
        "edges": gf.function([], gf.constant(np.array([-(2**63), 2**63 - 1]))),
        "empty": gf.function([], gf.constant(np.zeros((0, 3), "float32"))),
    }
    for name, f in bundles.items():
        gf.export(f, tmp_path / name, name=name)
        done = shell(f"cc {' '.join(STRICT)} main.c *.o -o selftest && ./selftest", tmp_path / name)
        assert done.returncode == 0, done


def test_bundles_with_the_same_kernels_link_into_one_program(mlp: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        gf.export(mlp.predict, tmp_path, name=name)
    (tmp_path / "main.c").write_text('#include "one.h"\n#include "two.h"\nint main(void) { return one_init() + two_init(); }\n')
    assert shell("cc main.c *.o -o both && ./both", tmp_path).returncode == 0


@pytest.mark.parametrize("value", [0.1, 1 / 3, 3e38, 1e-45, 5e-324, 1.0, -2.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_are_written_exactly(value: float, dtype: Any) -> None:
    number = dtype(value)
    text = c_number(number)
    assert text.endswith("f") == (dtype is np.float32)
    assert dtype(text.rstrip("f")) == number and ("." in text)
