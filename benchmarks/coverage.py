"""How often verdicts and intervals are wrong: ``benchmarks/coverage.py`` prints the tables of docs/statistics.md.

Studies are simulated whose truth is known: each recipe's values per seed are its effect, plus noise of the seed that
all recipes share, plus noise of its own. What ``judge`` and ``choose`` say of them is counted. In the first table the
baseline and recipes have the same noise (normal, or skewed as accuracies near 100 % are), so that differences are
symmetric; in the second they have not.
"""

from __future__ import annotations

import sys

import numpy as np

from reglab.analysis.choice import choose
from reglab.analysis.verdict import judge
from reglab.tasks import Binary

ACCURACY = Binary(classes=("no", "yes")).decides

STUDIES = 1000
SHARED, OWN = 1.0, 1.0  # standard deviations, in points


def skewed(random, shape):
    """Return noise of mean 0 and standard deviation 1 with a tail of runs that went badly."""
    return (2.0 - random.gamma(2.0, 1.0, size=shape)) / np.sqrt(2.0)


def collapsing(random, shape, *, share=0.2, loss=5.0):
    """Return noise of mean 0: one run in five loses 5 points, the others vary by 0.7."""
    return 0.7 * random.normal(size=shape) - loss * (random.random(shape) < share) + share * loss


#: For each name the noise of the baseline and of recipes; the i-th recipe of all is told which it is.
NOISES = {
    "normal": (lambda r, n: r.normal(size=n), lambda r, n, i: r.normal(size=n)),
    "skewed, all alike": (skewed, lambda r, n, i: skewed(r, n)),
    "recipes skewed, baseline normal with a third": (
        lambda r, n: r.normal(size=n) / 3, lambda r, n, i: skewed(r, n),
    ),
    "recipes lose 5 points in 1 run of 5": (
        lambda r, n: 0.7 * r.normal(size=n), lambda r, n, i: collapsing(r, n),
    ),
    "standard deviations of 0.5 to 2.5": (
        lambda r, n: r.normal(size=n), lambda r, n, i: (0.5 + 0.25 * i) * r.normal(size=n),
    ),
}  # fmt: skip


def simulate(effects, seeds, kind, margin=None):
    """Return the rates of a setting, in %: claims that are false, what intervals cover, power, losing the best."""
    random = np.random.default_rng(len(effects) * 1000 + seeds)
    effects = np.asarray(effects, dtype="float64")
    of_baseline, of_recipe = NOISES[kind]
    false, too_good, all_covered, covered, found, equivalent, kept = 0, 0, 0, np.zeros(len(effects)), [], 0, 0
    for _ in range(STUDIES):
        shared = SHARED * random.normal(size=seeds)
        rows = {f"r{i}": effect + shared + OWN * of_recipe(random, seeds, i) for i, effect in enumerate(effects)}
        rows = {"none": shared + OWN * of_baseline(random, seeds), **rows}
        values = {name: dict(enumerate(row)) for name, row in rows.items()}
        status = {name: ["finished"] * seeds for name in rows}
        verdicts = list(judge(values, status, baseline="none", metric=ACCURACY, margin=margin).values())
        signs = [{"better": 1, "worse": -1}.get(v.word, 0) for v in verdicts]
        wrong = [sign for sign, effect in zip(signs, effects, strict=True) if sign and sign != np.sign(effect)]
        false, too_good = false + bool(wrong), too_good + (1 in wrong)
        inside = np.array([v.low <= effect <= v.high for v, effect in zip(verdicts, effects, strict=True)])
        covered += inside
        all_covered += inside.all()
        found += [sign == np.sign(effect) for sign, effect in zip(signs, effects, strict=True) if effect]
        equivalent += sum(
            v.word == "equivalent" and abs(e) > (margin or 0) for v, e in zip(verdicts, effects, strict=True)
        )
        best = int(np.argmax([0.0, *effects]))
        kept += list(rows)[best] in choose(values, {}).candidates
    rate = 100 / STUDIES
    return {
        "false": false * rate, "better": too_good * rate, "worst": covered.min() * rate, "all": all_covered * rate,
        "power": f"{100 * np.mean(found):.0f}" if found else "", "lost": 100 - kept * rate,
        "equivalent": equivalent * rate,
    }  # fmt: skip


def recommend(effects, seeds, margin):
    """Return the mean regret of what is recommended, in points, and how often it is more than the margin, in %."""
    random = np.random.default_rng(len(effects) * 1000 + seeds)
    effects = np.array([0.0, *effects])
    regrets = []
    for _ in range(STUDIES):
        rows = effects[:, None] + SHARED * random.normal(size=seeds) + OWN * random.normal(size=(len(effects), seeds))
        sizes = {str(i): i for i in range(len(effects))}
        choice = choose({str(i): dict(enumerate(row)) for i, row in enumerate(rows)}, sizes, margin=margin)
        regrets.append(effects.max() - effects[int(choice.recommended)])
    regrets = np.array(regrets)
    return regrets.mean(), 100 * float(np.mean(regrets > (margin or 0) + 1e-9))


SETTINGS = [
    ("no effect", [0.0] * 9),
    ("one of nine helps by 3", [3.0] + [0.0] * 8),
    ("four help by 3, five do nothing", [3.0] * 4 + [0.0] * 5),
    ("eight help by 3, one does nothing", [3.0] * 8 + [0.0]),
    ("a single recipe, no effect", [0.0]),
    ("a single recipe helps by 2", [2.0]),
]
ASYMMETRIC = [
    "recipes skewed, baseline normal with a third", "recipes lose 5 points in 1 run of 5",
    "standard deviations of 0.5 to 2.5",
]  # fmt: skip


def main() -> None:
    """Print the tables."""
    print("| truth (points) | noise | seeds | false claims | worst interval covers | all cover | power | best lost |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for name, effects in SETTINGS:
        for kind in ("normal", "skewed, all alike"):
            for seeds in (5, 10):
                found = simulate(effects, seeds, kind)
                print(
                    f"| {name} | {kind.split(',')[0]} | {seeds} | {found['false']:.1f} | {found['worst']:.1f} "
                    f"| {found['all']:.1f} | {found['power']} | {found['lost']:.1f} |"
                )
                sys.stdout.flush()
    print("\n| no effect; noise | recipes | seeds | false claims | of them better | all cover |")
    print("|---|---:|---:|---:|---:|---:|")
    for kind in ASYMMETRIC:
        for recipes, seeds in ((9, 5), (9, 10), (1, 5), (1, 10)):
            found = simulate([0.0] * recipes, seeds, kind)
            print(
                f"| {kind} | {recipes} | {seeds} | {found['false']:.1f} | {found['better']:.1f} | {found['all']:.1f} |"
            )
            sys.stdout.flush()
    print("\n| recommended; truth (points) | seeds | margin | mean regret | regret above the margin |")
    print("|---|---:|---:|---:|---:|")
    for name, effects in (("nine do nothing", [0.0] * 9), ("one of nine helps by 2", [0.0] * 8 + [2.0])):
        for seeds in (5, 10):
            for margin in (None, 1.0):
                regret, above = recommend(effects, seeds, margin)
                print(f"| {name} | {seeds} | {margin or 'none'} | {regret:.2f} | {above:.1f} |")
                sys.stdout.flush()
    print()
    for effect in (1.0, 1.2):
        wrong = simulate([effect], 10, "normal", margin=1.0)["equivalent"]
        print(f"equivalent within 1 point, said of a recipe that differs by {effect:g}: {wrong:.1f} %")


if __name__ == "__main__":
    main()
