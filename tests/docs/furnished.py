"""What lies in the folder of a reader of the documents: files and studies that they name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import smaller

CLASSES = ("cat", "dog", "fish")
MODEL = """\
import keras


def build(input_shape, num_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(num_classes, activation="softmax"),
        ]
    )
"""


def furnish(folder: Path, text: str, trained: Path) -> None:
    """Put into ``folder`` what a document with this text names."""
    for name, make in _MADE.items():
        if name in text:
            make(folder / name)
    for name in ("reglab-out/demo", "reglab-out/digits-mlp"):
        if name in text:
            shutil.copytree(trained, folder / name)


def demo(folder: Path) -> Path:
    """Train a study whose recipes are called as those of ``reglab demo``."""
    import reglab
    from reglab import paper

    recipes = {paper.BASELINE: "none", "dropout": "dropout(rate=0.1)", "combination": "l2 + dropout(rate=0.1)"}
    study = reglab.Study("digits", "mlp(units=16)", recipes, baseline=paper.BASELINE, out=folder, **smaller.SETTINGS)
    study.run(workers=0)
    return folder


def names() -> dict[str, object]:
    """Return what a reader has in Python before the first block: data, and a network of their own."""
    import keras
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    train, validation = (images[:120], labels[:120]), (images[120:200], labels[120:200])
    return {
        **dict(zip(("x_train", "y_train"), train, strict=True)), **dict(zip(("x", "y"), train, strict=True)),
        **dict(zip(("x_val", "y_val"), validation, strict=True)), "model": model,
        "my_network": keras.models.clone_model(model),
    }  # fmt: skip


def _photos(folder: Path) -> None:
    from PIL import Image

    random = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(30):
            image = random.integers(0, 100, (20, 16 + i % 3, 3)) + 70 * number
            Image.fromarray(image.astype("uint8")).save(folder / name / f"{i}.png")


def _scenes(path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 3)).round(3)
    bits = (x + random.normal(size=x.shape) > (0.5, 0, -0.5)).astype(int)
    rows = [",".join(map(str, row)) for row in np.c_[x, bits].tolist()]
    path.write_text("\n".join(["red,green,blue,sea,sunset,forest", *rows]), encoding="utf-8")


def _archive(path: Path) -> None:
    source = path.parent / "to-be-packed"
    _photos(source)
    shutil.make_archive(str(path.with_suffix("")), "zip", source)
    shutil.rmtree(source)


def _table(path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{CLASSES[i % 3]}" for i, (a, b) in enumerate(random.normal(0, 1, (90, 2)))]
    path.write_text("length,width,species\n" + "\n".join(rows) + "\n", encoding="utf-8")


def _log(path: Path) -> None:
    """As ``keras.callbacks.CSVLogger`` writes it."""
    epochs = [(i, 0.5 + i / 60, 1 / (1 + i), 0.5 + i / 120, 0.9 + (i - 10) ** 2 / 400) for i in range(30)]
    rows = [",".join(f"{value:g}" for value in epoch) for epoch in epochs]
    path.write_text("epoch,accuracy,loss,val_accuracy,val_loss\n" + "\n".join(rows) + "\n", encoding="utf-8")


def _study(path: Path) -> None:
    path.write_text(
        "data: digits\nmodel: mlp(units=16)\nrecipes:\n  small: l2(kernel=1e-4)\n  more: dropout(rate=0.3)\n",
        encoding="utf-8",
    )


_MADE = {
    "photos/": _photos,
    "photos.zip": _archive,
    "my_models.py": lambda path: path.write_text(MODEL, encoding="utf-8"),
    "table.csv": _table,
    "scenes.csv": _scenes,
    "training.csv": _log,
    "study.yaml": _study,
}
