"""What an A/A study says of the noise of a set-up."""

from __future__ import annotations

from reglab.analysis.verdict import ALPHA, ENOUGH_SEEDS
from reglab.experiments.calibrate import Calibration

__all__ = ["sentences"]


def sentences(found: Calibration) -> list[str]:
    """Return what an A/A study says, in sentences; differences in the unit of the metric that decides."""
    n, metric = found.noise, found.task.decides
    said = [
        "Two trainings of one recipe, on the same split and from the same weights, differ by "
        f"{metric.differs(n.pair)} (standard deviation), runs of different seeds by "
        f"{metric.scale * n.unpaired:{metric.form}}: that is what pairing saves.",
        f"The largest mean difference between repetitions, over {n.seeds} seeds, was {metric.differs(n.largest)}. "
        "It is noise: the recipe is the same.",
    ]
    if n.seeds < ENOUGH_SEEDS:
        said.append(f"{n.seeds} seeds are too few for verdicts, so there is no rate of false ones.")
    else:
        rate, error = 100 * n.false_claims, 100 * n.standard_error
        said.append(
            f"With names exchanged within seeds, {rate:.1f} % of {n.relabellings:,} A/A studies called a repetition "
            f"better or worse (standard error {error:.1f}; by design {100 * ALPHA:g} % at most). That holds for "
            "recipes with the noise of this one. A recipe that collapses now and then is called better more often than "
            "that, and an A/A study cannot show it."
        )
    return said
