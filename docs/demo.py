"""The main job, from images to a program without Python: what `make demo` runs.

Builds a classifier of handwritten digits with the Keras-style API, compiles and trains it, draws its graph,
exports it with its training step as one object file, and runs that from C.

    python docs/demo.py [FOLDER]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import graphflow as gf
from graphflow.bundle import Bundle
from graphflow.bundle.link import c_compiler
from graphflow.keras.layers import Dense, Dropout
from graphflow.keras.models import Sequential

EPOCHS = 20
SAMPLES = 16  # images in the self-test
ENOUGH = 0.97  # test accuracy below which the demo fails


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images as rows of 64 numbers from 0 to 1, and labels: for training, and for the test."""
    images, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(images.astype("float32") / 16, labels, test_size=0.2, random_state=0, stratify=labels)
    return moved(x), np.tile(y, 5), x_test, y_test


def moved(images: np.ndarray) -> np.ndarray:
    """The images, and again moved by one pixel to each side."""
    padded = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    corners = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]
    return np.concatenate([padded[:, i : i + 8, j : j + 8].reshape(-1, 64) for i, j in corners])


def build() -> Sequential:
    model = Sequential([Dense(256, activation="relu", input_shape=(64,), name="hidden"), Dropout(0.3), Dense(10, activation="softmax", name="digit")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def draw(model: Sequential, folder: Path) -> None:
    """The model as it is written, and its training step as the kernels it became."""
    gf.draw(model, folder / "model.svg")
    gf.draw(model.train_step(), folder / "training-step.svg", pass_="fuse")


def export(model: Sequential, x: np.ndarray, y: np.ndarray, folder: Path) -> Bundle:
    """A bundle whose self-test has these images and labels."""
    image, label = (v.label for v in model.train_step().inputs)
    bundle: Bundle = gf.export(model, folder, name="digits", train=True, inputs={image: x, label: y.reshape(-1, 1)})
    return bundle


def run_from_c(bundle: Bundle) -> bool:
    """Build the bundle's self-test and run it; whether C and graphflow agree (True where there is no C compiler)."""
    compiler = c_compiler()
    if not compiler:
        print("no C compiler here: the self-test is written, but was not built")
        return True
    subprocess.run([*compiler, "main.c", bundle.object.name, "-o", "selftest"], cwd=bundle.folder, check=True)
    done = subprocess.run(["./selftest"], cwd=bundle.folder, capture_output=True, text=True, check=False)
    print(done.stdout, end="")
    return done.returncode == 0


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    np.random.seed(0)
    gf.random.seed(0)
    x, y, x_test, y_test = digits()

    model = build()
    model.summary()
    print(f"\ntraining on {len(x)} images")
    model.fit(x, y, batch_size=32, epochs=EPOCHS, verbose=1 if sys.stdout.isatty() else 2)
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"\naccuracy on {len(x_test)} images it has not seen: {accuracy:.4f}")

    draw(model, folder)
    bundle = export(model, x_test[:SAMPLES], y_test[:SAMPLES], folder / "bundle")
    print(f"the model and its training step in C, on {SAMPLES} test images: ", end="", flush=True)
    agrees = run_from_c(bundle)

    print(f"\nin {folder}/")
    for path in [folder / "model.svg", folder / "training-step.svg", *bundle.files]:
        print(f"  {path.relative_to(folder)!s:<24} {path.stat().st_size:>8} bytes")
    return 0 if agrees and accuracy >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")))
