"""The paper's arms on digits as people write them with Keras alone: a new model and a ``fit`` for every run.

``python benchmarks/by_hand.py loop|tuner arms|sweep SEEDS``: in a loop, or by KerasTuner's grid search with
``executions_per_trial``. Used by ``studies.py``; prints how many trainings there were and a mean of their accuracies.
"""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, regularizers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

EPOCHS, BATCH, TRAIN = 60, 20, 100  # those of `reglab demo`
ARMS = (
    "none", "L1", "L2", "L1L2", "augmentation", "noise", "early stopping", "dropout", "FGSM", "combination",
)  # fmt: skip
SWEEP = tuple(float(value) for value in np.geomspace(1e-6, 1e-1, 16))


def digits() -> tuple[Any, Any, Any]:
    """Return training, validation and test parts of the sizes that ``reglab demo`` has."""
    x, y = load_digits(return_X_y=True)
    x = ((x - x.mean()) / x.std()).reshape(-1, 8, 8, 1).astype("float32")
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
    return (x[:TRAIN], y[:TRAIN]), (x_val, y_val), (x_test, y_test)


class FGSM(keras.Model):
    """Adversarial training by a ``train_step`` of one's own, which takes the gradient of the inputs."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        half = tf.shape(x)[0] // 2
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = keras.losses.sparse_categorical_crossentropy(y, self(x, training=False))
        moved = x + 0.005 * tf.sign(tape.gradient(loss, x))
        return super().train_step((tf.concat([moved[:half], x[half:]], axis=0), y))


def built(arm: str | float) -> keras.Model:
    """Return a compiled model of an arm, or of a coefficient of L2."""
    penalties: dict[str, Any] = {}
    if arm in ("L1", "L2", "combination"):
        kind, kernel = (regularizers.L1, 1e-2) if arm == "L1" else (regularizers.L2, 1e-3)
        penalties = {"kernel_regularizer": kind(kernel), "bias_regularizer": kind(1e-4)}
        penalties["activity_regularizer"] = kind(1e-5)
    elif arm == "L1L2":
        penalties = {"kernel_regularizer": regularizers.L1L2(1e-3, 1e-3)}
    elif isinstance(arm, float):
        penalties = {"kernel_regularizer": regularizers.L2(arm)}
    inputs = x = keras.Input((8, 8, 1))
    if arm in ("augmentation", "combination"):
        x = layers.RandomRotation(10 / 360, fill_mode="nearest")(x)
        x = layers.RandomTranslation(0.1, 0.1, fill_mode="nearest")(x)
    for number in range(3):
        branches = [
            layers.Conv2D(count, size, padding="same", activation="relu", **penalties)(x)
            for count, size in ((8, 1), (16, 3), (8, 5))
        ]
        x = layers.Concatenate()([*branches, layers.MaxPooling2D(3, strides=1, padding="same")(x)])
        if arm == "noise":
            x = layers.GaussianNoise(0.005)(x)
        if arm in ("dropout", "combination"):
            x = layers.Dropout(0.1)(x)
        if number < 2:
            x = layers.MaxPooling2D(2, padding="same")(x)
    outputs = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    model = (FGSM if arm == "FGSM" else keras.Model)(inputs, outputs)
    model.compile(keras.optimizers.Adamax(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def callbacks(arm: str | float) -> list[Any]:
    """Return what goes beside ``fit``: the best weights are kept, as a study does."""
    patience = 40 if arm == "early stopping" else EPOCHS
    return [keras.callbacks.EarlyStopping("val_accuracy", patience=patience, restore_best_weights=True)]


def loop(choices: tuple[Any, ...], seeds: int) -> list[float]:
    """Train every choice with every seed, one after another, and return test accuracies."""
    train, validation, test = digits()
    found = []
    for arm in choices:
        for seed in range(seeds):
            keras.utils.set_random_seed(seed)
            model = built(arm)
            model.fit(
                *train, batch_size=BATCH, epochs=EPOCHS, validation_data=validation, callbacks=callbacks(arm), verbose=0
            )
            found.append(model.evaluate(*test, verbose=0)[1])
    return found


def tuner(choices: tuple[Any, ...], seeds: int) -> list[float]:
    """Let KerasTuner do the same: a grid of one choice, each executed as often as there are seeds.

    Returned are accuracies on validation: KerasTuner knows no test set.
    """
    import keras_tuner

    class Hypermodel(keras_tuner.HyperModel):
        def build(self, hp: Any) -> keras.Model:
            self.arm = hp.Choice("arm", list(choices))
            return built(self.arm)

        def fit(self, hp: Any, model: Any, *args: Any, callbacks: Any, **kwargs: Any) -> Any:
            history = model.fit(*args, callbacks=[*callbacks, *_stopping(self.arm)], **kwargs)
            found.append(max(history.history["val_accuracy"]))
            return history

    found: list[float] = []
    train, validation, _ = digits()
    with tempfile.TemporaryDirectory() as folder:
        search = keras_tuner.GridSearch(
            Hypermodel(), objective="val_accuracy", executions_per_trial=seeds, directory=folder, project_name="arms",
            seed=0,
        )  # fmt: skip
        search.search(*train, batch_size=BATCH, epochs=EPOCHS, validation_data=validation, verbose=0)
    return found


def _stopping(arm: str | float) -> list[Any]:
    return callbacks(arm) if arm == "early stopping" else []  # KerasTuner keeps the best weights itself


if __name__ == "__main__":
    choices = {"arms": ARMS, "sweep": SWEEP}[sys.argv[2]]
    accuracies = {"loop": loop, "tuner": tuner}[sys.argv[1]](choices, int(sys.argv[3]))
    print(json.dumps({"trainings": len(accuracies), "accuracy": float(np.mean(accuracies))}))
