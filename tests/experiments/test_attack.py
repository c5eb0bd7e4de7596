"""Attacks on networks whose accuracy under attack is known in closed form, and on studies."""

from __future__ import annotations

import functools

import keras
import numpy as np
import played
import pytest

import reglab
from reglab.data.several import together
from reglab.errors import ReglabError
from reglab.experiments import samples as pictures
from reglab.experiments.attack import Attacker
from reglab.experiments.robustness import Robustness, robustness
from reglab.facade import Results
from reglab.regularized import regularize
from reglab.study.run import Program
from reglab.study.storage import answers
from reglab.study.targets import in_own_units
from reglab.tasks import Binary, Head, Positions, Regression
from reglab.tasks.several import Outputs


def linear(kind, scale=1.0, seed=0):
    """A linear classifier of two classes under attack, and its weight vector for 'second minus first'."""
    attacker, network = compiled(kind)
    w = scale * np.random.default_rng(seed).normal(size=5).astype("float32")
    kernel = w[:, None] if kind in ONE_UNIT else np.stack([-w / 2, w / 2], axis=1)
    network.set_weights([kernel, np.zeros(kernel.shape[1], "float32")])
    return attacker, w


ONE_UNIT = ("sigmoid", "binary_logits")


@functools.cache
def compiled(kind):
    """The attacker of a network of that kind, which tests share, since its compiled attacks follow the weights."""
    activation = {"softmax": "softmax", "sigmoid": "sigmoid"}.get(kind, "linear")
    layer = keras.layers.Dense(1 if kind in ONE_UNIT else 2, activation=activation)
    regularized = regularize(keras.Sequential([keras.Input((5,)), layer]), "none")
    task, head = Binary(classes=("no", "yes")), Head(activation, layer.units)
    regularized.compile("sgd", task.loss(head))
    program = Program(regularized, task, head, (5,))
    return Attacker(program), program.model.network


def cloud(count=300, seed=1):
    random = np.random.default_rng(seed)
    return random.normal(size=(count, 5)).astype("float32")


SLOW = pytest.mark.slow  # PGD takes seconds to compile, and its loss is FGSM's


@pytest.mark.backend
@pytest.mark.parametrize(
    ("kind", "attack"),
    [("softmax", "fgsm"), ("logits", "fgsm"), ("sigmoid", "fgsm"), ("binary_logits", "fgsm"), ("softmax", "pgd"),
     pytest.param("logits", "pgd", marks=SLOW), pytest.param("sigmoid", "pgd", marks=SLOW),
     pytest.param("binary_logits", "pgd", marks=SLOW)],
)  # fmt: skip
def test_accuracy_of_a_linear_network_is_the_share_with_more_margin_than_epsilon_can_take(kind, attack):
    attacker, w = linear(kind)
    x = cloud()
    y = (x @ w > 0.1).astype("int32")  # some are wrong from the beginning
    margin = (x @ w) * np.where(y == 1, 1, -1)
    for epsilon in (0.0, 0.1, 0.4):
        # The worst point of the ball takes epsilon * ||w||_1 off the margin, and one step reaches it.
        expected = np.mean(margin - epsilon * np.abs(w).sum() > 0)
        found = attacker.left(x, y, attack=attack, epsilon=epsilon, limits=None)
        assert found == pytest.approx(expected, abs=1.5 / len(x))


@pytest.mark.backend
@pytest.mark.parametrize("kind", ["softmax", "logits"])
def test_a_network_that_is_all_too_sure_is_attacked_all_the_same(kind):
    attacker, w = linear(kind, scale=24.0)  # probabilities of 1 - 1e-12: Keras' clipped loss has no slope there
    x = cloud()
    y = (x @ w > 0).astype("int32")
    margin = np.abs(x @ w)
    sure = margin > 17
    assert sure.mean() > 0.2
    assert attacker.left(x, y, attack="fgsm", epsilon=0.5, limits=None) == pytest.approx(
        np.mean(margin > 0.5 * np.abs(w).sum()), abs=1.5 / len(x)
    )
    assert attacker.blind(x, y) == 0.0


@pytest.mark.backend
def test_a_network_without_any_slope_is_said_to_be_one():
    attacker, w = linear("sigmoid", scale=1000.0)
    x = cloud()
    assert attacker.blind(x, (x @ w > 0).astype("int32")) > 0.9


@pytest.mark.backend
@pytest.mark.slow
def test_examples_stay_in_the_ball_and_in_the_range():
    attacker, _ = linear("softmax")
    x, y = cloud(), np.zeros(300, "int32")
    low, high = np.float32(-1.0), np.float32(3.0)
    inside = np.clip(x, low, high)
    for attack in ("fgsm", "pgd"):
        free = attacker.examples(inside, y, attack=attack, epsilon=0.2, limits=None)
        assert free.min() < low - 0.1, "without limits nothing is held back, whatever comes after"
        moved = attacker.examples(inside, y, attack=attack, epsilon=0.05, limits=(low, high))
        assert np.abs(moved - inside).max() <= 0.05 * 4 + 1e-5, "a fraction of the range"
        assert moved.min() >= low - 1e-6
        assert moved.max() <= high + 1e-6
        assert not np.allclose(moved, inside)


@pytest.mark.backend
def test_attacking_moves_nothing_in_the_program_and_follows_new_weights():
    attacker, w = linear("softmax")
    _, network = compiled("softmax")
    x = cloud()
    y = (x @ w > 0).astype("int32")
    before = [np.array(v) for v in network.get_weights()]
    first = attacker.left(x, y, attack="pgd", epsilon=0.3, limits=None)
    for one, other in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    network.set_weights([-before[0], before[1]])
    assert attacker.left(x, y, attack="pgd", epsilon=0.3, limits=None) == 0.0
    network.set_weights(before)
    assert attacker.left(x, y, attack="pgd", epsilon=0.3, limits=None) == first


@pytest.mark.backend
@pytest.mark.parametrize("targets", [1, 2])
def test_of_numbers_every_error_of_a_linear_network_grows_by_what_epsilon_can_take(targets):
    """In the units of the targets, whatever the network was trained in."""
    scale = np.array([5.0, 400.0][:targets]), np.array([2.0, 30.0][:targets])
    scale = tuple(each[0] for each in scale) if targets == 1 else scale
    network = keras.Sequential([keras.Input((5,)), keras.layers.Dense(targets)])
    regularized = regularize(network, "none")
    task, head = Regression(targets=("a", "b")[:targets]), Head("linear", targets)
    regularized.compile("sgd", task.loss(head))
    program = Program(regularized, task, head, (5,))
    program._target_scale = tuple(np.asarray(each) for each in scale)
    w = np.random.default_rng(0).normal(size=(5, 1)).astype("float32")
    program.model.network.set_weights([np.repeat(w, targets, axis=1), np.zeros(targets, "float32")])
    x = cloud()
    off = np.where(np.arange(300) % 2, 1.0, -0.5)[:, None]  # of the same sign for both targets
    y = in_own_units(x @ w + off, scale if targets == 2 else tuple(np.asarray([each]) for each in scale))
    found = Attacker(program).left(x, y[:, 0] if targets == 1 else y, attack="fgsm", epsilon=0.1, limits=None)
    errors = np.abs(off) + 0.1 * np.abs(w).sum()
    assert found == pytest.approx(np.mean(np.sqrt(np.mean((errors * scale[1]) ** 2, axis=0))), rel=1e-4)


# Two images of 2 x 3 pixels. A network that takes those above 0 for the second class has all that count right.
PIXELS = np.array([[[0.5, -0.2, 0.3], [-0.4, 0.1, 9.0]], [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]], "float32")[..., None]
TRUE = np.array([[[1, 0, -1], [0, 1, -1]], [[-1, -1, -1], [-1, -1, -1]]], "int32")


@pytest.mark.backend
@pytest.mark.parametrize(("activation", "attack"), [("softmax", "fgsm"), (None, "fgsm"),
                                                    pytest.param("softmax", "pgd", marks=SLOW)])  # fmt: skip
def test_of_pixels_those_without_a_label_are_neither_climbed_nor_counted(activation, attack):
    network = keras.Sequential([keras.Input((2, 3, 1)), keras.layers.Conv2D(2, 1, activation=activation)])
    network.set_weights([np.array([[[[-0.5, 0.5]]]], "float32"), np.zeros(2, "float32")])
    regularized = regularize(network, "none")
    task = Positions(classes=("dark", "bright"), shape=(2, 3), ignored=True, deciding="mean_iou")
    head = Head(activation or "linear", 2)
    regularized.compile("sgd", task.loss(head))
    attacker = Attacker(Program(regularized, task, head, (2, 3, 1)))
    # 0.15 takes the pixel of 0.1 to -0.05: of the dark class 2 of 3 are hit, of the bright one 1 of 2.
    # 0.3 takes that of -0.2 too: of each class 1 of 3.
    for epsilon, left in ((0.0, 1.0), (0.15, (2 / 3 + 1 / 2) / 2), (0.3, 1 / 3)):
        how = {"attack": attack, "epsilon": epsilon, "limits": None}
        assert attacker.left(PIXELS, TRUE, **how) == pytest.approx(left)
        moved = attacker.examples(PIXELS, TRUE, **how)
        there = TRUE >= 0
        np.testing.assert_allclose(np.abs(moved - PIXELS)[there], epsilon, atol=1e-6)
        if attack == "fgsm":
            np.testing.assert_array_equal(moved[~there], PIXELS[~there])
    assert attacker.blind(PIXELS, TRUE) == 0.0, "an example without any label is none that could be attacked"


@pytest.mark.backend
@pytest.mark.parametrize("by_name", [True, False])
def test_of_several_outputs_a_step_goes_along_the_sum_of_the_weighted_losses(by_name):
    inputs = keras.Input((5,))
    ends = {name: keras.layers.Dense(1, name=name)(inputs) for name in ("a", "b")}
    regularized = regularize(keras.Model(inputs, ends if by_name else list(ends.values())), "none")
    task = Outputs(tasks=tuple((name, Regression(targets=(name,))) for name in ends), deciding="a_rmse")
    head = Head("linear", 2, {name: Head("linear", 1) for name in ends})
    regularized.compile("sgd", task.loss(head))
    program = Program(regularized, task, head, (5,))
    random = np.random.default_rng(0)
    wa, wb = random.normal(size=(2, 5)).astype("float32")
    program.model.network.set_weights([wa[:, None], np.zeros(1), wb[:, None], np.zeros(1)])
    x, off = cloud(), random.normal(size=(2, 300, 1))
    y = together({"a": (x @ wa - off[0, :, 0]).astype("float32"), "b": (x @ wb - off[1, :, 0]).astype("float32")})
    moved = x + 0.1 * np.sign(off[0] * wa + 3.0 * off[1] * wb)
    attacker = Attacker(program, {"b": 3.0})
    found = attacker.left(x, y, attack="fgsm", epsilon=0.1, limits=None)
    assert found == pytest.approx(np.sqrt(np.mean((moved @ wa - y["a"]) ** 2)), rel=1e-4)
    assert attacker.blind(x, y) == 0.0


# --- of a study ----------------------------------------------------------------------------------------------------

RECIPES = {
    "none": "none",
    "whitened": "augmentation(zca_whitening=true, horizontal_flip=true, zca_epsilon=0.1)",
    "adversarial": "adversarial(epsilon=0.05, unit=pixel, clip=data, share=0.03) + gaussian_noise(stddev=0.2)",
    "stopped": "early_stopping(patience=1)",
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacked") / "study"
    made = reglab.Study(
        "digits", "mlp(units=16)", RECIPES, seeds=2, epochs=3, train_size=100, learning_rate=0.01, out=folder
    )
    made.run(workers=0)
    return made


@pytest.mark.backend
@pytest.mark.slow
def test_the_first_point_of_a_curve_is_the_accuracy_of_the_run(study):
    found = robustness(study, epsilons=[0.05], examples=10_000)
    results = Results.load(study.out)
    assert found.unit == "pixel"
    assert found.epsilons == (0.0, 0.05)
    for name, of_name in found.curves.items():
        for curve in of_name.values():
            clean = [results.runs[name][seed].metrics["accuracy"] for seed in (0, 1)]
            np.testing.assert_allclose(curve.values[:, 0], clean, atol=1e-9)
            assert (curve.values[:, 1] < curve.values[:, 0]).all()
    assert set(found.curves) == set(RECIPES)
    assert Robustness.load(results).curves["none"]["pgd"].mean[1] == found.curves["none"]["pgd"].mean[1]


@pytest.mark.slow
def test_what_was_attacked_is_not_attacked_again_and_another_question_begins_anew(study):
    robustness(study, epsilons=[0.05], examples=10_000)
    asked = []
    robustness(study, epsilons=[0.05], examples=10_000, progress=lambda done, total, run: asked.append(run.id))
    assert asked == []
    robustness(study, epsilons=[0.1], examples=50, recipes=["none"], seeds=1,
               progress=lambda done, total, run: asked.append(run.id))  # fmt: skip
    held = answers.latest(study.out, "robustness")
    assert list(held["runs"]) == asked
    assert held["examples"] == 50
    assert any(other["epsilons"] == [0.0, 0.05] for other in answers.every(study.out, "robustness").values())


@pytest.mark.slow
def test_weights_that_predict_otherwise_than_the_run_did_are_not_examined(study, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(study.out, folder)
    run = Results.load(folder).runs["none"][0]
    path = folder / "runs" / run.id / "weights.npz"
    with np.load(path) as held:
        arrays = {key: held[key] * 2 + 0.5 for key in held.files}
    np.savez(path, **arrays)
    with pytest.raises(ReglabError, match="something else than the run did"):
        robustness(reglab.Study.resume(folder), recipes=["none"], epsilons=[0.1])


@pytest.mark.slow
def test_other_data_than_the_study_was_trained_on_are_refused(study):
    with pytest.raises(ReglabError, match="data \\(content\\) is"):
        robustness(reglab.Study.resume(study.out, data="iris", model="mlp"))


@pytest.mark.parametrize("epsilons", [[-0.1], [float("nan")]])
@pytest.mark.slow
def test_radii_that_are_none_are_refused(study, epsilons):
    with pytest.raises(ReglabError, match="radius"):
        robustness(study, epsilons=epsilons)


@pytest.mark.backend
@pytest.mark.slow
def test_samples_show_what_strategies_do_to_images_of_this_data(study):
    found = pictures.samples(study, count=4)
    kept = pictures.load(study.out)
    assert [(s.recipe, s.what.split("(")[0]) for s in found] == [
        ("whitened", "augmentation"), ("adversarial", "adversarial"), ("adversarial", "gaussian_noise")
    ]  # fmt: skip
    assert [len(s.labels) for s in found] == [4, 2, 4], "of 64 images, a share of 0.03 is two"
    digits = study.dataset
    for one, other in zip(found, kept, strict=True):
        np.testing.assert_array_equal(one.after, other.after)
        assert one.labels == other.labels
        assert one.before.shape == (len(one.labels), 8, 8, 1)
        for picture, label in zip(one.before, one.labels, strict=True):
            same = np.flatnonzero((np.abs(digits.x / 16 * 255 - picture) <= 1).reshape(len(digits), -1).all(axis=1))
            assert label in {digits.class_names[digits.y[i]] for i in same}, "they are images of the data"
    flipped = found[0]
    np.testing.assert_array_equal(flipped.after, flipped.before[:, :, ::-1], "of a flip, those that are flipped")
    step = np.abs(found[1].after.astype(int) - found[1].before.astype(int)).max()
    assert step in (12, 13), "0.05 of 255"


def test_data_without_images_have_no_samples(tmp_path):
    made = reglab.Study("iris", "mlp(units=4)", ["gaussian_noise"], seeds=1, epochs=1, out=tmp_path / "s")
    with played.stage():
        made.run()
    with pytest.raises(ReglabError, match="no images"):
        pictures.samples(made)
    assert pictures.load(tmp_path / "s") == []
