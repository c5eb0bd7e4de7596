"""What one example is: seen from its axes, or declared; what does not fit is refused before anything is trained."""

from __future__ import annotations

import numpy as np
import pytest

import reglab
from reglab.data import load
from reglab.data.kinds import KINDS, shaped
from reglab.errors import ReglabError

LABELS = np.arange(12) % 2
RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(12, 6)).astype("float32")
IDS = RANDOM.integers(0, 9, (12, 6))


@pytest.mark.parametrize(
    ("shape", "kind"), [((6,), "table"), ((6, 2), "series"), ((6, 5, 3), "image"), ((2, 6, 5, 3), "array")]
)
def test_the_kind_is_seen_from_the_axes_and_said(shape, kind):
    x = RANDOM.normal(size=(12, *shape)).astype("float32")
    assert load((x, LABELS)).kind == reglab.Dataset("made", x, LABELS, ("a", "b")).kind == kind
    assert f"({kind}, float32, " in load((x, LABELS)).facts[0]


@pytest.mark.parametrize(
    ("x", "kind", "shape", "dtype"),
    [
        (ROWS, "series", (6, 1), "float32"),
        (ROWS[:, :, None], "series", (6, 1), "float32"),
        (IDS, "tokens", (6,), "int64"),
        (IDS.astype("float32"), "tokens", (6,), "int32"),
        (IDS.astype("uint8"), "tokens", (6,), "int32"),
        (IDS.reshape(12, 3, 2).astype("float32"), "image", (3, 2, 1), "float32"),
        (IDS.reshape(12, 3, 2).astype("uint8"), "series", (3, 2), "uint8"),
        (np.zeros((12, 3, 6, 6)) + np.arange(12)[:, None, None, None], "array", (3, 6, 6), "float32"),
    ],
)
def test_a_declared_kind_gets_its_shape(x, kind, shape, dtype):
    data = load((x, LABELS), kind=kind)
    assert (data.kind, data.input_shape, data.x.dtype) == (kind, shape, dtype)
    assert not data.notes


def test_a_kind_is_declared_of_files_and_of_data_that_are_there(tmp_path):
    np.savez(tmp_path / "ids.npz", x=IDS, y=LABELS)
    assert load(tmp_path / "ids.npz", kind="tokens").kind == "tokens"
    (tmp_path / "rows.csv").write_text(
        "\n".join(["a,b,c,label", *(f"{i * 0.5},{i % 3 + 0.25},{i % 5},{'no' if i % 2 else 'yes'}" for i in range(12))])
    )
    assert load(tmp_path / "rows.csv", target="label", kind="series").input_shape == (3, 1)
    data = load((ROWS, LABELS))
    assert load(data, kind="series").input_shape == (6, 1)
    assert load(data, kind="table") is data


def test_tokens_say_how_many_there_can_be():
    assert load((IDS, LABELS), kind="tokens").vocabulary == IDS.max() + 1
    assert load((IDS, LABELS)).vocabulary is None


@pytest.mark.parametrize(
    ("x", "kind", "said"),
    [
        (ROWS, "image", r"examples have shape \(12, 6\); images have \(N, height, width, channels\)"),
        (ROWS, "tokens", r"row 0, position \(0,\) is 0\.12.*tokens are indices: whole numbers, 0 or larger"),
        (IDS - 1, "tokens", r"is -1, and tokens are indices"),
        (ROWS[:, None, None], "series", r"series have \(N, time, features\)"),
        (ROWS, "picture", r"kind='picture' is invalid. Expected one of image, table, series, tokens, array"),
    ],
)
def test_what_is_not_of_the_declared_kind_is_refused(x, kind, said):
    with pytest.raises(ReglabError, match=said):
        load((x, LABELS), kind=kind)


class TestTakenFor:
    """Rows of numbers can be several things; a network that takes one of them decides, and that is said."""

    def test_rows_are_series_for_a_network_of_series(self):
        data = load((ROWS, LABELS), taken_by=("fcn", ("series",)))
        assert data.input_shape == (6, 1)
        assert data.notes == ("Rows of 6 numbers (float32) were taken for series, which fcn takes.",)

    def test_whole_numbers_are_tokens_for_a_network_of_tokens(self):
        data = load((IDS, LABELS), taken_by=("transformer", ("tokens",)))
        assert (data.kind, data.vocabulary) == ("tokens", IDS.max() + 1)
        assert data.notes == ("Rows of 6 numbers (int64) were taken for tokens, which transformer takes.",)

    @pytest.mark.parametrize("kinds", [("tokens",), ("image",), ("table", "series")])
    def test_what_cannot_be_or_need_not_is_left(self, kinds):
        data = load((ROWS, LABELS), taken_by=("some", kinds))
        assert (data.kind, data.notes) == ("table", ())

    def test_columns_with_names_are_a_table(self):
        assert load("iris", taken_by=("fcn", ("series",))).kind == "table"

    def test_what_is_said_goes_before(self):
        assert load((IDS, LABELS), kind="table", taken_by=("transformer", ("tokens",))).kind == "table"


def test_every_kind_has_a_shape():
    by_axes = {"image": ROWS[:, :, None, None], "table": ROWS, "series": ROWS[:, :, None], "tokens": IDS, "array": ROWS}
    assert all(len(shaped(by_axes[kind], kind, name="made")) == 12 for kind in KINDS)


class TestStrategies:
    """A recipe that acts on inputs it does not understand is refused before a model is built."""

    @staticmethod
    def plan(x, recipe, **options):
        from reglab.study.workbench import Workbench

        study = reglab.Study((x, LABELS), failing, [recipe], epochs=1, **options)
        return Workbench(study.assignment).plan()

    @pytest.mark.parametrize(
        ("x", "kind", "recipe", "said"),
        [
            (
                ROWS,
                None,
                "augmentation(rotation_range=10)",
                r"augmentation acts on images, .* are tables of shape \(6,\)",
            ),
            (ROWS, "series", "cutmix", r"cutmix acts on images, and the inputs of arrays are series of shape \(6, 1\)"),
            (IDS, "tokens", "mixup", r"mixup changes the numbers .* they are indices"),
            (IDS, "tokens", "l2 + gaussian_noise(where=input)", r"they are indices.*Use where='hidden'"),
            (IDS, "tokens", "adversarial", "they are indices"),
        ],
    )
    def test_refused(self, x, kind, recipe, said):
        with pytest.raises(ReglabError, match=said):
            self.plan(x, recipe, kind=kind)

    @pytest.mark.parametrize("recipe", ["l2", "gaussian_noise(where=hidden)", "dropout", "label_smoothing + sam"])
    def test_what_acts_elsewhere_is_not(self, recipe):
        with pytest.raises(ReglabError, match="no model"):
            self.plan(IDS, recipe, kind="tokens")

    def test_a_strategy_of_tokens_can_say_so(self):
        class Masking(reglab.strategies.Strategy):
            name, formula, paper, stage = "masking", "x * m", "none", reglab.strategies.Stage.EXAMPLES
            kinds = frozenset({"tokens"})

            def on_batch(self, batch, s, random, input_range):
                return batch

        with pytest.raises(ReglabError, match="no model"):
            self.plan(IDS, Masking(), kind="tokens")
        with pytest.raises(ReglabError, match="masking acts on tokens, and the inputs of arrays are tables"):
            self.plan(ROWS, Masking())


def failing():
    raise ReglabError("no model")


def test_a_network_refuses_what_it_does_not_take():
    from reglab.models import resolve

    with pytest.raises(ReglabError, match=r"resnet takes images; the data is tokens of shape \(6,\)"):
        resolve("resnet(depth=8)", input_shape=(6,), num_classes=2, kind="tokens", vocabulary=9)
    with pytest.raises(ReglabError, match=r"mlp takes tables, series, images, other arrays; the data is tokens"):
        resolve("mlp", input_shape=(6,), num_classes=2, kind="tokens", vocabulary=9)
