"""Where trainings stand, on disk: a folder each, replaced as a whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from reglab.study.checkpoint import Checkpoint
from reglab.study.storage import disk, owned

__all__ = ["CheckpointStore"]


class CheckpointStore:
    """The checkpoints of a study, by the key of the training (:attr:`reglab.study.plan.Ride.key`)."""

    def __init__(self, study: Path) -> None:
        self._study = study
        self._folder = study / "checkpoints"

    def write(self, key: str, checkpoint: Checkpoint) -> None:
        """Keep where a training stands, in place of where it stood before."""
        with disk.errors_named(self._study, "write"):
            before = self._of(key)
            target = self._folder / f"{key}-{checkpoint.epoch}"
            temporary = disk.new_folder(target)
            try:
                values, arrays = checkpoint.parts()
                disk.write_arrays(temporary / "arrays.npz", arrays)
                state = {**values, disk.MANIFEST: disk.checksums(temporary)}
                # Not as strict JSON: what a callback remembers may be infinite.
                disk.write(temporary / "state.json", json.dumps(state).encode())
                disk.publish(temporary, target, replaces=owned.removable(target))
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            for folder in before:
                if folder != target:
                    disk.remove(folder)

    def read(self, key: str) -> Checkpoint | None:
        """Return the latest checkpoint of a training that is whole, or None."""
        for folder in sorted(self._of(key), key=lambda f: int(f.name.rpartition("-")[2]), reverse=True):
            values = disk.read_json(folder / "state.json")
            if isinstance(values, dict) and disk.intact(folder, values.get(disk.MANIFEST), thorough=True):
                with (folder / "arrays.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                    return Checkpoint.of(values, dict(arrays))
        return None

    def epoch(self, key: str) -> int:
        """Return after how many epochs a training stands, 0 at its beginning."""
        return max((int(folder.name.rpartition("-")[2]) for folder in self._of(key)), default=0)

    def drop(self, key: str) -> None:
        """Forget where a training stood, for its results are there."""
        with disk.errors_named(self._study, "write"):
            for folder in self._of(key):
                disk.remove(folder)

    def forget(self, keys: Iterable[str]) -> None:
        """Forget where trainings stood whose results are there."""
        for key in keys:
            self.drop(key)

    def _of(self, key: str) -> list[Path]:
        """Return the checkpoints of a training; what else lies there is not reglab's."""
        return [folder for folder in self._folder.glob(f"{key}-*") if owned.removable(folder)]
