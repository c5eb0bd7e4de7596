"""What goes with the trained network: README.md and predict.py, which say how it is used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reglab import backends
from reglab.data.kinds import SEVERAL
from reglab.data.several import by_input
from reglab.export.source import comment, docstring, literal, named, unannotated
from reglab.inert import fenced, markdown
from reglab.results import RunResult
from reglab.tasks import Task

if TYPE_CHECKING:
    from reglab.data.dataset import Dataset
    from reglab.replay import Replay

__all__ = ["predict_py", "readme"]


def predict_py(data: Dataset, task: Task) -> str:
    """Return the script that predicts raw examples of a data set with the trained network beside it."""
    raw, outputs = _raw_examples(data), task.outputs or {"": task}
    inputs = "".join(f"\n{comment(f'{name}: {of}')}" for name, of in raw.items() if name)
    given = "by the names of inputs" if inputs else raw[""]
    loaded = "dict(np.load(sys.argv[1]))" if data.kind == SEVERAL else "np.load(sys.argv[1])"
    file = "examples.npz" if data.kind == SEVERAL else "examples.npy"
    features = f"\nFEATURES = {_list(data.feature_names)}  # of an example, in this order" if data.feature_names else ""
    gaps = "\n# NaN stands for a missing value." if data.missing else ""
    said = "\n\n\n".join(dict.fromkeys(unannotated(of.said_of) for of in outputs.values()))
    names, predicted, lines = (_of_one if "" in outputs else _of_several)(outputs, f"predict({loaded})", file)
    head = docstring(f"Predict {predicted} of raw examples with the trained network; its preprocessing is inside.")
    returned = docstring(*_returned(outputs, f"for raw examples, {given}."), indent="    ")
    return f"""{head}

import sys
from pathlib import Path

import keras
import numpy as np

{names}{features}{gaps}{inputs}

model = keras.models.load_model(Path(__file__).parent / "model.keras", safe_mode=True)


def predict(x):
{returned}
    return model.predict(x, verbose=0)


{said}


if __name__ == "__main__":
{lines}
"""


def _of_one(outputs: Mapping[str, Task], predicted: str, file: str) -> tuple[str, str, str]:
    """Return the names in a prediction as a constant, what is predicted, and the lines that say each prediction."""
    (task,) = outputs.values()
    columns = task.column[1]
    lines = [
        f"    for row in {predicted}:  # python predict.py {file}",
        f"        print({task.said_of.__name__}(row, {columns.upper()}))",
    ]
    return f"{columns.upper()} = {_list(task.names)}", columns, "\n".join(lines)


def _of_several(outputs: Mapping[str, Task], predicted: str, file: str) -> tuple[str, str, str]:
    """Return the same of several outputs."""
    columns = "".join(
        f"    {literal(name)}: {_list(task.names, indent=4)},  # {task.column[1]}\n" for name, task in outputs.items()
    )
    lines = [
        named({name: task.said_of.__name__ for name, task in outputs.items()}, before="said = ", indent=4),
        f"    found = {predicted}  # python predict.py {file}",
        "    for row in range(len(next(iter(found.values())))):",
        '        print("; ".join(f"{name}: {say(found[name][row], NAMES[name])}" for name, say in said.items()))',
    ]
    return f"NAMES = {{\n{columns}}}", ", ".join(outputs), "\n".join(lines)


def _returned(outputs: Mapping[str, Task], of: str) -> list[str]:
    """Return what is predicted, in paragraphs."""
    shapes = {name: ", ".join(map(str, ("N", *task.kept_shape))) for name, task in outputs.items()}
    each = {name: f"the {task.kept} of each {task.column[0]}, ({shapes[name]})" for name, task in outputs.items()}
    if "" in each:
        return [f"Return {each['']}, {of}"]
    return [f"Return a dict by the names of outputs, {of}", *(f"{name}: {what}." for name, what in each.items())]


def _raw_examples(data: Dataset) -> dict[str, str]:
    """Return of what type and shape raw examples are, ``float32, shape (N, 4)``, by the names of several inputs."""
    shapes = {name: ", ".join(map(str, ("N", *x.shape[1:]))) for name, x in by_input(data.x).items()}
    return {name: f"{x.dtype}, shape ({shapes[name]})" for name, x in by_input(data.x).items()}


def _list(names: Sequence[str], indent: int = 0) -> str:
    """Write a list of names, on lines of their own where they do not fit into one."""
    line, space = literal(list(names)), " " * indent
    if len(line) <= 100 - indent:
        return line
    return "[\n" + "".join(f"{space}    {literal(name)},\n" for name in names) + f"{space}]"


def _kept(task: Task) -> str:
    """Return what the network gives, in words."""
    if task.outputs:
        each = "; ".join(f"{markdown(name)}: {_kept(of)}" for name, of in task.outputs.items())
        return f"a dict by the names of outputs ({each})"
    return f"the {task.kept} of each {task.column[0]}{' at each position' if task.per_position else ''}"


def readme(replay: Replay, run: RunResult, off: float, folder: Path) -> str:
    """Return what the folder of an export is, in Markdown; ``off`` says how far its predictions are from the run's."""
    recipe, data = replay.assignment.recipes[run.name].to_text(), replay.assignment.data
    metric, task = replay.results.metric, replay.results.task
    rows = {
        "model.keras": f"the trained network, of Keras' own layers: raw examples in, {_kept(task)} out",
        "predict.py": "how to use it",
        "recipe.yaml": "the recipe and its study, for `reglab compare`",
        "train.py": "its training in plain Keras, without reglab: `python train.py`",
        "data.npz": "raw examples of this seed's split, which train.py reads",
        "initial.weights.h5": "the weights the training started from",
    }
    raw = _raw_examples(data)
    several = "".join(f"{comment(f'{name}: {of}')}\n" for name, of in raw.items() if name)
    given = "by the names of inputs" if several else raw[""]
    table = "\n".join(f"| `{name}` | {what} |" for name, what in rows.items() if (folder / name).exists())
    digest = hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest()
    return f"""# {markdown(run.name)}

{fenced(recipe)}

Seed {run.seed}: {metric.title} {metric.shown(run.metrics[metric.name])} on the test set, chosen by validation
({metric.shown(run.metrics[f"val_{metric.name}"])}).

| file | what it is |
|---|---|
{table}

```python
import keras

model = keras.models.load_model("model.keras", safe_mode=True)
{several}predictions = model.predict(raw_examples)  # {given}
```

The saved network was loaded and predicts what the run predicted (to {off:.1g}). It runs on every backend of Keras;
`train.py` trains on {backends.name()}, as the study did. sha256 of `model.keras`: `{digest}`
"""
