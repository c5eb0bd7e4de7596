"""Every strategy, with every variant that has code of its own, passes the checks that reglab ships."""

import pytest

from reglab import testing
from reglab.recipe import Recipe
from reglab.strategies import CATALOGUE

SAMPLES = [
    "l1(kernel=1e-3, bias=1e-3, activity=1e-3)",
    "l2(kernel=1e-3, bias=1e-3, activity=1e-3)",
    "l1l2(kernel=(1e-3, 2e-3), bias=1e-3, activity=(1e-4, 0))",
    "augmentation(rotation_range=10, width_shift_range=0.1, height_shift_range=1.5, shear_range=5, zoom_range=0.1, "
    "channel_shift_range=0.2)",
    "augmentation(rotation_range=10, fill_mode=constant, cval=0.5)",
    "gaussian_noise(stddev=0.1, where=input)",
    "gaussian_noise(stddev=0.1, where=(hidden, output))",
    "weight_noise(stddev=0.02)",
    "label_smoothing(smoothing=0.1)",
    "dropout(rate=0.2, where=hidden)",
    "dropout(rate=0.2, where=(input, output))",
    "early_stopping(monitor=val_loss, patience=1)",
    "adversarial(epsilon=0.1)",
    "adversarial(method=bim, epsilon=0.1, steps=2, step_size=0.06, share=1.0)",
    "adversarial(method=pgd, epsilon=0.3, steps=2, norm=l2, clip=data)",
    "mixup(alpha=0.5)",
    "weight_decay(decay=0.1)",
    "learning_rate(rate=0.05)",
    "ema(momentum=0.5)",
    "sam(rho=0.05)",
]
# Fitted parts and flips leave training as it was at no strength, so the check of zero strength is not for them.
FITTED = [
    "augmentation(horizontal_flip=true, vertical_flip=true, brightness_range=(0.5, 1.5))",
    "augmentation(zca_whitening=true, zca_epsilon=0.1, rotation_range=10, horizontal_flip=true)",
    "augmentation(featurewise_center=true, featurewise_std_normalization=true)",
    "augmentation(samplewise_center=true, samplewise_std_normalization=true)",
]
ONE_OF_EACH = {next(iter(Recipe.parse(text))).name: next(iter(Recipe.parse(text))) for text in reversed(SAMPLES)}
PAIRS = [(a, b) for a in sorted(ONE_OF_EACH) for b in sorted(ONE_OF_EACH) if a < b]


def strategy(text):
    (found,) = Recipe.parse(text)
    return found


def test_there_is_a_sample_of_every_strategy():
    assert set(ONE_OF_EACH) == set(CATALOGUE)


@pytest.mark.backend
@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("text", SAMPLES)
def test_conformance(text, check):
    check(strategy(text))


@pytest.mark.backend
@pytest.mark.parametrize(
    "check",
    [check for check in testing.CHECKS if check is not testing.check_zero_strength],
    ids=lambda check: check.__name__.removeprefix("check_"),
)
@pytest.mark.parametrize("text", FITTED)
def test_conformance_of_what_is_fitted(text, check):
    check(strategy(text))


@pytest.mark.backend
@pytest.mark.parametrize(("one", "other"), PAIRS, ids=["+".join(pair) for pair in PAIRS])
def test_every_pair_trains_or_is_a_declared_conflict(one, other):
    testing.check_composition(ONE_OF_EACH[one], ONE_OF_EACH[other])
