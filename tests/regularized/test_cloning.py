"""What can be regularized: every way a Keras model can be put together, and a clear error for what cannot be cloned."""

import keras
import numpy as np
import pytest

import reglab

pytestmark = pytest.mark.backend
layers = keras.layers


def array(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


def sequential():
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, activation="relu", name="one"),
            layers.Dense(8, activation="relu", name="two"),
            layers.Dense(3, activation="softmax", name="head"),
        ]
    )


def sequential_without_input():
    return keras.Sequential([layers.Dense(8, activation="relu", name="one"), layers.Dense(3, activation="softmax")])


def functional():
    inputs = keras.Input((4,))
    h = layers.Dense(8, activation="relu", name="one")(inputs)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(h))


def nested():
    inputs = keras.Input((4,))
    block = keras.Sequential(
        [layers.Dense(8, activation="relu", name="inner"), layers.Dense(5, name="last")], name="block"
    )
    h = block(inputs)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(h))


def functional_in_functional():
    inner_inputs = keras.Input((4,))
    inner = keras.Model(inner_inputs, layers.Dense(6, activation="relu", name="inner")(inner_inputs), name="block")
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(inner(inputs)))


def head_in_a_nested_model():
    body = keras.Sequential([keras.Input((4,)), layers.Dense(8, activation="relu", name="hidden")], name="body")
    head = keras.Sequential([keras.Input((8,)), layers.Dense(3, activation="softmax", name="out")], name="head")
    return keras.Sequential([keras.Input((4,)), body, head])


def shared():
    inputs = keras.Input((4,))
    dense = layers.Dense(4, activation="relu", name="shared")
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(dense(dense(inputs))))


def with_lambda():
    inputs = keras.Input((4,))
    h = layers.Lambda(lambda x: x * 2.0, output_shape=(4,), name="double")(inputs)
    h = layers.Dense(8, activation="relu", name="one")(h)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(h))


def with_operations():
    inputs = keras.Input((4,))
    h = layers.Dense(8, name="one")(inputs)
    h = keras.ops.tanh(h) * 2.0 + 1.0
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(h))


def with_batch_norm():
    inputs = keras.Input((4,))
    h = layers.BatchNormalization()(layers.Dense(8, name="one")(inputs))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.ReLU()(h)))


def parallel():
    inputs = keras.Input((4,))
    one, two = layers.Dense(4, name="one")(inputs), layers.Dense(4, name="two")(inputs)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Concatenate()([one, two])))


def separate_activation():
    return keras.Sequential([keras.Input((4,)), layers.Dense(8, name="one"), layers.Dense(3), layers.Softmax()])


class Subclassed(keras.Model):
    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden = layers.Dense(units, activation="relu")
        self.drop = layers.Dropout(0.5)
        self.head = layers.Dense(3, activation="softmax")

    def call(self, x, training=False):
        return self.head(self.drop(self.hidden(x), training=training))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


GRAPHS = [
    sequential,
    functional,
    nested,
    functional_in_functional,
    head_in_a_nested_model,
    shared,
    with_lambda,
    with_operations,
    with_batch_norm,
    parallel,
    separate_activation,
]


def problem(count=16):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 4)).astype("float32"), rng.integers(0, 3, count)


def trained(model, x, y):
    """Train for two steps, as they are: compiling them takes longer."""
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", run_eagerly=True)
    for _ in range(2):
        model.train_on_batch(x, y)
    return [array(w) for w in getattr(model, "network", model).weights]


@pytest.mark.parametrize("build", [*GRAPHS, sequential_without_input, Subclassed])
def test_the_empty_recipe_trains_as_the_model_itself(build):
    x, y = problem()
    model = build()
    model(x[:1])
    before = model.get_weights()
    regularized = reglab.regularize(model, "none", seed=0)
    for ours, theirs in zip(regularized.network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(array(regularized(x)), array(model(x)), atol=1e-6)
    found = trained(regularized, x, y)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)  # the user's object is not touched
    assert np.abs(found[0] - before[0]).max() > 1e-4
    if build is not Subclassed:  # which drops units at random
        for ours, theirs in zip(found, trained(model, x, y), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("build", GRAPHS)
@pytest.mark.parametrize("recipe", ["dropout(rate=0.5)", "gaussian_noise(stddev=0.5, where=output)"])
@pytest.mark.slow_on("jax", "torch")
def test_taps_act_in_training_and_leave_weights_in_the_users_order(build, recipe):
    x, _ = problem()
    model = build()
    regularized = reglab.regularize(model, recipe, seed=0)
    # (A model of the copied kind may call its layers otherwise, so shapes and values are compared, not paths.)
    for ours, theirs in zip(regularized.network.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(array(regularized(x)), array(model(x)), atol=1e-6)
    one, two = array(regularized(x, training=True)), array(regularized(x, training=True))
    assert np.abs(one - two).max() > 1e-3
    plain = regularized.export_network()
    assert not any("reglab" in type(layer).__module__ for layer in plain._flatten_layers())
    np.testing.assert_allclose(array(plain(x, training=True)), array(model(x, training=True)), atol=1e-6)


def test_a_sequential_model_that_was_never_built_takes_taps():
    x, y = problem()
    regularized = reglab.regularize(sequential_without_input(), "dropout(rate=0.5)", seed=0)
    trained(regularized, x, y)
    assert np.abs(array(regularized(x, training=True)) - array(regularized(x, training=True))).max() > 1e-3


@pytest.mark.parametrize("where", ["one", "two"])
def test_a_tap_on_one_of_two_parallel_layers_does_not_swap_their_weights(where):
    model = parallel()
    network = reglab.regularize(model, reglab.strategies.Dropout(rate=0.5, where=where)).network
    assert [w.path for w in network.weights] == [w.path for w in model.weights]
    for ours, theirs in zip(network.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_shared_layer_gets_one_tap():
    network = reglab.regularize(shared(), reglab.strategies.Dropout(rate=0.5, where="shared")).network
    taps = [layer for layer in network.layers if "tap" in layer.name]
    assert len(taps) == 1
    assert len(taps[0]._inbound_nodes) == 2


def test_a_nested_layer_is_named_by_its_path_or_its_name():
    for where in ("block/inner", "inner"):
        network = reglab.regularize(nested(), reglab.strategies.Dropout(rate=0.5, where=where)).network
        assert any("tap" in layer.name for layer in network.get_layer("block").layers)


def test_several_inputs_train_with_what_does_not_act_on_one_array():
    one, two = keras.Input((4,), name="one"), keras.Input((3,), name="two")
    h = layers.Dense(8, activation="relu", name="joined")(layers.Concatenate()([one, two]))
    model = keras.Model({"one": one, "two": two}, layers.Dense(3, activation="softmax")(h))
    rng = np.random.default_rng(0)
    x = {"one": rng.normal(size=(8, 4)), "two": rng.normal(size=(8, 3))}
    recipe = "l2(kernel=0.01, activity=0.01)+dropout(rate=0.2)+gaussian_noise(stddev=0.1)+weight_noise+sam"
    regularized = reglab.regularize(model, recipe, seed=0)
    regularized.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    before = regularized.network.get_weights()
    history = regularized.fit(x, np.arange(8) % 3, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    for now, then in zip(regularized.network.get_weights(), before, strict=True):
        assert np.abs(now - then).max() > 1e-4
    with pytest.raises(reglab.ReglabError, match=r"mixup acts on one array of inputs; the model has 2 inputs"):
        reglab.regularize(model, "mixup")


def test_frozen_layers_stay_frozen_and_pretrained_weights_are_taken_along():
    model = sequential()
    model.get_layer("one").trainable = False
    x, y = problem()
    regularized = reglab.regularize(model, "l2(kernel=1)+dropout(rate=0.3)")
    frozen = array(regularized.network.get_layer("one").kernel)
    found = trained(regularized, x, y)
    np.testing.assert_array_equal(found[0], frozen)
    np.testing.assert_array_equal(frozen, array(model.get_layer("one").kernel))
    assert np.abs(found[2] - model.get_weights()[2]).max() > 1e-4


def test_a_builder_is_called_once():
    calls = []

    def build():
        calls.append(1)
        return functional()

    reglab.regularize(build, "dropout(rate=0.5)")
    assert calls == [1]


class OwnStep(keras.Model):
    def train_step(self, *args):
        return super().train_step(*args)


class Unregistered(keras.layers.Layer):
    def __init__(self, secret, **kwargs):
        super().__init__(**kwargs)
        self.secret = secret

    def call(self, x):
        return self.secret(x)


class NoConfig(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.head = layers.Dense(units, activation="softmax")

    def call(self, x):
        return self.head(x)


def own_step():
    inputs = keras.Input((4,))
    return OwnStep(inputs, layers.Dense(3)(inputs))


def without_config():
    return keras.Sequential(
        [keras.Input((4,)), Unregistered(lambda x: x * 2.0, name="odd"), layers.Dense(3, activation="softmax")]
    )


@pytest.mark.parametrize(
    ("make", "recipe", "message"),
    [
        (own_step, "none", r"OwnStep has its own train_step, which the regularized model would leave out"),
        (Subclassed, "dropout(rate=0.1)", r"dropout has to be placed hidden, and Subclassed is a subclassed model"),
        (lambda: "resnet.keras", "none", r"'resnet.keras' is neither a keras\.Model nor a function.*load_model"),
        (sequential, "gaussian_noise(where=nowhere)", r"no layer 'nowhere'.*It has one, two, head"),
    ],
)
def test_what_cannot_be_done_says_why_and_what_to_do(make, recipe, message):
    with pytest.raises(reglab.ReglabError, match=message):
        reglab.regularize(make(), recipe)


@pytest.mark.parametrize("own", ["test_step", "predict_step", "compute_loss", "compute_metrics", "make_test_function"])
def test_a_model_with_a_step_of_its_own_is_refused_and_not_bypassed(own):
    cls = type("Own", (keras.Model,), {own: lambda self, *args, **kwargs: None})
    inputs = keras.Input((4,))

    with pytest.raises(reglab.ReglabError, match=f"Own has its own {own}"):
        reglab.regularize(cls(inputs, layers.Dense(3)(inputs)), "none")


def test_a_regularized_model_that_is_built_can_be_asked_and_saved_before_it_is_trained(tmp_path):
    model = functional()
    regularized = reglab.regularize(model, "l2+dropout(rate=0.1)")

    assert regularized.count_params() >= model.count_params()
    assert regularized.output_shape == model.output_shape
    assert regularized.input_shape == model.input_shape
    regularized.save_weights(tmp_path / "a.weights.h5")
    other = reglab.regularize(functional(), "l2+dropout(rate=0.1)")
    other.load_weights(tmp_path / "a.weights.h5")
    for want, got in zip(regularized.network.get_weights(), other.network.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("build", [without_config, lambda: NoConfig(3)])
def test_what_has_no_configuration_is_copied_all_the_same(build):
    x, y = problem()
    regularized = reglab.regularize(build(), "l2(kernel=1e-3)")
    assert [w.shape for w in trained(regularized, x, y)] == [(4, 3), (3,)]


@pytest.mark.parametrize("build", [without_config, lambda: NoConfig(3)])
def test_a_builder_is_the_way_out_where_nothing_has_to_be_placed(build):
    x, y = problem()
    regularized = reglab.regularize(build, "l2(kernel=1e-3)+label_smoothing")
    found = trained(regularized, x, y)
    assert [w.shape for w in found] == [(4, 3), (3,)]
    assert np.abs(found[1]).max() > 0  # the bias began at zero, so it was trained


def test_a_builder_that_returns_no_model_and_a_model_that_is_regularized_already():
    with pytest.raises(reglab.ReglabError, match="The builder returned int"):
        reglab.regularize(lambda: 3, "none")
    with pytest.raises(reglab.ReglabError, match="regularized already"):
        reglab.regularize(reglab.regularize(functional(), "none"), "dropout(rate=0.1)")


def test_logits_of_a_model_with_two_outputs_are_unknown():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [layers.Dense(3)(inputs), layers.Dense(2)(inputs)])
    with pytest.raises(reglab.ReglabError, match="2 outputs"):
        reglab.regularize(model, "gaussian_noise(where=output)")
