"""``reglab demo``."""

from __future__ import annotations

from typing import Any

import click

from reglab import paper
from reglab.cli.options import Option, execution_options, given, where_options
from reglab.cli.show import run_and_show
from reglab.facade import Study

__all__ = ["DEMO", "demo"]

# The regime is chosen, not found: ten training images a class and a network with enough filters, so that without
# regularization the training set is learned by heart in the epochs given, and strategies have something to do.
DEMO: dict[str, Any] = {
    "data": "digits",
    "model": "inception(filters=(8, 16, 8), pooled=true)",
    "seeds": 10,
    "epochs": 60,
    "batch_size": 20,
    "train_size": 100,
    "optimizer": "adamax",
    "learning_rate": 0.01,
}


@click.command()
@click.option("--seeds", type=click.IntRange(min=1), default=DEMO["seeds"], show_default=True, help="runs of each arm")
@click.option(
    "--epochs", type=click.IntRange(min=1), default=DEMO["epochs"], show_default=True, help="epochs of each run"
)
@where_options
@execution_options
def demo(
    seeds: int, epochs: int, out: str | None, reuse: tuple[str, ...], backend: str | None, **execution: Option
) -> None:
    """Compare the paper's ten arms on scikit-learn's digits, in a few minutes.

    The model is the paper's Inception scaled to 8x8 images. The paper warns that a flipped digit is another digit, so
    the flip is left out of the arms that have one.
    """
    settings = {**DEMO, "seeds": seeds, "epochs": epochs}
    study = Study(
        recipes=paper.table2(), baseline=paper.BASELINE, out=out, reuse=reuse or None, name="demo", backend=backend,
        **settings,
    )  # fmt: skip
    study.recipes, notes = paper.without_transforms(study.recipes, study.dataset.label_changing)
    run_and_show(study, notes=tuple(notes), execution=given(execution))
