"""A file that is no study is told in a sentence that names it; numbers and texts without bounds have bounds."""

import contextlib

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.study.spec import Settings, named_recipes, read_yaml

BROKEN = {
    "nested": "[" * 3_000,
    "nested mappings": "{a: " * 5_000,
    "digits": f"seeds: {'9' * 5_000}",
    "no UTF-8": b"data: caf\xe9",
    "UTF-16": "data: digits".encode("utf-16"),
    "impossible date": "data: 2024-13-45",
    "a list": "- data",
    "a number": "5",
    "nothing": "",
    "a tag": "data: !!python/object:os.system {}",
    "a complex key": "? [a]\n: b",
    "an anchor that is not there": "data: *a",
    "data a list": "data: [digits]",
    "model a mapping": "data: digits\nmodel: {mlp: 1}",
    "baseline a list": "data: digits\nbaseline: [none]",
    "recipes a number": "data: digits\nrecipes: 5",
    "a recipe without a name": "data: digits\nrecipes: {'': l2}",
    "objects a number": "data: digits\npython_objects: 5",
    "a control character": b"data: dig\x1bits",
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(10**30) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9) | st.integers(), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "data",
    "model",
    "recipes",
    "baseline",
    "seeds",
    "epochs",
    "image_size",
    "target",
    "optimizer",
    "python_objects",
]


def made(content):
    """Make a study of what a file says, as the command line does, but for reading the data."""
    held = dict(content)
    for key in ("data", "model", "python_objects"):
        held.pop(key, None)
    baseline, recipes = held.pop("baseline", None), named_recipes(held.pop("recipes", ()))
    return Settings(**held), recipes, baseline


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_what_is_no_study_is_told_with_the_file(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ReglabError, match=r"study\.yaml") as raised:
        read_yaml(path)
    assert len(str(raised.value)) < 600


@given(content=st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=9), ANYTHING, max_size=5))
@example(content={"seeds": 10**30})
@example(content={"epochs": 10**400})
@example(content={"recipes": {"a": ["l2", {"l2": {"kernel": 10**400}}]}})
@example(content={"image_size": [[64], 64]})
@example(content={"recipes": [[], "=l2", {"dropout": 5}]})
@pytest.mark.slow
def test_any_file_is_a_study_or_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "study.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    with contextlib.suppress(ReglabError):
        made(read_yaml(path))


@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_study_or_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "study.yaml"
    path.write_bytes(content)
    with contextlib.suppress(ReglabError):
        made(read_yaml(path))


@pytest.mark.parametrize(
    "text",
    [
        "l2(kernel=" + "-" * 5_000 + "1)", "l2(kernel=" + "(" * 3_000 + ")" * 3_000 + ")", "+".join(["l2"] * 3_000),
        f"l2(kernel={'9' * 4_000}/3)", f"l2(kernel={'9' * 5_000})", "f(" * 2_000 + ")" * 2_000, "l2(kernel=1e999)",
    ],
    ids=["signs", "brackets", "terms", "a huge quotient", "digits", "calls", "infinite"],
)  # fmt: skip
def test_recipes_without_bounds_are_refused(text):
    with pytest.raises(ReglabError) as raised:
        Recipe.parse(text)
    assert len(str(raised.value)) < 600


def test_whole_numbers_are_kept_exactly():
    assert Settings(first_seed=2**53 - 1).first_seed == 2**53 - 1
    with pytest.raises(ReglabError, match="larger than"):
        Settings(first_seed=2**53 + 1)
