"""Whole studies beside what people do otherwise: ``python benchmarks/studies.py [ROUNDS]``.

The ten arms of the paper on digits, and a sweep of 16 coefficients of L2, three seeds each: as a study of reglab's, by
KerasTuner, and the arms also in a loop that builds and fits a model for every run. Each from a fresh process to its
end.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from by_hand import SWEEP
from pairs import in_fresh_process, in_turn, machine, table

SEEDS = 3
TARGETS = {"arms": 2.5, "sweep": 3.0}
TITLES = {"arms": "the demo's ten arms", "sweep": "16 coefficients of L2 and none"}
PATIENCES = (5, 10, 20, 30, 40)


def study(kind: str, workers: int | None) -> None:
    """Run a study and say how many trainings it took."""
    import reglab
    from reglab import paper
    from reglab.cli.demo import DEMO
    from reglab.strategies import EMA, L2, EarlyStopping
    from reglab.study.progress import Progress

    class Count(Progress):
        trainings = 0

        def training_ended(self, job: int) -> None:
            self.trainings += 1

    recipes: Any = {
        "arms": paper.table2(),
        "sweep": [L2(kernel=value) for value in SWEEP],
        "alone": [],
        "riders": [
            *(EarlyStopping(patience=patience) for patience in PATIENCES),
            EMA(),
        ],
    }[kind]
    if kind == "arms":
        recipes, _ = paper.without_transforms(recipes, frozenset({"horizontal_flip"}))
    baseline = {"baseline": paper.BASELINE} if kind == "arms" else {}
    count = Count()
    with tempfile.TemporaryDirectory() as folder:
        made = reglab.Study(recipes=recipes, out=Path(folder) / "s", **{**DEMO, "seeds": SEEDS}, **baseline)
        results = made.run(count, **({} if workers is None else {"workers": workers}))
        rows = len(results.comparison.rows)
    print(json.dumps({"trainings": count.trainings, "recipes": rows}))


def main() -> None:
    """Print the tables."""
    if sys.argv[1:2] == ["study"]:
        study(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None)
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    here = Path(__file__)
    told: dict[str, Any] = {}

    def way(name: str, script: Path, *arguments: str) -> Callable[[], float]:
        def seconds() -> float:
            began = time.perf_counter()
            told[name] = in_fresh_process(str(script), *arguments)
            return time.perf_counter() - began

        return seconds

    rows = []
    for kind in ("arms", "sweep"):
        hand = here.with_name("by_hand.py")
        ways = {
            "reglab": way("reglab", here, "study", kind),
            "reglab, one worker": way("reglab, one worker", here, "study", kind, "1"),
            "a model and a fit for each run": way("a model and a fit for each run", hand, "loop", kind, str(SEEDS)),
            "KerasTuner": way("KerasTuner", hand, "tuner", kind, str(SEEDS)),
        }
        if kind == "sweep":  # half an hour is enough
            del ways["a model and a fit for each run"]
        found = in_turn(ways, rounds)
        for name in ways:
            target = f"at least {TARGETS[kind]}: {'met' if found.ratio(name, 'reglab') >= TARGETS[kind] else 'missed'}"
            rows.append((
                f"{TITLES[kind]}: {name}", f"{found.median(name):.0f}", str(told[name]["trainings"]),
                f"{found.ratio(name, 'reglab'):.2f}", found.spread(name, "reglab"),
                "" if name.startswith("reglab") else target,
            ))  # fmt: skip
    print(
        table(("study, three seeds", "s", "trainings", "ratio to reglab", "lowest to highest", "target"), rows) + "\n",
        flush=True,
    )

    ways = {name: way(name, here, "study", name, "1") for name in ("alone", "riders")}
    found = in_turn(ways, rounds)
    rows = [
        (title, f"{found.median(name):.0f}", str(told[name]["recipes"]), str(told[name]["trainings"]),
         f"{found.ratio(name, 'alone'):.2f}", found.spread(name, "alone"))
        for name, title in (("alone", "the baseline"),
                            ("riders", "with early stopping at five patiences, and EMA"))
    ]  # fmt: skip
    print(table(("riders", "s", "recipes", "trainings", "ratio", "lowest to highest"), rows) + "\n")
    print(machine("keras", "tensorflow", "keras_tuner"))


if __name__ == "__main__":
    main()
