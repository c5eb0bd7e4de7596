"""Figures of a study: functions from :class:`reglab.Results` to Plotly figures, the ones that the report shows.

>>> import reglab
>>> results = reglab.Results.load("reglab-out/demo")
>>> reglab.figures.forest(results).show()

``figure.layout.meta["message"]`` says in a sentence what a figure shows. Names are shown literally, whatever they hold.
"""

from reglab.report.figures.calibration import reliability
from reglab.report.figures.classes import confusion, per_class
from reglab.report.figures.curves import learning_curves
from reglab.report.figures.effort import effort
from reglab.report.figures.forest import forest
from reglab.report.figures.gap import gap_against_accuracy
from reglab.report.figures.robustness import robustness
from reglab.report.figures.sensitivity import sensitivity
from reglab.report.sweeps import Sweep, sweeps

__all__ = [
    "Sweep", "confusion", "effort", "forest", "gap_against_accuracy", "learning_curves", "per_class", "reliability",
    "robustness", "sensitivity", "sweeps",
]  # fmt: skip
