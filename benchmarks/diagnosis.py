"""How often a diagnosis is wrong: ``python benchmarks/diagnosis.py`` prints the tables of docs/diagnosis.md.

Histories are simulated whose truth is known. Validation cross-entropy falls exponentially from 2.3 to 0.5, with a time
constant of an eighth of the training, and then stays (truth: no onset) or rises linearly from half of the training on.
Its noise is a share of its level: of each epoch by itself, or drifting (AR(1), coefficient 0.8). Validation accuracy
lies behind training accuracy by a gap that differs from seed to seed with a standard deviation of 1.5 points.
"""

from __future__ import annotations

import sys

import numpy as np

from reglab.analysis.curves import turn
from reglab.analysis.diagnose import diagnose
from reglab.tasks import SingleLabel

TASK = SingleLabel(classes=tuple("0123456789"))
RUNS = 1000
STUDIES = 400
START, LEVEL = 2.3, 0.5
EPOCHS = (10, 30, 100, 300)
NOISES = ((0.02, "each epoch"), (0.05, "each epoch"), (0.10, "each epoch"), (0.05, "drifting"), (0.10, "drifting"))


def noise(random, epochs, kind):
    """Return noise of standard deviation 1."""
    own = random.normal(size=epochs)
    if kind == "each epoch":
        return own
    drift = np.empty(epochs)
    drift[0] = own[0]
    for i in range(1, epochs):
        drift[i] = 0.8 * drift[i - 1] + np.sqrt(1 - 0.8**2) * own[i]
    return drift


def curve(random, epochs, *, rise, size, kind):
    """Return validation cross-entropy, which ends ``rise`` (a share) above its level; 0 stays there."""
    t = np.arange(epochs)
    clean = LEVEL + (START - LEVEL) * np.exp(-8 * t / epochs)
    clean = clean + rise * LEVEL * np.clip((t - epochs / 2) / (epochs / 2), 0, None)
    return np.maximum(clean * (1 + size * noise(random, epochs, kind)), 1e-3)


def history(random, epochs, *, rise, gap, size=0.05, kind="each epoch"):
    """Return a whole history: training accuracy goes to 0.95, validation lies ``gap`` behind at the end."""
    t = np.arange(epochs)
    learned = 1 - np.exp(-8 * t / epochs)
    train = 0.1 + 0.85 * learned
    behind = learned * random.normal(gap, 0.015)
    return {
        "train_accuracy": train, "train_cross_entropy": 0.2 + 2.1 * (1 - learned),
        "val_accuracy": train - behind + 0.01 * random.normal(size=epochs),
        "val_cross_entropy": curve(random, epochs, rise=rise, size=size, kind=kind),
    }  # fmt: skip


def onsets(random, epochs, *, rise, size, kind):
    """Return the epochs at which runs are said to turn, as shares of the training."""
    found = [turn(curve(random, epochs, rise=rise, size=size, kind=kind)) for _ in range(RUNS)]
    return np.array([each.epoch / epochs for each in found if each is not None])


def words(random, seeds, **truth):
    """Return how often each word is said."""
    said = [diagnose([history(random, 60, **truth) for _ in range(seeds)], TASK).word for _ in range(STUDIES)]
    return {word: 100 * said.count(word) / STUDIES for word in ("overfitting", "fitting")}


def of_one_part(random, seeds, examples, share=0.9):
    """Return histories of runs without any gap on one validation part, which is off by what so few examples give."""
    luck = random.binomial(examples, share) / examples - share
    t = np.arange(40)
    learned = 1 - np.exp(-8 * t / 40)
    ends = share + luck + 0.007 * random.normal(size=seeds)
    return [
        {
            "train_accuracy": 0.1 + (share - 0.1) * learned,
            "val_accuracy": np.clip(0.1 + (end - 0.1) * learned + 0.003 * random.normal(size=40), 0, 1),
        }
        for end in ends
    ]


def one_part() -> None:
    """Print how often a gap is said where there is none but in the luck of one validation part."""
    random = np.random.default_rng(0)
    print("\nOne validation part for all runs, true accuracy 90 % and no gap: overfitting said, in % of 400;")
    print("beside it with shared=False, which takes the part of each run for another one.\n")
    print("| validation examples | seeds | overfitting | shared=False |")
    print("|---:|---:|---:|---:|")
    for examples in (30, 100, 500):
        for seeds in (1, 3, 5, 10):
            studies = [of_one_part(random, seeds, examples) for _ in range(STUDIES)]
            rates = [
                100 * np.mean([
                    diagnose(runs, TASK, examples=examples, shared=shared).word == "overfitting"
                    for runs in studies
                ])
                for shared in (True, False)
            ]  # fmt: skip
            print(f"| {examples} | {seeds} | {rates[0]:.1f} | {rates[1]:.1f} |", flush=True)


def main() -> None:
    """Print the tables."""
    random = np.random.default_rng(0)
    print(
        f"Onset said of a single run, in % of {RUNS:,}; where there is one, at which share of training (10 to 90 %).\n"
    )
    print("| noise | epochs | no rise | rises by 20 % | by 50 % | by 100 % | said at (truth 0.5) |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for size, kind in NOISES:
        for epochs in EPOCHS:
            found = [onsets(random, epochs, rise=rise, size=size, kind=kind) for rise in (0.0, 0.2, 0.5, 1.0)]
            rates = " | ".join(f"{100 * len(each) / RUNS:.1f}" for each in found)
            low, high = np.quantile(found[-1], [0.1, 0.9]) if len(found[-1]) else (np.nan, np.nan)
            print(f"| {100 * size:.0f} %, {kind} | {epochs} | {rates} | {low:.2f} to {high:.2f} |")
    print(f"\nWord said of a study of 60 epochs, noise 5 % of each epoch unless said, in % of {STUDIES}.\n")
    print("| truth | seeds | overfitting | fitting |")
    print("|---|---:|---:|---:|")
    for seeds in (1, 3, 5, 10):
        for name, truth in (
            ("no gap, no rise", {"rise": 0.0, "gap": 0.0}),
            ("gap of 1 point, no rise", {"rise": 0.0, "gap": 0.01}),
            ("gap of 6 points, no rise", {"rise": 0.0, "gap": 0.06}),
            ("gap of 1 point, rises by 50 %", {"rise": 0.5, "gap": 0.01}),
            (
                "gap of 1 point, no rise, noise 10 % drifting",
                {"rise": 0.0, "gap": 0.01, "size": 0.1, "kind": "drifting"},
            ),
        ):
            said = words(random, seeds, **truth)
            print(f"| {name} | {seeds} | {said['overfitting']:.1f} | {said['fitting']:.1f} |")
    one_part()


if __name__ == "__main__":
    sys.exit(main())
