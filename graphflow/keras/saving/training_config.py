"""What `compile` was told, as data: optimizer, losses, metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphflow.keras import generation, optimizers
from graphflow.keras.lookup import as_data
from graphflow.keras.saving import keras3
from graphflow.keras.saving.translation import NEUTRAL_OF_OPTIMIZERS, taken_by


def training_config(model: Any, written: str) -> dict[str, Any]:
    """The arguments of `compile` as a Keras of generation `written` has them in JSON."""
    with generation.using(written):
        optimizer = as_data(model.optimizer)
    if written in ("2.4", "3") and not optimizer["config"].get("decay"):
        optimizer["config"].pop("decay", None)
    return {
        "optimizer_config": optimizer,
        "loss": as_terms(model.loss),
        "metrics": as_terms(model.metrics),
        "weighted_metrics": as_terms(model.weighted_metrics),
        "sample_weight_mode": getattr(model, "sample_weight_mode", None),
        "loss_weights": model.loss_weights,
    }


def as_terms(terms: Any) -> Any:
    """Losses and metrics by name or as data, in the lists and dicts that they came in."""
    if isinstance(terms, Mapping):
        return {name: as_terms(term) for name, term in terms.items()}
    if isinstance(terms, list | tuple):
        return [as_terms(term) for term in terms]
    return as_data(terms)


def compile_from(model: Any, config: Mapping[str, Any], origin: str) -> None:
    """Compile a model as a training_config, or a compile_config of Keras 3, says; the optimizer's defaults are those of the generation `origin`."""
    config = keras3.plain(config)
    several_outputs = len(model.outputs) > 1
    metrics = _metrics(config.get("metrics"), several_outputs)
    more = {name: config[name] for name in ("loss_weights", "sample_weight_mode") if config.get(name) is not None}
    if config.get("weighted_metrics"):
        more["weighted_metrics"] = _metrics(config["weighted_metrics"], several_outputs)
    with generation.using(origin):
        optimizer = _optimizer(config.get("optimizer_config", config.get("optimizer")))
    model.compile(optimizer, _term(config.get("loss")), metrics, **more)


def _optimizer(data: Any) -> Any:
    if not isinstance(data, Mapping):
        return optimizers.get("rmsprop" if data is None else data)
    name = data["class_name"].rsplit(">", 1)[-1] if data["class_name"].startswith("Custom>") and data["class_name"][7:] in optimizers.OPTIMIZERS else data["class_name"]
    cls = optimizers.OPTIMIZERS.find(name)
    config = {("learning_rate" if key == "lr" else key): value for key, value in data["config"].items()}
    return cls.from_config(taken_by(cls, config, NEUTRAL_OF_OPTIMIZERS))


def _metrics(metrics: Any, several_outputs: bool) -> Any:
    if isinstance(metrics, Mapping):
        return {name: _metrics(part, True) for name, part in metrics.items()}
    if isinstance(metrics, list):
        found = [_metrics(part, several_outputs) if isinstance(part, list) else _term(part) for part in metrics]
        return found[0] if not several_outputs and len(found) == 1 and isinstance(found[0], list) else found
    return _term(metrics)


def _term(term: Any) -> Any:
    """A loss or metric: those that only wrap a function become its name."""
    if isinstance(term, list):
        return [_term(part) for part in term]
    if isinstance(term, Mapping) and "class_name" not in term:
        return {name: _term(part) for name, part in term.items()}
    if isinstance(term, Mapping) and term["class_name"] in ("MeanMetricWrapper", "LossFunctionWrapper") and isinstance(term["config"].get("fn"), str):
        return "accuracy" if term["config"].get("name", "").split("_")[-1] in ("acc", "accuracy") and term["config"]["fn"].endswith("_accuracy") else term["config"]["fn"]
    return term
