"""The inference models as ONNX on NCHW images, for the runtimes; batch normalisation stays a node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks import data, networks
from benchmarks.workloads import INFER

OPSET, IR_VERSION = 17, 9


class Layers:
    """Adds nodes; a value is its name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, a: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(a), name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def dense(self, x: str, w: np.ndarray, b: np.ndarray) -> str:
        return self.op("Gemm", x, self.constant(w), self.constant(b))

    def conv(self, x: str, w: np.ndarray, b: np.ndarray | None, stride: int = 1, pad: int = 0) -> str:
        bias = [] if b is None else [self.constant(b)]
        return self.op("Conv", x, self.constant(w.transpose(3, 2, 0, 1)), *bias, strides=[stride] * 2, pads=[pad] * 4)

    def bn(self, x: str, *parameters: np.ndarray) -> str:
        return self.op("BatchNormalization", x, *map(self.constant, parameters), epsilon=networks.BATCH_NORM_EPSILON)

    def maxpool(self, x: str, size: int, stride: int, pad: int = 0) -> str:
        return self.op("MaxPool", x, kernel_shape=[size] * 2, strides=[stride] * 2, pads=[pad] * 4)

    def relu(self, x: str) -> str:
        return self.op("Relu", x)

    def add(self, x: str, y: str) -> str:
        return self.op("Add", x, y)

    def flatten(self, x: str) -> str:
        return self.op("Flatten", x)

    def gap(self, x: str) -> str:
        return self.op("Flatten", self.op("GlobalAveragePool", x))


def model(name: str) -> tuple[bytes, np.ndarray]:
    """An inference workload: the model's bytes, whose input is called x, and the images."""
    work = INFER[name]
    images, layers = data.images(work.model, work.batch), Layers()
    if images.ndim == 4:
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    result = networks.MODELS[work.model](layers, networks.nchw_weights(work.model), "x")
    value = helper.make_tensor_value_info
    inputs, outputs = [value("x", onnx.TensorProto.FLOAT, images.shape)], [value(result, onnx.TensorProto.FLOAT, None)]
    graph = helper.make_graph(layers.nodes, name, inputs, outputs, layers.constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return made.SerializeToString(), images
