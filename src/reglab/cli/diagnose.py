"""``reglab diagnose``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from reglab import studies
from reglab.analysis.diagnose import diagnose as of
from reglab.analysis.prescribe import Patient, prescribe
from reglab.analysis.probed import Probes
from reglab.cli.console import Console
from reglab.cli.define import MODEL_HELP
from reglab.cli.options import Option, execution_options, settings_options, split, where_options
from reglab.cli.quiet import start_backend
from reglab.cli.say import say
from reglab.cli.show import trained
from reglab.data.kinds import ARRAY, checked
from reglab.experiments.diagnosis import diagnosed, patient, write
from reglab.experiments.probes import PROBES, alone, check_probes, probed
from reglab.experiments.treatment import Treated, treat, treated_before
from reglab.facade import Study
from reglab.logs import read_log
from reglab.report.diagnosis import Line, as_dict, lines, treated_lines
from reglab.results import Results
from reglab.study.storage.view import study_in

__all__ = ["diagnose"]

_WIDEST = 110  # characters; longer lines are hard to read
_STYLES = {"title": "bold", "problem": "", "dim": "dim", "": ""}


@click.command()
@click.argument("source", required=False, type=click.Path(exists=True))
@click.option("--data", help="digits, cifar10, breast_cancer, wine, iris; a folder or archive with a folder a class; a "
              ".npz, .csv or .parquet file")  # fmt: skip
@click.option("--model", help=MODEL_HELP)
@click.option("--recipe", metavar="RECIPE", help="what the model is trained with, as 'dropout(rate=0.3)'; of a study "
              "folder, the name of one of its recipes [default: none, or the study's baseline]")  # fmt: skip
@click.option("--probe", "probes", multiple=True, type=click.Choice(PROBES), help="learning-curve: is it short of "
              "data? labels: does it memorize? noise: does noise on inputs move it? weights: norms and sharpness, to "
              "explain. Can be given again")  # fmt: skip
@click.option("--treat", is_flag=True, help="try what is prescribed, and say what works on this model")
@click.option("--attainable", type=click.FloatRange(0, 100, min_open=True), metavar="X", help="training accuracy, or "
              "R², that a good model can have on this data, in % [default: 100; of R² unknown]")  # fmt: skip
@click.option("--classes", type=click.IntRange(min=2), metavar="N", help="how many classes, where SOURCE is a log")
@click.option("--target-std", type=click.FloatRange(0, min_open=True), metavar="X", help="standard deviation of the "
              "target, where SOURCE is a log with squared errors and no R²")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="for machines")
@settings_options()
@where_options
@execution_options
def diagnose(source: str | None, **options: Option) -> None:
    """Say whether a model overfits, since when and by how much, and what to do.

    SOURCE is a study folder; a log of your own training, CSV as Keras' CSVLogger writes it or JSON; or a study's YAML
    file. Without it, the model that the options name is trained with several seeds.

    \b
    Examples:
      reglab diagnose training.csv --classes 10
      reglab diagnose reglab-out/digits-mlp --probe noise
      reglab diagnose --data digits --model mlp --train-size 200 --treat
    """  # noqa: D301  # the backspace is click's mark of lines that are not to be filled
    keys = ("probes", "treat", "attainable", "classes", "target_std", "as_json", "recipe")
    own: dict[str, Any] = {key: options.pop(key) for key in keys}
    own["attainable"] = own["attainable"] / 100 if own["attainable"] else None
    # Of a log or a folder nothing is read, and what the data is only matters to what is prescribed.
    trains = source is None or Path(source).suffix.lower() in (".yaml", ".yml")
    own["kind"] = options["kind"] if trains else options.pop("kind")
    own["kind"] = checked(own["kind"]) if own["kind"] else None
    console = Console(stderr=own["as_json"])
    if source is not None and Path(source).is_file() and Path(source).suffix.lower() not in (".yaml", ".yml"):
        _of_log(source, own, options)
        return
    changes, execution = split(options)
    if source is not None and Path(source).is_dir():
        results, make = _of_folder(source, own["recipe"], own["probes"], changes)
    else:
        results, make = _of_options(source, own["recipe"], own["probes"], changes, execution, console)
    _diagnose(results, make, own, execution, console)


def _of_log(source: str, own: dict[str, Any], options: dict[str, Any]) -> None:
    study, execution = split(options)
    asked = [f"--{name.replace('_', '-')}" for name in (*study, *execution)]
    asked += ["--probe"] * bool(own["probes"]) + ["--treat"] * own["treat"] + ["--recipe"] * bool(own["recipe"])
    if asked:
        raise click.UsageError(
            f"{', '.join(asked)}: a log holds no model and no data, so nothing can be trained. Leave that out, or "
            f"leave {source} out and give --data and --model."
        )

    deviation = own["target_std"]
    loss = "mean_squared_error" if deviation else ""
    log = read_log(source, loss=loss, outputs=own["classes"], deviation=deviation)
    found = of(log.histories, log.task, attainable=own["attainable"], clean=log.clean)
    epochs = max(run.epochs for run in found.runs)
    items = prescribe(found, Patient(kind=own["kind"] or ARRAY, epochs=epochs, classes=own["classes"]))
    if own["as_json"]:
        click.echo(json.dumps({**as_dict(found, items), "notes": list(log.notes)}, indent=1))
        return
    _print(lines(found, items, notes=log.notes), source)


def _of_folder(
    source: str, recipe: str | None, probes: Sequence[str], changes: dict[str, Any]
) -> tuple[Results, Callable[[], Study]]:
    """Return what a study folder holds, and how its study is made where something has to be trained."""
    source = str(study_in(source))
    if "out" in changes:
        raise click.UsageError(
            f"--out: what is diagnosed of a study is kept in its own folder, {source}, beside the runs that it is of. "
            "Leave --out out, or copy the folder and diagnose the copy."
        )
    elsewhere = {key: changes.pop(key) for key in ("data", "model", "backend") if key in changes}
    if changes:
        given = ", ".join(f"--{name.replace('_', '-')}" for name in changes)
        raise click.UsageError(
            f"{given}: the study in {source} is what it is. Leave that out, or leave the folder out to train another."
        )
    results = Results.load(source)
    check_probes(probes, results.task)
    name = recipe or results.baseline
    if name not in results.runs:
        raise click.UsageError(f"The study in {source} has no recipe {name!r}; it has {', '.join(results.runs)}.")

    def make() -> Study:
        study = Study.resume(source, **elsewhere)
        study.baseline = name  # what is diagnosed is what probes and treatment start from
        return study

    return replace(results, comparison=replace(results.comparison, baseline=name)), make


def _of_options(
    source: str | None,
    recipe: str | None,
    probes: Sequence[str],
    changes: dict[str, Any],
    execution: dict[str, Any],
    console: Console,
) -> tuple[Results, Callable[[], Study]]:
    """Train the study that the options or a YAML file name, its baseline alone."""
    if recipe is not None:
        changes |= {"recipes": {recipe: recipe}, "baseline": recipe}
    if source is not None:
        study = Study.from_yaml(source, **changes)
        study = alone(study, study._out)
    elif "data" in changes:
        study = Study(**changes)
    else:
        raise click.UsageError(
            "Say what to diagnose: a study folder, a log (CSV or JSON), or --data and --model to train one."
        )
    check_probes(probes, study.task)
    return trained(study, console, execution=execution), lambda: study


def _diagnose(
    results: Results, make: Callable[[], Study], own: dict[str, Any], execution: dict[str, Any], console: Console
) -> None:
    def run(study: studies.Study) -> Results:
        return trained(study, console, execution=execution)

    found = diagnosed(results, attainable=own["attainable"])
    study = make() if own["probes"] or own["treat"] else None
    if {"noise", "weights"} & set(own["probes"]):  # they predict in this process
        start_backend()
    probes = probed(own["probes"], study, results, run=run) if study is not None else Probes()
    known = patient(results, study, probes)
    items = prescribe(found, replace(known, kind=own["kind"] or known.kind))
    treated: Treated | None = None
    if own["treat"] and study is not None and any(item.recipe for item in items):
        treated = treat(study, items, run=run)
    elif not own["treat"]:
        treated = treated_before(results, items)
    try:
        write(results.folder, results.baseline, as_dict(found, items, probes=probes, treated=treated))
    except OSError as error:  # somebody else's folder can be diagnosed too
        say(f"The diagnosis is not kept in {results.folder}: {error.strerror}.", err=True)
    if own["as_json"]:
        click.echo(json.dumps(as_dict(found, items, probes=probes, treated=treated), indent=1))
        return
    page = lines(found, items, probes=probes, notes=[*results.notes, *_unfinished(results)])
    if own["treat"] or treated:
        page += [
            Line(""),
            *(treated_lines(treated, found) if treated else [Line("No recipe is prescribed, so none was tried.")]),
        ]
    _print(page, results.headline)


def _unfinished(results: Results) -> list[str]:
    """Return what has to be said of runs that are not there."""
    runs = results.runs[results.baseline].values()
    absent = sum(run.status in ("missing", "failed") for run in runs)
    if not absent:
        return []
    return [f"{absent} of {len(runs)} runs are not finished or failed; reglab resume {results.folder} trains them."]


def _print(page: Sequence[Line], headline: str) -> None:
    console = Console(highlight=False)
    width = min(_WIDEST, console.width)
    for line in (Line(headline, look="dim"), Line(""), *page):
        console.print(Text(line.wrapped(width), style=_STYLES[line.look]))
