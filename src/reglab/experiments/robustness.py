"""What is left of a study's trained runs under attack, in the metric that decides, from the weights they kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reglab.analysis.robustness import Curve, curves, epsilon_text, resists_fgsm_only
from reglab.data.kinds import are_pictures
from reglab.data.splits import drawn
from reglab.errors import ReglabError
from reglab.results import Results, RunResult
from reglab.studies import Study
from reglab.study.storage import answers
from reglab.tasks import Metric

if TYPE_CHECKING:
    from reglab.experiments.attack import Attacker
    from reglab.study.run import Program, SeedData

__all__ = ["EPSILONS", "Robustness", "robustness"]

STEM = "robustness"  # of its files: ``robustness.json``, and ``robustness-<key>.json`` for other questions
# In halves, doubles and doubles of the 8/255 that adversarial training of CIFAR-10 is judged by (Madry et al. 2018).
EPSILONS = {
    "pixel": (0.0, 1 / 255, 2 / 255, 4 / 255, 8 / 255, 16 / 255, 32 / 255),
    "input": (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
}
_ATTACKS = ("fgsm", "pgd")
EXAMPLES = 1000


@dataclass(frozen=True)
class Robustness:
    """What is left under attack of the recipes of a study.

    Attributes:
        unit: of epsilon: ``pixel``, a fraction of the raw range, in which examples are kept; or ``input``, what the
            network gets (standardized features of a table).
        epsilons: radii of the ball, largest change of a value.
        examples: how many test examples, the same for every run.
        metric: the one that decides, of which curves are.
        curves: for each recipe's name and each attack, that metric over epsilon.
        blind: for each recipe's name, the mean share of examples at which the loss has no gradient to climb.
        baseline: the name of the recipe that the others are compared with.
    """

    unit: str
    epsilons: tuple[float, ...]
    examples: int
    metric: Metric
    curves: Mapping[str, Mapping[str, Curve]]
    blind: Mapping[str, float]
    baseline: str

    @classmethod
    def load(cls, results: Results) -> Robustness | None:
        """Return what ``reglab robustness`` was last asked of a study folder, or None."""
        held = answers.latest(results.folder, STEM)
        return None if held is None else cls._of(held, results)

    @classmethod
    def _of(cls, held: Mapping[str, Any], results: Results) -> Robustness:
        found, metric = {}, results.task.metric(held["metric"])
        for name, runs in results.runs.items():
            of_name = {seed: held["runs"][run.id] for seed, run in runs.items() if run.id in held["runs"]}
            if of_name:
                found[name] = of_name
        kept = {
            name: curves(
                {seed: {a: values[a] for a in held["attacks"]} for seed, values in of_name.items()},
                metric=metric,
                examples=held["examples"],
            )
            for name, of_name in found.items()
        }
        blind = {
            name: float(np.mean([values["blind"] for values in of_name.values()])) for name, of_name in found.items()
        }
        return cls(held["unit"], tuple(held["epsilons"]), held["examples"], metric, kept, blind, results.baseline)

    def remarks(self) -> list[str]:
        """Return what has to be said with the curves: who only hides from FGSM, and where attacks were blind."""
        found = []
        for name, of_name in self.curves.items():
            worst = resists_fgsm_only(of_name, self.curves.get(self.baseline, {}))
            if worst is not None:
                (fgsm, pgd), (fgsm_before, pgd_before) = (
                    [self.metric.shown(curves[attack].mean[worst], self.metric.rough) for attack in _ATTACKS]
                    for curves in (of_name, self.curves[self.baseline])
                )
                found.append(
                    f"{name} resists FGSM and hardly PGD, so it hides rather than resists: at epsilon "
                    f"{self.text(worst)} its {self.metric.title} is {fgsm} under FGSM ({self.baseline} {fgsm_before}) "
                    f"and {pgd} under PGD ({self.baseline} {pgd_before})."
                )
            if self.blind[name] >= 0.01:
                found.append(
                    f"{name}: at {100 * self.blind[name]:.0f} % of the examples the loss has no gradient, so neither "
                    "attack can move them, and what is left looks better than it is."
                )
        return found

    def text(self, position: int) -> str:
        """Return an epsilon as people write it: ``8/255`` of pixels."""
        return epsilon_text(self.epsilons[position], self.unit)


def robustness(
    study: Study,
    *,
    epsilons: Sequence[float] | None = None,
    examples: int = EXAMPLES,
    recipes: Sequence[str] = (),
    seeds: int | None = None,
    progress: Callable[[int, int, RunResult], None] = lambda done, total, run: None,
) -> Robustness:
    """Attack the trained runs of a study, and keep in its folder what is left of the metric that decides.

    FGSM takes one step of epsilon along the sign of the gradient (Goodfellow et al. 2015); PGD takes 20 steps of an
    eighth of epsilon from a random point of the ball, each followed by a projection to it (Madry et al. 2018). Both in
    the maximum norm, on what the network gets before its own preprocessing layers. What one run gave is kept when the
    next one is interrupted, and is not computed again; other radii or examples are another question, kept beside it.

    Args:
        study: as :meth:`Study.resume` gives it.
        epsilons: radii, from 0 on; by default up to 32/255 of the raw range for images, else up to 0.5 of the input.
        examples: so many test examples, of every class its share where each has one; the same for every run.
        recipes: which ones; by default all.
        seeds: the first so many of each; by default all.
        progress: hears of each run before it is attacked.

    Raises:
        ReglabError: if the study has no finished run, or its data, model or predictions are not what they were.
    """
    from reglab.experiments.attack import Attacker
    from reglab.replay import Replay

    study.dataset.check_known_to("robustness")
    data = study.dataset
    unit = "pixel" if are_pictures(data.kind) and data.value_range is not None else "input"
    radii = _checked(epsilons or EPSILONS[unit])
    replay = Replay(study.out, study.assignment)
    if "inputs" in replay.results.facts:
        raise ReglabError(
            "The model takes indices (token ids, categories), which no attack can move a little: there is nothing "
            "between two of them."
        )
    runs = replay.runs(list(recipes), seeds=seeds)
    if not runs:
        raise ReglabError(f"The study in {study.out} has no finished run to attack. Run it: reglab resume {study.out}")
    count = min(examples, len(replay.split(runs[0].seed).test))
    question = {
        "part": "test", "metric": replay.results.metric.name, "unit": unit, "epsilons": list(radii),
        "examples": count, "drawn": "by class", "attacks": list(_ATTACKS),
    }  # fmt: skip
    held = answers.find(study.out, STEM, question) or {"runs": {}}
    attackers: dict[int, Attacker] = {}
    waiting = [run for run in runs if run.id not in held["runs"]]
    for done, (run, program, at) in enumerate(replay.each(waiting)):
        progress(done, len(waiting), run)
        attacker = attackers.setdefault(id(program), Attacker(program, replay.training.loss_weights()))
        held["runs"][run.id] = _attacked(attacker, program, at, radii, count, unit)
        answers.keep(study.out, STEM, question, held)
    found = Robustness._of({**held, **question}, replay.results)
    answers.keep(study.out, STEM, question, {**held, "note": " ".join(found.remarks())})
    return found


def _attacked(
    attacker: Attacker, program: Program, at: SeedData, radii: Sequence[float], count: int, unit: str
) -> dict[str, Any]:  # fmt: skip
    assert at.test is not None  # a replay refuses sealed studies
    rows = np.sort(drawn(at.test[1], count, seed=0))  # the test part may lie sorted by class; the same for every run
    x, y = at.test[0][rows], at.test[1][rows]
    limits = at.preprocess.range() if unit == "pixel" else None
    found: dict[str, Any] = {
        attack: [attacker.left(x, y, attack=attack, epsilon=radius, limits=limits) for radius in radii]
        for attack in _ATTACKS
    }
    return {**found, "blind": attacker.blind(x, y)}


def _checked(epsilons: Sequence[float]) -> tuple[float, ...]:
    radii = tuple(sorted({0.0, *(float(epsilon) for epsilon in epsilons)}))
    if radii[0] < 0 or not np.isfinite(radii[-1]):
        raise ReglabError(f"epsilons {', '.join(map(str, epsilons))}: each is a radius, 0 or larger.")
    return radii
