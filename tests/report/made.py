"""Study folders made instead of trained: the real store, and curves and predictions as trainings give them.

As a program, ``python made.py FOLDER RECIPES SEEDS EPOCHS EXAMPLES`` makes one of that size.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from reglab.recipe import Recipe
from reglab.study.records import DIVERGED, FAILED, FINISHED, Predictions, Record
from reglab.study.storage import disk
from reglab.study.storage.store import Store
from reglab.tasks import SingleLabel

RECIPES = {
    "none": "none",
    "l2": "l2(kernel=0.001)",
    "dropout": "dropout(rate=0.3)",
    "too much": "l1(kernel=0.1)",
}
# How far test accuracy is from the baseline's, and what is left of its gap.
EFFECTS = {"l2": (0.02, 0.7), "dropout": (0.04, 0.5), "too much": (-0.2, 0.3)}
SWEEP = {"none": "none", **{f"l2 {value:g}": f"l2(kernel={value:g})" for value in (1e-5, 1e-4, 1e-3, 1e-2)}}


def study(
    folder, recipes=None, *, seeds=5, epochs=12, examples=120, classes=("cat", "dog", "fish"), effects=None,
    failed=None, missing=(), spec=None,
):  # fmt: skip
    """Make a finished study folder, and return it.

    ``failed`` says, by ``(name, seed)``, the error of a run; ``missing`` holds such pairs. ``effects`` says, of a
    recipe, its gain in accuracy and its share of the baseline's gap.
    """
    recipes, failed = RECIPES if recipes is None else recipes, failed or {}
    folder = Path(folder)
    baseline = next(iter(recipes))
    ids = {(name, seed): identity(recipes[name], seed) for name in recipes for seed in range(seeds)}
    full = {
        "data": "made", "model": "mlp", "recipes": dict(recipes), "baseline": baseline, "seeds": seeds,
        "first_seed": 0, "epochs": epochs, "margin": None, **(spec or {}),
    }  # fmt: skip
    about = {
        "headline": f"made, mlp, {epochs} epochs, {seeds} seeds", "notes": [],
        "task": SingleLabel(classes=tuple(classes)).to_dict(),
        "runs": {name: {str(seed): ids[name, seed] for seed in range(seeds)} for name in recipes},
        "sizes": {name: len(Recipe.parse(text)) for name, text in recipes.items()},
        "versions": {"reglab": "0.1.0", "keras": "3.15.1", "made": "1"},
    }  # fmt: skip
    with Store(folder) as store:
        store.freeze(full)
        plan = [
            {"id": ids[name, seed], "name": name, "recipe": recipes[name], "hyperparameters": recipes[name],
             "seed": seed} for name in recipes for seed in range(seeds)
        ]  # fmt: skip
        store.register({"backend": "made 1", "keras": "3.15.1"}, plan, about)
        labels = np.arange(examples, dtype="int32") % len(classes)
        for run in plan:
            if (run["name"], run["seed"]) not in missing:
                gain, share = {**EFFECTS, **(effects or {})}.get(run["name"], (0.0, 1.0))
                record = (
                    broken(run, failed[run["name"], run["seed"]])
                    if (run["name"], run["seed"]) in failed
                    else trained(run, labels, len(classes), epochs=epochs, gain=gain, share=share)
                )
                (lease,) = store.begin([run["id"]], "made").values()
                store.add(record, lease)
    return folder


def identity(text, seed):
    return hashlib.sha256(f"{text} {seed}".encode()).hexdigest()[:20]


def broken(run, error):
    status = DIVERGED if error.startswith("not a number") else FAILED
    return Record(**run, status=status, history={"val_accuracy": [0.5]}, error=error)


def trained(run, labels, classes, *, epochs, gain, share):
    """Return the record of a training that overfits: validation cross-entropy turns, training goes on."""
    random = np.random.default_rng(int(run["id"][:8], 16))
    common = np.random.default_rng(run["seed"])  # what the runs of a seed share
    luck = common.normal(0, 0.01) + random.normal(0, 0.004)
    best, gap = 0.8 + gain + luck, 0.19 * share
    t = np.arange(1, epochs + 1) / epochs
    rise = 1 - np.exp(-6 * t)
    noise = random.normal(0, 0.004, (4, epochs))
    val = np.clip(best * rise + (1 - rise) / classes + noise[0], 0, 1)
    train = np.clip(val + gap * rise**2 + noise[1], 0, 1)
    train_ce = np.clip(1.6 * np.exp(-5 * t) + 0.02 + abs(noise[2]), 1e-3, None)
    val_ce = train_ce + share * 0.9 * t**2 + 0.3 + noise[3]
    history = {"loss": train_ce, "train_accuracy": train, "val_accuracy": val, "train_cross_entropy": train_ce,
               "val_cross_entropy": val_ce}  # fmt: skip
    test = predicted(labels, classes, float(np.clip(best, 0.05, 0.99)), common=common, random=random)
    validation = predicted(labels[::2], classes, float(np.clip(best, 0.05, 0.99)), common=common, random=random)
    at = int(val.argmax())
    metrics = {
        **SingleLabel(classes=tuple(map(str, range(classes)))).scores(
            labels, test.predicted, validation=(validation.labels, validation.predicted)
        ),
        "train_accuracy": float(train[at]), "val_accuracy": float(val[at]), "gap": float(train[at] - val[at]),
        "train_cross_entropy": float(train_ce[at]), "val_cross_entropy": float(val_ce[at]),
        "cross_entropy_gap": float(val_ce[at] - train_ce[at]), "epochs": float(epochs), "best_epoch": at + 1.0,
        "seconds": 2.0, "sparsity": 0.01,
    }  # fmt: skip
    return Record(
        **run, status=FINISHED, metrics=metrics, history={key: list(map(float, v)) for key, v in history.items()},
        validation=validation, test=test, weights=[np.zeros((2, 2), "float32")],
    )  # fmt: skip


def predicted(labels, classes, accuracy, *, common, random):
    """Return predictions with about this accuracy; which examples are hard is common to all runs of a seed."""
    hard = common.random(len(labels)) + random.normal(0, 0.03, len(labels))
    given = np.where(hard < accuracy, labels, (labels + 1) % classes)
    logits = random.normal(0, 1, (len(labels), classes))
    logits[np.arange(len(labels)), given] += 2 + 2 * random.random(len(labels)) + 3
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(probabilities.astype("float32"), labels)


def with_robustness(folder, results, *, attacks=("fgsm", "pgd"), epsilons=(0.0, 2 / 255, 8 / 255)):
    """Add ``robustness.json``: accuracies that fall with epsilon, PGD's faster."""
    runs = {
        run.id: {
            attack: [run.metrics["accuracy"] * (1 - (4 + i) * epsilon) for epsilon in epsilons]
            for i, attack in enumerate(attacks)
        }
        for of_name in results.runs.values() for run in of_name.values() if run.status == FINISHED
    }  # fmt: skip
    disk.write_json(Path(folder) / "robustness.json", {
        "schema": 1, "part": "test", "metric": "accuracy", "examples": 120, "unit": "pixel", "epsilons": list(epsilons),
        "attacks": list(attacks), "runs": runs, "note": "White box.",
    })  # fmt: skip


def with_samples(folder, *, recipe="dropout", labels=("cat", "dog"), channels=1, magnified=0):
    """Add ``report/samples.npz``: gradients, turned round; of the last label alone once more, in another sample."""
    about, arrays = [], {}
    for i, of_one in enumerate((labels, labels[-1:])):
        before = np.tile(np.arange(64, dtype="uint8").reshape(8, 8, 1) * 4, (len(of_one), 1, 1, channels))
        arrays |= {f"before_{i}": before, f"after_{i}": before[:, :, ::-1], f"difference_{i}": before}
        about.append({"recipe": recipe, "what": f"augmentation: turned {i}", "labels": list(of_one),
                      "magnified": magnified, "predicted_before": list(of_one),
                      "predicted_after": [labels[0]] * len(of_one)})  # fmt: skip
    path = Path(folder) / "report" / "samples.npz"
    disk.write_arrays(path, {**arrays, "about": np.array(json.dumps(about))})


def with_masks(folder, *, recipes=("none", "dropout"), classes=3, channels=1, size=8):
    """Add ``report/masks.npz``: two gradients with a stripe per class, the first row without a label."""
    images = np.tile((np.arange(size, dtype="uint8") * 4).reshape(1, size, 1, 1), (2, 1, size, channels))
    true = np.tile(np.arange(size, dtype="int32") * classes // size, (2, size, 1))
    given = {f"predicted_{i}": (true + i) % classes for i in range(len(recipes))}
    true = np.where(np.arange(size)[:, None] == 0, np.int32(-1), true)
    path = Path(folder) / "report" / "masks.npz"
    disk.write_arrays(path, {"names": np.array(json.dumps(recipes)), "images": images, "true": true, **given})


def many(recipes):
    """Return that many recipes: the baseline and strengths of four strategies, and what they do."""
    kinds = ("l2(kernel={:g})", "dropout(rate={:g})", "gaussian_noise(stddev={:g})", "weight_decay(decay={:g})")
    found = {"none": "none"}
    for i in range(recipes - 1):
        text = kinds[i % len(kinds)].format(0.01 * (1 + i // len(kinds)))
        found[text.replace("(", " ").rstrip(")")] = text
    effects = {name: (0.01 * (i % 5 - 1), 1 - 0.03 * i) for i, name in enumerate(found) if name != "none"}
    return found, effects


if __name__ == "__main__":
    where, *sizes = sys.argv[1:]
    recipes, seeds, epochs, examples = map(int, sizes)
    found, effects = many(recipes)
    study(where, found, seeds=seeds, epochs=epochs, examples=examples, effects=effects,
          classes=[f"class {i}" for i in range(10)])  # fmt: skip
