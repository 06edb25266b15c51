"""The peers: what each needs to be importable, and what it is."""

from __future__ import annotations

from dataclasses import dataclass

OURS = "graphflow"


@dataclass(frozen=True)
class Peer:
    """`name`: LIBRARY or LIBRARY:VARIANT.  `needs`: modules.

    `statement`: what a program that uses it imports; empty where another peer has the same.
    """

    name: str
    needs: tuple[str, ...]
    statement: str
    about: str

    @property
    def library(self) -> str:
        return self.name.partition(":")[0]

    @property
    def is_ours(self) -> bool:
        return self.library == OURS


# graphflow loads its parts on first use: what every program uses counts as the import
_GRAPHFLOW = (OURS, ("numpy", "llvmlite", "networkx"), "import graphflow; graphflow.function, graphflow.grad")
_TORCH = ("torch", ("numpy", "torch"), "import torch")
_JAX = ("jax", ("numpy", "jax"), "import jax")
_TENSORFLOW = ("tensorflow", ("numpy", "tensorflow"), "import tensorflow")
_KERAS = ("numpy", "keras")
_PYTENSOR = ("pytensor", ("numpy", "pytensor"), "import pytensor.tensor")


def _variant(base: tuple[str, tuple[str, ...], str], variant: str, about: str) -> Peer:
    name, needs, statement = base
    return Peer(f"{name}:{variant}", needs, "", about) if variant else Peer(name, needs, statement, about)


def _keras(backend: str, about: str) -> Peer:
    return Peer(f"keras:{backend}", (*_KERAS, backend), f"import os; os.environ['KERAS_BACKEND'] = '{backend}'; import keras", about)


PEERS = (
    _variant(_GRAPHFLOW, "", "gf.function of a step, sizes of batches open; w5: model.fit"),
    _variant(_GRAPHFLOW, "static", "the same with the sizes of batches fixed"),
    _variant(_GRAPHFLOW, "steps", "w5 as a Python loop over a compiled step"),
    _variant(_GRAPHFLOW, "keras", "graphflow.keras: fit, per step, and predict_on_batch"),
    Peer("numpy", ("numpy",), "import numpy", "written by hand, no framework at all"),
    _variant(_TORCH, "", "eager"),
    _variant(_TORCH, "tuned", "eager, fused optimiser, channels_last"),
    _variant(_TORCH, "compile", "torch.compile of forward and loss, fused optimiser"),
    _variant(_TORCH, "jit", "trace, freeze, optimize_for_inference"),
    _variant(_JAX, "", "jax.jit of the whole step, parameters donated"),
    _variant(_JAX, "scan", "w5 with lax.scan over each epoch"),
    _variant(_TENSORFLOW, "", "tf.function, fused optimiser ops"),
    _variant(_TENSORFLOW, "xla", "the same with jit_compile=True"),
    _variant(_TENSORFLOW, "v1", "TF1 graph, Session.run with NumPy feeds"),
    _keras("tensorflow", "Sequential, fit per step, predict_on_batch"),
    _keras("jax", "the same"),
    _keras("torch", "the same"),
    _variant(_PYTENSOR, "", "its default linker, numba"),
    _variant(_PYTENSOR, "c", "its C linker"),
    Peer("onnxruntime", ("numpy", "onnx", "onnxruntime"), "import onnxruntime", "CPU provider, inference"),
    Peer("openvino", ("numpy", "onnx", "openvino"), "import openvino", "CPU plugin, float32 asked for, inference"),
)
BY_NAME = {peer.name: peer for peer in PEERS}
