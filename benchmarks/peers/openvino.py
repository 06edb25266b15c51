"""OpenVINO's CPU plugin, inference only: NumPy in and out.  float32 is asked for: its own choice may be bfloat16."""

from __future__ import annotations

import numpy as np
import openvino

from benchmarks.peers import THREADS, onnx_models, ready
from benchmarks.workloads import Case, Factory, factories

to_numpy, wait = np.asarray, ready
OPTIONS = {
    "INFERENCE_NUM_THREADS": THREADS, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32",
}  # fmt: skip


def infer(name: str) -> Case:
    model, x = onnx_models.model(name)
    core = openvino.Core()
    request = core.compile_model(core.read_model(model=model), "CPU", OPTIONS).create_infer_request()
    return Case(lambda: request.infer([x], share_inputs=True, share_outputs=True)[0])


def workloads() -> dict[str, Factory]:
    return factories(infer=infer)
