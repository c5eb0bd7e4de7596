"""Figures: what is drawn is what results hold."""

import dataclasses
import json

import made
import numpy as np
import pytest

import reglab
from reglab.errors import ReglabError
from reglab.facade import Results
from reglab.report import bands, embed, extras, figures
from reglab.report.figures import theme
from reglab.study.storage import disk


def traces(figure, meta):
    return [trace for trace in figure.data if trace.meta == meta]


def test_the_forest_has_the_verdicts_differences_and_intervals_best_on_top(results):
    figure = figures.forest(results)
    rows = sorted(
        (row for row in results.comparison.rows if row.verdict), key=lambda row: row.verdict.paired.mean
    )  # fmt: skip
    for position, (row, mean, line, seeds) in enumerate(
        zip(rows, traces(figure, "mean"), traces(figure, "interval"), traces(figure, "seeds"), strict=True)
    ):
        assert (mean.x[0], mean.y[0]) == (pytest.approx(100 * row.verdict.paired.mean), position)
        low, high = row.verdict.low, row.verdict.high
        ends = sorted((0.0, row.verdict.paired.mean)) if row.verdict.bound else (low, high)
        assert list(line.x) == pytest.approx([100 * end for end in ends])
        assert list(seeds.x) == pytest.approx([100 * d for d in row.differences["accuracy"].values.values()])
    both = [row for row in rows if row.crossed is not None]
    for row, line in zip(both, traces(figure, "over examples too"), strict=True):
        assert list(line.x) == pytest.approx([100 * row.crossed.low, 100 * row.crossed.high])


def test_a_mark_is_filled_only_for_better_or_worse(results):
    words = {row.name: row.verdict.word for row in results.comparison.rows if row.verdict}
    for mean in traces(figures.forest(results), "mean"):
        assert (mean.marker.color != theme.SURFACE) == (words[mean.name] in ("better", "worse"))


def test_a_declared_margin_is_shaded(tmp_path):
    found = Results.load(made.study(tmp_path / "s", {"none": "none", "l2": "l2"}, spec={"margin": 2.0}))
    (shape,) = [shape for shape in figures.forest(found).layout.shapes if shape.type == "rect"]
    assert (shape.x0, shape.x1) == (-2.0, 2.0)


@pytest.mark.parametrize("metric", ["accuracy", "cross_entropy"])
def test_learning_curves_are_means_and_extremes_over_seeds(results, metric):
    figure = figures.learning_curves(results, ["dropout"], metric=metric)
    scale = 100 if metric == "accuracy" else 1
    for part in ("train", "val"):
        curves = np.array([run.history[f"{part}_{metric}"] for run in results.runs["dropout"].values()])
        (line,) = traces(figure, part)
        np.testing.assert_allclose(line.y, scale * curves.mean(axis=0))
        np.testing.assert_allclose(line.customdata[:, 0], scale * curves.min(axis=0))
        np.testing.assert_allclose(line.customdata[:, 1], scale * curves.max(axis=0))
        assert list(line.x) == list(range(1, 13))
    (behind,) = traces(figure, "baseline")
    curves = [run.history[f"val_{metric}"] for run in results.runs["none"].values()]
    np.testing.assert_allclose(behind.y, scale * np.mean(curves, axis=0))


def test_learning_curves_of_all_recipes_are_panels_on_common_axes(results):
    figure = figures.learning_curves(results, onset={"none": 7.5})
    assert [note.text for note in figure.layout.annotations[:4]] == list(made.RECIPES)
    assert len({tuple(axis.range) for axis in figure.select_yaxes()}) == 1
    assert [shape.x0 for shape in figure.layout.shapes] == [7.5]


def test_a_mean_ends_where_fewer_than_half_of_the_seeds_go_on():
    found = bands.band([[1, 2, 3, 4], [3, 4], [5, 6, None]])
    assert list(found.x) == [1, 2]
    assert list(found.mean) == [3, 4]
    assert (list(found.low), list(found.high)) == ([1, 2], [5, 6])
    assert list(bands.band([[1, 2, 3], [3]]).mean) == [2, 2, 3]
    assert len(bands.band([]).x) == 0


def test_the_gap_is_drawn_against_accuracy(results):
    for mean in traces(figures.gap_against_accuracy(results), "mean"):
        row = results.comparison.row(mean.name)
        assert (mean.x[0], mean.y[0]) == pytest.approx((100 * row.mean("gap"), 100 * row.mean("accuracy")))


def test_changes_of_classes_are_recalls_minus_the_baselines(results):
    (heat,) = figures.per_class(results).data
    for i, name in enumerate(["l2", "dropout", "too much"]):
        seeds = [seed for seed, run in results.runs[name].items() if run.details]
        recalls = [
            [np.diag(results.runs[which][seed].details["confusion"]) / 40 for seed in seeds] for which in (name, "none")
        ]  # fmt: skip
        np.testing.assert_allclose(heat.z[i], 100 * np.mean(np.subtract(*recalls), axis=0), atol=1e-9)


def test_intervals_of_classes_are_paired_t_intervals(results):
    from scipy import stats

    found = bands.changes(results, "l2")
    mine, theirs = (
        np.array([run.details["confusion"][1, 1] / 40 for run in results.runs[name].values()])
        for name in ("l2", "none")
    )
    interval = stats.ttest_rel(mine, theirs).confidence_interval(0.95)
    assert (found.low[1], found.high[1]) == pytest.approx((interval.low, interval.high))


def test_a_confusion_matrix_holds_shares_of_the_true_class_errors_apart_from_hits(results):
    counts = np.sum([run.details["confusion"] for run in results.runs["l2"].values()], axis=0)
    figure = figures.confusion(results, "l2")
    (errors,), (right,) = traces(figure, "errors"), traces(figure, "right")
    shares = 100 * counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.diag(right.z), np.diag(shares))
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(np.array(errors.z)[off], shares[off])
    assert np.isnan(np.diag(errors.z)).all()


def test_reliability_pools_the_examples_of_all_seeds(results):
    predictions = results.predictions("l2")
    confidence = predictions.predicted.max(axis=-1).astype("float64").ravel()
    right = (predictions.predicted.argmax(axis=-1) == predictions.labels).ravel()
    (line,) = traces(figures.reliability(results, ["l2"]), "recipe")
    index = np.clip(np.ceil(confidence * 15).astype(int) - 1, 0, 14)
    bins = np.unique(index)
    np.testing.assert_allclose(line.x, [100 * confidence[index == i].mean() for i in bins])
    np.testing.assert_allclose(line.y, [100 * right[index == i].mean() for i in bins])
    np.testing.assert_allclose(line.customdata, [100 * (index == i).mean() for i in bins])


def test_a_sweep_is_found_in_recipes_that_differ_in_one_number(swept):
    (sweep,) = figures.sweeps(swept)
    assert (sweep.strategy, sweep.parameter, sweep.values) == ("l2", "kernel", (1e-5, 1e-4, 1e-3, 1e-2))
    figure = figures.sensitivity(swept)
    assert figure.layout.xaxis.type == "log"
    (test,) = traces(figure, "test")
    assert list(test.x) == list(sweep.values)
    assert list(test.y) == pytest.approx([100 * swept.comparison.row(n).mean("accuracy") for n in sweep.names])


def test_recipes_that_differ_in_more_than_a_number_are_no_sweep(tmp_path):
    recipes = {
        "none": "none", "a": "dropout(rate=0.1)", "b": "dropout(rate=0.2)", "c": "dropout(rate=0.3) + l2(kernel=0.1)",
        "d": "dropout(rate=0.1) + l2(kernel=0.1)", "e": "dropout(rate=0.2) + l2(kernel=0.1)",
    }  # fmt: skip
    found = Results.load(made.study(tmp_path / "s", recipes, seeds=2))
    (sweep,) = figures.sweeps(found)
    assert (sweep.values, sweep.names, sweep.rest) == ((0.1, 0.2, 0.3), ("d", "e", "c"), "l2(kernel=0.1)")
    assert figures.sensitivity(found, sweep).layout.xaxis.type is None


def test_robustness_is_the_mean_over_seeds_the_strongest_attack_solid(results, folder):
    measured = json.loads((folder / "robustness.json").read_text())
    figure = figures.robustness(results)
    for attack, dash in (("pgd", "solid"), ("fgsm", "dash")):
        for line, name in zip(traces(figure, attack), made.RECIPES, strict=True):
            runs = [run.id for run in results.runs[name].values() if run.id in measured["runs"]]
            expected = np.mean([measured["runs"][run][attack] for run in runs], axis=0)
            np.testing.assert_allclose(line.y, 100 * expected)
            assert line.line.dash == dash
    assert list(figure.layout.xaxis.ticktext) == ["0", "2", "8"]


def test_a_recipe_has_the_same_colour_in_every_figure(results):
    drawn = {
        name: {
            traces(figures.learning_curves(results, [name]), "val")[0].line.color,
            traces(figures.reliability(results, [name]), "recipe")[0].line.color,
            next(t for t in traces(figures.robustness(results), "pgd") if t.name == name).line.color,
            next(t for t in traces(figures.gap_against_accuracy(results), "mean") if t.name == name).marker.color,
        }
        for name in made.RECIPES
    }
    assert all(len(colors) == 1 for colors in drawn.values())
    assert len(set.union(*drawn.values())) == len(made.RECIPES)
    assert drawn["none"] == {theme.BASELINE}


def luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colours_are_seen_on_light_and_on_dark_pages(results):
    for look in theme.looks(results).values():
        assert contrast(look.color, theme.SURFACE) >= 3
        assert contrast(theme.DARK[look.color], theme.DARK[theme.SURFACE]) >= 3
    for text in (theme.INK, theme.MUTED):
        assert contrast(text, theme.SURFACE) >= 4.5
        assert contrast(theme.DARK[text], theme.DARK[theme.SURFACE]) >= 4.5


def test_every_colour_of_every_figure_has_one_for_the_dark(results, swept):
    drawn = [figures.forest(results), figures.learning_curves(results), figures.gap_against_accuracy(results),
             figures.per_class(results), figures.confusion(results, "l2"), figures.reliability(results),
             figures.robustness(results), figures.sensitivity(swept)]  # fmt: skip
    for figure in drawn:
        text = embed.drawn(figure, "f").json
        used = {part[:7] for part in text.split('"#')[1:]}
        assert {f"#{color[:6]}" for color in used} <= set(theme.DARK)


def test_every_figure_says_in_a_sentence_what_it_shows(results):
    message = figures.forest(results).layout.meta["message"]
    assert message.startswith("Of 3 recipes against the baseline (no regularization): ")
    assert (
        figures.learning_curves(results, ["l2"]).layout.meta["message"].startswith("l2: validation accuracy ends at ")
    )


def test_what_cannot_be_drawn_is_told(results, swept, tmp_path):
    empty = Results.load(made.study(tmp_path / "s", seeds=1, missing={(name, 0) for name in made.RECIPES}))
    makers = (
        figures.forest, figures.learning_curves, figures.gap_against_accuracy, figures.per_class, figures.reliability,
        figures.robustness, figures.sensitivity, lambda results: figures.confusion(results, "l2"),
    )  # fmt: skip
    for make in makers:
        with pytest.raises(ReglabError):
            make(empty)
    with pytest.raises(ReglabError, match="reglab robustness"):
        figures.robustness(swept)
    with pytest.raises(ReglabError, match="accuracy and cross_entropy"):
        figures.learning_curves(results, metric="loss")


@pytest.mark.slow
def test_figures_are_at_hand_as_reglab_figures_and_need_no_keras(folder):
    import subprocess
    import sys

    code = (
        f"import reglab, sys; reglab.figures.forest(reglab.Results.load({str(folder)!r})); "
        "print([m for m in ('keras', 'tensorflow', 'jax', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert reglab.figures is figures


def test_the_pages_json_is_the_figures_to_six_digits_and_cannot_end_its_element(results):
    found = embed.drawn(figures.forest(results), "forest")
    held = json.loads(found.json)
    means = [trace["x"][0] for trace in held["data"] if trace.get("meta") == "mean"]
    drawn = [trace.x[0] for trace in traces(figures.forest(results), "mean")]
    assert means == pytest.approx(drawn, rel=1e-5)
    assert json.loads(embed.as_json({"a": "</script><!--", "b": float("nan")})) == {"a": "</script><!--", "b": None}
    assert "<" not in embed.as_json({"a": "</script><!--&"})


def test_extras_that_are_not_there_or_not_whole_are_none(tmp_path):
    assert extras.robustness_of(tmp_path) is None
    assert extras.samples_of(tmp_path) is None
    (tmp_path / "report").mkdir()
    (tmp_path / "robustness.json").write_text('{"schema": 2}')
    (tmp_path / "report" / "samples.npz").write_bytes(b"PK nothing")
    assert extras.robustness_of(tmp_path) is None
    assert extras.samples_of(tmp_path) is None
    made.with_samples(tmp_path)
    with np.load(tmp_path / "report" / "samples.npz") as held:
        np.savez(tmp_path / "report" / "samples.npz", **{**held, "before_0": held["before_0"][:1]})
    assert extras.samples_of(tmp_path) is None, "fewer images than labels"


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_become_png_images_of_the_same_pixels(tmp_path, channels):
    import base64
    import io

    from PIL import Image

    made.with_samples(tmp_path_with_report(tmp_path), channels=channels)
    both, one = extras.samples_of(tmp_path)
    assert [len(both.pairs), len(one.pairs)] == [2, 1], "strategies change different numbers of images"
    pair = one.pairs[0]
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(pair.before.split(",", 1)[1]))))
    expected = np.arange(64, dtype="uint8").reshape(8, 8) * 4
    np.testing.assert_array_equal(image if channels == 1 else image[..., 0], expected)
    assert pair.fooled
    assert pair.difference is None


def pixels_of(uri):
    import base64
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))))


@pytest.mark.parametrize("channels", [1, 3])
def test_masks_have_the_colour_of_the_legend_where_a_class_is(results, tmp_path, channels):
    made.with_masks(tmp_path_with_report(tmp_path), channels=channels)
    found = extras.masks_of(dataclasses.replace(results, folder=tmp_path))
    assert list(found.legend) == ["cat", "dog", "fish", "no label"]
    colours = {name: pixels_of(uri)[0, 0].tolist() for name, uri in found.legend.items()}
    assert len({tuple(colour) for colour in colours.values()}) == 4
    assert len(found.examples) == 2
    example = found.examples[0]
    assert pixels_of(example.image).shape == ((8, 8) if channels == 1 else (8, 8, 3))
    true = pixels_of(example.true)
    assert (true[0] == colours["no label"]).all()
    assert true[1].tolist() == [colours[name] for name in ["cat"] * 3 + ["dog"] * 3 + ["fish"] * 2]
    assert pixels_of(example.predicted["dropout"])[0, 0].tolist() == colours["dog"]
    assert found.coarse


def test_large_masks_are_embedded_small_and_keep_their_colours(results, tmp_path):
    made.with_masks(tmp_path_with_report(tmp_path), size=600)
    found = extras.masks_of(dataclasses.replace(results, folder=tmp_path))
    assert not found.coarse
    assert pixels_of(found.examples[0].true).shape == (*pixels_of(found.examples[0].image).shape, 3) == (200, 200, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"images": np.zeros((2, 8, 8, 1))},
        {"images": np.zeros((0, 8, 8, 1), "uint8")},
        {"images": np.zeros((2, 8, 8, 4), "uint8")},
        {"true": np.full((2, 8, 8), 3)},
        {"true": np.zeros((2, 8, 0), int)},
        {"true": np.zeros((2, 8, 8))},
        {"predicted_0": np.full((2, 8, 8), -1)},
        {"predicted_1": np.zeros((2, 8, 7), int)},
        {"names": np.array("[]")},
        {"names": np.array("7")},
        {"names": np.array('["none", "dropout", "l2"]')},
        {"names": np.array("[" * 100_000)},
    ],
)
def test_masks_that_do_not_fit_are_left_out(results, tmp_path, change):
    made.with_masks(tmp_path_with_report(tmp_path))
    there = dataclasses.replace(results, folder=tmp_path)
    assert extras.masks_of(there) is not None
    path = tmp_path / "report" / "masks.npz"
    disk.write_arrays(path, {**disk.read_arrays(path), **change})
    assert extras.masks_of(there) is None


def test_a_file_of_arrays_that_is_damaged_anywhere_is_read_as_none_or_some(tmp_path):
    made.with_masks(tmp_path_with_report(tmp_path))
    path = tmp_path / "report" / "masks.npz"
    whole = path.read_bytes()
    for at in range(0, len(whole), 11):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]):
            path.write_bytes(damaged)
            disk.read_arrays(path)
    path.unlink()
    path.mkdir()
    assert disk.read_arrays(path) == {}


def tmp_path_with_report(path):
    (path / "report").mkdir()
    return path


def test_effort_shows_the_expected_best_of_each_strategy(results, folder, tmp_path):
    with pytest.raises(ReglabError, match="--tune-each"):
        figures.effort(results)
    names = [row.name for row in results.comparison.rows]
    curves = {name: [0.5 + 0.1 * i, 0.7, 0.9 - 0.1 * i] for i, name in enumerate(names[:2])}
    (tmp_path / "tuning.json").write_text(json.dumps({"schema": 1, "curves": curves}))
    figure = figures.effort(dataclasses.replace(results, folder=tmp_path))
    for trace in figure.data:
        assert list(trace.x) == [1, 2, 3]
        np.testing.assert_allclose(trace.y, 100 * np.array(curves[trace.meta]))
    assert {trace.meta for trace in figure.data} == set(names[:2])
    message = figure.layout.meta["message"]
    assert message.startswith("The baseline (no regularization) is expected to be best after 3 trials (90.0 %)")
    assert f"with a single one {names[1]} is (60.0 %)" in message
