"""TensorBoard: losses, metrics, weights and the graph as event files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphflow.compiler.autodiff import grad
from graphflow.graph.errors import GraphError
from graphflow.graph.op import Array
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.variable import Constant, Placeholder, Shared, Variable
from graphflow.keras import backend as K
from graphflow.keras import generation
from graphflow.keras.arguments import no_more
from graphflow.keras.callbacks import events
from graphflow.keras.callbacks.base import Callback
from graphflow.keras.phase import folded
from graphflow.runtime.function import Function, function


class TensorBoard(Callback):
    """Writes event files for TensorBoard into `log_dir`.

    `histogram_freq`: epochs between histograms of weights and, with validation data, of what layers give.  `write_graph`: the
    graph of predictions.  `write_images`: matrices of weights as pictures, and `write_grads`: histograms of gradients,
    both as often as histograms.  `update_freq`: 'epoch', 'batch', or a number of samples (from tf.keras on: batches)
    after which losses and metrics of a batch are written.  `embeddings_freq`: epochs between tables of the weights of
    Embedding layers (or those named) for the projector.  `profile_batch` is accepted; `gf.profile` measures kernels.
    """

    def __init__(
        self,
        log_dir: Any = "./logs",
        histogram_freq: int = 0,
        batch_size: int = 32,
        write_graph: bool = True,
        write_grads: bool = False,
        write_images: bool = False,
        embeddings_freq: int = 0,
        embeddings_layer_names: Sequence[str] | None = None,
        embeddings_metadata: Any = None,
        embeddings_data: Any = None,
        update_freq: Any = "epoch",
        profile_batch: Any = 0,
        write_steps_per_second: bool = False,
        **unknown: Any,
    ) -> None:
        super().__init__()
        no_more("TensorBoard", unknown)
        self.log_dir = Path(os.fspath(log_dir))
        self.histogram_freq, self.batch_size = histogram_freq, batch_size
        self.write_graph, self.write_grads, self.write_images = write_graph, write_grads, write_images
        self.embeddings_freq, self.embeddings_layer_names, self.embeddings_metadata = embeddings_freq, embeddings_layer_names, embeddings_metadata
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._files: dict[str, events.EventFile] = {}
        self._functions: dict[str, Function] = {}
        self._two_runs = generation.resolve("TensorBoard writes two runs")
        self._seen = self._written = 0
        if self.update_freq != "epoch":
            self.on_batch_end = self._after_batch  # type: ignore[method-assign]  # only then has each batch to be seen

    def on_train_begin(self, logs: Any = None) -> None:
        self._functions = {}
        if self.histogram_freq and not self.validation_data and generation.resolve("histograms need validation data"):
            raise GraphError("If printing histograms, validation_data must be provided, and cannot be a generator.", hint="give fit validation_data, or histogram_freq=0")
        if self.write_graph:
            self._file("train").add_graph(events.graph(_nodes(self.model.graph_outputs)))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for run, values in self._by_run(logs or {}, "epoch_").items():
            self._file(run).add(epoch, [events.scalar(tag, value) for tag, value in values.items()])
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._file("train").add(epoch, self._histograms())
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self._write_embeddings()
        for file in self._files.values():
            file.flush()

    def _after_batch(self, batch: int, logs: Any = None) -> None:
        logs = dict(logs or {})
        size = int(logs.pop("size", 1))
        self._seen += 1 if self._two_runs else size
        logs.pop("batch", None)
        if self._seen - self._written >= self.update_freq:
            self._written = self._seen
            for run, values in self._by_run(logs, "batch_").items():
                self._file(run).add(self._seen, [events.scalar(tag, value) for tag, value in values.items()])

    def on_train_end(self, logs: Any = None) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}

    # --- what is written ----------------------------------------------------------------------------
    def _file(self, run: str) -> events.EventFile:
        name = run if self._two_runs else ""
        if name not in self._files:
            self._files[name] = events.EventFile(self.log_dir / name)
        return self._files[name]

    def _by_run(self, logs: Mapping[str, Any], prefix: str) -> dict[str, dict[str, float]]:
        """Values by run and tag: all in one run, or `val_loss` as `epoch_loss` of the run 'validation'."""
        found: dict[str, dict[str, float]] = {}
        for name, value in logs.items():
            if np.ndim(value) == 0:
                run, tag = ("validation", name.removeprefix("val_")) if self._two_runs and name.startswith("val_") else ("train", name)
                found.setdefault(run, {})[f"{prefix}{tag}" if self._two_runs else tag] = float(value)
        return found

    def _histograms(self) -> Iterator[bytes]:
        for layer in self.model.layers:
            for w in layer.weights:
                value = K.get_value(w)
                yield events.histogram(w.label, value)
                if self.write_images:
                    yield events.image(f"{w.label}/image", _as_matrix(value))
        if self.validation_data:
            yield from self._of_validation("out", {f"{layer.name}_out": v for layer in self.model.layers for v in _result(layer)})
            if self.write_grads:
                yield from self._of_validation("grad", {f"{w.label}_grad": w for w in self.model.trainable_weights})

    def _of_validation(self, kind: str, wanted: Mapping[str, Variable]) -> Iterator[bytes]:
        """Histograms of results of layers, or of gradients, for the first `batch_size` samples of the validation data."""
        if kind not in self._functions:
            test, values = self.model.test_step(), list(wanted.values())
            if kind == "grad":
                values = grad(test.compiled.request.outputs[0], values)
            self._functions[kind] = function(test.inputs if kind == "grad" else self.model.inputs, folded(values, training=False))
        compute = self._functions[kind]
        arrays = [a[: self.batch_size] for a in self.validation_data[: len(compute.inputs)]]
        for tag, value in zip(wanted, compute(*arrays), strict=True):
            yield events.histogram(tag, value)

    def _write_embeddings(self) -> None:
        """The weights as tables, and the projector's configuration that names them."""
        chosen = self.embeddings_layer_names or [layer.name for layer in self.model.layers if type(layer).__name__ == "Embedding"]
        entries = ""
        for name in chosen:
            table = K.get_value(self.model.get_layer(name).weights[0])
            np.savetxt(self.log_dir / f"{name}.tsv", table, delimiter="\t")
            metadata = self.embeddings_metadata.get(name) if isinstance(self.embeddings_metadata, Mapping) else self.embeddings_metadata
            path = f'  metadata_path: "{metadata}"\n' if metadata else ""
            entries += f'embeddings {{\n  tensor_name: "{name}"\n{path}  tensor_path: "{name}.tsv"\n}}\n'
        (self.log_dir / "projector_config.pbtxt").write_text(entries)


def _result(layer: Any) -> list[Variable]:
    return layer._inbound_nodes[0].outputs[:1] if layer._inbound_nodes else []


def _as_matrix(value: Array) -> Array:
    """A vector as one row; of more than two axes, the last one by all others."""
    value = np.atleast_2d(value)
    return value.reshape(-1, value.shape[-1])


def _nodes(outputs: Sequence[Variable]) -> Iterator[tuple[str, str, list[str], dict[str, str]]]:
    """The nodes of a graph under the names of layers, as TensorBoard shows them."""
    names: dict[Variable, str] = {}
    used: dict[str, int] = {}

    def unique(name: str) -> str:
        used[name] = used.get(name, 0) + 1
        return name if used[name] == 1 else f"{name}_{used[name] - 1}"

    for v in leaves(outputs):
        kind = "Placeholder" if isinstance(v, Placeholder) else "VariableV2" if isinstance(v, Shared) else "Const" if isinstance(v, Constant) else "NoOp"
        names[v] = unique(_legal(v.label))
        yield names[v], kind, [], {"_output_shapes": str(v.type)}
    for node in toposort(outputs):
        scope = "/".join(_legal(part) for part in node.scope.split("/") if part)
        label = node.op.name or type(node.op).__name__.lower()
        name = unique(f"{scope}/{_legal(label)}" if scope else _legal(label))
        for i, v in enumerate(node.outputs):
            names[v] = f"{name}:{i}" if i else name
        yield name, label, [names[v] for v in node.inputs], {"_output_shapes": str(node.outputs[0].type)}


def _legal(name: str) -> str:
    return "".join(c if c.isalnum() or c in "_./-" else "_" for c in name).strip("/") or "node"
