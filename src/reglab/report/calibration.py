"""What an A/A study says of the noise of a set-up."""

from __future__ import annotations

from reglab.analysis.verdict import ALPHA, ENOUGH_SEEDS
from reglab.experiments.calibrate import Calibration

__all__ = ["sentences"]


def sentences(found: Calibration, *, unit: float = 100.0) -> list[str]:
    """Return what an A/A study says, in sentences; differences in points of accuracy."""
    n = found.noise
    said = [
        f"Two trainings of one recipe, on the same split and from the same weights, differ by {unit * n.pair:.2f} "
        f"points (standard deviation), runs of different seeds by {unit * n.unpaired:.2f}: that is what pairing saves.",
        f"The largest mean difference between repetitions, over {n.seeds} seeds, was {unit * n.largest:.2f} points. "
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
