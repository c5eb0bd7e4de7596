"""Exported scripts, run where reglab cannot be imported, train to the study's weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import reglab
from reglab.errors import ReglabError
from reglab.export.write import export

pytestmark = pytest.mark.backend

ROUNDING = 1e-3
# Constants are folded otherwise than the variables of a study: equal up to rounding on TensorFlow too.
FOLDED = {"constant", "reflect", "pgd", "weight noise and sam", "spectral and penalties"}


def tolerance(name):
    """How far weights may be from those of the study: not at all on TensorFlow, by rounding elsewhere."""
    return 0.0 if keras.backend.backend() == "tensorflow" and name not in FOLDED else ROUNDING


FAST = {
    "combination": "augmentation(rotation_range=10, width_shift_range=0.1, horizontal_flip=true) + dropout(rate=0.1) "
    "+ gaussian_noise(stddev=0.1) + l2(kernel=1e-3, bias=1e-4, activity=1e-4) + label_smoothing(smoothing=0.1)",
    "attack": "adversarial(epsilon=0.1) + sam(rho=0.05)",
    "stopping": "early_stopping(monitor=val_loss, patience=1) + weight_decay(decay=0.1) + learning_rate(rate=0.02)",
}
SLOW = {
    "none": "none",
    "penalties": "l2(kernel=1e-3, bias=1e-4, activity=1e-4)",
    "dropout": "dropout(rate=0.2) + learning_rate(rate=0.02)",
    "ema": "ema(momentum=0.9) + weight_decay(decay=0.1)",
    "sam": "sam(rho=0.05)",
    "sam and activities": "sam(rho=0.05) + l2(kernel=1e-3, activity=1e-2)",
    "fgsm": "adversarial(epsilon=0.1)",
    "l1": "l1(kernel=1e-3)",
    "l1l2": "l1l2(kernel=(1e-4, 1e-3), bias=1e-4)",
    "noise": "gaussian_noise(stddev=0.1, where=(hidden, output))",
    "logits": "dropout(rate=0.2, where=(input, output))",
    "weight noise": "weight_noise(stddev=0.02)",
    "weight noise and sam": "weight_noise(stddev=0.02) + sam(rho=0.1) + dropout(rate=0.1)",
    "mixup": "mixup(alpha=0.5)",
    "smooth mixup": "label_smoothing(smoothing=0.1) + mixup(alpha=0.2) + adversarial(epsilon=0.1, share=1.0)",
    "accuracy": "early_stopping(monitor=val_accuracy, patience=1) + ema(momentum=0.5)",
    "pixels": "augmentation(brightness_range=(0.5, 1.5), channel_shift_range=0.2, vertical_flip=true)",
    "constant": "augmentation(rotation_range=20, shear_range=5, zoom_range=0.1, fill_mode=constant, cval=0.5)",
    "reflect": "augmentation(rotation_range=20, zoom_range=(0.8, 1.1), fill_mode=reflect)",
    "zca": "augmentation(zca_whitening=true, zca_epsilon=0.1, rotation_range=10)",
    "featurewise": "augmentation(featurewise_center=true, featurewise_std_normalization=true)",
    "samplewise": "augmentation(samplewise_center=true, samplewise_std_normalization=true)",
    "bim": "adversarial(method=bim, epsilon=0.1, steps=2, step_size=0.06, clip=(-3, 3))",
    "pgd": "adversarial(method=pgd, epsilon=0.1, steps=2, unit=pixel, clip=data)",
    "asam": "asam(rho=0.5) + dropout(rate=0.1)",
    "cutmix": "cutmix(alpha=0.5)",
    "gradients": "gradient_centralization + max_norm(norm=0.8) + l2_sp(coefficient=0.1) + ema(momentum=0.5)",
    "keras layer": "layer(layer=SpatialDropout2D, rate=0.3)",
    "second pass": "r_drop(alpha=1.0) + dropout(rate=0.2)",
    "trades": "trades(beta=2.0, epsilon=0.1, steps=2)",
    "swa": "swa(start=0.3, every=2) + dropout(rate=0.1) + weight_noise(stddev=0.02) + mixup(alpha=0.5)",
    "swa and stopping": "swa(start=0.0) + early_stopping(monitor=val_loss, patience=1) + sam(rho=0.05)",
    "spectral": "spectral_normalization(norm=2.0) + sam(rho=0.05) + weight_noise(stddev=0.02) + dropout(rate=0.1)",
    "spectral and penalties": "spectral_normalization(norm=1.0) + l2(kernel=1e-3) + adversarial(epsilon=0.1)",
    "spectral and constraint": "spectral_normalization(norm=2.0) + max_norm(norm=0.8)",
    "spectral and swa": "spectral_normalization(norm=2.0) + swa(start=0.3) + r_drop(alpha=1.0)",
    "l2 ball": "adversarial(method=pgd, epsilon=0.3, steps=2, norm=l2, clip=data)",
}

if keras.backend.backend() != "tensorflow":  # where one script is fast, the one that holds most
    SLOW |= {name: FAST.pop(name) for name in ("attack", "stopping")}

# Runs each script as `python train.py` would, and gives the names and values of what it trained.
RUNNER = """
import os, runpy, sys
import numpy as np
for folder in sys.argv[1:]:
    import keras
    keras.utils.clear_session(free_memory=False)
    os.environ["KERAS_BACKEND"] = keras.backend.backend()
    runpy.run_path(os.path.join(folder, "train.py"), run_name="__main__")
    script = runpy.run_path(os.path.join(folder, "train.py"), run_name="look")
    network = script["build_network"]()
    network.load_weights(os.path.join(folder, "trained.weights.h5"))
    weights = {f"{v.path}": keras.ops.convert_to_numpy(v) for v in network.weights}
    np.savez(os.path.join(folder, "found.npz"), **{name.replace("/", "|"): value for name, value in weights.items()})
assert not any(name.startswith("reglab.") for name in sys.modules)
"""


def convolutions():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(12, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def residual():
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(3, 3, padding="same", name="stem")(inputs)
    for block in ("one", "two"):
        h = layers.BatchNormalization(name=f"{block}_norm")(
            layers.Conv2D(3, 3, padding="same", name=f"{block}_conv")(x)
        )
        x = layers.ReLU(name=f"{block}_relu")(layers.Add(name=f"{block}_add")([h, x]))
    h = layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax", name="head")(h))


def exported(recipes, folder, without_reglab, model=convolutions, **settings):
    """Train a study of these recipes, export each, and run all scripts."""
    settings = {"epochs": 3, "seeds": 1, "batch_size": 25, "train_size": 60, "learning_rate": 0.01, **settings}
    baseline = next(iter(recipes))
    study = reglab.Study("digits", model, recipes, out=folder / "study", baseline=baseline, **settings)
    results = study.run(workers=0)
    folders = {name: export(study, recipe=name, out=folder / name.replace(" ", "_")) for name in recipes}
    without_reglab(RUNNER, *folders.values())
    return results, folders


def off(results, folders, name):
    """How far the weights that a script trained are from those of the study."""
    from reglab.study.storage import run_folder

    run = results.shipped(name)
    kept = run_folder.weights(results.folder / "runs" / run.id)
    with np.load(folders[name] / "found.npz") as arrays:
        found = [arrays[key] for key in arrays.files]
    assert [w.shape for w in kept] == [w.shape for w in found]
    return max(float(np.abs(a - b).max()) for a, b in zip(kept, found, strict=True))


@pytest.mark.slow
def test_a_script_trains_with_the_optimizer_the_loss_and_the_weights_of_the_study(
    tmp_path, without_reglab, check_format
):
    recipes = {"none": "none", "smooth": "label_smoothing(smoothing=0.1) + l2(kernel=1e-3)"}
    results, folders = exported(
        recipes, tmp_path, without_reglab, optimizer="sgd(momentum=0.9, nesterov=true)", schedule="cosine(alpha=0.1)",
        clipnorm=1.0, loss="categorical_focal_crossentropy(gamma=1.5)", class_weight="balanced",
    )  # fmt: skip
    assert all(off(results, folders, name) <= tolerance(name) for name in recipes)
    text = (folders["none"] / "train.py").read_text()
    assert "CosineDecay(initial_learning_rate=0.01, decay_steps=9, alpha=0.1)" in text
    check_format(folders)


@pytest.mark.slow
def test_what_is_the_users_own_is_exported_as_a_network_alone(tmp_path):
    def half(y, p):
        return keras.losses.sparse_categorical_crossentropy(y, p) / 2

    small = {"epochs": 1, "seeds": 1, "train_size": 30, "out": tmp_path / "study"}
    study = reglab.Study("iris", "mlp(units=4)", {"none": "none"}, loss=half, **small)
    study.run(workers=0)
    with pytest.raises(ReglabError, match="loss is your own"):
        export(study, recipe="none", out=tmp_path / "export")
    assert (export(study, recipe="none", out=tmp_path / "export", script=False) / "model.keras").exists()


@pytest.mark.timeout(300)  # as many trainings as there are scripts, twice
@pytest.mark.slow
def test_scripts_are_formatted_documented_and_train_to_the_weights_of_the_study(tmp_path, without_reglab, check_format):
    results, folders = exported(FAST, tmp_path, without_reglab)
    differ = {name: off(results, folders, name) for name in FAST}
    assert {name: by for name, by in differ.items() if by > tolerance(name)} == {}
    check_format(folders)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_a_script_of_every_variant_is_formatted_and_trains_to_the_weights_of_the_study(
    tmp_path, without_reglab, name, check_format
):
    found = exported({name: SLOW[name]}, tmp_path, without_reglab)
    assert off(*found, name) <= tolerance(name)
    check_format(found[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe", ["l2(kernel=1e-3, activity=1e-4)", "gaussian_noise(stddev=0.1) + dropout(rate=0.1) + mixup(alpha=0.2)"]
)
def test_a_script_of_mixed_precision_trains_to_the_weights_of_the_study_too(tmp_path, without_reglab, recipe):
    found = exported({"it": recipe}, tmp_path, without_reglab, precision="mixed_bfloat16")
    assert off(*found, "it") <= (0.0 if keras.backend.backend() == "tensorflow" else 2e-2)


@pytest.mark.slow
def test_a_script_leaves_out_the_branches_that_the_study_did(tmp_path, without_reglab, check_format):
    found = exported({"depth": "stochastic_depth(rate=0.5)"}, tmp_path, without_reglab, model=residual)
    assert off(*found, "depth") <= tolerance("depth")
    check_format(found[1])


@pytest.mark.slow
def test_a_script_of_a_mean_of_weights_has_the_statistics_of_its_seed(tmp_path, without_reglab):
    found = exported({"mean": "swa(start=0.3)"}, tmp_path, without_reglab, model=residual, first_seed=3)
    assert off(*found, "mean") <= tolerance("mean")
