"""Tables of a study: what is emphasized, what is left empty, and how they are written."""

import io
from pathlib import Path

import pytest

from reglab.analysis.compare import compare
from reglab.cli.console import Console
from reglab.cli.show import show_table
from reglab.facade import Results
from reglab.report.paper import published_tables
from reglab.report.tables import comparison_table, conclusion, legend, markdown, plain
from reglab.tasks import SingleLabel

TASK = SingleLabel(classes=("a", "b", "c"))


def results(values, *, failed=()):
    """Make the results of recipes from their accuracies, seed by seed; the first is the baseline."""
    outcomes = {
        name: {
            seed: ("failed", {}) if (name, seed) in failed else ("finished", metrics(accuracy))
            for seed, accuracy in enumerate(accuracies)
        }
        for name, accuracies in values.items()
    }
    comparison = compare(outcomes, recipes=dict.fromkeys(values, "none"), baseline=next(iter(values)), task=TASK)
    return Results(comparison, Path("study"), ("a note | with a bar",), "digits, mlp", {"keras": "3.15.1"})


def metrics(accuracy):
    names = ("precision", "cross_entropy", "train_accuracy", "val_accuracy", "gap", "epochs", "best_epoch", "seconds")
    return {"accuracy": accuracy, **dict.fromkeys(names, 0.5)}


def test_a_difference_is_emphasized_where_its_interval_is_clear_of_zero_and_seeds_are_enough():
    base = [0.5, 0.52, 0.48, 0.51, 0.5, 0.49]
    found = results(
        {
            "none": base,
            "better": [a + 0.1 for a in base],
            "worse": [a - 0.1 for a in base],
            "same": [a + d for a, d in zip(base, [0.1, -0.1, 0.1, -0.1, 0.1, -0.1], strict=True)],
        }
    )
    table = comparison_table(found)
    assert table.emphasis == (0, 1, -1, 0)
    assert [row[3] for row in table.rows] == ["", "better", "worse", "cannot tell"]


def test_nothing_is_emphasized_with_two_seeds_however_equal_their_differences():
    found = results({"none": [0.5, 0.6], "worse": [0.4, 0.5]})
    table = comparison_table(found)
    assert table.emphasis == (0, 0)
    assert table.rows[1][2] == "-10.00 [-99.85, +79.85]"  # a spread of zero is no certainty
    assert "2 seeds are screening" in legend(found)


def test_the_legend_tells_of_the_columns_that_are_there():
    found = results({"none": [0.5, 0.6], "worse": [0.4, 0.5]})
    console = Console(file=io.StringIO(), width=60)
    columns = show_table(comparison_table(found), console)
    text, whole = legend(found, columns), legend(found)
    second = found.task.columns[0].title
    assert second in whole
    assert "; gap: " in whole
    for name, words in ((second, second), ("train", "train: "), ("gap", "gap: ")):
        assert (name in columns) == (words in text), name
    assert second not in columns
    assert "  " not in text + whole


def test_failed_runs_are_counted_in_the_open():
    found = results({"none": [0.5, 0.6, 0.7], "broken": [0.5, 0.6, 0.7]}, failed={("broken", 1)})
    assert [row[-1] for row in comparison_table(found).rows] == ["3", "2 of 3"]
    assert comparison_table(found).rows[1][3] == "unreliable"


def test_one_seed_has_neither_spread_nor_interval():
    row = comparison_table(results({"none": [0.5], "other": [0.6]})).rows[1]
    assert row[1:3] == ("60.00", "+10.00")


def test_markdown_escapes_what_would_break_a_table():
    text = markdown(results({"none": [0.5, 0.6], "a|b <c>": [0.5, 0.6]}))
    assert "a\\|b &lt;c>" in text
    assert "> a note \\| with a bar" in text
    widths = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_plain_text_is_aligned():
    lines = plain(results({"none": [0.5, 0.6], "a long name of a recipe": [0.5, 0.6]})).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("recipe"))
    assert lines[start + 1] == "-" * len(lines[start])
    assert lines[start + 2].index("55.00") == lines[start + 3].index("55.00")


def test_published_figures_stand_beside_ours():
    found = results({"no regularization": [0.5, 0.5], "L2": [0.52, 0.54]})
    (table,) = published_tables(found, "table2").values()
    assert table.rows[1] == ("L2", "80.05", "53.00", "+2.20", "+3.00", "79.90", "50.00")


@pytest.mark.parametrize("table", ["table2", "table3"])
def test_every_arm_has_its_published_figures(table):
    from reglab import paper

    assert list(paper.PUBLISHED[table]) == list(paper.arms(table))


def test_a_study_of_both_tables_trains_each_recipe_once_and_fills_every_row():
    from reglab import paper

    arms = paper.both()
    assert len({recipe.fingerprint() for recipe in arms.values()}) == len(arms) == 13
    found = results({name: [0.5, 0.6] for name in arms})
    shown = published_tables(found, "both")
    assert [[row[0] for row in each.rows] for each in shown.values()] == [list(paper.TABLE2), list(paper.TABLE3)]
    assert shown["Table 2"].rows[2][2] == shown["Table 3"].rows[3][2] == "55.00"


def test_the_conclusion_names_what_may_be_the_best_and_the_recommended_one():
    base = {"none": [0.5] * 6, "l2": [0.5] * 6}
    assert conclusion(results(base)) == (
        "By validation the baseline (no regularization) looks best, and cannot be told from l2. Recommended is what "
        "looks best: the baseline (no regularization)."
    )
    assert "screening" in conclusion(results({"none": [0.5, 0.5]}))
    assert conclusion(results({"none": [0.5]}, failed={("none", 0)})).startswith("No run has finished")
    assert conclusion(results(base)) in markdown(results(base))
