"""PyTorch.  Variants: eager; tuned (fused optimiser, channels_last); compile (torch.compile of forward and
loss, fused optimiser); jit (trace, freeze, optimize_for_inference: inference only)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import data, networks
from benchmarks.peers import THREADS, VARIANT, ready
from benchmarks.workloads import INFER, REGRESSION_EPOCHS, TRAIN, Case, Factory, factories

torch.set_num_threads(THREADS)
wait = ready
FUSED = VARIANT in ("tuned", "compile")


def to_numpy(value: Any) -> np.ndarray:
    return np.asarray(value.detach() if isinstance(value, torch.Tensor) else value)


class Layers:
    """On NCHW images and OIHW kernels."""

    dense = staticmethod(lambda x, w, b: torch.addmm(b, x, w))
    relu, add = staticmethod(F.relu), staticmethod(torch.add)
    maxpool = staticmethod(F.max_pool2d)

    def conv(self, x: Any, w: Any, b: Any, stride: int = 1, pad: int = 0) -> Any:
        return F.conv2d(x, w, b, stride, pad)

    def bn(self, x: Any, scale: Any, offset: Any, mean: Any, variance: Any) -> Any:
        return F.batch_norm(x, mean, variance, scale, offset, False, 0.0, networks.BATCH_NORM_EPSILON)

    def flatten(self, x: Any) -> Any:
        return torch.flatten(x, 1)

    def gap(self, x: Any) -> Any:
        return x.mean((2, 3))


LAYERS = Layers()


def compiled(f: Callable[..., Any]) -> Callable[..., Any]:
    made: Callable[..., Any] = torch.compile(f) if VARIANT == "compile" else f
    return made


def nchw(a: np.ndarray, order: tuple[int, ...], channels_last: bool) -> Any:
    """A tensor; four axes are brought into `order`, in the memory format asked for."""
    t = torch.from_numpy(a)
    if t.ndim != 4:
        return t
    return t.permute(*order).contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def on_images(a: np.ndarray, channels_last: bool) -> Any:
    return nchw(a, (0, 3, 1, 2), channels_last)


def parameters(model: str, channels_last: bool) -> Any:
    def one(w: Any) -> Any:
        return [one(part) for part in w] if isinstance(w, list) else nchw(w, (3, 2, 0, 1), channels_last)

    weights = networks.nchw_weights(model)
    return {name: one(w) for name, w in weights.items()} if isinstance(weights, dict) else one(weights)


def make_optimizer(name: str, params: list[Any]) -> Any:
    rate = networks.RATES[name]
    if name == "rmsprop":
        return torch.optim.RMSprop(params, rate, alpha=networks.RHO, eps=networks.RMSPROP_EPSILON**0.5)
    fused = {"fused": True} if FUSED else {}
    if name == "sgd":
        return torch.optim.SGD(params, rate, **fused)
    return torch.optim.Adam(params, rate, eps=networks.EPSILON, **fused)


def lstm() -> tuple[Callable[[Any, Any], Any], list[Any]]:
    """The loss of the LSTM, and its parameters; torch's gates have the order i f g o too."""
    embedding, kernel, recurrent, bias, dense, dense_bias = map(torch.from_numpy, networks.lstm_weights())
    embed = torch.nn.Embedding.from_pretrained(embedding, freeze=False)
    rnn = torch.nn.LSTM(networks.LSTM_EMBEDDING, networks.LSTM_UNITS, batch_first=True)
    rnn.weight_ih_l0.data, rnn.weight_hh_l0.data = kernel.T.contiguous(), recurrent.T.contiguous()
    rnn.bias_ih_l0.data, rnn.bias_hh_l0.data = bias, torch.zeros_like(bias)
    rnn.bias_hh_l0.requires_grad_(False)  # Keras has one bias
    dense.requires_grad_()
    dense_bias.requires_grad_()

    def loss(x: Any, y: Any) -> Any:
        last = rnn(embed(x))[0][:, -1]
        return F.binary_cross_entropy_with_logits(torch.addmm(dense_bias, last, dense), y)

    return loss, [embed.weight, rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, dense, dense_bias]


def train(name: str) -> Case:
    work = TRAIN[name]
    channels_last = FUSED and work.model in networks.FLATTENED
    if work.model == "lstm":
        loss_of, params = lstm()
    else:
        params = [p.requires_grad_() for p in parameters(work.model, channels_last)]
        model = networks.MODELS[work.model]

        def loss_of(x: Any, y: Any) -> Any:
            return F.cross_entropy(model(LAYERS, params, x), y)

    loss_of, optimizer = compiled(loss_of), make_optimizer(work.optimizer, params)
    pairs = data.minibatches(work.model, work.batch)
    feed = itertools.cycle(
        [(on_images(x, channels_last), torch.from_numpy(y.astype(np.int64) if y.dtype == np.int32 else y)) for x, y in pairs]
    )

    def step() -> Any:
        x, y = next(feed)
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Case(step)


def regression(name: str) -> Case:
    params = [torch.from_numpy(p).requires_grad_() for p in networks.mlp_weights(networks.REGRESSION_SIZES)]
    batches = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in data.sine_batches()]
    optimizer = make_optimizer("adam", params)
    loss_of = compiled(lambda x, y: F.mse_loss(networks.mlp(LAYERS, params, x), y))

    def run() -> np.float64:
        for _ in range(REGRESSION_EPOCHS):
            for x, y in batches:
                optimizer.zero_grad(set_to_none=True)
                loss_of(x, y).backward()
                optimizer.step()
        return networks.regression_loss([p.detach() for p in params])

    return Case(run)


def infer(name: str) -> Case:
    work = INFER[name]
    channels_last = FUSED and work.model != "mlp"
    params, x = parameters(work.model, channels_last), on_images(data.images(work.model, work.batch), channels_last)
    f = compiled(lambda x: networks.MODELS[work.model](LAYERS, params, x))
    if VARIANT == "jit":
        module = torch.nn.Module().eval()
        module.forward = f
        with torch.no_grad():
            f = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(module, x)))
    return Case(torch.inference_mode()(lambda: f(x)))


FUNCTIONS = SimpleNamespace(
    tanh=torch.tanh, sigmoid=torch.sigmoid, sqrt=torch.sqrt, abs=torch.abs, exp=torch.exp, rsqrt=torch.rsqrt, sum=torch.sum,
    mean=lambda x: x.mean(-1, keepdim=True), softmax=lambda x: torch.softmax(x, -1), logsumexp=lambda x: torch.logsumexp(x, -1),
)  # fmt: skip


def evaluate(name: str) -> Case:
    f, x = compiled(networks.formula(name, FUNCTIONS)), torch.from_numpy(data.formula_input(name))
    if "layernorm" in name and VARIANT == "":  # eager users call the function there is
        scale, offset = torch.full((1024,), 1.5), torch.full((1024,), 0.25)
        return Case(torch.inference_mode()(lambda: F.layer_norm(x, (1024,), scale, offset, 1e-5)))
    return Case(torch.inference_mode()(lambda: f(x)))


def call(name: str) -> Case:
    f, (x, y) = compiled(lambda x, y: x + y), data.summands(name)
    if name.endswith("numpy"):
        return Case(lambda: f(torch.from_numpy(x), torch.from_numpy(y)).numpy())
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    return Case(lambda: f(a, b))


def multiply(name: str) -> Case:
    a = torch.from_numpy(data.square_matrix(name))
    return Case(lambda: a @ a)


def workloads() -> dict[str, Factory]:
    if VARIANT == "jit":
        return factories(infer=infer)
    if VARIANT == "tuned":
        return factories(train=train, regression=regression, infer=infer)
    found = factories(train=train, regression=regression, infer=infer, formula=evaluate, call=call)
    return found if VARIANT else found | factories(product=multiply)
