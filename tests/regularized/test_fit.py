"""compile() and fit() of a regularized model: everything they take for a Keras model, they take here."""

import json
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

import reglab
from reglab.backends import name as backend
from reglab.recipe import Recipe
from reglab.regularized.parts import streams_of

pytestmark = pytest.mark.backend
layers = keras.layers
SLOW = pytest.mark.slow

# Acts on the batch, in the network, on the weights and on the loss.
EVERYTHING = (
    "dropout(rate=0.2)+l2(kernel=1e-3,activity=1e-4)+gaussian_noise(stddev=0.1)+adversarial(epsilon=0.05)+mixup"
)
CLASSES = 3


@pytest.fixture(autouse=True)
def _same_weights_each_time():
    keras.utils.set_random_seed(0)


def array(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


def problem(count=24):
    rng = np.random.default_rng(0)
    y = np.arange(count) % CLASSES
    return (rng.normal(size=(CLASSES, 6))[y] + 0.3 * rng.normal(size=(count, 6))).astype("float32"), y


def network(activation="softmax", units=CLASSES):
    inputs = keras.Input((6,))
    h = layers.Dense(8, activation="relu", name="hidden")(inputs)
    h = layers.BatchNormalization(momentum=0.5)(h)  # a few steps are enough for its statistics
    return keras.Model(inputs, layers.Dense(units, activation=activation, name="head")(h))


def compiled(recipe, loss="sparse_categorical_crossentropy", source=None, optimizer=None, **kwargs):
    model = reglab.regularize(source or network(), recipe, seed=0)
    kwargs = {"metrics": ["accuracy"], **kwargs}
    model.compile(optimizer or keras.optimizers.Adam(0.02), loss, **kwargs)
    return model


def eager(*args, **kwargs):
    """A model whose steps run as they are on TensorFlow: where there are few of them, compiling them takes longer."""
    return compiled(*args, run_eagerly=backend() == "tensorflow", **kwargs)


def weights(model):
    return [array(w) for w in model.network.weights]


class Pairs(keras.utils.PyDataset):
    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return 3

    def __getitem__(self, item):
        return tuple(a[item * 8 : item * 8 + 8] for a in self.arrays)


def test_the_empty_recipe_is_the_model_to_the_last_bit():
    x, y = problem()
    source = network()
    plain = keras.models.clone_model(source)
    plain.set_weights(source.get_weights())
    plain.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    plain.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    model = compiled("none", source=source, metrics=None)
    model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    for ours, theirs in zip(weights(model), plain.get_weights(), strict=True):
        if backend() == "jax":  # XLA fuses another program in another way
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
        else:
            np.testing.assert_array_equal(ours, theirs)


def test_arrays_and_datasets_give_the_same_training():
    x, y = problem()
    results = {}
    recipe = "dropout(rate=0.2)+l2(kernel=1e-3)+mixup"
    model = compiled(recipe, optimizer=keras.optimizers.SGD(0.1))
    start = weights(model)
    for kind in ("arrays", "PyDataset", "tf.data"):
        model.network.set_weights(start)
        model.set_seed(0)
        if kind == "arrays":
            model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        elif kind == "PyDataset":
            model.fit(Pairs(x, y), epochs=2, shuffle=False, verbose=0)
        else:
            tf = pytest.importorskip("tensorflow")
            model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(8), epochs=2, shuffle=False, verbose=0)
        results[kind] = weights(model)
    assert np.abs(results["arrays"][0] - start[0]).max() > 1e-3
    for kind, found in results.items():
        for ours, theirs in zip(found, results["arrays"], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5, err_msg=kind)


def test_sample_weight_and_class_weight():
    x, y = problem()
    per_class = {0: 1.0, 1: 2.0, 2: 0.5}
    results = []
    model = eager(EVERYTHING, optimizer=keras.optimizers.SGD(0.1))
    start = weights(model)
    for kwargs in ({"class_weight": per_class}, {"sample_weight": np.array([per_class[label] for label in y])}, {}):
        model.network.set_weights(start)
        model.set_seed(0)
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0, **kwargs)
        results.append(weights(model))
    for ours, theirs in zip(*results[:2], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.abs(results[0][0] - results[2][0]).max() > 1e-3  # and they do something


@pytest.mark.parametrize(
    ("activation", "units", "loss", "labels"),
    [
        ("softmax", CLASSES, "sparse_categorical_crossentropy", "sparse"),
        pytest.param("softmax", CLASSES, "categorical_crossentropy", "one-hot", marks=SLOW),
        pytest.param(None, CLASSES, keras.losses.SparseCategoricalCrossentropy(from_logits=True), "sparse", marks=SLOW),
        (None, CLASSES, keras.losses.CategoricalCrossentropy(from_logits=True), "one-hot"),
        pytest.param("sigmoid", 1, "binary_crossentropy", "binary", marks=SLOW),
        (None, 1, keras.losses.BinaryCrossentropy(from_logits=True), "binary"),
    ],
)
@pytest.mark.slow
def test_losses_and_heads(activation, units, loss, labels):
    x, y = problem()
    y = {"sparse": y, "one-hot": np.eye(CLASSES)[y], "binary": (y == 0).astype("int32")}[labels]
    recipe = "adversarial(epsilon=0.05)+mixup(alpha=0.2)+gaussian_noise(stddev=0.1,where=output)"  # what sees the head
    model = eager(recipe, loss, source=network(activation, units), optimizer=keras.optimizers.Adam(0.1))
    for _ in range(12):
        model.train_on_batch(x, y)
    assert model.test_on_batch(x, y, return_dict=True)["accuracy"] > 0.8


@pytest.mark.parametrize("policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)])
def test_mixed_precision_learns_and_keeps_strengths_in_float32(policy):
    x, y = problem()
    keras.config.set_dtype_policy(policy)
    source = network()
    keras.config.set_dtype_policy("float32")
    recipe = EVERYTHING + "+ema(momentum=0.5)+weight_decay"
    model = eager(recipe, source=source, optimizer=keras.optimizers.Adam(0.1))
    assert model.network.get_layer("hidden").compute_dtype == policy.removeprefix("mixed_")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (policy == "mixed_float16")
    for _ in range(12):
        model.train_on_batch(x, y)
    assert all(np.isfinite(w).all() for w in weights(model))
    assert model.test_on_batch(x, y, return_dict=True)["accuracy"] > 0.8
    assert all(v.dtype == "float32" for part in model._held.parts for v in part.strengths.variables())


@SLOW
@pytest.mark.parametrize("moved", ["", "+weight_noise(stddev=1e-9)"], ids=["", "in a pass with other weights"])
def test_each_penalty_counts_once_in_every_step(moved):
    """Keras finds losses by ids on JAX, and an id of an earlier step comes back in about one step of ten."""
    model = compiled("l2(kernel=1e-3,activity=1e-4)" + moved, run_eagerly=True)
    model.optimizer.learning_rate = 0.0
    x, y = problem(8)
    losses = [model.train_on_batch(x, y)[0] for _ in range(100)]
    assert max(losses) - min(losses) < 1e-6


def test_activity_penalties_do_not_overflow_in_float16():
    keras.config.set_dtype_policy("mixed_float16")
    inputs = keras.Input((64,))
    source = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Dense(4096, name="wide")(inputs)))
    keras.config.set_dtype_policy("float32")
    source.get_layer("wide").set_weights([np.full((64, 4096), 0.5), np.zeros(4096)])
    model = reglab.regularize(source, "l2(kernel=0,activity=1e-6)")
    model(np.ones((4, 64)))
    # Every output is 32, its square 1024, and 4 million of them exceed what float16 can hold.
    np.testing.assert_allclose(float(array(sum(model.losses))), 1e-6 * 4096 * 1024, rtol=1e-3)


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param("dropout(rate=0.2)+l2(kernel=1e-3,activity=1e-4)+gaussian_noise(stddev=0.1)", marks=SLOW),
        pytest.param("sam", marks=SLOW),
        pytest.param("adversarial(epsilon=0.05)+weight_noise", marks=SLOW),
        pytest.param("label_smoothing+ema", marks=SLOW),
        "mixup",
    ],
)
@pytest.mark.slow_on("jax", "torch")
@pytest.mark.skipif("backend() == 'torch'", reason="Keras does not compile steps on PyTorch by itself")
def test_jit_compile_works_or_names_the_strategy_that_cannot(recipe):
    x, y = problem()
    if recipe == "mixup" and backend() == "tensorflow":
        with pytest.raises(reglab.ReglabError, match=r"mixup: .*jit_compile=False"):
            compiled(recipe, jit_compile=True)
        return
    model = compiled(recipe, jit_compile=True)
    history = model.fit(x, y, batch_size=24, epochs=10, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.slow
def test_images_are_augmented_under_xla():
    if backend() == "torch":
        pytest.skip("Keras does not compile steps on PyTorch by itself")
    inputs = keras.Input((8, 8, 1))
    source = keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Flatten()(inputs)))
    recipe = "augmentation(rotation_range=10,zoom_range=0.1,horizontal_flip=true,fill_mode=reflect)"
    model = compiled(recipe, source=source, jit_compile=True)
    x = np.random.default_rng(0).normal(size=(12, 8, 8, 1)).astype("float32")
    assert np.isfinite(model.fit(x, np.arange(12) % 3, batch_size=4, verbose=0).history["loss"]).all()


def test_callbacks_validation_and_history_are_keras_own(tmp_path):
    x, y = problem()
    seen = []
    model = eager("dropout(rate=0.2)+mixup")
    history = model.fit(
        x, y, batch_size=8, epochs=3, verbose=0, validation_split=0.25,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(sorted(logs))),
            keras.callbacks.ReduceLROnPlateau(patience=1),
            keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        ],
    )  # fmt: skip
    assert len(seen) == 3
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(seen[0])
    assert history.epoch == [0, 1, 2]
    assert (tmp_path / "log.csv").read_text().count("\n") == 4


@pytest.mark.slow_on("jax", "torch")
def test_predict_is_inert_and_penalties_do_not_reach_the_network_outputs():
    x, y = problem()
    model = eager(EVERYTHING)
    model.fit(x, y, batch_size=8, verbose=0)
    first = model.predict(x, verbose=0)
    np.testing.assert_array_equal(first, model.predict(x, verbose=0))
    np.testing.assert_allclose(first, array(model.network(x)), atol=1e-6)


def test_a_sweep_over_strengths_and_seeds_traces_once():
    x, y = problem()
    model = compiled("l2(kernel=1e-3)+dropout(rate=0.2)")
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    traces = model.traces
    for seed, (kernel, rate) in enumerate([(1e-2, 0.5), (0.0, 0.0), (1e-1, 0.9)]):
        model.set_recipe(f"l2(kernel={kernel})+dropout(rate={rate})")
        model.set_seed(seed)
        model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    if backend() != "torch":
        assert model.traces == traces
    with pytest.raises(reglab.ReglabError, match="needs another program"):
        model.set_recipe("l2(kernel=1e-3,bias=1e-3)+dropout(rate=0.2)")


@pytest.mark.slow
def test_a_term_that_was_zero_when_the_step_was_traced_takes_effect_later():
    x, y = problem()
    start = network().get_weights()
    results = []
    for traced_at_zero in (True, False):
        model = reglab.regularize(network(), "l2(kernel=0.5)", seed=0)
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        if traced_at_zero:
            model.set_recipe("l2(kernel=0)")
            model.fit(x, y, shuffle=False, verbose=0)
        model.set_recipe("l2(kernel=0.5)")
        model.network.set_weights(start)
        model.fit(x, y, epochs=3, shuffle=False, verbose=0)
        results.append(weights(model))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.linalg.norm(results[0][0]) < 0.95 * np.linalg.norm(start[0])


def test_schedules_follow_the_epoch():
    x, y = problem()
    model = eager("l2(kernel=linear(0.0, 1.0, 5))")
    values = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: values.append(float(array(model._held.parts[0].strengths.kernel)))
    )
    model.fit(x, y, epochs=6, verbose=0, callbacks=[watch])
    np.testing.assert_allclose(values, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], atol=1e-6)


def test_a_saved_model_goes_on_where_it_stopped(tmp_path):
    x, y = problem()
    model = eager("dropout(rate=0.2)+l2(kernel=1e-3)+weight_decay(decay=0.1)+ema(momentum=0.9)")
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.recipe == model.recipe
    for ours, theirs in zip(weights(again), weights(model), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    again.run_eagerly = model.run_eagerly
    before = weights(model)
    for each in (model, again):
        each.set_seed(1)
        each.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    assert np.abs(weights(model)[0] - before[0]).max() > 1e-3
    for ours, theirs in zip(weights(again), weights(model), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.slow
def test_the_exported_network_loads_where_reglab_is_not(tmp_path):
    x, y = problem()
    model = eager(EVERYTHING)
    model.fit(x, y, batch_size=8, verbose=0)
    model.export_network().save(tmp_path / "plain.keras")
    np.save(tmp_path / "x.npy", x)
    script = f"""
        import sys
        sys.modules["reglab"] = None  # importing it fails
        import json, keras, numpy as np
        model = keras.models.load_model({str(tmp_path / "plain.keras")!r}, safe_mode=True)
        print(json.dumps(model.predict(np.load({str(tmp_path / "x.npy")!r}), verbose=0).tolist()))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout.splitlines()[-1]), model.predict(x, verbose=0), atol=1e-6)


def test_two_models_of_one_seed_are_equal_and_of_two_are_not():
    x, y = problem()
    source = network()
    found = []
    for seed in (3, 3, 4):
        model = reglab.regularize(source, "dropout(rate=0.5)", seed=seed)
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
        model.train_on_batch(x, y)
        found.append(weights(model)[0])
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 1e-5


def test_every_strategy_has_a_stream_of_its_own():
    for text in ("dropout + gaussian_noise", "dropout(where=hidden) + dropout(where=input)"):
        assert len(set(streams_of(Recipe.parse(text), 0))) == 2
    assert streams_of(Recipe.parse("dropout"), 0) != streams_of(Recipe.parse("dropout"), 1)


def test_set_seed_starts_the_networks_own_layers_anew():
    inputs = keras.Input((6,))
    source = keras.Model(inputs, layers.Dense(8)(layers.Dropout(0.5)(inputs)))
    model, found = reglab.regularize(source, "none", seed=5), []
    for seed in (0, 0, 1):
        model.set_seed(seed)
        found.append(array(model(problem()[0], training=True)))
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 1e-3


def test_set_random_seed_decides_where_no_seed_is_given():
    x, _ = problem()
    source = network()
    found = []
    for seed in (3, 3, 4):
        keras.utils.set_random_seed(seed)
        model = reglab.regularize(source, "dropout(rate=0.5)")
        found.append(array(model(x, training=True)))
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 1e-5


def test_without_a_compiled_loss_an_attack_says_so():
    model = reglab.regularize(network(), "adversarial")
    model.compile("sgd")
    with pytest.raises(reglab.ReglabError, match="The model has no loss"):
        model.fit(*problem(), verbose=0)


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param("gaussian_noise(stddev=0.1)+sam", marks=SLOW),
        pytest.param("adversarial(epsilon=0.05)", marks=SLOW),
        "gaussian_noise(stddev=0.1)+mixup+l2",
        "none",
    ],
)
def test_train_on_batch_takes_arrays_and_trains_as_fit_does(recipe):
    x, y = problem()
    model = compiled(recipe, optimizer=keras.optimizers.SGD(0.1))
    start, found = weights(model), []
    for step in (
        lambda: model.train_on_batch(x, y, sample_weight=np.ones(len(y))),
        lambda: model.fit(x, y, batch_size=len(y), shuffle=False, verbose=0),
    ):
        model.network.set_weights(start)
        model.set_seed(0)
        step()
        found.append(weights(model))
    assert np.abs(found[0][0] - start[0]).max() > 1e-4
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


class Counting(keras.layers.Layer):
    """Counts how often it is run."""

    runs = 0

    def call(self, x):
        Counting.runs += 1
        return x


def test_train_on_batch_runs_the_network_no_more_often_than_keras_does():
    """A layer that is never built makes Keras run the model once more before each call, to build it."""

    def runs(wrap):
        layers = keras.layers
        model = wrap(keras.Sequential([keras.Input((3,)), Counting(), layers.Dense(2, activation="softmax")]))
        model.compile("sgd", "sparse_categorical_crossentropy")
        x, y = np.ones((4, 3), "float32"), np.zeros(4, "int32")
        model.train_on_batch(x, y)
        before = Counting.runs
        model.train_on_batch(x, y)
        return Counting.runs - before

    assert runs(lambda model: reglab.regularize(model, "none")) == runs(lambda model: model)
