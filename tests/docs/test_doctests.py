"""The examples in the docstrings of every module, run: what ``help(...)`` shows is what happens."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
from pathlib import Path

import pytest

import reglab

SOURCE = Path(reglab.__file__).parent
# They train for longer than a moment.
SLOW = {"analysis/contribution.py", "callbacks.py", "experiments/ablation.py", "experiments/calibrate.py", "facade.py",
        "regularized/__init__.py", "sklearn/classifier.py", "sklearn/regressor.py", "testing.py",
        "tuning/confirm.py"}  # fmt: skip
FILES = [
    path.relative_to(SOURCE).as_posix() for path in sorted(SOURCE.rglob("*.py")) if ">>> " in path.read_text("utf-8")
]


@pytest.fixture(scope="module")
def made_studies(tmp_path_factory):
    """The study folders that examples name; they are made and not trained."""
    import made

    folder = tmp_path_factory.mktemp("made")
    recipes = {"no regularization": "none", "dropout": "dropout(rate=0.1)",
               "combination": "l2(kernel=1e-3) + dropout(rate=0.1)"}  # fmt: skip
    demo = made.study(folder / "demo", recipes, effects={"combination": (0.1, 0.4)})
    made.with_robustness(demo, reglab.Results.load(demo))
    made.study(folder / "digits-mlp", made.SWEEP)
    tuned = made.study(folder / "digits-mlp-tuned" / "confirmation", {"none": "none", "l2": "l2", "dropout": "dropout"})
    curves = {"l2": [0.7, 0.75, 0.8], "dropout": [0.78, 0.8, 0.81]}
    (tuned / "tuning.json").write_text(json.dumps({"schema": 1, "curves": curves}), encoding="utf-8")
    return folder


@pytest.mark.parametrize("file", [pytest.param(f, marks=[pytest.mark.slow] if f in SLOW else []) for f in FILES])
def test_examples_give_what_they_say(file, made_studies, tmp_path, in_small, monkeypatch):
    if "reglab-out/" in (SOURCE / file).read_text("utf-8"):
        (tmp_path / "reglab-out").mkdir()
        for study in made_studies.iterdir():
            (tmp_path / "reglab-out" / study.name).symlink_to(study)
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(".".join(["reglab", *Path(file).with_suffix("").parts]).removesuffix(".__init__"))
    runner, told = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS), []
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__):
        example.globs = _names(module, example.name)
        runner.run(example, out=told.append)
    assert runner.tries > 0
    assert runner.failures == 0, "".join(told)


def test_every_example_is_run():
    for file in FILES:
        assert "doctest: +SKIP" not in (SOURCE / file).read_text("utf-8"), file


def test_every_public_object_has_an_example():
    public = {name: getattr(reglab, name) for name in reglab.__all__} | {
        f"figures.{name}": getattr(reglab.figures, name) for name in reglab.figures.__all__
    }
    public |= {f"strategies.{cls.__name__}": cls for cls in reglab.strategies.CATALOGUE.values()}
    for name, value in public.items():
        if inspect.isclass(value) or inspect.isfunction(value):
            shown = [
                inspect.getdoc(value) or "",
                *(inspect.getdoc(getattr(value, method)) or "" for method in vars(value)),
            ]
            assert any(">>> " in text or "Example: ``" in text for text in shown), name


def _names(module, name):
    """Return what an example can refer to: of a public object what ``from reglab import *`` gives, else its module."""
    first = name.removeprefix(f"{module.__name__}.").split(".")[0]
    of_a_user = {"reglab": reglab, **{public: getattr(reglab, public) for public in reglab.__all__}}
    if first in reglab.__all__ or module.__name__.startswith("reglab.report.figures"):
        return of_a_user
    return {**vars(module), "reglab": reglab}
