"""What depends on what is predicted is asked of the task: no other file names a kind of task, or a metric of one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import reglab
from reglab.tasks import KINDS, read_task

SOURCE = Path(reglab.__file__).parent
NAMED = {"regression": "targets", "multi-label": "labels"}
TASKS = [
    read_task({"kind": kind, NAMED.get(kind, "classes"): ["a", "b"], **({"shape": [5]} if kind == "positions" else {})})
    for kind in KINDS
]
METRICS = {
    f"{part}{metric.name}" for task in TASKS for part in ("", "train_", "val_") for metric in task.metrics
} - {"precision"}  # fmt: skip  # which is a setting too
CLASSES = {kind.__name__ for kind in KINDS.values()} | {"Outputs"}
# What still knows classification, and what has to happen before it no longer does. The list only gets shorter.
EXCEPTIONS = {
    "paper.py": "the paper's figures are accuracies",
    "report/bands.py": "sections of classes",
    "report/paper.py": "the paper's figures are accuracies",
    "testing.py": "strategies are tried on a classifier",
}


def named(path: Path) -> set[str]:
    """Return the kinds and metrics of tasks that code of a file names; docstrings do not count."""
    tree = ast.parse(path.read_text("utf-8"))
    docs = {
        id(node.body[0].value) for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body
        and isinstance(node.body[0], ast.Expr)
    }  # fmt: skip
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docs and node.value in METRICS | KINDS.keys():
            found.add(node.value)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reglab.tasks"):
            found |= {name.name for name in node.names} & CLASSES
    return found


def test_no_file_outside_of_tasks_names_a_kind_or_a_metric_but_those_that_are_left():
    found = {
        path.relative_to(SOURCE).as_posix(): names
        for path in SOURCE.rglob("*.py")
        if path.relative_to(SOURCE).parts[0] != "tasks" and (names := named(path))
    }
    new = {file: names for file, names in found.items() if file not in EXCEPTIONS}
    assert not new, "ask the task: results.task, results.metric, program.task"
    assert not EXCEPTIONS.keys() - found.keys(), "these no longer need an exception: take them out of the list"


@pytest.mark.parametrize("code", ['x["val_accuracy"]', "from reglab.tasks import Binary", 'kind == "single-label"'])
def test_the_search_finds(tmp_path, code):
    (tmp_path / "made.py").write_text(f'"""accuracy"""\n{code}\n', encoding="utf-8")
    assert named(tmp_path / "made.py")


def test_the_search_leaves_docstrings_alone(tmp_path):
    (tmp_path / "made.py").write_text('"""accuracy"""\n\n\ndef f():\n    """accuracy"""\n', encoding="utf-8")
    assert not named(tmp_path / "made.py")
