"""The folder that somebody takes home: recipe, trained network, script, and how to predict."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reglab.aliases import Plain
from reglab.data.preprocess import Preprocess, PreprocessEach
from reglab.data.several import by_input
from reglab.errors import ReglabError
from reglab.export.render import Facts
from reglab.export.source import comment
from reglab.export.texts import predict_py, readme
from reglab.export.trained import written
from reglab.results import RunResult
from reglab.studies import Study
from reglab.study import naming
from reglab.study.storage import disk, folders, owned, run_folder
from reglab.study.storage.frozen import as_yaml
from reglab.study.storage.view import View

if TYPE_CHECKING:
    from reglab.replay import Replay
    from reglab.study.run import SeedData

__all__ = ["DATA_LIMIT_MB", "export"]

DATA_LIMIT_MB = 256.0  # raw examples of one seed's split, in memory; more are only written when asked for
RECIPE = "recipe.yaml"


def export(
    study: Study,
    *,
    recipe: str | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    script: bool = True,
    max_data: float = DATA_LIMIT_MB,
    progress: Callable[[str], None] = lambda what: None,
) -> Path:
    """Write what one needs to use a study's recipe without reglab, and return the folder.

    Args:
        study: as :meth:`Study.resume` gives it.
        recipe: its name; by default the recommended one.
        seed: the run to take; by default the one that is best on validation.
        out: the folder; by default ``export/<recipe>`` in the study's, or that with a number where it holds something
            else. One that holds an export of the same run, as it was written, is replaced, as a whole and only when the
            new one is complete.
        script: whether to write ``train.py`` and what it reads.
        max_data: megabytes of raw examples up to which they are written for the script.
        progress: hears what is being done.

    Raises:
        ReglabError: if no such run has finished, data or model are not those of the study, something cannot be
            written as plain Keras, or the folder holds something else. Nothing is written then.
    """
    from reglab.replay import Replay

    if out is not None:  # before anything that takes time
        owned.check(owned.given(out), owned.EXPORT)
    replay = Replay(study.out, study.assignment)
    name = _chosen(replay, recipe)
    run = replay.results.shipped(name, seed)
    what: dict[str, Plain] = {"recipe": name, "run": run.id, "script": script}
    if out is not None:
        target = owned.given(out)
        _check_target(target, what)
    else:
        numbered = folders.numbered(Path(study.out) / "export" / naming.slugs(replay.results.runs)[name])
        target = next(each for each in numbered if not _in_the_way(each, what))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = disk.new_folder(target)
    try:
        progress("the trained network")
        off = _write_model(temporary / "model.keras", replay, run)
        (temporary / RECIPE).write_text(_recipe_yaml(study, replay, run), encoding="utf-8")
        (temporary / "predict.py").write_text(predict_py(replay.assignment.data, replay.results.task), encoding="utf-8")
        if script:
            progress("the script")
            _write_script(temporary, study, replay, run, max_data)
        (temporary / "README.md").write_text(readme(replay, run, off, temporary), encoding="utf-8")
        disk.sync_files(temporary)
        owned.mark(temporary, owned.EXPORT, **what, files=disk.checksums(temporary))
        disk.publish(temporary, target, replaces=not _in_the_way(target, what))  # it may have been changed meanwhile
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def _chosen(replay: Replay, recipe: str | None) -> str:
    if recipe is not None:
        return recipe
    choice = replay.results.comparison.choice
    if choice is None:
        folder = replay.results.folder
        raise ReglabError(f"No run of the study in {folder} has finished, so there is nothing to export.")
    return choice.recommended


def _check_target(target: Path, what: dict[str, Plain]) -> None:
    owned.check(target, owned.EXPORT)
    reason = _in_the_way(target, what)
    if reason:
        raise ReglabError(f"{target} {reason}. Give another folder (--out), or take it away.")


def _in_the_way(target: Path, what: dict[str, Plain]) -> str:
    """Return why a folder must not be replaced by an export: it is somebody's work, or more than that export."""
    if owned.empty(target):
        return "is a link" if target.is_symlink() else ""
    held = owned.marked(target)
    if held.get("kind") != owned.EXPORT or target.is_symlink():
        return "exists and is no export"
    if (held.get("recipe"), held.get("run")) != (what["recipe"], what["run"]) or held.get("script", 0) > what["script"]:
        script = "" if held.get("script") else " without a script"
        return f"holds another export{script}: of {held.get('recipe')}, run {held.get('run')}"
    files = held.get("files")
    names = {path.name for path in target.iterdir()} - {owned.MARKER}
    if not isinstance(files, dict) or names != set(files) or not disk.intact(target, files, thorough=True):
        return "holds an export that was changed since it was written"
    return ""


# --- the trained network ---------------------------------------------------------------------------------------------


def _write_model(path: Path, replay: Replay, run: RunResult) -> float:
    """Write the trained network, and return how far its predictions are from those of the run."""
    from reglab.export.deploy import check, deployed
    from reglab.regularized.export import why_not_saved

    program, data = replay.trained(run)
    recipe = replay.assignment.recipes[run.name]
    model = deployed(
        program.model.export_network(), data=replay.assignment.data, preprocess=data.preprocess, task=program.task,
        head=program.head, recipe=recipe, target_scale=data.target_scale,
    )  # fmt: skip
    if reason := why_not_saved(model):
        raise ReglabError(f"The trained network {reason}, and compare again.")
    model.save(path)
    stored = run_folder.predictions(replay.results.folder / "runs" / run.id, "test").predicted
    raw = replay.assignment.data.x[np.sort(replay.split(run.seed).test)[:256]]
    exact = replay.assignment.settings.precision == "float32"
    return check(path, x=raw, predictions=stored[:256], tolerance=1e-3 if exact else 2e-2)


# --- the script ------------------------------------------------------------------------------------------------------


def _write_script(folder: Path, study: Study, replay: Replay, run: RunResult, max_data: float) -> None:
    from reglab.export.scripted import scripted, write_start

    if replay.starts_otherwise:
        raise ReglabError(
            "The script would not train what the study did: the model draws other initial weights here, as other "
            "versions and devices do. Leave the script out (--no-script), or export where the study was trained."
        )
    with View(replay.results.folder) as view:
        threads = view.threads
    program, data = replay.in_training(run)
    examples = _examples(replay, data, run.seed, max_data)
    form, given = by_input(data.y), by_input(study.dataset.y)
    trained = written(
        replay.training, program.head, dense={name for name, y in form.items() if y.ndim > given[name].ndim}
    )
    recipe = replay.assignment.recipes[run.name]
    facts = Facts(
        title=f'Train "{run.name}" on {study.dataset.name} in plain Keras: seed {run.seed} of a study by reglab.',
        recipe=recipe.to_text(), result=_result(replay, run, threads),
        score=float(run.metrics[replay.results.metric.name]),
        settings=study.settings, trained=trained, preprocessing=_each(data.preprocess),
        batches=data.stream("batches"), statistics=data.stream("statistics"), threads=threads,
        scaled=data.target_scale is not None,
    )  # fmt: skip
    text, arrays = scripted(program, recipe, data, facts)
    (folder / "train.py").write_text(text, encoding="utf-8")
    if data.weights is not None:
        arrays = {**arrays, "w_train": data.weights[data.train]}
    fitted = dict(arrays)
    for name, of_input in facts.preprocessing.items():
        end = f"_{name}" if name else ""
        fitted |= {f"mean{end}": of_input.mean, f"scale{end}": of_input.scale}
    if data.target_scale is not None:
        fitted |= dict(zip(("target_mean", "target_scale"), data.target_scale, strict=True))
    np.savez_compressed(folder / "data.npz", allow_pickle=False, **fitted, **examples)
    write_start(folder / "train.py", program, data, folder / "initial.weights.h5")


def _examples(replay: Replay, data: SeedData, seed: int, max_data: float) -> dict[str, np.ndarray]:
    """Return the raw examples of a seed's split, each part in the order the study has it in."""
    split = replay.split(seed)
    parts = {"train": data.train, "val": np.sort(split.val), "test": np.sort(split.test)}
    size = sum(map(len, parts.values())) * int(np.prod(data.x.shape[1:])) * data.x.dtype.itemsize / 1e6
    if size > max_data:
        raise ReglabError(
            f"The raw examples of seed {seed} are {size:,.3g} MB, and train.py reads them from a copy: more than "
            f"{max_data:,.3g} MB are copied only when asked for. Give --max-data {size + 1:.0f}, or leave the script "
            "out (--no-script)."
        )
    found = {f"x_{name}": data.x[indices] for name, indices in parts.items()}
    labels = replay.assignment.data.y  # in their own units
    return {**found, **{f"y_{name}": labels[indices] for name, indices in parts.items()}}


def _each(preprocess: Preprocess | PreprocessEach) -> Mapping[str, Preprocess]:
    """Return what is done to each input by its name; that of a single one is empty."""
    return preprocess.of if isinstance(preprocess, PreprocessEach) else {"": preprocess}


def _result(replay: Replay, run: RunResult, threads: int | None) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in replay.results.versions.items() if name != "reglab")
    workers = "" if threads is None else f" with {threads} thread{'s' if threads > 1 else ''}"
    metric = replay.results.metric
    return (
        f"On the test set that run has {metric.title} {metric.shown(run.metrics[metric.name])}, trained by "
        f"{versions}{workers}. "
        "Data, split, initial weights, order of batches and random draws are the study's, from the files beside it."
    )


# --- texts -----------------------------------------------------------------------------------------------------------


def _recipe_yaml(study: Study, replay: Replay, run: RunResult) -> str:
    results, metric = replay.results, replay.results.metric
    spec = {**study.spec(), "recipes": {}, "baseline": results.baseline}
    for name in dict.fromkeys([results.baseline, run.name]):
        spec["recipes"][name] = replay.assignment.recipes[name].to_text()
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    said = [
        f"The recipe {run.name!r} of a study by reglab, with the settings it was compared under and its baseline.",
        f"The exported run: seed {run.seed}, best epoch {run.metrics['best_epoch']:.0f}, test {metric.title} "
        f"{metric.shown(run.metrics[metric.name])}. Trained by {versions}.",
        "Compare again: reglab compare recipe.yaml. In Python: reglab.regularize(model, TEXT_OF_THE_RECIPE).",
    ]
    return "".join(f"{comment(line)}\n" for line in said) + as_yaml(spec)
