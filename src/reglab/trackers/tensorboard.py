"""TensorBoard: a run of the study is a run there, with its curves, its test metrics and its hyperparameters."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

from reglab.errors import ReglabError
from reglab.results import Results, RunResult
from reglab.study.naming import slugs
from reglab.study.storage import disk, owned
from reglab.trackers import entries, hyperparameters

if TYPE_CHECKING:
    from tensorboard.compat.proto import event_pb2, summary_pb2

__all__ = ["log"]

_MARK = "reglab-run"  # a file beside the events: the run that they are of, written last; empty while they are written
_SUFFIX = ".reglab"  # of event files: what may be written anew


def log(results: Results, where: str | Path | None = None) -> list[str]:
    """Write the runs of a study as TensorBoard event files.

    Each lies in ``<where>/<recipe>/seed-<n>``. What stands there already is left as it is, so the function can be
    called again while the study runs. Curves carry the epoch, counted from 1, as their step; the test metrics and the
    hyperparameters of the HParams dashboard belong to the best epoch.

    Args:
        results: as :meth:`Results.load` gives them.
        where: the log folder; by default ``tensorboard`` in the study folder.

    Returns:
        the ids of the runs that were written.

    Raises:
        ReglabError: if tensorboard is not installed, or a run's folder holds something else.
    """
    _check_installed()
    root = owned.given(where, option="where") if where is not None else results.folder / "tensorboard"
    names = slugs(results.runs)
    folders = {run.id: root / names[run.name] / f"seed-{run.seed}" for run in entries(results)}
    for folder in folders.values():
        if not (folder / _MARK).is_file() and any(not _ours(path.name) for path in folder.glob("*")):
            raise ReglabError(
                f"{folder} holds something that is not reglab's, so nothing is written. Give another log folder "
                "(--where)."
            )
    written = []
    with disk.errors_named(root, "write"):
        for run in entries(results):
            mark = folders[run.id] / _MARK
            if mark.is_file() and mark.read_text(encoding="utf-8") == run.id:
                continue
            folders[run.id].mkdir(parents=True, exist_ok=True)
            disk.write(mark, b"")
            for left in mark.parent.glob(f"events.*{_SUFFIX}"):  # of a writing that was interrupted, or another study
                left.unlink()
            _write(results, run, mark.parent)
            disk.write(mark, run.id.encode())
            written.append(run.id)
    return written


def _ours(name: str) -> bool:
    return disk.temporary(name) or (name.startswith("events.") and name.endswith(_SUFFIX))


def _check_installed() -> None:
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise ReglabError("TensorBoard is not installed. Run pip install 'reglab[tensorboard]'.") from None


def _write(results: Results, run: RunResult, folder: Path) -> None:
    from tensorboard.plugins.hparams import api_pb2, summary_v2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder), filename_suffix=_SUFFIX)
    try:
        summary = summary_v2.hparams_pb(hyperparameters(results, run), trial_id=run.id)
        writer.add_event(_event(summary, 0))
        for name, values in run.history.items():
            for epoch, value in enumerate(values):
                if value is not None and math.isfinite(value):
                    writer.add_event(_event(_scalar(f"epoch/{name}", value), epoch + 1))
        best = int(run.metrics.get("best_epoch", 0))
        for name, value in run.metrics.items():
            if math.isfinite(value):
                writer.add_event(_event(_scalar(f"run/{name}", value), best))
        ended = api_pb2.STATUS_SUCCESS if run.status == "finished" else api_pb2.STATUS_FAILURE
        writer.add_event(_event(_session_end(ended), best))
    finally:
        writer.close()


def _event(summary: summary_pb2.Summary, step: int) -> event_pb2.Event:
    from tensorboard.compat.proto import event_pb2

    return event_pb2.Event(wall_time=time.time(), step=step, summary=summary)


def _scalar(tag: str, value: float) -> summary_pb2.Summary:
    from tensorboard.compat.proto import summary_pb2

    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=float(value))])


def _session_end(status: int) -> summary_pb2.Summary:
    """Return what tells the HParams dashboard that the run has ended, and how."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    data = plugin_data_pb2.HParamsPluginData(session_end_info=plugin_data_pb2.SessionEndInfo(status=status))
    told = summary_pb2.Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR
    )
    return summary_pb2.Summary(value=[told])
