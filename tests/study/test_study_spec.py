"""Settings, recipes by name, YAML."""

from __future__ import annotations

import pytest

from reglab.declare import params
from reglab.errors import ReglabError
from reglab.facade import Study
from reglab.recipe import Recipe
from reglab.strategies import L2, Dropout
from reglab.study.spec import Settings, named_recipes


@pytest.mark.parametrize("name", list(params(Settings)))
def test_every_setting_refuses_what_is_out_of_its_range(name):
    for value in params(Settings)[name].invalid_values():
        if params(Settings)[name].kind == "text" and value == "no such value":
            continue  # any text is a text; what it means is checked by who reads it
        if name == "separator" and value == " ":
            continue  # which is one: a space
        with pytest.raises(ReglabError, match=name):
            Settings(**{name: value})


def test_recipes_are_named_by_what_they_are_or_as_asked():
    named = named_recipes(["none", "weak=l2(kernel=1e-5)", L2(kernel=1e-3), L2() + Dropout()])
    assert list(named) == ["none", "weak", "l2(kernel=0.001)", "dropout(rate=0.1) + l2(kernel=0.001)"]
    assert named["weak"] == Recipe(L2(kernel=1e-5))


def test_two_recipes_of_one_name_are_refused():
    with pytest.raises(ReglabError, match="Two recipes are called"):
        named_recipes(["l2", "l2(kernel=1e-3)"])


def test_the_baseline_is_added_where_it_is_missing():
    study = Study("digits", "mlp", ["l2"])
    assert list(study.recipes) == ["none", "l2(kernel=0.001)"]
    assert study.baseline == "none"


def test_a_baseline_that_is_no_recipe_is_refused():
    with pytest.raises(ReglabError, match="not among the recipes"):
        Study("digits", "mlp", ["l2"], baseline="dropout")


def test_an_unknown_setting_suggests_the_nearest():
    with pytest.raises(ReglabError, match="'epochs'"):
        Study("digits", "mlp", epoch=3)


def test_yaml_holds_the_same_as_python(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        "data: digits\nmodel: mlp\nepochs: 3\nlearning_rate: 1e-3\n"
        "recipes:\n  none: none\n  weak: l2(kernel=1e-5)\n  both: [{l2: {kernel: 1e-3}}, {dropout: {rate: 0.2}}]\n"
    )
    study = Study.from_yaml(path, seeds=2)
    assert study.settings == Settings(epochs=3, seeds=2, learning_rate=1e-3)
    assert study.recipes["both"] == L2(kernel=1e-3) + Dropout(rate=0.2)
    assert Study(**study.spec()).spec() == study.spec()


@pytest.mark.parametrize(
    ("text", "message"),
    [("epoch: 3", "'epochs'"), ("- 1", "does not hold a study"), ("a: [", "not valid YAML")],
)
def test_yaml_that_is_wrong_says_where(tmp_path, text, message):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(ReglabError, match=message):
        Study.from_yaml(path)
