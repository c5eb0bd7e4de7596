"""Studies on real data: pairing, honesty, and what happens when things go wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import played
import pytest
from played import results as results_of

import reglab
from reglab.errors import ReglabError
from reglab.study.progress import Progress
from reglab.study.records import Predictions
from reglab.tasks import of_classes

SMALL = {"seeds": 2, "epochs": 3, "train_size": 60, "batch_size": 20, "learning_rate": 0.01}
MODEL = "mlp(units=(16,))"


# What differs little between backends is run on the others in the slow tier.
slow_elsewhere = pytest.mark.slow if os.environ["KERAS_BACKEND"] != "tensorflow" else lambda test: test


def _study(recipes, out, data="digits", model=MODEL, **changes):
    return reglab.Study(data, model, recipes, out=out, **{**SMALL, **changes})


def _alone(recipe, out, **changes):
    """A study of one recipe, which is its own baseline."""
    return _study({"it": recipe}, out, baseline="it", **{"seeds": 1, **changes})


def _run(study, progress=None):
    study.run(progress, workers=0)
    return json.loads((study.out / "results.json").read_text())


def _numbers(results, name):
    """All that a recipe's runs gave, but for the time they took."""
    entry = next(entry for entry in results["recipes"] if entry["name"] == name)
    return {k: v["values"] for k, v in entry.items() if isinstance(v, dict) and "values" in v and k != "seconds"}


class _Count(Progress):
    trainings = 0

    def training(self, job, names, seed, worker):
        self.trainings += 1


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A study of three recipes: its results, what trainings began with, their batches, and the programs compiled."""
    from reglab.data import batches
    from reglab.study import run

    starts, orders, programs = [], [], []
    train, order, program = run.Program.train, batches.epoch_order, run.Program.__init__

    def spy_on_training(self, ride, data, **options):
        starts.append((ride.names[0], data.seed, data.initial_weights[0].tobytes(), data.train.tobytes()))
        return train(self, ride, data, **options)

    def spy_on_order(*arguments):
        orders.append((arguments, order(*arguments).tobytes()))
        return order(*arguments)

    def spy_on_program(self, *arguments, **options):
        programs.append(self)
        program(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.Program, "train", spy_on_training)
        patch.setattr(batches, "epoch_order", spy_on_order)
        patch.setattr(run.Program, "__init__", spy_on_program)
        recipes = ["gaussian_noise", "dropout", "strong=dropout(rate=0.5)"]
        results = _run(_study(recipes, tmp_path_factory.mktemp("watched") / "study"))
    return results, starts, orders, programs


@pytest.mark.slow
def test_a_recipe_more_moves_nothing_of_the_others(tmp_path, watched):
    few, more = _run(_study(["dropout"], tmp_path, seeds=1)), watched[0]
    for name in ("none", "dropout(rate=0.1)"):
        assert _numbers(few, name) == {key: values[:1] for key, values in _numbers(more, name).items()}
    assert _numbers(few, "none") != _numbers(few, "dropout(rate=0.1)")


@pytest.mark.slow
def test_seeds_and_strengths_share_a_program(watched):
    _, starts, _, programs = watched
    assert len(starts) == 8
    assert len(programs) == 3


@pytest.mark.slow
@pytest.mark.backend
def test_a_run_in_a_busy_process_equals_the_run_in_a_fresh_one(tmp_path):
    code = (
        "import sys, reglab; from pathlib import Path; "
        f"reglab.Study('digits', {MODEL!r}, ['dropout'], out=sys.argv[1], **{SMALL!r}).run(workers=0)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "fresh")], check=True)
    fresh = json.loads((tmp_path / "fresh" / "results.json").read_text())
    import keras

    for _ in range(12):  # so that counters of automatic names gain a digit
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.1)])
    keras.utils.set_random_seed(7)
    busy = _run(_study(["dropout"], tmp_path / "busy"))
    for name in ("none", "dropout(rate=0.1)"):
        assert _numbers(busy, name) == _numbers(fresh, name)


@pytest.mark.slow
def test_all_recipes_of_a_seed_begin_with_the_same_weights_and_batches_and_those_of_another_with_others(watched):
    _, starts, orders, _ = watched
    for values in zip(*[(seed, weights, train) for _, seed, weights, train in starts], strict=True):
        assert len(set(values)) == 2  # one of each seed
    assert len({start[1:] for start in starts}) == 2
    by_epoch: dict[tuple, set] = {}
    for arguments, found in orders:
        by_epoch.setdefault(arguments, set()).add(found)
    assert len(orders) == 8 * 3
    assert len(by_epoch) == 2 * 3  # each seed's epochs have an order of their own, whatever the recipe
    assert len(set().union(*by_epoch.values())) == 2 * 3


@pytest.mark.backend
@slow_elsewhere
def test_riders_give_what_their_own_training_gives(tmp_path):
    """Early stopping and weight averaging are computed from the baseline's training, to the same numbers."""
    settings = {"epochs": 5, "seeds": 1}
    counted = _Count()
    together = _run(_study(["early_stopping(patience=1)", "ema(momentum=0.8)"], tmp_path / "a", **settings), counted)
    assert counted.trainings == 1
    for recipe in ("early_stopping(monitor=val_metric, patience=1)", "ema(momentum=0.8)"):
        alone = _run(_study({recipe: recipe}, tmp_path / recipe[:3], baseline=recipe, **settings))
        assert _numbers(alone, recipe) == _numbers(together, recipe)


@pytest.mark.slow
def test_a_rider_of_early_stopping_stops_where_keras_does(tmp_path):
    import keras

    results = _run(_study(["early_stopping(patience=2)"], tmp_path, epochs=20, seeds=1))
    accuracy = max(
        (json.loads(path.read_text())["val_accuracy"] for path in (tmp_path / "runs").glob("*/history.json")), key=len
    )
    assert len(accuracy) == 20
    callback = keras.callbacks.EarlyStopping("val_accuracy", patience=2, mode="max")

    class Model:
        stop_training = False

    callback.set_model(Model())
    callback.on_train_begin()
    stopped = len(accuracy)
    for epoch, value in enumerate(accuracy):
        callback.on_epoch_end(epoch, {"val_accuracy": value})
        if callback.model.stop_training:
            stopped = epoch + 1
            break
    assert stopped < 20
    assert _numbers(results, "early_stopping(monitor=val_metric, patience=2)")["epochs"] == [stopped]


@pytest.mark.slow
def test_test_labels_decide_nothing(tmp_path):
    """With the labels of the test part shuffled, training, stopping and choosing go the same way."""
    data = reglab.load("digits")
    from reglab.data import Dataset, test_part

    test = test_part(data, of_classes(data.y, data.class_names))
    labels = data.y.copy()
    labels[test] = np.random.default_rng(0).permutation(labels[test])
    part = np.zeros(len(data), "int8")
    part[test] = 2
    kept = {"class_names": data.class_names, "part": part, "kind": "image", "value_range": (0.0, 16.0)}
    true = _run(
        _study(
            ["early_stopping(patience=1)"], tmp_path / "a", data=Dataset("d", data.x, data.y, **kept), epochs=6, seeds=1
        )
    )
    false = _run(
        _study(
            ["early_stopping(patience=1)"], tmp_path / "b", data=Dataset("d", data.x, labels, **kept), epochs=6, seeds=1
        )
    )
    for name in ("none", "early_stopping(monitor=val_metric, patience=1)"):
        a, b = _numbers(true, name), _numbers(false, name)
        assert a["accuracy"] != b["accuracy"]
        for metric in ("train_accuracy", "val_accuracy", "gap", "epochs", "best_epoch"):
            assert a[metric] == b[metric]


@pytest.mark.parametrize("way", ["played", pytest.param("trained", marks=pytest.mark.slow)])
class TestFolders:
    """What a folder has is not trained again. Who trains does not matter to that, so most of it is played."""

    @pytest.fixture(autouse=True)
    def _who_trains(self, way):
        with contextlib.ExitStack() as stack:
            if way == "played":
                stack.enter_context(played.stage())
            yield

    def test_the_same_study_trains_nothing_again_and_a_new_one_only_what_is_new(self, tmp_path, monkeypatch):
        """Without a folder given, a changed study gets one of its own; the results that both have are taken over."""
        monkeypatch.chdir(tmp_path)
        counts, folders = [], []
        for recipes, changes in (
            (["l2"], {}),
            (["l2"], {}),
            (["l2"], {"seeds": 3}),
            (["l2", "dropout"], {}),
            (["l2"], {"epochs": 4}),
            (["l2"], {}),
        ):
            counted = _Count()
            study = _study(recipes, None, **changes)
            folders.append(study.out.name)
            _run(study, counted)
            counts.append(counted.trainings)
        assert counts == [4, 0, 2, 2, 4, 0]
        base = "digits-mlp-units-16"
        assert folders == [base, base, f"{base}-2", f"{base}-3", f"{base}-4", base]

    def test_a_changed_study_in_the_same_folder_is_refused_and_says_what_changed(self, tmp_path):
        _run(_study(["l2"], tmp_path / "a"))
        before = (tmp_path / "a" / "study.yaml").read_bytes()
        with pytest.raises(ReglabError, match=r"epochs is 4 and was 3.*--out"):
            _run(_study(["l2"], tmp_path / "a", epochs=4))
        with pytest.raises(ReglabError, match=r"'dropout\(rate=0.1\)' is new"):
            _run(_study(["l2", "dropout"], tmp_path / "a"))
        assert (tmp_path / "a" / "study.yaml").read_bytes() == before
        counted = _Count()
        _run(_study(["l2", "dropout"], tmp_path / "b", reuse=[tmp_path / "a"]), counted)
        assert counted.trainings == 2

    def test_an_interrupted_study_keeps_what_finished_and_goes_on(self, tmp_path):
        class Interrupt(Progress):
            count = 0

            def recorded(self, record):
                self.count += 1
                if self.count == 3:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            _study(["l2"], tmp_path / "a").run(Interrupt(), workers=0)
        kept = {path.parent.name for path in (tmp_path / "a").glob("runs/*/record.json")}
        assert len(kept) == 3
        counted = _Count()
        _run(_study(["l2"], tmp_path / "a"), counted)
        assert counted.trainings == 1
        _run(_study(["l2"], tmp_path / "b"))
        assert results_of(tmp_path / "a") == results_of(tmp_path / "b")

    def test_what_matters_to_the_user_changes_no_run(self, tmp_path):
        _run(_study(["l2"], tmp_path / "a"))
        counted = _Count()
        _run(_study(["l2"], tmp_path / "b", margin=1.0, reuse=[tmp_path / "a"]), counted)
        assert counted.trainings == 0


def _identities(model=MODEL, data="digits", **changes):
    from reglab.study.spec import Assignment
    from reglab.study.workbench import Workbench

    study = _study([], None, data=data, model=model, **{"seeds": 1, **changes})
    return [
        run.id for run in Workbench(Assignment(study.dataset, model, study.settings, study.recipes)).plan().unique()
    ]


def _moved(data):
    x = data.x.copy()
    x[0, 0, 0] += 1
    return dataclasses.replace(data, x=x)


@pytest.fixture(scope="module")
def identity():
    """Of the run that others are compared with."""
    (found,) = _identities()
    return found


def test_an_identity_does_not_change_with_the_margin_and_other_seeds(identity):
    first, second = _identities(seeds=2, margin=1.0)
    assert first == identity != second


@pytest.mark.parametrize(
    "changes",
    [
        {"data": _moved(reglab.load("digits"))},
        {"model": "mlp(units=(17,))"},
        {"epochs": 4},
        *(
            pytest.param(changes, marks=pytest.mark.slow)
            for changes in (
                {"batch_size": 21}, {"learning_rate": 0.011}, {"optimizer": "sgd"}, {"train_size": 61},
                {"validation": 0.25}, {"preprocess": "rescale"}, {"precision": "mixed_bfloat16"}, {"repetition": 1},
            )
        ),
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_an_identity_changes_with_what_changes_the_result(identity, changes):
    (found,) = _identities(**changes)
    assert found != identity


def test_a_diverged_run_is_a_record(tmp_path):
    results = _run(_study(["broken=l2(kernel=1e30)"], tmp_path, optimizer="sgd", learning_rate=1.0, seeds=1))
    entry = results["recipes"][1]
    assert entry["status"] == ["diverged"]
    assert entry["accuracy"]["values"] == [None]
    assert entry["accuracy"]["mean"] is None
    assert results["recipes"][0]["status"] == ["finished"]


def test_a_run_that_raises_is_a_record_with_its_traceback_and_stops_no_other(tmp_path, monkeypatch):
    from reglab.strategies import L2
    from reglab.study.storage.store import Store

    def broken(self, *arguments):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(L2, "measure", broken)
    results = _run(_study(["l2", "none"], tmp_path, seeds=1))
    assert [entry["status"] for entry in results["recipes"]] == [["failed"], ["finished"]]
    with Store(tmp_path) as store:
        (failed,) = store.planned() - store.accepted()
        assert "no such luck" in store.read(failed).error


def test_the_optimistic_protocol_carries_its_banner_and_validates_on_test(tmp_path):
    study = _study([], tmp_path, protocol="test-as-validation", seeds=1)
    results = study.run(workers=0)
    written = json.loads((tmp_path / "results.json").read_text())
    assert "optimistic" in written["notes"][0]
    assert "optimistic" in str(results)
    assert "optimistic" in (tmp_path / "report" / "table.md").read_text()
    numbers = _numbers(written, "none")
    assert numbers["accuracy"] == pytest.approx(numbers["val_accuracy"])


def test_results_carry_verdicts_and_a_choice(tmp_path):
    """Of accuracies that are given: 0.9, with a little noise, and 0.5 for the one that is drowned."""

    class Given(played.Player):
        def result(self, run):
            random = np.random.default_rng(run.seed)
            labels = random.integers(0, 10, size=200)
            right = random.random(200) < (0.5 if run.name == "drowned" else 0.9)
            right[:2] = False, True
            if run.name == "same":
                right[run.seed % 2] ^= True  # an example better or worse, in turn
            probabilities = np.eye(10, dtype="float32")[np.where(right, labels, (labels + 1) % 10)]
            record = super().result(run)
            metrics = {**record.metrics, "accuracy": float(right.mean()), "val_accuracy": float(right.mean())}
            return dataclasses.replace(record, metrics=metrics, test=Predictions(probabilities, labels))

    with played.stage(Given):
        recipes = {"none": "none", "drowned": "dropout(rate=0.95)", "same": "early_stopping(patience=50)"}
        _check_verdicts(_run(_study(recipes, tmp_path, seeds=5, margin=30.0)), "equivalent")


@pytest.mark.slow
def test_results_of_trained_networks_carry_verdicts_and_a_choice(tmp_path):
    changes = {"seeds": 5, "epochs": 8, "margin": 30.0}
    study = _study(
        {"none": "none", "drowned": "dropout(rate=0.95)", "same": "early_stopping(patience=50)"}, tmp_path, **changes
    )
    results = _run(study)
    _check_verdicts(results, "identical")
    assert results["recipes"][2]["verdict"]["difference"] == 0


def _check_verdicts(results, same):
    by_name = {entry["name"]: entry for entry in results["recipes"]}
    assert "verdict" not in by_name["none"]
    assert by_name["drowned"]["verdict"]["word"] == "worse"
    verdict = by_name["same"]["verdict"]
    assert (verdict["word"], verdict["pairs"]) == (same, 5)
    assert verdict["p_floor"] == 2 / 2**5
    wide = by_name["drowned"]["verdict"]
    assert wide["over_examples_too"]["low"] < wide["difference"] < wide["over_examples_too"]["high"] < 0
    assert set(results["choice"]["candidates"]) == {"none", "same"}
    assert results["study"]["margin"] == 30.0


def test_a_transform_that_changes_labels_is_warned_of():
    study = reglab.Study("digits", MODEL, ["augmentation(horizontal_flip=true)"])
    assert any("horizontal_flip" in note for note in study.notes())


@pytest.mark.backend
@slow_elsewhere
@pytest.mark.slow
def test_what_needs_data_a_range_a_schedule_and_a_second_pass_works_in_a_study(tmp_path):
    recipe = ("augmentation(zca_whitening=true, brightness_range=(0.8, 1.2)) + mixup + sam + "
              "l2(kernel=linear(0, 1e-3, 2))")  # fmt: skip
    results = _run(_alone(recipe, tmp_path, epochs=2))
    assert results["recipes"][0]["status"] == ["finished"]


@pytest.mark.slow
@pytest.mark.backend
@pytest.mark.parametrize("name", ["mixup + label_smoothing", "adversarial(epsilon=0.1, unit=pixel, clip=data)",
                                  "augmentation(zca_whitening=true, brightness_range=(0.8, 1.2))", "sam + weight_noise",
                                  "weight_decay + l2(kernel=linear(0, 1e-3, 2))"])  # fmt: skip
def test_strategies_work_in_a_study_of_convolutions(tmp_path, name):
    results = _run(_alone(name, tmp_path, model="inception(filters=(4, 4, 4), pooled=true)", epochs=2))
    assert results["recipes"][0]["status"] == ["finished"]


def test_a_model_that_does_not_fit_is_told_before_training(tmp_path):
    import keras

    def build(input_shape, num_classes):
        return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(3)])

    counted = _Count()
    with pytest.raises(ReglabError, match="10 classes"):
        _study([], tmp_path / "x", model=build).run(counted, workers=0)
    assert counted.trainings == 0


@pytest.mark.slow
def test_binary_heads_and_logits_are_studied(tmp_path):
    import keras

    def sigmoid(input_shape, num_classes):
        return keras.Sequential([keras.Input(input_shape), keras.layers.Dense(1, "sigmoid")])

    def logits(input_shape, num_classes):
        return keras.Sequential([keras.Input(input_shape), keras.layers.Dense(num_classes)])

    for number, model in enumerate((sigmoid, logits)):
        results = _run(
            _study(["label_smoothing"], tmp_path / str(number), data="breast_cancer", model=model, epochs=10, seeds=1)
        )
        assert min(_numbers(results, "none")["accuracy"]) > 0.85
        assert min(_numbers(results, "label_smoothing(smoothing=0.1)")["accuracy"]) > 0.85


@pytest.mark.slow
def test_a_model_object_keeps_its_weights_and_is_not_touched(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
    before = [np.array(w) for w in model.get_weights()]
    _run(_study(["l2"], tmp_path, model=model, seeds=1))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_a_study_in_half_precision(tmp_path, precision):
    results = _run(_alone("ema(momentum=0.8) + dropout(rate=0.1)", tmp_path, precision=precision, epochs=10))
    for entry in results["recipes"]:
        assert entry["status"] == ["finished"]
        assert entry["accuracy"]["mean"] > 0.5
