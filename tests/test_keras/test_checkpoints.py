"""ModelCheckpoint and BackupAndRestore: what is written when, and that a run that was killed goes on to the same bits."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import GraphError, StateError
from graphflow.keras.callbacks import BackupAndRestore, Callback, ModelCheckpoint
from graphflow.keras.layers import Dense, Dropout
from graphflow.keras.models import Sequential

X = np.random.RandomState(0).rand(30, 3)
Y = X.sum(1, keepdims=True)


def model() -> Sequential:
    np.random.seed(1)
    made = Sequential([Dense(8, "tanh", input_dim=3), Dropout(0.3), Dense(1)])
    made.compile("adam", "mse", metrics=["mae"])
    return made


class Saved(Sequential):
    """Notes what it is told to save."""

    def __init__(self) -> None:
        super().__init__([Dense(1, input_dim=3)])
        self.saved: list[str] = []

    def save(self, filepath: Any, overwrite: bool = True, **options: Any) -> None:
        self.saved.append(f"model {filepath}")

    def save_weights(self, filepath: Any, overwrite: bool = True, **options: Any) -> None:
        self.saved.append(f"weights {filepath}")


class Says(Callback):
    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["val_acc"] = self.values[epoch]


def saved(values: list[float], name: str = "m{epoch:02d}", **options: Any) -> list[str]:
    made = Saved()
    made.compile("sgd", "mse")
    made.fit(X, Y, batch_size=10, epochs=len(values), verbose=0, callbacks=[Says(values), ModelCheckpoint(name, **options)])
    return [place.replace("model m", "") for place in made.saved]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["01", "02", "03", "04"]),
        ({"period": 2}, ["02", "04"]),
        ({"monitor": "val_accuracy", "save_best_only": True}, ["01", "03"]),
        ({"monitor": "val_acc", "save_best_only": True, "mode": "min"}, ["01", "02"]),
        ({"monitor": "val_acc", "save_best_only": True, "initial_value_threshold": 0.6}, ["03"]),
        ({"save_weights_only": True, "period": 3}, ["weights m03"]),
        ({"save_freq": 5}, ["02", "04"]),
        ({"name": "m-{epoch}-{val_accuracy:.2f}", "period": 4}, ["-4-0.70"]),
    ],
)
def test_what_is_saved_when(options: dict[str, Any], expected: list[str]) -> None:
    assert saved([0.5, 0.3, 0.8, 0.7], **options) == expected


def test_what_a_checkpoint_says(capsys: pytest.CaptureFixture[str]) -> None:
    saved([0.5, 0.3], monitor="val_acc", save_best_only=True, verbose=1)
    assert capsys.readouterr().out == (
        "\nEpoch 00001: val_acc improved from -inf to 0.50000, saving model to m01\n\nEpoch 00002: val_acc did not improve from 0.50000\n"
    )
    with pytest.warns(RuntimeWarning, match="Can save best model only with val_loss available, skipping"):
        assert saved([0.5], save_best_only=True) == []
    with pytest.raises(GraphError, match="'val_mae', which is not in the logs"):
        saved([0.5], name="m{val_mae}")
    with pytest.raises(GraphError, match="Unrecognized save_freq"):
        ModelCheckpoint("m", save_freq="hour")


class Dies(Callback):
    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.smoke
def test_a_run_that_ended_early_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    def run(*callbacks: Any, seed: int = 5) -> Any:
        gf.random.seed(7)
        made = model()
        np.random.seed(seed)
        try:
            history = made.fit(X, Y, batch_size=7, epochs=6, verbose=0, callbacks=list(callbacks))
        except KeyboardInterrupt:
            history = None
        return history, made

    history, whole = run()
    assert run(BackupAndRestore(tmp_path), Dies(3))[0] is None
    assert (tmp_path / BackupAndRestore.FILE).exists()
    rest, again = run(BackupAndRestore(tmp_path), seed=99)
    assert rest.epoch == [3, 4, 5] and rest.history["loss"] == history.history["loss"][3:]
    for mine, theirs in zip([*again.get_weights(), *again.optimizer.get_weights()], [*whole.get_weights(), *whole.optimizer.get_weights()], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert list(tmp_path.iterdir()) == []  # training is over


def test_the_state_of_another_model_is_refused(tmp_path: Path) -> None:
    model().fit(X, Y, verbose=0, callbacks=[BackupAndRestore(tmp_path, delete_checkpoint=False)])
    other = Sequential([Dense(1, input_dim=3)])
    other.compile("sgd", "mse")
    with pytest.raises(StateError, match="state of another model"):
        other.fit(X, Y, verbose=0, callbacks=[BackupAndRestore(tmp_path)])
    with pytest.raises(GraphError, match="save_freq"):
        BackupAndRestore(tmp_path, save_freq=3)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killing_a_run_never_leaves_a_broken_file(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    script = f"""
        import os, signal, threading, time
        import numpy as np
        from graphflow.keras.callbacks import BackupAndRestore, ModelCheckpoint
        from graphflow.keras.layers import Dense
        from graphflow.keras.models import Sequential

        model = Sequential([Dense(400, "tanh", input_dim=300), Dense(1)])
        model.compile("adam", "mse")
        x = np.random.rand(8, 300)
        model.fit(x, x[:, 0], verbose=0)
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        model.fit(x, x[:, 0], epochs=10**6, verbose=0, callbacks=[ModelCheckpoint({str(tmp_path / "m.h5")!r}), BackupAndRestore({str(tmp_path)!r})])
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=Path(gf.__file__).parent.parent, capture_output=True, text=True, timeout=120)
    assert run.returncode == -9, run.stderr
    from graphflow.keras.models import load_model

    loaded = load_model(tmp_path / "m.h5")
    assert np.isfinite(loaded.predict(np.ones((1, 300)))).all()
    with np.load(tmp_path / BackupAndRestore.FILE) as kept:
        assert int(kept["epoch"]) > 0 and all(np.isfinite(kept[f"state_{i}"]).all() for i in range(int(kept["states"])))


def test_a_saved_model_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    from graphflow.keras.layers import BatchNormalization
    from graphflow.keras.models import load_model
    from graphflow.keras.optimizers import Adam

    def fresh() -> Sequential:
        np.random.seed(1)
        made = Sequential([Dense(8, "tanh", input_dim=3), BatchNormalization(), Dense(1)])
        made.compile(Adam(0.01, decay=0.1), "mse")
        return made

    whole, part = fresh(), fresh()
    history = whole.fit(X, Y, epochs=6, shuffle=False, verbose=0).history
    part.fit(X, Y, epochs=3, shuffle=False, verbose=0, callbacks=[ModelCheckpoint(tmp_path / "{epoch}.h5")])
    rest = load_model(tmp_path / "3.h5")
    assert rest.fit(X, Y, epochs=6, initial_epoch=3, shuffle=False, verbose=0).history["loss"] == history["loss"][3:]
    for mine, theirs in zip(rest.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
