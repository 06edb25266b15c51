"""ONNX Runtime on its CPU provider, inference only: NumPy in and out."""

from __future__ import annotations

import numpy as np
import onnxruntime

from benchmarks.peers import THREADS, onnx_models, ready
from benchmarks.workloads import Case, Factory, factories

to_numpy, wait = np.asarray, ready


def infer(name: str) -> Case:
    model, x = onnx_models.model(name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return Case(lambda: session.run(None, {"x": x})[0])


def workloads() -> dict[str, Factory]:
    return factories(infer=infer)
