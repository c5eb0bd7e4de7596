"""Recipes: one value in every form, in one order, with conflicts and mistakes told in a sentence."""

import dataclasses
import itertools
import json
import pickle

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reglab import Recipe, ReglabError
from reglab.declare import params
from reglab.paper import table2, table3, without_transforms
from reglab.strategies import (
    CATALOGUE,
    EMA,
    L1,
    L1L2,
    L2,
    Augmentation,
    Dropout,
    GaussianNoise,
    Linear,
    Stage,
    Strategy,
)


def values(declared):
    """Any value that a declaration allows, for Hypothesis."""
    low = declared.low if declared.low > -1e6 else -1e6
    high = declared.high if declared.high < 1e6 else 1e6
    numbers = st.floats(low, high, exclude_min=declared.open_low, exclude_max=declared.open_high)
    found = {
        "float": numbers,
        "int": st.integers(int(low), int(high)),
        "bool": st.booleans(),
        "choice": st.sampled_from(declared.choices or ("",)),
        "pair": numbers | st.tuples(numbers, numbers),
        "places": st.sampled_from(declared.choices or ("",)).map(lambda place: (place,))
        | st.just(("block 1/conv", "none", "dense_2")),
        "bounds": st.tuples(numbers, numbers).map(lambda pair: tuple(sorted(pair))),
        "text": st.text(min_size=1).filter(str.strip),
        "options": st.just({"rate": 0.5, "noise_shape": (1, 2), "name": "8/255"}),
    }[declared.kind]
    if declared.strength and declared.kind == "float":
        found |= st.builds(Linear, numbers, numbers, st.integers(1, 50))
    return found | st.none() if declared.optional else found


@st.composite
def strategies(draw):
    cls = draw(st.sampled_from(sorted(CATALOGUE.values(), key=lambda cls: cls.name)))
    chosen = {name: draw(values(declared)) for name, declared in params(cls).items() if draw(st.booleans())}
    try:
        return cls(**chosen)
    except ReglabError:  # what no single value can know, such as a zoom that would turn an image inside out
        return cls()


@st.composite
def recipes(draw):
    recipe = Recipe()
    for strategy in draw(st.lists(strategies(), max_size=4)):
        try:
            recipe += strategy
        except ReglabError:  # a declared conflict
            continue
    return recipe


def test_a_negative_zero_is_zero():
    ours, other = (Recipe.parse(f"augmentation(cval={cval})") for cval in ("0.0", "-0.0"))
    assert ours.fingerprint() == other.fingerprint()


@given(recipes())
def test_every_form_gives_the_recipe_back(recipe):
    assert Recipe.parse(recipe.to_text()) == recipe
    assert Recipe.from_list(recipe.to_list()) == recipe
    assert Recipe.from_list(json.loads(json.dumps(recipe.to_list()))) == recipe
    assert Recipe.from_list(yaml.safe_load(yaml.safe_dump(recipe.to_list()))) == recipe
    assert Recipe.parse(yaml.safe_load(yaml.safe_dump(recipe.to_text()))) == recipe
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert Recipe.parse(recipe.to_text()).fingerprint() == recipe.fingerprint()
    assert hash(Recipe.parse(recipe.to_text())) == hash(recipe)


@given(recipes())
def test_a_recipe_is_sorted_whatever_the_order_it_was_written_in(recipe):
    assert Recipe(*reversed(list(recipe))) == recipe
    assert [strategy.stage for strategy in recipe] == sorted(strategy.stage for strategy in recipe)


def test_strategies_of_a_recipe_stand_in_the_order_of_the_step():
    """It is part of a recipe's text and fingerprint, by which folders know their runs."""
    expected = [
        "augmentation", "label_smoothing", "cutmix", "mixup", "adversarial", "dropout", "gaussian_noise", "layer",
        "stochastic_depth", "spectral_normalization", "weight_noise", "l1l2", "l2_sp", "r_drop", "trades",
        "gradient_centralization", "sam", "weight_decay", "ema", "learning_rate", "max_norm", "early_stopping",
    ]  # fmt: skip
    assert [each.name for each in Recipe(*(cls() for name, cls in CATALOGUE.items() if name in expected))] == expected
    assert Recipe.parse("l2+l1").to_text() == "l1(kernel=0.0001) + l2(kernel=0.001)"


def own(name, *after):
    """Return a strategy that comes after others of its stage."""
    body = {"name": name, "stage": Stage.LOSS, "after": after}
    return dataclasses.dataclass(frozen=True)(type(name, (Strategy,), body))()


def test_in_a_stage_a_strategy_comes_after_those_that_it_names_and_else_by_name():
    first, second, third = own("a", "z"), own("b"), own("z")
    for given_order in itertools.permutations((first, second, third)):
        assert Recipe(*given_order).strategies == (second, third, first)
    assert Recipe(first, second, L2()).strategies == (first, second, L2())  # what is not there holds up nothing


def test_two_that_each_come_after_the_other_are_told():
    with pytest.raises(ReglabError, match="a and b each come after another of them"):
        Recipe(own("a", "b"), own("b", "a"))


def test_a_strategy_says_its_stage():
    with pytest.raises(ReglabError, match=r"own does not say where in the training step.*stage = Stage\.LOSS"):
        dataclasses.dataclass(frozen=True)(type("Own", (Strategy,), {"name": "own"}))()


@given(recipes())
def test_a_recipe_accepts_itself_and_its_values_in_each_epoch(recipe):
    assert recipe.accepts(recipe)
    for epoch in (0, 1, 100):
        assert recipe.accepts(recipe.at(epoch))
        assert not recipe.at(epoch).scheduled


def test_the_readme_forms_are_the_same():
    recipe = L2(kernel=1e-3) + Augmentation(rotation_range=10) + Dropout(rate=0.1)
    assert recipe == Recipe.parse("l2(kernel=1e-3)+dropout(rate=0.1)+augmentation(rotation_range=10)")
    assert recipe == Recipe.parse("  L2( 1e-3 ) + dropout( 0.1 )\n + augmentation(10) ")
    by_list = [{"l2": {"kernel": 1e-3}}, {"augmentation": {"rotation_range": 10}}, "dropout"]
    assert recipe == Recipe.from_list(by_list)
    assert recipe == Recipe.of(yaml.safe_load("[l2: {kernel: 1e-3}, augmentation: {rotation_range: 10}, dropout: {}]"))


def test_a_strategy_without_hyperparameters_is_its_name():
    @dataclasses.dataclass(frozen=True)
    class Own(Strategy):
        name = "own"
        stage = Stage.WEIGHTS

    recipe = Recipe(Own())
    assert recipe.to_text() == "own"
    assert Recipe(Own(), L2(kernel=0.01)).to_text() == "own + l2(kernel=0.01)"
    assert recipe == Recipe(Own())


def test_the_empty_recipe_is_none():
    for text in ("none", "None", " none ", ""):
        assert Recipe.parse(text) == Recipe() == Recipe.of(None)
    assert Recipe().to_text() == "none"
    assert len(Recipe() + L2()) == 1


def test_a_recipe_cannot_be_changed():
    with pytest.raises(AttributeError, match="cannot be changed"):
        Recipe().strategies = (L2(),)
    with pytest.raises(dataclasses.FrozenInstanceError):
        L2().kernel = 3


def test_another_value_is_another_fingerprint():
    found = {Recipe.parse(text).fingerprint() for text in ("none", "l2(1e-3)", "l2(1e-4)", "l1(1e-3)", "dropout(0.1)")}
    assert len(found) == 5
    assert Recipe(L2(kernel=1e-3)).fingerprint() == Recipe(L2()).fingerprint()  # the default, written or not


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("l3", r"Unknown strategy 'l3'\. Did you mean 'l[12]'\?.*Known are adversarial"),
        ("l2(kernal=1e-3)", r"l2 has no hyperparameter 'kernal'\. Did you mean 'kernel'"),
        ("l2(kernel=-1)", r"l2: kernel=-1 is not possible \(out of range\)\. Expected \[0, inf\)"),
        ("dropout(rate=1)", r"dropout: rate=1 is not possible.*Expected \[0, 1\)"),
        ("dropout(rate=high)", r"dropout: rate=high is not possible"),
        ("dropout(0.1, rate=0.2)", "dropout: rate is given twice"),
        ("dropout(0.1, hidden, 3)", "dropout takes at most 2 values; given were 3"),
        ("adversarial(method=fgms)", r"method=fgms is not possible.*Did you mean 'fgsm'.*Expected fgsm or bim or pgd"),
        ("l2 + l2(kernel=1)", "l2 stands twice in the recipe"),
        ("l1 + l1l2", "l1 and l1l2 cannot be combined: l1l2 has an L1 part already: give both coefficients to it"),
        ("dropout + dropout(rate=0.2)", r"dropout stands twice.*at different places"),
        ("l2(", "Cannot read 'l2\\('"),
        ("l2 * 3", r"Cannot read 'l2 \* 3'"),
        ("l2 - dropout", "Cannot read"),
        ("__import__('os').system('true')", "Cannot read"),
        ("l2(kernel=__import__('os'))", r"Unknown schedule|Cannot read"),
        ("l2(kernel=open('f').read())", "Cannot read"),
        ("l2(kernel=lambda: 1)", "Cannot read the value"),
        ("l2(**options)", r"\*\* is not read here"),
        ("l2(kernel=1e-3 if 1 else 2)", "Cannot read the value"),
        ("l2(kernel=1/0)", "Cannot read the value"),
        ("l2" + "+l2" * 5000, "characters long"),
        ("l2(kernel=linear(0, 1, 0))", "linear"),
        ("l2(kernel=liner(0, 1, 3))", r"Did you mean 'linear'"),
        ("early_stopping(patience=linear(1, 2, 3))", "cannot follow a schedule"),
    ],
)
def test_mistakes_are_told(text, message):
    with pytest.raises(ReglabError, match=message):
        Recipe.parse(text)


@pytest.mark.parametrize("item", [{"l2": 3}, {"l2": {}, "l1": {}}, 3, ["l2"]])
def test_lists_that_are_no_recipes(item):
    with pytest.raises(ReglabError):
        Recipe.from_list([item])


def test_what_is_no_recipe_at_all():
    with pytest.raises(ReglabError, match=r"3 is not a recipe\. Give reglab\.Recipe"):
        Recipe.of(3)
    with pytest.raises(ReglabError, match="A recipe is made of strategies"):
        Recipe("l2")


def test_one_strategy_may_stand_at_two_places():
    recipe = Dropout(rate=0.2, where="input") + Dropout(rate=0.5, where="hidden")
    assert len(recipe) == 2
    assert Recipe.parse(recipe.to_text()) == recipe


def test_a_sweep_shares_a_program_and_other_terms_do_not():
    assert Recipe(L2(kernel=1e-3)).accepts(Recipe(L2(kernel=1e-1)))
    assert Recipe(L2(kernel=1e-3)).accepts(Recipe(L2(kernel=0)))
    assert not Recipe(L2(kernel=0)).accepts(Recipe(L2(kernel=1e-3)))
    assert not Recipe(L2(kernel=1e-3)).accepts(Recipe(L2(kernel=1e-3, bias=1e-3)))
    assert not Recipe(L2()).accepts(Recipe(L1()))
    assert Recipe(GaussianNoise(stddev=0.1)).structure() == Recipe(GaussianNoise(stddev=0.2)).structure()


def test_riders_leave_their_host():
    recipe = Recipe.parse("l2 + early_stopping(patience=3) + ema")
    assert recipe.host() == Recipe(L2())
    assert EMA.rider


def test_the_papers_tables():
    assert list(table2()) == [
        "no regularization", "L1", "L2", "L1L2", "dataset augmentation", "noise robustness", "early stopping",
        "dropout", "adversarial (FGSM)", "combination",
    ]  # fmt: skip
    assert table2()["L1L2"] == Recipe(L1L2(kernel=1e-3))
    assert len(table2()["combination"]) == 3
    assert table3()["L2 0.001"] == table2()["L2"]


def test_flips_are_left_out_of_the_papers_arms_and_it_is_said():
    kept, notes = without_transforms(table2(), frozenset({"horizontal_flip", "vertical_flip"}))
    assert not any({"horizontal_flip"} & recipe.active_transforms() for recipe in kept.values())
    assert kept["dataset augmentation"].active_transforms() >= {"rotation_range", "width_shift_range"}
    assert [note.split(":")[0] for note in notes] == ["dataset augmentation", "combination"]
    assert without_transforms(table2(), frozenset()) == (table2(), [])


def test_two_strategies_of_one_name_keep_their_order_whatever_their_strengths():
    text = "dropout(rate=0.1, where=hidden) + dropout(rate=linear(0.0, 0.5, 4), where=input)"
    recipe = Recipe.parse(text)
    for epoch in range(5):
        assert [s.places for s in recipe.at(epoch)] == [s.places for s in recipe]
    assert recipe.accepts(recipe.at(4))
