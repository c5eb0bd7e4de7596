"""A study trains as the script of its user does: optimizer, schedule, loss and weights of classes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import optimizers as O

import reglab
from reglab.backends import name as backend
from reglab.data.batches import Batches
from reglab.errors import ReglabError
from reglab.study.as_text import LOSSES, OPTIMIZERS, SCHEDULES
from reglab.study.objects import as_said
from reglab.study.plan import identity
from reglab.study.spec import Settings
from reglab.study.training import Training
from reglab.study.workbench import Workbench
from reglab.tasks import SingleLabel

SMALL = {"epochs": 3, "train_size": 60, "batch_size": 20, "seeds": 1}
DATA = reglab.load("iris")
VALUES = reglab.load("diabetes")


def build(ending="softmax"):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3, ending)])


def of_logits():
    return build(None)


def of_values():
    return keras.Sequential([keras.Input((10,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])


def study(model=build, data=DATA, recipes=(), out=None, **settings):
    return reglab.Study(data, model, recipes, out=out, **{**SMALL, **settings})


def bench(model=build, data=DATA, **settings):
    made = study(model, data, **settings)
    return Workbench(made.assignment)


def trained(found):
    """The weights that the baseline's run of a study keeps, and after how many epochs."""
    (ride,) = found.plan().missing(())
    (record,) = found.train(ride, on_epoch=lambda *a: None, on_checkpoint=lambda c: None)
    return record.weights, int(record.metrics["best_epoch"])


def by_keras(found, epochs, model, form=lambda y: y, *, weights=None, **given):
    """The weights that Keras alone gives, with the same start and batches."""
    data = found.seed_data(0)
    batches = Batches(
        data.x, form(found.data.y), data.train, batch_size=20, epochs=epochs, seed=data.stream("batches"),
        preprocess=data.preprocess, weights=weights,
    )  # fmt: skip
    model.set_weights(data.initial_weights)
    model.fit(batches, epochs=epochs, steps_per_epoch=batches.steps, shuffle=False, verbose=0, **given)
    return model.get_weights()


def assert_same(ours, keras_own):
    for one, other in zip(ours, keras_own, strict=True):
        if backend() == "jax":  # compiled as another program, which rounds otherwise
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)
        else:
            assert np.array_equal(one, other)


def one_hot(y):
    return np.eye(3, dtype="float32")[y]


def focal(y_true, y_pred):
    """A loss of the user's, of one-hot labels."""
    p = keras.ops.sum(y_true * y_pred, axis=-1)
    return -((1 - p) ** 2) * keras.ops.log(p + 1e-7)


class Scaled(keras.losses.Loss):
    """Another one, as a class whose argument is in no configuration."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, y_true, y_pred):
        return self.factor * keras.losses.sparse_categorical_crossentropy(y_true, y_pred)


class Halving(O.schedules.LearningRateSchedule):
    """A schedule without a configuration."""

    def __init__(self, first):
        self.first = first

    def __call__(self, step):
        return self.first / (1 + keras.ops.cast(step, "float32"))


class Doubled(O.SGD):
    """An optimizer of the user's."""

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient * 2, variable, learning_rate)


WEIGHTS = {0: 1.0, 1: 3.0, 2: 0.5}
CASES = {
    "momentum, cosine and clipping": (
        build,
        lambda: (O.SGD(O.schedules.CosineDecay(0.1, 9), momentum=0.9, nesterov=True, clipnorm=0.5), None),
        {"optimizer": "sgd(momentum=0.9, nesterov=true)", "learning_rate": 0.1, "schedule": "cosine", "clipnorm": 0.5},
    ),
    "muon": (build, lambda: (O.Muon(0.01), None), {"optimizer": "Muon(learning_rate=0.01)"}),
    "focal of logits": (
        of_logits,
        lambda: (O.Adam(), keras.losses.CategoricalFocalCrossentropy(gamma=3.0, from_logits=True)),
        {"loss": "categorical_focal_crossentropy(gamma=3.0)"},
    ),
    "own": (build, lambda: (Doubled(Halving(0.1)), focal), {"optimizer": Doubled(Halving(0.1)), "loss": focal}),
    "class of the user's": (build, lambda: (O.Adam(), Scaled(3.0)), {"loss": Scaled(3.0)}),
}


@pytest.mark.backend
@pytest.mark.parametrize(
    "name", [name if name == "own" else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_a_baseline_ends_where_keras_alone_does(name):
    model, how, settings = CASES[name]
    found = bench(model, **settings)
    weights, epochs = trained(found)
    optimizer, loss = how()
    keras.utils.clear_session(free_memory=False)
    alone = model()
    alone.compile(optimizer, loss or keras.losses.SparseCategoricalCrossentropy(from_logits=model is of_logits))
    dense = name in ("focal of logits", "own")
    assert_same(weights, by_keras(found, epochs, alone, one_hot if dense else lambda y: y))


@pytest.mark.backend
@pytest.mark.slow
def test_classes_count_in_the_loss_as_in_keras_and_metrics_count_all_alike():
    found = bench(class_weight=WEIGHTS)
    weights, epochs = trained(found)
    keras.utils.clear_session(free_memory=False)
    alone = build()
    alone.compile("adam", "sparse_categorical_crossentropy")
    assert_same(weights, by_keras(found, epochs, alone, class_weight=WEIGHTS))
    assert found.seed_data(0).measured == (None, None)


@pytest.mark.backend
@pytest.mark.slow
def test_numbers_are_trained_by_the_loss_that_was_said():
    found = bench(of_values, VALUES, loss="huber(delta=20)", learning_rate=0.1)
    weights, epochs = trained(found)
    keras.utils.clear_session(free_memory=False)
    alone = of_values()
    alone.compile(O.Adam(0.1), keras.losses.Huber(delta=20))
    assert_same(weights, by_keras(found, epochs, alone))


def compiled():
    model = build()
    model.compile(O.SGD(O.schedules.ExponentialDecay(0.1, 4, 0.5), momentum=0.9), Scaled(2.0), loss_weights=0.5)
    return model


@pytest.mark.backend
@pytest.mark.slow
def test_a_compiled_model_is_trained_as_it_was_compiled():
    found = bench(compiled)
    weights, epochs = trained(found)
    keras.utils.clear_session(free_memory=False)
    assert_same(weights, by_keras(found, epochs, compiled()))


def run_of(made):
    """The identity of the baseline's run, without planning it."""
    return identity({**Workbench(made.assignment)._facts(0, []), "recipe": ""})


def test_what_is_said_in_text_as_an_object_or_by_a_compiled_model_is_one_training():
    text = study(optimizer="sgd(momentum=0.9)", learning_rate=0.1, schedule="cosine(decay_steps=9)", loss="mse")
    schedule = O.schedules.CosineDecay(0.1, 9)
    thing = study(optimizer=O.SGD(schedule, momentum=0.9), loss=keras.losses.MeanSquaredError())
    assert thing.spec() == text.spec()

    def as_compiled():
        model = build()
        model.compile(O.SGD(schedule, momentum=0.9), "mse")
        return model

    assert run_of(text) == run_of(thing) == run_of(study(as_compiled))
    assert run_of(study(as_compiled, optimizer="adam")) == run_of(study(loss="mse"))  # what was said goes before


@pytest.mark.slow
def test_names_and_rates_alone_keep_the_identities_that_they_had():
    plain = run_of(study())
    assert plain == run_of(study(optimizer="adam")) == run_of(study(optimizer=O.Adam()))
    assert plain == run_of(study(loss="sparse_categorical_crossentropy"))
    rate = run_of(study(optimizer="sgd", learning_rate=0.1))
    assert rate == run_of(study(optimizer="SGD(learning_rate=0.1)")) == run_of(study(optimizer=O.SGD(0.1)))
    facts = Workbench(study(optimizer="sgd", learning_rate=0.1).assignment)._facts(0, [])
    assert facts["optimizer"] == {**O.SGD(0.1).get_config(), "name": "sgd"}
    assert (facts["settings"]["optimizer"], facts["settings"]["learning_rate"]) == ("sgd", 0.1)
    assert not facts["settings"].keys() & {"schedule", "clipnorm", "loss", "loss_weights", "class_weight"}
    assert not facts.keys() & {"loss", "loss_weights", "class_weight"}
    others = [
        {"learning_rate": 0.1}, {"schedule": "cosine"}, {"clipnorm": 1.0}, {"loss": "mse"}, {"loss": focal},
        {"loss": lambda y, p: focal(y, p) * 2}, {"loss": lambda y, p: focal(y, p) * 3}, {"loss": Scaled(2.0)},
        {"loss": Scaled(3.0)}, {"class_weight": "balanced"}, {"class_weight": WEIGHTS}, {"loss_weights": 2.0},
        {"optimizer": Doubled(0.1)}, {"optimizer": Doubled(Halving(0.1))}, {"optimizer": Doubled(Halving(0.2))},
    ]  # fmt: skip
    assert len({plain, rate, *(run_of(study(**more)) for more in others)}) == len(others) + 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer": "adamm"}, "Did you mean 'adam'"),
        ({"optimizer": "sgd(momentun=0.9)"}, "It takes learning_rate, momentum"),
        ({"optimizer": 3}, "expected the name of an optimizer"),
        ({"optimizer": O.SGD(use_ema=True)}, "Put ema into the recipes"),
        ({"optimizer": "sgd(use_ema=true)"}, "Put ema into the recipes"),
        ({"optimizer": "sgd(learning_rate=0.1)", "learning_rate": 0.2}, "learning_rate is said twice"),
        ({"schedule": "exponential"}, "decay_rate"),
        ({"schedule": "cosinee"}, "Did you mean 'cosine'"),
        ({"schedule": "cosine", "recipes": ["learning_rate(rate=0.1)"]}, "follows a schedule"),
        ({"loss": "huberr"}, "Did you mean 'huber'"),
        ({"loss": "sparse_categorical_crossentropy(from_logits=true)"}, "the model gives probabilities"),
        ({"loss": lambda y, p: keras.ops.matmul(y, p)}, "cannot be taken of labels"),
        ({"loss": focal, "recipes": ["mixup"]}, "mixup needs a cross-entropy"),
        ({"loss": "mse", "data": VALUES, "model": of_values, "class_weight": "balanced"}, "regression has none"),
        ({"loss": "bce", "data": VALUES, "model": of_values}, "probabilities of classes"),
        ({"class_weight": "often"}, "no set of weights"),
        ({"class_weight": {"setosa": 1, "virginia": 2}}, "Did you mean 'virginica'"),
        ({"class_weight": (1, 2)}, "has 2 weights; the data has 3 classes"),
        ({"class_weight": {0: -1}}, "no set of weights"),
        (
            {"loss": lambda y, p: keras.ops.mean(focal(y, p)), "class_weight": "balanced"},
            "one number for a batch",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_training(settings, said):
    with pytest.raises(ReglabError, match=said):
        Workbench(study(**settings).assignment).plan()


def test_the_names_are_those_of_keras():
    for table, module in ((OPTIMIZERS, O), (SCHEDULES, O.schedules), (LOSSES, keras.losses)):
        assert all(hasattr(module, name) for name in table.values())
    left_out = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap", "ScheduleFreeAdamW"}
    assert {name for name in dir(O) if isinstance(getattr(O, name), type)} - set(OPTIMIZERS.values()) <= left_out
    assert set(dir(O.schedules)) & {"LearningRateSchedule"} == {"LearningRateSchedule"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_written_and_read_back(name):
    cls = getattr(O, OPTIMIZERS[name])
    for given in (cls(), cls(0.03, clipnorm=1.0, weight_decay=0.1)):
        again = Training(
            Settings(optimizer=as_said("optimizer", given)), SingleLabel(classes=("a",)), steps=lambda: 1
        ).optimizer()
        leave = ("name",)
        assert {k: v for k, v in again.get_config().items() if k not in leave} == {
            k: v for k, v in given.get_config().items() if k not in leave
        }


def test_balanced_is_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    y = np.array([0] * 7 + [1] * 2 + [2])
    task = SingleLabel(classes=("a", "b", "c"))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y).astype("float32")[y]
    assert np.array_equal(task.weigh(y, "balanced", np.arange(10)), expected)


@pytest.mark.slow
def test_a_study_says_how_it_trains_and_a_worker_trains_alike(tmp_path):
    """With objects that no text says, and a compiled model of them, which Keras cannot pickle."""
    model = build()
    model.set_weights(build().get_weights())
    model.compile(Doubled(Halving(0.1)), Scaled(2.0))
    made = study(model, out=tmp_path / "a", seeds=2)
    results = made.run(workers=1)
    assert "Doubled, Scaled, 2 seeds" in results.headline
    assert "class=" in results.facts["optimizer"]
    assert results.facts["loss"].startswith("Scaled ")
    here = study(model, out=tmp_path / "b", seeds=2).run(workers=0)
    pairs = [(run, here.runs["none"][seed]) for seed, run in results.runs["none"].items()]
    assert all(one.id == other.id for one, other in pairs)
    for one, other in pairs:
        assert one.history == {name: pytest.approx(values, rel=1e-4) for name, values in other.history.items()}
    assert model.compiled
    assert isinstance(model.optimizer, Doubled)


@pytest.mark.slow
def test_a_study_of_objects_is_not_resumed_without_them_and_one_of_texts_is(tmp_path):
    study("mlp(units=4)", "iris", out=tmp_path / "a", optimizer=O.SGD(0.1, momentum=0.5), loss="mse").run(workers=0)
    again = reglab.Study.resume(tmp_path / "a")
    assert (again.settings.optimizer, again.settings.learning_rate) == ("sgd(momentum=0.5)", 0.1)
    assert again.settings.loss == "mean_squared_error"
    own = Scaled(2.0)
    study("mlp(units=4)", "iris", out=tmp_path / "b", loss=own).run(workers=0)
    with pytest.raises(ReglabError, match="The loss of the study"):
        reglab.Study.resume(tmp_path / "b")
    assert reglab.Study.resume(tmp_path / "b", loss=own).run(workers=0).runs["none"][0].status == "finished"


def test_a_loss_of_a_file_is_found_on_the_command_line_and_in_yaml(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import keras\n\n\ndef cross(y, p):\n    return keras.losses.sparse_categorical_crossentropy(y, p)\n\n\n"
        "def made(factor=1.0):\n    return lambda y, p: factor * cross(y, p)\n\n\n"
        "def optimizer(rate=0.1):\n    return keras.optimizers.SGD(rate)\n"
    )
    (tmp_path / "s.yaml").write_text(
        "data: iris\nmodel: mlp(units=4)\nloss: mine.py:made(factor=2.0)\noptimizer: mine.py:optimizer(rate=0.2)\n"
        "class_weight: {setosa: 2, virginica: 1}\n"
    )
    made = reglab.Study.from_yaml(tmp_path / "s.yaml")
    assert made.settings.class_weight == "{setosa: 2, virginica: 1}"
    training = Workbench(made.assignment).training
    assert training.optimizer().get_config()["learning_rate"] == pytest.approx(0.2)
    head = Workbench(made.assignment)._model()[0]
    y, p = np.array([0]), np.array([[0.5, 0.25, 0.25]], "float32")
    assert float(np.asarray(training.loss(head)(y, p))[0]) == pytest.approx(2 * np.log(2), rel=1e-5)
    with pytest.raises(ReglabError, match="has no function 'crosss'"):
        run_of(study("mlp(units=4)", "iris", loss="mine.py:crosss"))


def test_weights_of_examples_are_refused_where_each_has_a_label_per_position():
    x, y = np.zeros((40, 6, 2), "float32"), np.arange(240).reshape(40, 6) % 2

    def per_step():
        return keras.Sequential([keras.Input((6, 2)), keras.layers.Dense(2, "softmax")])

    made = reglab.Study((x, y), per_step, task="positions", kind="series", seeds=1, epochs=1, sample_weight=np.ones(40))
    with pytest.raises(ReglabError, match="a label for each position"):
        made.run(workers=0)
