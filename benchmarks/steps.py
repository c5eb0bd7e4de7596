"""What a training step of reglab costs beside the bare model's: ``python benchmarks/steps.py [ROUNDS ROUNDS]``.

The paper's Inception, pooled, batch 100 of 32x32x3, compiled as Keras compiles it. Single steps are timed with
``train_on_batch``, five of each way at a time; whole epochs with ``fit``; peak memory in a process of its own each.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
from pairs import in_fresh_process, in_turn, machine, peak_memory_mb, table

BATCH, STEPS_AT_ONCE, EPOCH = 100, 5, 2000
L2 = "l2(kernel=1e-3, bias=1e-4, activity=1e-5)"
TRANSFORMS = "rotation_range=10, width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=true"
AUGMENTATION = f"augmentation({TRANSFORMS})"
DROPOUT = "dropout(rate=0.1)"
# What is measured: recipe, and the most it may cost where that was set beforehand.
STEPS = {
    "regularize(model, Recipe())": ("none", 1.03),
    "L1, as in the paper": ("l1(kernel=1e-2, bias=1e-4, activity=1e-5)", None),
    "L2, as in the paper": (L2, None),
    "dataset augmentation, as in the paper": (AUGMENTATION, None),
    "dropout 0.1 after each module": (DROPOUT, None),
    "Gaussian noise after each module": ("gaussian_noise(stddev=0.005, where=hidden)", None),
    "Combination (L2, augmentation, dropout)": (f"{L2} + {AUGMENTATION} + {DROPOUT}", 1.20),
    "FGSM on half of the batch, as in the paper": ("adversarial(epsilon=0.005)", None),
    "FGSM on the whole batch": ("adversarial(epsilon=0.005, share=1.0)", 1.75),
}


def data(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return made images and labels."""
    random = np.random.default_rng(0)
    return random.normal(size=(count, 32, 32, 3)).astype("float32"), random.integers(0, 10, count)


def compiled(recipe: str | None) -> Any:
    """Return the Inception, bare or regularized."""
    import keras

    import reglab
    from reglab.models import inception

    keras.utils.set_random_seed(0)
    model = inception((32, 32, 3), 10, pooled=True)
    if recipe is not None:
        model = reglab.regularize(model, reglab.Recipe() if recipe == "none" else recipe)
    model.compile(optimizer="adamax", loss="sparse_categorical_crossentropy")
    return model


def keras_layers() -> Any:
    """Return the Combination as people write it with Keras' own layers."""
    import keras
    from keras import layers

    from reglab.models import inception_module

    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((32, 32, 3))
    for layer in (
        layers.RandomRotation(10 / 360, fill_mode="nearest"),
        layers.RandomTranslation(0.1, 0.1, fill_mode="nearest"),
        layers.RandomFlip("horizontal"),
    ):
        x = layer(x)
    for number in range(3):
        x = layers.Dropout(0.1)(inception_module(x, (16, 32, 16), name=f"module{number}"))
        x = layers.MaxPooling2D(2, padding="same")(x) if number < 2 else x
    outputs = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, outputs)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            layer.kernel_regularizer, layer.bias_regularizer = keras.regularizers.L2(1e-3), keras.regularizers.L2(1e-4)
            layer.activity_regularizer = keras.regularizers.L2(1e-5)
    model = keras.models.clone_model(model)  # regularizers set on layers that are built count only in a copy
    model.compile(optimizer="adamax", loss="sparse_categorical_crossentropy")
    return model


def steps(rounds: int) -> str:
    """Time single steps."""
    x, y = data(BATCH)

    def way(model: Any) -> Callable[[], float]:
        for _ in range(3):
            model.train_on_batch(x, y)

        def milliseconds() -> float:
            found = []
            for _ in range(STEPS_AT_ONCE):
                began = time.perf_counter()
                model.train_on_batch(x, y)
                found.append(1000 * (time.perf_counter() - began))
            return statistics.median(found)

        return milliseconds

    ways = {"the bare model": way(compiled(None))}
    ways |= {name: way(compiled(recipe)) for name, (recipe, _) in STEPS.items()}
    ways["the Combination with Keras' own layers"] = way(keras_layers())
    found = in_turn(ways, rounds)
    rows = []
    for name in ways:
        target = STEPS.get(name, ("", None))[1]
        ratio = found.ratio(name, "the bare model")
        said = "" if target is None else f"at most {target:.2f}: {'met' if ratio <= target else 'missed'}"
        rows.append((name, f"{found.median(name):.1f}", f"{ratio:.3f}", found.spread(name, "the bare model"), said))
    return table(("a training step", "ms", "ratio to bare", "lowest to highest", "target"), rows)


def epochs(rounds: int) -> str:
    """Time whole epochs: the paper's augmentation here and with ImageDataGenerator, and clean metrics."""
    import keras
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    x, y = data(EPOCH)
    generator = ImageDataGenerator(
        rotation_range=10, width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True, fill_mode="nearest"
    )
    ours, theirs = compiled(AUGMENTATION), compiled(None)

    def timed(call: Callable[[], Any]) -> Callable[[], float]:
        call()

        def seconds() -> float:
            began = time.perf_counter()
            call()
            return time.perf_counter() - began

        return seconds

    class Generated(keras.utils.PyDataset):
        """What ImageDataGenerator gives, as Keras 3 takes it."""

        def __init__(self) -> None:
            super().__init__()
            self._flow = generator.flow(x, y, batch_size=BATCH)

        def __len__(self) -> int:
            return len(self._flow)

        def __getitem__(self, item: int) -> Any:
            return self._flow[item]

    generated = Generated()
    found = in_turn(
        {
            "reglab": timed(lambda: ours.fit(x, y, batch_size=BATCH, verbose=0)),
            "ImageDataGenerator": timed(lambda: theirs.fit(generated, verbose=0)),
        },
        rounds,
    )
    ratio = found.ratio("ImageDataGenerator", "reglab")
    augmentation = (
        "an epoch of the paper's augmentation, `ImageDataGenerator` / reglab", f"{found.median('reglab'):.2f} s",
        f"{ratio:.2f}", found.spread("ImageDataGenerator", "reglab"),
        f"at least 1.30: {'met' if ratio >= 1.3 else 'missed'}",
    )  # fmt: skip

    rows = [augmentation]
    for validation in (0.2, 0.1):
        seconds = _training((x, y), validation)
        kinds = ("clean metrics", "nothing", "validation_data")
        found = in_turn({kind: partial(seconds, kind) for kind in kinds}, rounds)
        for other, target in (("nothing", 1.08), ("validation_data", None)):
            ratio = found.ratio("clean metrics", other)
            title = "nothing measured" if other == "nothing" else "Keras' `validation_data`"
            rows.append((
                f"six epochs, validation {validation:.0%}: clean metrics / {title}",
                f"{found.median('clean metrics'):.2f} s", f"{ratio:.3f}", found.spread("clean metrics", other),
                "" if target is None else f"at most {target}: {'met' if ratio <= target else 'missed'}",
            ))  # fmt: skip
    return table(("whole epochs", "reglab", "ratio", "lowest to highest", "target"), rows)


def _training(data: Any, validation: float) -> Callable[[str], float]:
    """Return what times trainings of a study's baseline, by what is measured after each epoch."""
    import reglab
    from reglab import backends
    from reglab.data.batches import Batches
    from reglab.study.run import _Watch
    from reglab.study.track import Track
    from reglab.study.workbench import Workbench

    settings = {"epochs": 6, "batch_size": BATCH, "optimizer": "adamax", "seeds": 1, "validation": validation}
    study = reglab.Study(data, "inception(pooled=true)", **settings)
    bench = Workbench(study.assignment)
    (run,), seed = next(iter(bench.plan().runs.values())), bench.seed_data(0)
    program = bench._program(run.recipe)

    def seconds(kind: str) -> float:
        program._reset(run.recipe, seed)
        batches = Batches(seed.x, seed.y, seed.train, batch_size=BATCH, epochs=6, seed=0, preprocess=seed.preprocess)
        more: dict[str, Any] = {}
        if kind == "clean metrics":
            more["callbacks"] = [_Watch(program, [Track(run)], seed, lambda *_: None, lambda _: None)]
        elif kind == "validation_data":
            more = {"validation_data": seed.validation, "validation_batch_size": BATCH}
        began = time.perf_counter()
        program.model.fit(backends.adapter().feed(batches), epochs=6, steps_per_epoch=batches.steps, verbose=0, **more)
        return time.perf_counter() - began

    for kind in ("clean metrics", "validation_data"):
        seconds(kind)
    return seconds


def memory() -> str:
    """Compare peaks of memory, each of a process that trains 30 steps."""
    ways = {"the bare model": "bare", "regularize(model, Recipe())": "none", "the Combination": STEPS_COMBINATION}
    found = in_turn(
        {name: lambda recipe=recipe: in_fresh_process(__file__, "peak", recipe) for name, recipe in ways.items()}, 5
    )
    rows = []
    for name in ways:
        ratio = found.ratio(name, "the bare model")
        said = f"at most 1.00: {'met' if ratio <= 1.005 else 'missed'}" if ways[name] == "none" else ""
        rows.append((name, f"{found.median(name):.0f}", f"{ratio:.3f}", found.spread(name, "the bare model"), said))
    return table(("peak memory of a process", "MB", "ratio to bare", "lowest to highest", "target"), rows)


STEPS_COMBINATION = STEPS["Combination (L2, augmentation, dropout)"][0]


def peak(recipe: str) -> None:
    """Train 30 steps and say how much memory that took."""
    model = compiled(None if recipe == "bare" else recipe)
    x, y = data(30 * BATCH)
    model.fit(x, y, batch_size=BATCH, verbose=0)
    print(json.dumps(peak_memory_mb()))


def main() -> None:
    """Print the tables."""
    if sys.argv[1:2] == ["peak"]:
        peak(sys.argv[2])
        return
    step_rounds, epoch_rounds = [int(text) for text in sys.argv[1:3]] or (15, 9)
    for part in (lambda: steps(step_rounds), lambda: epochs(epoch_rounds), memory):
        print(part() + "\n", flush=True)
    print(machine("keras", "tensorflow"))


if __name__ == "__main__":
    main()
