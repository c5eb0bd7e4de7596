"""Every strategy, with every variant that has code of its own, passes the checks that reglab ships."""

import itertools

import pytest

from reglab import testing
from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.strategies import CATALOGUE, Stage

SAMPLES = [
    "l1(kernel=1e-3, bias=1e-3, activity=1e-3)",
    "l2(kernel=1e-3, bias=1e-3, activity=1e-3)",
    "l1l2(kernel=(1e-3, 2e-3), bias=1e-3, activity=(1e-4, 0))",
    "augmentation(rotation_range=10, width_shift_range=0.1, height_shift_range=1.5, shear_range=5, zoom_range=0.1, "
    "channel_shift_range=0.2)",
    "gaussian_noise(stddev=0.1, where=input)",
    "weight_noise(stddev=0.02)",
    "label_smoothing(smoothing=0.1)",
    "dropout(rate=0.2, where=hidden)",
    "early_stopping(monitor=val_loss, patience=1)",
    "adversarial(epsilon=0.1)",
    "mixup(alpha=0.5)",
    "weight_decay(decay=0.1)",
    "learning_rate(rate=0.05)",
    "ema(momentum=0.5)",
    "sam(rho=0.05)",
    "asam(rho=0.5)",
    "cutmix(alpha=0.5)",
    "gradient_centralization",
    "l2_sp(coefficient=0.1)",
    "max_norm(norm=0.5)",
    "r_drop(alpha=1.0)",
    "swa(start=0.5)",
    "spectral_normalization(norm=2.0)",
    "stochastic_depth(rate=0.3)",
    "layer(layer=SpatialDropout2D, rate=0.3)",
    "trades(beta=2.0, epsilon=0.1, steps=2)",
]
VARIANTS = [
    "augmentation(rotation_range=10, fill_mode=constant, cval=0.5)",
    "gaussian_noise(stddev=0.1, where=(hidden, output))",
    "dropout(rate=0.2, where=(input, output))",
    "adversarial(method=bim, epsilon=0.1, steps=2, step_size=0.06, share=1.0)",
    "adversarial(method=pgd, epsilon=0.3, steps=2, norm=l2, clip=data)",
]
# Fitted parts and flips leave training as it was at no strength, so the check of zero strength is not for them.
FITTED = [
    "augmentation(horizontal_flip=true, vertical_flip=true, brightness_range=(0.5, 1.5))",
    "augmentation(zca_whitening=true, zca_epsilon=0.1, rotation_range=10, horizontal_flip=true)",
    "augmentation(featurewise_center=true, featurewise_std_normalization=true)",
    "augmentation(samplewise_center=true, samplewise_std_normalization=true)",
]
# (max_norm is not with ema: averages are of the weights before they are bounded, so they are others at momentum 0 too.)
# Between them they hold every strategy that changes the training: what takes one pass through the network, and what
# takes a second one. (Early stopping and SWA leave other weights than those of the last step, which hides the others.)
ONE_PASS = (
    "augmentation(rotation_range=10, width_shift_range=0.1) + label_smoothing(smoothing=0.1) + mixup(alpha=0.2) + "
    "dropout(rate=0.1) + gaussian_noise(stddev=0.1) + weight_noise(stddev=0.02) + weight_decay(decay=0.1) + "
    "l1(kernel=1e-3, bias=1e-3, activity=1e-3) + l2(kernel=1e-3, activity=1e-3) + ema(momentum=0.5) + "
    "learning_rate(rate=0.05) + cutmix(alpha=0.5) + gradient_centralization + l2_sp(coefficient=0.1) + "
    "stochastic_depth(rate=0.1) + layer(layer=GaussianDropout, rate=0.05)"
)
TOGETHER = {
    "one pass": ONE_PASS,
    "two passes": "adversarial(epsilon=0.05) + sam(rho=0.02) + dropout(rate=0.1) + "
    "l1l2(kernel=(1e-3, 2e-3), bias=1e-3, activity=(1e-4, 0))",
    "again": "asam(rho=0.5) + r_drop(alpha=1.0) + dropout(rate=0.1) + l2_sp(coefficient=0.1) + "
    "spectral_normalization(norm=2.0) + trades(beta=1.0, steps=2) + max_norm(norm=0.9)",
    "all": f"{ONE_PASS} + adversarial(epsilon=0.05) + sam(rho=0.02)",
}


def strategy(text):
    (found,) = Recipe.parse(text)
    return found


ONE_OF_EACH = {strategy(text).name: strategy(text) for text in SAMPLES}
# One strategy for each stage of the step. Two of one stage are together in TOGETHER.
STAGES = ("augmentation", "label_smoothing", "mixup", "adversarial", "dropout", "weight_noise", "l1l2", "sam", "ema",
          "early_stopping")  # fmt: skip
PAIRS = list(itertools.combinations(sorted(ONE_OF_EACH), 2))
BY_STAGE = list(itertools.combinations(STAGES, 2))
CONFLICTS = {("l1", "l1l2"), ("l1l2", "l2"), ("asam", "sam"), ("ema", "swa")}


def _slow_unless_neighbours(pairs):
    """The pairs as parameters: those of one stage and the next are fast tests, the others slow ones."""
    neighbours = set(itertools.pairwise(STAGES))
    return [
        pytest.param(*pair, id="+".join(pair), marks=[] if pair in neighbours else [pytest.mark.slow]) for pair in pairs
    ]


SAID = (testing.check_declaration, testing.check_round_trip, testing.check_invalid_values)
# Tests that follow each other share the program that these train.
QUICK = (testing.check_reproducible, testing.check_schedules, testing.check_rider, testing.check_resumed)
OTHERS = (
    testing.check_inert_at_evaluation,
    testing.check_zero_strength,
    testing.check_strengths_take_effect,
    testing.check_own_stream,
    testing.check_mixed_precision,
)


def called(check):
    return check.__name__.removeprefix("check_")


def test_there_is_a_sample_of_every_strategy_and_every_check_is_run():
    assert set(ONE_OF_EACH) == set(CATALOGUE)
    assert set(testing.CHECKS) == {*SAID, *QUICK, *OTHERS}
    assert {each.name for text in TOGETHER.values() for each in Recipe.parse(text)} == set(CATALOGUE) - {
        "early_stopping",
        "swa",
    }


@pytest.mark.parametrize("check", SAID, ids=called)
@pytest.mark.parametrize("text", SAMPLES + VARIANTS + FITTED)
def test_what_it_says_of_itself(text, check):
    check(strategy(text))


@pytest.mark.backend
@pytest.mark.slow_on("jax")  # every program takes seconds to compile there; all strategies in one are tried below
@pytest.mark.parametrize("check", QUICK, ids=called)
@pytest.mark.parametrize("text", SAMPLES)
@pytest.mark.slow
def test_conformance(text, check):
    check(strategy(text))


@pytest.mark.backend
@pytest.mark.slow
@pytest.mark.parametrize("check", OTHERS, ids=called)
@pytest.mark.parametrize("text", SAMPLES)
def test_conformance_in_full(text, check):
    check(strategy(text))


@pytest.mark.slow
@pytest.mark.parametrize("check", QUICK + OTHERS, ids=called)
@pytest.mark.parametrize("text", VARIANTS)
def test_conformance_of_variants(text, check):
    check(strategy(text))


@pytest.mark.slow
@pytest.mark.parametrize(
    "check", [check for check in QUICK + OTHERS if check is not testing.check_zero_strength], ids=called
)
@pytest.mark.parametrize("text", FITTED)
def test_conformance_of_what_is_fitted(text, check):
    check(strategy(text))


@pytest.mark.backend
@pytest.mark.parametrize(
    "check",
    [
        testing.check_reproducible,
        pytest.param(testing.check_resumed, marks=pytest.mark.slow),
        pytest.param(testing.check_inert_at_evaluation, marks=pytest.mark.slow_on("jax")),
        pytest.param(testing.check_zero_strength, marks=pytest.mark.slow),
        pytest.param(testing.check_schedules, marks=pytest.mark.slow_on("tensorflow", "torch")),
        pytest.param(testing.check_strengths_take_effect, marks=pytest.mark.slow),
        pytest.param(testing.check_mixed_precision, marks=pytest.mark.slow),
    ],
    ids=called,
)
@pytest.mark.parametrize(
    "which", ["one pass", "two passes", *(pytest.param(each, marks=pytest.mark.slow) for each in ("again", "all"))]
)
def test_in_one_program_with_others_each_does_what_it_does_alone(which, check):
    # The gradients of "again" are sums of so many that TensorFlow adds them in another order without those at zero.
    rounded = which == "again" and check is testing.check_zero_strength
    check(Recipe.parse(TOGETHER[which]), **({"exact": False} if rounded else {}))


def test_conflicts_are_declared_and_name_both():
    found = set()
    for one, other in PAIRS:
        try:
            Recipe(ONE_OF_EACH[one], ONE_OF_EACH[other])
        except ReglabError:
            testing.check_composition(ONE_OF_EACH[one], ONE_OF_EACH[other])
            found.add((one, other))
    assert found == CONFLICTS


def test_every_stage_has_a_strategy_that_stands_for_it():
    assert [ONE_OF_EACH[name].stage for name in STAGES] == list(Stage)


@pytest.mark.parametrize(("one", "other"), _slow_unless_neighbours(BY_STAGE))
def test_strategies_of_two_stages_train_together(one, other):
    testing.check_composition(ONE_OF_EACH[one], ONE_OF_EACH[other])


@pytest.mark.backend
@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), BY_STAGE, ids=["+".join(pair) for pair in BY_STAGE])
def test_strategies_of_two_stages_go_on_from_where_they_stood(one, other):
    testing.check_resumed(Recipe(ONE_OF_EACH[one], ONE_OF_EACH[other]))
