"""Racing against random search and successive halving, on a grid that was trained once.

``python benchmarks/racing.py train FOLDER`` trains the grid: the seven arms of the paper that have a strength, five
strengths each over their declared search ranges, twenty seeds, in the regime of ``reglab demo``. Then ``python
benchmarks/racing.py FOLDER`` replays searches on it, twenty times. Each replay draws ten of the seeds for searching and
judges the pick by the test accuracy of the other ten. Every method may spend a quarter of the epochs of the full grid
of ten seeds, and decides by validation accuracy alone.

Regret is the mean test accuracy, on the seeds that the search had not, of the recipe that is best over all twenty
seeds, minus that of the pick. The best is named by seeds that judge too, so it looks a little better than it is.
"""

from __future__ import annotations

import sys

import numpy as np
import optuna

import reglab
from reglab.cli.demo import DEMO
from reglab.experiments.sweep import grid
from reglab.results import Results
from reglab.tuning.racing import race

ARMS = ("l1", "l2", "l1l2", "augmentation", "gaussian_noise", "dropout", "adversarial")
SEEDS, SEARCHED, REPLAYS = 20, 10, 20
EPOCHS = DEMO["epochs"]


def train(folder):
    """Train the grid."""
    recipes = {"none": "none"}
    for arm in ARMS:
        swept = grid(arm)
        recipes |= {f"{arm} {name}": swept.recipes[name] for name in swept.names}
    reglab.Study(recipes=recipes, baseline="none", out=folder, **{**DEMO, "seeds": SEEDS}).run()


def racing(families, curve, seeds, budget, random):
    """Return what reglab's race picks, and the epochs it takes."""

    def curves(names, seeds, epochs):
        return {(name, seed): curve(name, seed, epochs) for name in names for seed in seeds}

    found = race(families, seeds, epochs=EPOCHS, budget=budget, curves=curves)
    return found.pick, found.spent


def random_search(families, curve, seeds, budget, random, each=2):
    """Recipes at random without repetition, each fully trained with two seeds; the best mean wins."""
    names = [name for names in families.values() for name in names]
    spent, best = 0, (-1.0, "")
    for name in random.permutation(names):
        if spent + each * EPOCHS > budget:
            break
        spent += each * EPOCHS
        best = max(best, (np.mean([max(curve(name, seed, EPOCHS)) for seed in seeds[:each]]), name))
    return best[1], spent


def successive_halving(families, curve, seeds, budget, random):
    """Optuna's SuccessiveHalvingPruner over all recipes: mean curves of as many seeds as the budget reaches for."""
    names = [str(name) for name in random.permutation([name for names in families.values() for name in names])]
    for each in range(len(seeds), 0, -1):
        seen, spent = _halved(names, curve, seeds[:each])
        if spent <= budget:
            # Fully trained ones go before those that were stopped.
            return max(seen, key=lambda name: seen[name]), spent
    raise ValueError("the budget does not reach for one seed")


def _halved(names, curve, seeds):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=EPOCHS // 8, reduction_factor=2),
    )
    spent, seen = 0, {}
    for name in names:
        trial = study.ask()
        so_far = np.maximum.accumulate(np.mean([curve(name, seed, EPOCHS) for seed in seeds], axis=0))
        for epoch, value in enumerate(so_far, start=1):
            trial.report(value, epoch)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, float(so_far[-1]))
        spent += epoch * len(seeds)
        seen[name] = (epoch, float(so_far[epoch - 1]))
    return seen, spent


METHODS = {"racing": racing, "random search": random_search, "successive halving": successive_halving}


def replay(folder):
    """Replay every method on the grid, whole and without the arm that has the best recipe, and print the tables."""
    results = Results.load(folder)
    best = replayed(results, ARMS)
    replayed(results, [arm for arm in ARMS if not best.startswith(f"{arm} ")])


def replayed(results, arms):
    """Replay every method on some arms of the grid, print a table, and return the best recipe over all seeds."""
    families = {arm: [name for name in results.runs if name.startswith(f"{arm} ")] for arm in arms}
    names = [name for of_arm in families.values() for name in of_arm]
    history = {(n, s): run.history["val_accuracy"] for n in names for s, run in results.runs[n].items()}
    test = np.array([[results.runs[n][s].metrics.get("accuracy", 0.0) for s in range(SEEDS)] for n in names])
    best = names[int(test.mean(axis=1).argmax())]
    budget = len(names) * SEARCHED * EPOCHS // 4

    def curve(name, seed, epochs):
        return history[name, seed][:epochs]

    rows = {method: [] for method in METHODS}
    for number in range(REPLAYS):
        random = np.random.default_rng(number)
        order = random.permutation(SEEDS)
        searched, held_out = [int(s) for s in order[:SEARCHED]], order[SEARCHED:]
        accuracy = dict(zip(names, test[:, held_out].mean(axis=1), strict=True))
        for method, run in METHODS.items():
            pick, spent = run(families, curve, searched, budget, np.random.default_rng(number))
            assert spent <= budget, (method, spent)
            rows[method].append((100 * (accuracy[best] - accuracy[pick]), spent, pick))
        full = max(names, key=lambda n: np.mean([max(history[n, s]) for s in searched]))
        rows.setdefault("the full grid", []).append(
            (100 * (accuracy[best] - accuracy[full]), len(names) * SEARCHED * EPOCHS, full)
        )
    print(f"\n{len(names)} recipes, best over all seeds: {best}; budget {budget:,} epochs\n")
    print("| method | mean regret, points | standard error | epochs, median | picks |")
    print("|---|---:|---:|---:|---|")
    for method, found in rows.items():
        regrets = np.array([regret for regret, _, _ in found])
        picks = sorted({pick for _, _, pick in found}, key=lambda p: -sum(pick == p for _, _, pick in found))
        told = ", ".join(f"{pick} ({sum(p == pick for _, _, p in found)})" for pick in picks[:3])
        error = regrets.std(ddof=1) / np.sqrt(len(regrets))
        median = np.median([spent for _, spent, _ in found])
        print(f"| {method} | {regrets.mean():.2f} | {error:.2f} | {median:,.0f} | {told} |")
    return best


if __name__ == "__main__":
    train(sys.argv[2]) if sys.argv[1] == "train" else replay(sys.argv[1])
