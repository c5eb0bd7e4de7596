"""MLflow: a study is an experiment there, a run of it a run, with parameters, curves and test metrics."""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING, Any

from reglab.errors import ReglabError
from reglab.results import Results, RunResult
from reglab.trackers import entries, hyperparameters

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["log"]

_TAG = "reglab.run"
_BATCH = 1000  # metrics MLflow takes at a time
_MOST_PARAMS = 100  # likewise


def log(results: Results, where: str | None = None) -> list[str]:
    """Hand the runs of a study to an MLflow tracking server or store.

    The experiment is called after the study folder. A run carries the tag ``reglab.run`` with its identity, and one
    that is there already is left as it is, so the function can be called again while the study runs.

    Args:
        results: as :meth:`Results.load` gives them.
        where: the tracking URI, such as ``http://localhost:5000``; by default MLflow's own, ``MLFLOW_TRACKING_URI``.

    Returns:
        the ids of the runs that were handed over.

    Raises:
        ReglabError: if mlflow is not installed, or the server does not take them.
    """
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise ReglabError(
            "MLflow is not installed. Run pip install 'reglab[mlflow]' to hand runs to a server, or pip install mlflow "
            "to keep them in a database of your own."
        ) from None
    try:
        client = MlflowClient(tracking_uri=where)
        experiment = _experiment(client, str(results.folder.resolve()))
        return [run.id for run in entries(results) if _handed_over(client, experiment, results, run)]
    except MlflowException as error:
        raise ReglabError(f"MLflow at {where or 'its default place'} did not take the runs: {error}") from error


def _experiment(client: MlflowClient, name: str) -> str:
    held = client.get_experiment_by_name(name)
    return held.experiment_id if held is not None else client.create_experiment(name)


def _handed_over(client: MlflowClient, experiment: str, results: Results, run: RunResult) -> bool:
    """Hand a run over, and say whether it was not there yet. One that was cut short is taken away and made anew."""
    for held in client.search_runs([experiment], f"tags.`{_TAG}` = '{run.id}'"):
        if held.info.status != "RUNNING":
            return False
        client.delete_run(held.info.run_id)
    made = client.create_run(
        experiment, run_name=f"{run.name}, seed {run.seed}", tags={_TAG: run.id, "reglab.status": run.status}
    ).info.run_id
    for parameters in _pieces(_parameters(results, run), _MOST_PARAMS):
        client.log_batch(made, params=parameters)
    for metrics in _pieces(_metrics(run), _BATCH):
        client.log_batch(made, metrics=metrics)
    client.set_terminated(made, status="FINISHED" if run.status == "finished" else "FAILED")
    return True


def _pieces(things: list[Any], size: int) -> list[list[Any]]:
    return [things[start : start + size] for start in range(0, len(things), size)]


def _parameters(results: Results, run: RunResult) -> list[Any]:
    from mlflow.entities import Param

    return [Param(_key(key), str(value)[:6000]) for key, value in hyperparameters(results, run).items()]


def _metrics(run: RunResult) -> list[Any]:
    from mlflow.entities import Metric

    now, best = int(1000 * time.time()), int(run.metrics.get("best_epoch", 0))
    curves = [
        Metric(f"epoch/{name}", float(value), now, epoch + 1)
        for name, values in run.history.items()
        for epoch, value in enumerate(values)
        if value is not None and math.isfinite(value)
    ]
    return curves + [
        Metric(f"run/{name}", float(value), now, best) for name, value in run.metrics.items() if math.isfinite(value)
    ]


def _key(name: str) -> str:
    """Return a name in the characters that MLflow takes."""
    return re.sub(r"[^\w\-. /]", "_", name)
