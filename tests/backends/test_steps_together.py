"""On an accelerator JAX takes several steps as one program: the same steps, in the same order.

There is none where these tests run, so the device is said to be one.
"""

import keras
import numpy as np
import pytest

from reglab import backends
from reglab.data.batches import Batches
from reglab.recipe import Recipe
from reglab.study.user_callbacks import watches_steps

STEPS = "reglab: several steps"

pytestmark = [
    pytest.mark.backend,
    pytest.mark.skipif(keras.backend.backend() != "jax", reason="the other backends take steps one by one"),
]


@pytest.fixture
def accelerator(monkeypatch):
    monkeypatch.setattr(backends.adapter(), "device", lambda: "an accelerator")


def batches(count, *, size=10, epochs=2, weights=None):
    x = np.arange(count * 3, dtype="uint8").reshape(count, 3)
    y = np.arange(count)
    return Batches(
        x, y, y, batch_size=size, epochs=epochs, seed=3, preprocess=lambda x: x.astype("float32"), weights=weights
    )


@pytest.mark.parametrize(("count", "sizes"), [
    (120, [12]),  # all in one program
    (125, [12, 0]),  # and a smaller batch by itself
    (67 * 10, [64, 0, 0, 0]),  # a prime number of batches
    (90 * 10, [45, 45]),  # a divisor of the batches of an epoch
])  # fmt: skip
def test_stacks_hold_the_batches_of_an_epoch_in_their_order(accelerator, count, sizes):
    plain = batches(count, weights=np.linspace(0, 1, count).astype("float32"))
    fed = backends.adapter().feed(plain)
    assert fed.steps == len(sizes)
    assert len(fed.data) == 2 * len(sizes)
    found = []
    for item in range(len(fed.data)):
        x, y, w = fed.data[item]
        stacked = isinstance(x, dict)
        assert (len(x[STEPS]) if stacked else 0) == sizes[item % len(sizes)]
        found += list(zip(x[STEPS], y, w, strict=True)) if stacked else [(x, y, w)]
    for step, batch in enumerate(found):
        for part, expected in zip(batch, plain[step], strict=True):
            np.testing.assert_array_equal(part, expected)
    assert len(found) == len(plain)


def test_steps_are_taken_one_by_one_on_a_processor_where_they_are_watched_and_where_a_batch_is_large(
    accelerator, monkeypatch
):
    adapter = backends.adapter()
    plain = batches(120)
    assert adapter.feed(plain, watched=True).data is plain
    monkeypatch.setattr(adapter, "_TOGETHER_BYTES", 100)
    assert adapter.feed(plain).data is plain
    monkeypatch.undo()
    assert adapter.feed(plain).data is plain


def test_a_callback_that_looks_at_steps_is_known():
    class Own(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    assert watches_steps(Own())
    assert watches_steps(keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: None))
    assert not watches_steps(keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None))
    assert not watches_steps(keras.callbacks.EarlyStopping())


RECIPES = [
    "none",
    "dropout(rate=0.3) + l2(kernel=0.01)",
    "mixup(alpha=0.4)",
    "adversarial(epsilon=0.05)",
    "sam",
    "ema(momentum=0.9)",
    "swa(start=0.3)",
]


@pytest.mark.slow
@pytest.mark.parametrize("text", RECIPES)
def test_a_training_is_the_same_as_with_steps_one_by_one(text, monkeypatch, tmp_path):
    import reglab

    found = {}
    for name in ("one by one", "together"):
        if name == "together":
            monkeypatch.setattr(backends.adapter(), "device", lambda: "an accelerator")
        study = reglab.Study(
            "digits", "mlp", {"it": Recipe.parse(text)}, baseline="it", seeds=1, epochs=3, batch_size=64,
            train_size=650, out=tmp_path / name,
        )  # fmt: skip
        results = study.run(workers=0)
        (run,) = results.runs["it"].values()
        found[name] = study_record(results, run)
    assert found["together"].status == "finished", found["together"].error
    assert found["together"].device == "an accelerator"
    assert found["one by one"].device == "CPU"
    for key, values in found["one by one"].history.items():
        if key != "seconds":
            np.testing.assert_allclose(found["together"].history[key], values, rtol=2e-4, atol=2e-4, err_msg=key)


def study_record(results, run):
    from reglab.study.storage.view import View

    with View(results.folder) as view:
        return view.record(run.id)


def test_measuring_steps_counts_those_that_an_item_has(accelerator, monkeypatch):
    from reglab.experiments import steps

    seen = []

    class Program:
        class model:
            stop_training = False

            @staticmethod
            def fit(data, *, steps_per_epoch, **others):
                seen.append(sum(len(data[item][1]) if isinstance(data[item][0], dict) else 1
                                for item in range(steps_per_epoch)))  # fmt: skip

        @staticmethod
        def feed(batches):
            return backends.adapter().feed(batches)

    made = steps._Training.__new__(steps._Training)
    made._program, made._batch_size, made.steps = Program, 10, 67
    made._data = type("Data", (), {
        "x": np.zeros((670, 3), "uint8"), "y": np.arange(670), "train": np.arange(670), "weights": None,
        "preprocess": staticmethod(lambda x: x.astype("float32")), "stream": staticmethod(lambda name: 3),
    })  # fmt: skip
    for asked in (1, 30, 65, 67):
        clock = steps._Clock(asked, lambda: None, seconds=0)
        made.fit(clock)
        assert seen[-1] == clock.steps >= min(asked, 64), asked


@pytest.mark.slow
def test_an_input_can_be_called_steps():
    import reglab

    inputs = {name: keras.Input((3,), name=name) for name in ("steps", "other")}
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Concatenate()(list(inputs.values()))))
    regularized = reglab.regularize(model, "l2(kernel=0.01)")
    regularized.compile("sgd", "mse")
    x = {name: np.ones((8, 3), "float32") for name in inputs}
    assert np.isfinite(regularized.fit(x, np.ones((8, 1), "float32"), verbose=0).history["loss"][0])
    only = keras.Sequential([keras.Input((3,), name="steps"), keras.layers.Dense(1)])
    regularized = reglab.regularize(only, "l2(kernel=0.01)")
    regularized.compile("sgd", "mse")
    assert np.isfinite(regularized.fit({"steps": x["steps"]}, np.ones((8, 1), "float32"), verbose=0).history["loss"][0])
