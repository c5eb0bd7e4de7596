"""How often verdicts and intervals are wrong: ``python benchmarks/coverage.py`` prints the table of docs/statistics.md.

Studies are simulated whose truth is known: each recipe's values a seed are its effect, plus noise of the seed that all
recipes share, plus noise of its own (normal, or skewed as accuracies near 100 % are). What ``judge`` and ``choose``
say of them is counted.
"""

from __future__ import annotations

import sys

import numpy as np

from reglab.analysis.verdict import choose, judge

STUDIES = 1000
SHARED, OWN = 1.0, 1.0  # standard deviations, in points


def noise(random, shape, kind):
    """Return noise of mean 0 and standard deviation 1."""
    if kind == "normal":
        return random.normal(size=shape)
    skewed = -random.gamma(2.0, 1.0, size=shape)  # a tail of runs that went badly
    return (skewed + 2.0) / np.sqrt(2.0)


def simulate(effects, seeds, kind, margin=None):
    """Return the rates of a setting: false claims, each and all intervals, power, and losing the true best."""
    random = np.random.default_rng(len(effects) * 1000 + seeds)
    effects = np.asarray(effects, dtype="float64")
    false, all_covered, covered, found, equivalent, kept = 0, 0, np.zeros(len(effects)), [], 0, 0
    for _ in range(STUDIES):
        shared = SHARED * noise(random, seeds, kind)
        rows = {f"r{i}": effect + shared + OWN * noise(random, seeds, kind) for i, effect in enumerate(effects)}
        rows = {"none": shared + OWN * noise(random, seeds, kind), **rows}
        values = {name: dict(enumerate(row)) for name, row in rows.items()}
        status = {name: ["finished"] * seeds for name in rows}
        verdicts = list(judge(values, status, baseline="none", margin=margin).values())
        signs = [{"better": 1, "worse": -1}.get(v.word, 0) for v in verdicts]
        false += any(sign != 0 and sign != np.sign(effect) for sign, effect in zip(signs, effects, strict=True))
        inside = np.array([v.low <= effect <= v.high for v, effect in zip(verdicts, effects, strict=True)])
        covered += inside
        all_covered += inside.all()
        found += [sign == np.sign(effect) for sign, effect in zip(signs, effects, strict=True) if effect]
        equivalent += sum(
            v.word == "equivalent" and abs(e) > (margin or 0) for v, e in zip(verdicts, effects, strict=True)
        )
        best = int(np.argmax([0.0, *effects]))
        kept += list(rows)[best] in choose(values, {}, {}).candidates
    rate = 100 / STUDIES
    power = f"{100 * np.mean(found):.0f}" if found else ""
    return false * rate, covered.min() * rate, all_covered * rate, power, 100 - kept * rate, equivalent * rate


def main() -> None:
    """Print the table."""
    settings = [
        ("no effect", [0.0] * 9),
        ("one of nine helps by 3", [3.0] + [0.0] * 8),
        ("four help by 3, five do nothing", [3.0] * 4 + [0.0] * 5),
        ("eight help by 3, one does nothing", [3.0] * 8 + [0.0]),
        ("a single recipe, no effect", [0.0]),
        ("a single recipe helps by 2", [2.0]),
    ]
    print("| truth (points) | noise | seeds | false claims | worst interval covers | all cover | power | best lost |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for name, effects in settings:
        for kind in ("normal", "skewed"):
            for seeds in (5, 10):
                false, worst, together, power, lost, _ = simulate(effects, seeds, kind)
                print(
                    f"| {name} | {kind} | {seeds} | {false:.1f} | {worst:.1f} | {together:.1f} | {power} | {lost:.1f} |"
                )
                sys.stdout.flush()
    print()
    for effect in (1.0, 1.2):
        wrong = simulate([effect], 10, "normal", margin=1.0)[5]
        print(f"equivalent within 1 point, said of a recipe that differs by {effect:g}: {wrong:.1f} %")


if __name__ == "__main__":
    main()
