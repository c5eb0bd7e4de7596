"""Where a training stands: everything that what comes next depends on, so that going on equals not having stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reglab.study.plan import Ride

__all__ = ["Checkpoint", "TrackState"]


@dataclass(frozen=True, eq=False)
class TrackState:
    """One run of a training, as far as it has come.

    Attributes:
        history: a number an epoch, by name.
        best_epoch, best_weights: the best epoch so far, counted from 0, and what the model predicts by after it.
        done, diverged: whether it has stopped, and why, if its numbers were none.
        seconds: of training so far.
        observers: what each observer of its recipe remembers: numbers and arrays, by name.
    """

    history: dict[str, list[float]]
    best_epoch: int
    best_weights: list[np.ndarray]
    done: bool
    diverged: str
    seconds: float
    observers: list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training after ``epoch`` epochs.

    Attributes:
        hyperparameters: the fingerprint of the recipe that is trained.
        seed: the seed it is trained with.
        epoch: how many epochs are done.
        variables: all variables of the program in its order: weights, strengths, states of random streams, statistics,
            the optimizer, metrics.
        tracks: its runs, by identity.
        callbacks: what each of the user's callbacks remembers.
    """

    hyperparameters: str
    seed: int
    epoch: int
    variables: list[np.ndarray]
    tracks: dict[str, TrackState]
    callbacks: list[dict[str, Any]] = field(default_factory=list)

    def fits(self, ride: Ride) -> bool:
        """Whether ``ride`` can go on from here: the same training, and all of its runs were in it from the start."""
        return (
            self.hyperparameters == ride.recipe.fingerprint()
            and self.seed == ride.seed
            and all(run.id in self.tracks for run in ride.runs)
        )

    def parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what JSON holds of it, and the arrays."""
        arrays = {f"variable_{i:05d}": value for i, value in enumerate(self.variables)}
        tracks = {}
        for number, (run, track) in enumerate(self.tracks.items()):
            arrays |= {f"track_{number}_best_{i:05d}": value for i, value in enumerate(track.best_weights)}
            # As arrays: numbers that are not finite stay what they are.
            arrays |= {f"track_{number}_history_{key}": np.asarray(values) for key, values in track.history.items()}
            plain: list[dict[str, Any]] = []
            for position, remembered in enumerate(track.observers):
                held = {key: value for key, value in remembered.items() if isinstance(value, np.ndarray)}
                arrays |= {f"track_{number}_observer_{position}_{key}": value for key, value in held.items()}
                plain.append({key: value for key, value in remembered.items() if key not in held})
            tracks[run] = {
                "best_epoch": track.best_epoch, "done": track.done, "diverged": track.diverged,
                "seconds": track.seconds, "observers": plain,
            }  # fmt: skip
        values = {"hyperparameters": self.hyperparameters, "seed": self.seed, "epoch": self.epoch, "tracks": tracks}
        values["callbacks"] = [_taken_apart(state, f"callback_{i}", arrays) for i, state in enumerate(self.callbacks)]
        return values, arrays

    @classmethod
    def of(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Checkpoint:
        """Return the checkpoint that :meth:`parts` took apart."""
        tracks = {}
        for number, (run, state) in enumerate(values["tracks"].items()):
            best, history = f"track_{number}_best_", f"track_{number}_history_"
            observers = [
                {**plain, **_under(f"track_{number}_observer_{position}_", arrays)}
                for position, plain in enumerate(state["observers"])
            ]
            tracks[run] = TrackState(
                history={key.removeprefix(history): arrays[key].tolist() for key in arrays if key.startswith(history)},
                best_weights=[arrays[key] for key in sorted(arrays) if key.startswith(best)],
                **{**state, "observers": observers},
            )
        variables = [arrays[key] for key in sorted(arrays) if key.startswith("variable_")]
        callbacks = [_joined(state, arrays) for state in values["callbacks"]]
        return cls(values["hyperparameters"], values["seed"], values["epoch"], variables, tracks, callbacks)


def _taken_apart(value: object, key: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return what JSON holds of a value; arrays, and numbers of NumPy's, go into ``arrays``."""
    if isinstance(value, Mapping):
        return {"mapping": {name: _taken_apart(held, f"{key}_{name}", arrays) for name, held in value.items()}}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_taken_apart(held, f"{key}_{i}", arrays) for i, held in enumerate(value)]}
    if isinstance(value, np.ndarray | np.generic):
        arrays[key] = np.asarray(value)
        return {"number" if isinstance(value, np.generic) else "array": key}
    return {"plain": value}


def _joined(held: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    """Return the value that was taken apart."""
    ((kind, value),) = held.items()
    if kind == "mapping":
        return {name: _joined(each, arrays) for name, each in value.items()}
    if kind in ("list", "tuple"):
        found = [_joined(each, arrays) for each in value]
        return tuple(found) if kind == "tuple" else found
    if kind == "array":
        return arrays[value]
    return arrays[value][()] if kind == "number" else value


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin so, by the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
