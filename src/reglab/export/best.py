"""The recipe that a study recommends, to be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reglab.recipe import Recipe

if TYPE_CHECKING:
    import keras

    from reglab.laboratory import Study
    from reglab.regularized.model import RegularizedModel

__all__ = ["Best"]


@dataclass(frozen=True)
class Best:
    """The recipe that a study recommends: the best by validation, or a simpler one that is shown to be as good.

    Attributes:
        name: what the study calls it.
        recipe: the recipe.
        folder: of the study.
        study: the study, where it is at hand; by default it is resumed from the folder when something is exported.

    Example:
        >>> import keras, reglab
        >>> best = reglab.Results.load("reglab-out/demo").best()
        >>> best.name
        'combination'
        >>> network = keras.Sequential([keras.layers.Dense(64, "relu"), keras.layers.Dense(3, "softmax")])
        >>> network.build((None, 8))
        >>> model = best.regularize(network)  # compile and fit it as any Keras model
    """

    name: str
    recipe: Recipe
    folder: Path
    study: Study | None = None

    def regularize(self, model: Any, *, seed: int | None = None) -> RegularizedModel:
        """Return a Keras model that trains ``model`` with the recipe; see :func:`reglab.regularize`."""
        from reglab.regularized import regularize

        return regularize(model, self.recipe, seed=seed)

    def network(self, seed: int | None = None) -> keras.Model:
        """Return the trained network of its best run by validation, or of a seed: plain Keras, raw inputs in."""
        import tempfile

        import keras

        with tempfile.TemporaryDirectory() as folder:
            out = self.export(Path(folder) / "export", seed=seed, script=False)
            return keras.models.load_model(out / "model.keras", safe_mode=True)

    def export(self, out: str | Path | None = None, **options: Any) -> Path:
        """Write the recipe, the trained network and a training script; see :func:`reglab.export.write.export`."""
        from reglab.export.write import export
        from reglab.laboratory import Study

        return export(self.study or Study.resume(self.folder), recipe=self.name, out=out, **options)
