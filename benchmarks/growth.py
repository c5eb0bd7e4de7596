"""How the cost of studies grows: ``python benchmarks/growth.py [--quick]``.

One base study of made uint8 images, and one thing changed at a time: training images, image size, recipes, seeds,
workers. Each study is run whole and from a fresh process, so its time has the start in it (imports, compiling) and its
peak of memory is its own. Studies take turns over some rounds; told are medians, and how far times are from a straight
line.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from pairs import in_fresh_process, in_turn, machine, peak_memory_mb, table

ROUNDS = 2
EPOCHS, BATCH, CLASSES, TEST = 2, 50, 10, 200
FILTERS = (8, 16, 8)
NOT_STRAIGHT = 10.0  # percent of its time that a study may be away from the line

BASE = {"images": 1000, "side": 16, "strengths": 0, "structures": 2, "seeds": 2, "workers": 1}
STRUCTURES = ("none", "l2", "dropout", "label_smoothing")
# What is changed, to which values, and what the line is drawn against: a name and how much of it a value is.
CHANGES: dict[str, tuple[str, tuple[int, ...], str, Callable[[int], float]]] = {
    "images": ("training images", (500, 1000, 2000, 4000), "1000 training images", lambda value: value / 1000),
    "side": ("image side, pixels", (8, 16, 32, 64), "1000 pixels an image", lambda value: value**2 / 1000),
    "structures": ("recipes, each a strategy of its own", (1, 2, 3, 4), "recipe", float),
    "strengths": ("recipes beside the two, other strengths of one", (0, 2, 4, 6), "recipe", float),
    "seeds": ("seeds", (1, 2, 4, 8), "seed", float),
    "workers": ("workers (0: in this process), 8 seeds", (0, 1, 2, 4), "", float),
}
READING = (
    f"The base study trains {BASE['structures']} recipes with {BASE['seeds']} seeds on {BASE['images']} images of "
    f"{BASE['side']}x{BASE['side']}x3 for {EPOCHS} epochs in batches of {BATCH}, with a quarter as many images for "
    f"validation and {TEST} for the test, a pooled Inception {FILTERS} and one worker process, on TensorFlow. Times "
    "are of the whole study from a fresh process, with the import of all that it needs; in brackets those of the "
    "rounds."
)


def recipes_of(point: dict[str, int]) -> list[str]:
    """Return the recipes of a study: different strategies, and strengths of one that share a compiled program."""
    return [*STRUCTURES[: point["structures"]], *(f"l2(kernel={i + 2}e-3)" for i in range(point["strengths"]))]


def study(point: dict[str, int]) -> dict[str, float]:
    """Run a study in this process and return its seconds, and the MB of this process and of the largest worker."""
    random = np.random.default_rng(0)

    def images(count: int) -> tuple[np.ndarray, np.ndarray]:
        x = random.integers(0, 256, size=(count, point["side"], point["side"], 3), dtype="uint8")
        return x, np.arange(count) % CLASSES

    data = images(point["images"] * 5 // 4), images(TEST)
    model = f"inception(filters={FILTERS}, pooled=true)"
    began = time.perf_counter()
    import reglab

    with tempfile.TemporaryDirectory() as folder:
        reglab.Study(
            data, model, recipes_of(point), baseline="none", out=Path(folder) / "s", seeds=point["seeds"],
            epochs=EPOCHS, batch_size=BATCH, train_size=point["images"],
        ).run(workers=point["workers"])  # fmt: skip
        seconds = time.perf_counter() - began
    import resource  # not on Windows

    own, children = peak_memory_mb(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"seconds": seconds, "coordinator": own, "training": children if point["workers"] else own}


def points() -> dict[tuple[str, int], dict[str, int]]:
    """Return every study by what is changed in it and to what."""
    found = {}
    for key, (_, values, _, _) in CHANGES.items():
        for value in values:
            found[key, value] = {**BASE, **({"seeds": 8} if key == "workers" else {}), key: value}
    return found


class Measured:
    """What every study took, each measured once a round however many tables it stands in."""

    def __init__(self, chosen: dict[tuple[str, int], dict[str, int]], rounds: int) -> None:
        self._memory: dict[str, list[dict[str, float]]] = {}
        self._points = chosen
        self._took = in_turn({text: partial(self._run, text) for text in map(json.dumps, chosen.values())}, rounds)

    def _run(self, text: str) -> float:
        one = in_fresh_process(__file__, "study", text)
        self._memory.setdefault(text, []).append(one)
        return one["seconds"]

    def rounds(self, key: str, value: int) -> list[float]:
        """Return the seconds of each round."""
        return self._took.found[json.dumps(self._points[key, value])]

    def seconds(self, key: str, value: int) -> float:
        """Return the median over rounds."""
        return statistics.median(self.rounds(key, value))

    def memory(self, key: str, value: int, whose: str) -> float:
        """Return the median peak in MB of who trains (``training``) or coordinates (``coordinator``)."""
        return statistics.median(one[whose] for one in self._memory[json.dumps(self._points[key, value])])


class Line:
    """The straight line through what a change gives, by least squares."""

    def __init__(self, key: str, measured: Measured) -> None:
        self.title, self.values, self.unit, amount = CHANGES[key]
        x = np.array([amount(value) for value in self.values])
        seconds = np.array([measured.seconds(key, value) for value in self.values])
        memory = np.array([measured.memory(key, value, "training") for value in self.values])
        self.slope, self.start = np.polyfit(x, seconds, 1)
        self.memory_slope, self.memory_start = np.polyfit(x, memory, 1)
        self.away = 100 * (seconds / (self.start + self.slope * x) - 1)

    @property
    def furthest(self) -> float:
        """How far the furthest point is from the line, in percent of the line."""
        return float(max(abs(self.away)))

    @property
    def straight(self) -> bool:
        return self.furthest <= NOT_STRAIGHT


def _all(measured: Measured, lines: dict[str, Line]) -> str:
    """Return the table of all studies."""
    rows = []
    for key, (title, values, _, _) in CHANGES.items():
        for place, value in enumerate(values):
            each = ", ".join(f"{seconds:.1f}" for seconds in measured.rounds(key, value))
            coordinator = f"{measured.memory(key, value, 'coordinator'):.0f}"
            rows.append([
                f"{title}: {value}", f"{measured.seconds(key, value):.1f} ({each})",
                f"{lines[key].away[place]:+.0f} %" if key in lines else "-",
                f"{measured.memory(key, value, 'training'):.0f}",
                "the same process" if key == "workers" and value == 0 else coordinator,
            ])  # fmt: skip
    header = ("changed", "time, s", "from the line", "largest process that trains, MB", "coordinator, MB")
    return table(header, rows)


def _lines(lines: dict[str, Line]) -> str:
    """Return the table of the lines."""
    rows = [
        [
            line.title, f"{line.start:.1f}", f"{line.slope:.2f} for a {line.unit}".replace("a 1000", "1000"),
            f"{line.furthest:.0f} %", "straight" if line.straight else "not straight",
            f"{line.memory_start:.0f} + {line.memory_slope:.1f}",
        ]
        for line in lines.values()
    ]  # fmt: skip
    header = (
        "changed", "where the line begins, s", "each more, s", "furthest from the line", "in words",
        "memory where it begins + each more, MB",
    )  # fmt: skip
    return table(header, rows)


def _sentences(measured: Measured, lines: dict[str, Line]) -> str:
    furthest = max(line.furthest for line in lines.values())
    bent = [f"{line.title} ({line.furthest:.0f} %)" for line in lines.values() if not line.straight]
    straight = f"with everything but {' and '.join(bent)}" if bent else f"with all of them, to within {furthest:.0f} %"
    starts = [line.start for line in lines.values()]
    compiled = lines["structures"].slope - lines["strengths"].slope
    few, *more = [value for value in CHANGES["workers"][1] if value]
    one = measured.seconds("workers", few)
    ratios = [f"{measured.seconds('workers', count) / one:.2f} times as long with {count}" for count in more]
    return (
        f"Time grows in a straight line {straight}. The lines begin at {min(starts):.1f} to {max(starts):.1f} s: "
        "the start, and what is not changed. A recipe that needs a compiled program of its own takes "
        f"{compiled:.1f} s more than another strength of one. Against one worker the study of 8 seeds takes "
        f"{' and '.join(ratios)}."
    )


def main() -> None:
    """Print the tables, or run one study and print what it took."""
    if sys.argv[1:2] == ["study"]:
        print(json.dumps(study(json.loads(sys.argv[2]))))
        return
    measured = Measured(points(), rounds=1 if "--quick" in sys.argv else ROUNDS)
    lines = {key: Line(key, measured) for key in CHANGES if CHANGES[key][2]}
    print(_all(measured, lines))
    print("\n" + _lines(lines))
    print("\n" + _sentences(measured, lines) + "\n\n" + READING)
    print("\n" + machine("keras", "tensorflow"))


if __name__ == "__main__":
    main()
