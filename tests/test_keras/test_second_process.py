"""A second process that builds the demo's model loads its code: nothing is compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import graphflow as gf

SCRIPT = """
import numpy as np
import graphflow as gf, graphflow.compiler.assemble as program, graphflow.runtime.compile as compile_
from graphflow.keras.layers import Dense, Dropout
from graphflow.keras.models import Sequential
compiled = []
kernel, whole = program.compile_kernel, compile_.compile_program
program.compile_kernel = lambda *a: (compiled.append("kernel"), kernel(*a))[1]
compile_.compile_program = lambda *a: (compiled.append("program"), whole(*a))[1]
np.random.seed(0); gf.random.seed(0)
model = Sequential([Dense(32, activation="relu", input_shape=(64,)), Dropout(0.3), Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
x, y = np.random.rand(50, 64).astype("float32"), np.random.randint(0, 10, 50)
losses = model.fit(x, y, batch_size=16, epochs=2, verbose=0).history["loss"]
print([float(v).hex() for v in losses], float(model.predict(x).sum()).hex(), len(compiled))
"""


def test_second_process_compiles_nothing_and_gives_the_same_bits(tmp_path: Path) -> None:
    env = {**os.environ, "GRAPHFLOW_CACHE": "1", "GRAPHFLOW_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(gf.__file__).parent.parent)}
    runs = [subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=env).stdout.split() for _ in range(2)]
    assert int(runs[0][-1]) > 3 and runs[1][-1] == "0"
    assert runs[0][:-1] == runs[1][:-1]
