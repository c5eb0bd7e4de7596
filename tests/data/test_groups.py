"""Splits by group: whatever the groups are, none lies on two sides."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold

from reglab import Dataset, ReglabError
from reglab.data import groups as of_groups
from reglab.data import load, split
from reglab.data import test_part as held_out
from reglab.data.dataset import TEST, TRAIN, VAL
from reglab.tasks import of_classes, task_for


def dataset(groups, y=None, part=None, name="patient"):
    y = np.arange(len(groups)) % 2 if y is None else y
    names = tuple(f"c{i}" for i in range(int(max(y)) + 1))
    x = np.arange(len(y), dtype="float32")[:, None]
    return Dataset("made", x, y, names, part=part, groups=groups, group=name)


def parts_of(data, seed=0, **options):
    task = of_classes(data.y, data.class_names)
    return split(data, task, test=held_out(data, task), seed=seed, **options)


def sides(data, parts):
    return [set(data.groups[indices]) for indices in (parts.train, parts.val, parts.test)]


@settings(max_examples=12, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 12), min_size=5, max_size=30),
    seed=st.integers(0, 1000),
    train_share=st.none() | st.floats(0.3, 0.9),
    texts=st.booleans(),
)
def test_no_group_lies_on_two_sides_and_every_example_lies_on_one(sizes, seed, train_share, texts):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    groups = np.random.default_rng(seed).permutation(groups.astype(str) if texts else groups)
    data = dataset(groups)
    whole = parts_of(data, seed)
    assert sorted(np.concatenate([whole.train, whole.val, whole.test])) == list(range(len(data)))
    options = {} if train_share is None else {"train_size": max(2, int(train_share * len(whole.train)))}
    parts, again = parts_of(data, seed, **options), parts_of(data, seed, **options)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not sides(data, parts)[one] & sides(data, parts)[other]
    assert set(parts.train) <= set(whole.train)
    for part in ("train", "val", "test"):
        assert len(getattr(parts, part))
        np.testing.assert_array_equal(getattr(parts, part), getattr(again, part))
    for side in ("val", "test"):  # as a whole
        inside = np.isin(data.groups, data.groups[getattr(parts, side)])
        assert inside.sum() == len(getattr(parts, side))


def nearest_of_scikit_learn(y, groups, share, seed):
    """The first draw of GroupShuffleSplit that is as near to the shares as the nearest, to within 5 points."""
    count = len(np.unique(groups))
    numbers = dict.fromkeys(min(max(round(f * share * count), 1), count - 1) for f in (1, 0.75, 1.25, 0.5, 1.5, 2))
    draws = [
        held
        for number in numbers
        for _, held in GroupShuffleSplit(40, test_size=number, random_state=seed).split(y, y, groups)
    ]
    far = []
    for held in draws:
        of_classes_held = [np.mean(np.isin(np.flatnonzero(y == c), held)) for c in np.unique(y)]
        far.append(abs(len(held) / len(y) - share) + np.mean(np.abs(np.array(of_classes_held) - share)))
    return np.sort(draws[int(np.argmax(np.array(far) <= min(far) + 0.05))])


@pytest.mark.parametrize("seed", range(3))
def test_what_is_held_out_is_a_draw_of_scikit_learns(seed):
    random = np.random.default_rng(seed)
    groups = random.permutation(np.repeat(np.arange(20), random.integers(3, 15, 20)))
    y = random.integers(0, 3, len(groups))
    _, held = of_groups.by_group(groups, y, 0.25, seed=seed, all_stay=True)
    np.testing.assert_array_equal(held, nearest_of_scikit_learn(y, groups, 0.25, seed))


def test_classes_are_in_proportion_as_well_as_in_folds_of_scikit_learn():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), random.integers(3, 20, 40))
    often = random.beta(1, 3, 40)[groups]  # of each group its own share of the second class
    y = (random.random(len(groups)) < often).astype(int)

    def off(held):
        return abs(y[held].mean() - y.mean()) + abs(len(held) / len(y) - 0.2)

    folds = [
        off(held) for _, held in StratifiedGroupKFold(5, shuffle=True, random_state=0).split(groups[:, None], y, groups)
    ]
    ours = [off(of_groups.by_group(groups, y, 0.2, seed=seed, all_stay=True)[1]) for seed in range(20)]
    assert max(ours) < max(max(folds), 0.1)
    assert len({tuple(of_groups.by_group(groups, y, 0.2, seed=seed, all_stay=True)[1]) for seed in range(20)}) > 10


def test_numbers_to_predict_are_held_out_from_all_over_their_range():
    groups = np.repeat(np.arange(30), 5)
    y = np.random.default_rng(1).permutation(150).astype("float32")
    data = Dataset("made", np.ones((150, 1), "float32"), y, (), targets=("y",), groups=groups)
    held = held_out(data, task_for(data.form, data.y, data.names))
    assert len(held) == 30
    assert 5 <= (y[held] < 75).sum() <= 25


def test_a_class_of_one_group_stays_in_training_and_that_is_said():
    y = np.repeat([0, 1, 2], [40, 40, 6])
    groups = np.concatenate([np.arange(80) // 8, np.full(6, 99)])
    data = dataset(groups, y)
    for seed in range(5):
        parts = parts_of(data, seed)
        assert 99 in sides(data, parts)[0]
    first, second = of_groups.told_of_groups(data, parts, seed=4)
    assert "each of the 11 groups of patient lies in one part as a whole. Of seed 4, groups of test " in first
    assert "A single group has all examples of 'c2', so it stays in training" in second


def test_the_first_lines_say_that_whole_groups_are_split_off():
    assert dataset(np.arange(40) // 4).facts[-1].endswith("test and validation are split off, whole groups of patient")


PART = np.repeat(np.array([TRAIN, VAL, TEST], "int8"), [20, 10, 10])


@pytest.mark.parametrize(
    ("groups", "leak"),
    [
        (np.repeat([0, 1, 2, 0], [20, 10, 5, 5]), "1 of the 2 groups of patient of the test part lie in training too, "
         "with 5 of its 10 examples: 0"),
        (np.repeat([0, 1, 1, 3], [20, 10, 5, 5]), "of the test part lie in validation too"),
        (np.repeat([0, 0, 1, 2], [20, 2, 8, 10]), "1 of the 2 groups of patient of the validation part lie in training "
         "too, with 2 of its 10"),
    ],
)  # fmt: skip
def test_parts_of_the_source_that_share_a_group_are_refused(groups, leak):
    data = dataset(groups, part=PART)
    with pytest.raises(ReglabError, match=leak):
        held_out(data, of_classes(data.y, data.class_names))


def test_parts_of_the_source_are_kept_and_only_the_others_are_split_off():
    part = np.repeat(np.array([TRAIN, TEST], "int8"), [60, 20])
    data = dataset(np.arange(80) // 5, part=part)
    parts = parts_of(data)
    np.testing.assert_array_equal(parts.test, np.arange(60, 80))
    assert not sides(data, parts)[0] & sides(data, parts)[1]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.arange(40), "each of the 40 examples is a group of its own"),
        (np.zeros(40), "all examples are of one, 0"),
        (["a", None] * 20, "are missing in 20 of 40 examples, the first of which is 1"),
        (["a", " "] * 20, "are missing in 20 of 40 examples"),
        ([1.0, np.nan] * 20, "are missing in 20 of 40 examples"),
        (np.zeros((40, 2)), r"have shape \(40, 2\), and there are 40 examples"),
        ([1, 2, 3], r"have shape \(3,\)"),
    ],
)
def test_groups_that_are_none_are_refused(groups, message):
    x, y = np.arange(40, dtype="float32")[:, None], np.arange(40) % 2
    with pytest.raises(ReglabError, match=message):
        load((x, y), groups=groups)


def test_fewer_groups_than_parts_are_refused():
    with pytest.raises(ReglabError, match=r"a validation part of 0.2: a part has whole groups, of which 1 is left"):
        parts_of(dataset(np.arange(40) // 20))


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "visits.csv"
    rows = [f"{i % 7 / 3},{i * 13 % 11},p{i // 4:02d},{'ill' if i % 3 else 'well'}" for i in range(80)]
    path.write_text("\n".join(["pulse,weight,patient,state", *rows]))
    return path


def test_a_column_of_groups_is_no_feature(table):
    data = load(table, target="state", group="patient")
    assert data.feature_names == ("pulse", "weight")
    assert data.group == "patient"
    np.testing.assert_array_equal(data.groups, [f"p{i // 4:02d}" for i in range(80)])
    assert load(table, target="state", drop_columns="patient").fingerprint == data.fingerprint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "patiens"}, r"has no column 'patiens' \(group\). Did you mean 'patient'"),
        ({"group": "state"}, "'state' holds the label"),
        ({"group": "patient", "groups": np.arange(80) // 4}, "and an array of groups is given too"),
    ],
)
def test_a_group_column_that_cannot_be(table, options, message):
    with pytest.raises(ReglabError, match=message):
        load(table, target="state", **options)


def test_a_table_whose_rows_have_no_group_is_refused_with_the_line(table):
    table.write_text(table.read_text().replace(",p00,", ",,"))
    with pytest.raises(ReglabError, match="4 of 80 rows have no group in 'patient', the first in line 2"):
        load(table, target="state", group="patient")


def test_a_group_column_of_what_is_no_table_is_refused():
    with pytest.raises(ReglabError, match=r"group: said of a table.*groups, an array with a value per example"):
        load("digits", group="patient")
    data = Dataset("made", np.ones((4, 1), "float32"), np.array([0, 1, 0, 1]), ("a", "b"))
    with pytest.raises(ReglabError, match=r"made is a Dataset. Give it groups"):
        load(data, group="patient")


def test_groups_of_a_pipeline_are_refused_for_it_may_shuffle():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return np.arange(10.0)[:, None] + index, np.arange(10) % 2

    with pytest.raises(ReglabError, match="a pipeline may give examples in another one"):
        load(Batches(), groups=np.arange(20) // 4)
