"""What a study is: data, model, recipes, and the settings that all of its runs share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import yaml

from reglab.data import Dataset
from reglab.data.kinds import KINDS, Kind, checked, register_kind
from reglab.data.table_options import MISSING_POLICIES, joined, separator_of
from reglab.declare import param, params
from reglab.errors import ReglabError, nearest
from reglab.expressions import format_call, format_value, parse_list, shown
from reglab.models.registry import ModelSource
from reglab.recipe import Recipe, RecipeLike, Recipes
from reglab.study.as_text import ALONE, CLIPPING, OPTIMIZERS, SCHEDULES, is_own, read_loss, read_weights, said_once
from reglab.tasks import KINDS as TASKS
from reglab.tasks import Task, kind_said, register, task_for

__all__ = ["PRECISIONS", "PROTOCOLS", "TABLE", "Assignment", "Settings", "named_recipes", "read_yaml", "task_of"]

_LONGEST_NAME = 500  # characters of a recipe's name; the text of a long combination is one
# How a table is read: its content counts for results, these do not.
TABLE = (
    "target",
    "separator",
    "encoding",
    "decimal",
    "missing",
    "drop_columns",
    "keep_columns",
    "categorical",
    "group",
)
PROTOCOLS = ("honest", "test-as-validation")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class Settings:
    """The settings of a study, declared once: the command line's options, the YAML keys and Python's arguments."""

    seeds: int = param(
        5, "runs of each recipe, each with another split, start and batch order", kind="int", low=1, high=1_000_000
    )
    first_seed: int = param(0, "the first seed; the others follow", kind="int", low=0)
    repetition: int = param(
        0, "another number repeats every run with the same split and start, but other batches and random draws",
        kind="int", low=0,
    )  # fmt: skip
    epochs: int = param(30, "epochs of each run", kind="int", low=1, unit="epochs")
    batch_size: int = param(32, "examples a training step", kind="int", low=1, unit="examples")
    train_size: int | None = param(
        None, "training examples, a stratified part of what there is; by default all", kind="int", low=2, optional=True
    )
    validation: float = param(
        0.2, "share of what is not test that is validation, where the data has no validation part", low=0, high=1,
        open_low=True, open_high=True,
    )  # fmt: skip
    test: float = param(
        0.2, "share of the data that is test, where the data has no test part", low=0, high=1, open_low=True,
        open_high=True,
    )  # fmt: skip
    optimizer: str | None = param(
        None, f"Keras optimizer, with options as in 'sgd(momentum=0.9)': {', '.join(OPTIMIZERS)}; or file.py:function; "
        "by default what the model was compiled with, else adam", kind="text", optional=True,
    )  # fmt: skip
    learning_rate: float | None = param(
        None, "learning rate; by default the optimizer's own", low=0, open_low=True, optional=True
    )
    schedule: str | None = param(
        None, f"Keras schedule of the learning rate over the steps of a training, with options as in "
        f"'cosine(alpha=0.1)': {', '.join(SCHEDULES)}; or file.py:function", kind="text", optional=True,
    )  # fmt: skip
    clipnorm: float | None = param(
        None, "norm that the gradient of each weight is clipped to", low=0, open_low=True, optional=True
    )
    clipvalue: float | None = param(
        None, "size that each number of a gradient is clipped to", low=0, open_low=True, optional=True
    )
    global_clipnorm: float | None = param(
        None, "norm that the gradient of all weights together is clipped to", low=0, open_low=True, optional=True
    )
    loss: str | None = param(
        None, "Keras loss, with options as in 'huber(delta=2)'; or file.py:function; by default what the model was "
        "compiled with, else what the task is trained with", kind="text", optional=True,
    )  # fmt: skip
    loss_weights: float | None = param(
        None, "factor before the loss, beside penalties; by default what the model was compiled with, else 1", low=0,
        open_low=True, optional=True,
    )  # fmt: skip
    metrics: str | None = param(
        None, "Keras metrics that are measured beside those of the task, with commas between: 'mse, auc(curve=PR)'; by "
        "default those that the model was compiled with", kind="text", optional=True,
    )  # fmt: skip
    class_weight: str | None = param(
        None, "how much examples of each class count in the training loss: balanced, '{cat: 1, dog: 5}', or '(1, 5)' "
        "in the order of classes; metrics count all alike", kind="text", optional=True,
    )  # fmt: skip
    precision: str = param("float32", "Keras dtype policy of the network", kind="choice", choices=PRECISIONS)
    preprocess: str = param(
        "standardize", "what is done to inputs, with statistics of the training split: to mean 0 and standard "
        "deviation 1, to [0, 1], or nothing (for models that do it themselves)", kind="choice",
        choices=("standardize", "rescale", "none"),
    )  # fmt: skip
    scale_targets: str | None = param(
        None, "what networks are trained on of numbers to predict: standardize them by the training split, and predict "
        "in their own units; or none, as they are; by default standardize for reglab's own networks", kind="choice",
        choices=("standardize", "none"), optional=True,
    )  # fmt: skip
    protocol: str = param(
        "honest", "honest: validation is split off and the test set is read once a run; test-as-validation: the test "
        "set chooses the best epoch, which makes its own numbers optimistic", kind="choice", choices=PROTOCOLS,
    )  # fmt: skip
    sealed: bool = param(False, "the test set is not read at all: for searches, whose best is picked", kind="bool")
    margin: float | None = param(
        None, "smallest difference that matters to you in the metric that decides, in points of a share: a recipe that "
        "surely differs by less is called equivalent", low=0, open_low=True, optional=True,
    )  # fmt: skip
    kind: str | None = param(
        None, f"what one example is: {', '.join(KINDS.own)}; by default what the source, the number of axes and the "
        "model show. tokens are indices, which nothing is done to; array is none of the others. Of several inputs, "
        "NAME=KIND with commas between", kind="text", optional=True,
    )  # fmt: skip
    image_size: str | None = param(None, "resize images to N or HxW", kind="text", optional=True)
    color_mode: str = param("rgb", "how images are read", kind="choice", choices=("rgb", "grayscale", "rgba"))
    skip_broken: bool = param(
        False, "leave out image files that cannot be read; by default they are an error that names them", kind="bool"
    )
    task: str | None = param(
        None, f"what is predicted: {', '.join(TASKS.own)}; by default what labels and model show. Of several outputs, "
        "NAME=TASK with commas between, such as size=regression", kind="text", optional=True,
    )  # fmt: skip
    metric: str | None = param(
        None, "metric that decides which epoch, run and recipe is the best; by default accuracy, balanced accuracy "
        "where one class is far larger than its share, mAP of several labels, mean IoU of pixels, or RMSE of "
        "numbers; of several outputs that of the first, or OUTPUT_METRIC", kind="text", optional=True,
    )  # fmt: skip
    target: str | None = param(
        None, "column of a table that holds the label; several, with commas between, are numbers to predict or 0 and 1 "
        "for each of several labels", kind="text", optional=True,
    )  # fmt: skip
    ignore_class: int | None = param(
        None, "label of positions that count neither in the loss nor in metrics; by default -1", kind="int",
        optional=True,
    )  # fmt: skip
    separator: str | None = param(
        None, "what stands between the columns of a CSV table: a sign, or tab, space, semicolon; by default recognized",
        kind="text", optional=True,
    )  # fmt: skip
    encoding: str | None = param(
        None, "encoding of a CSV table, such as cp1252; by default recognized", kind="text", optional=True
    )
    decimal: str | None = param(
        None, "mark before the decimals of numbers in a CSV table; by default what each column shows", kind="choice",
        choices=(".", ","), optional=True,
    )  # fmt: skip
    missing: str = param(
        "refuse", "what becomes of missing values in a table: refuse; drop leaves their rows out; mean puts the mean "
        "of the training split in their place", kind="choice", choices=MISSING_POLICIES,
    )  # fmt: skip
    drop_columns: str | None = param(
        None, "columns of a table that are left out, with commas between", kind="text", optional=True
    )
    keep_columns: str | None = param(
        None, "columns of a table that are used although they look as identifiers, dates or a copy of the label",
        kind="text", optional=True,
    )  # fmt: skip
    categorical: str | None = param(
        None, "columns of a table whose values are names as they stand, also where they look as numbers or as missing",
        kind="text", optional=True,
    )  # fmt: skip
    group: str | None = param(
        None, "column of a table whose values say which rows belong together, such as patient: rows of one lie in one "
        "part, and it is no feature", kind="text", optional=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        size = self.image_size
        if isinstance(size, int | tuple | list) and not isinstance(size, bool):
            sides = (size,) if isinstance(size, int) else size
            object.__setattr__(self, "image_size", "x".join(map(str, sides)))
        if isinstance(self.kind, Mapping):
            object.__setattr__(self, "kind", ",".join(f"{name}={kind}" for name, kind in self.kind.items()))
        if isinstance(self.task, Mapping):
            object.__setattr__(self, "task", ",".join(f"{name}={task}" for name, task in self.task.items()))
        if isinstance(self.task, str):
            object.__setattr__(self, "task", kind_said(self.task))
        if isinstance(self.kind, str):
            object.__setattr__(self, "kind", checked(self.kind))
        for key in ("target", "drop_columns", "keep_columns", "categorical"):
            if isinstance(names := getattr(self, key), list | tuple):
                object.__setattr__(self, key, joined(names) or None)
        if self.separator is not None:  # a text of white space is none, and YAML has no word for it
            word = {"\t": "tab", " ": "space"}.get(self.separator, self.separator)
            object.__setattr__(self, "separator", word)
        if isinstance(self.class_weight, Mapping | list | tuple):
            object.__setattr__(self, "class_weight", format_value(_plain(self.class_weight)))
        self._say_once()
        for key, declared in params(self).items():
            object.__setattr__(self, key, declared.check("study", key, getattr(self, key)))
        if self.class_weight is not None:
            read_weights(self.class_weight)
        if self.metrics is not None:
            parse_list(self.metrics)
        if self.separator is not None:
            separator_of(self.separator)
        if self.missing == "mean" and self.preprocess != "standardize":
            raise ReglabError(
                f"missing='mean' puts the mean of the training split in the place of missing values, which "
                f"preprocess={self.preprocess!r} does not know. Leave it at 'standardize', or give missing='drop'."
            )
        if self.sealed and self.protocol == "test-as-validation":
            raise ReglabError(
                "protocol='test-as-validation' chooses by the test set, and a search (sealed=True) must not read it. "
                "Search with protocol='honest'; compare what was found under the other one afterwards."
            )

    def _say_once(self) -> None:
        """Give optimizer, rate, schedule, clipping and loss one form, in whichever way they were written."""
        texts = [getattr(self, key) for key in ("optimizer", "schedule")]
        if all(text is None or _says(text) for text in texts):
            found = said_once(
                {key: getattr(self, key) for key in ("optimizer", "learning_rate", "schedule", *CLIPPING)}
            )
            for key, value in found.items():
                object.__setattr__(self, key, value)
        if _says(self.loss) and not is_own(self.loss):
            object.__setattr__(self, "loss", format_call(*read_loss(self.loss)))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def table(self) -> dict[str, Any]:
        """Return how a table is read, as :func:`reglab.data.load` takes it."""
        return {name: getattr(self, name) for name in TABLE if name != "target"}

    def seed_list(self) -> list[int]:
        return list(range(self.first_seed, self.first_seed + self.seeds))


@dataclass(frozen=True, eq=False)
class Assignment:
    """All that whoever trains a study has to know of it.

    Attributes:
        data, model, settings, recipes: of the study.
        candidates: recipes that may be trained later, which planning tries too.
        given: what was given as Python objects in place of a setting, by its name.
        tasks, kinds: of tasks and of inputs that this process has beside reglab's own, which another one then has too.
    """

    data: Dataset
    model: ModelSource
    settings: Settings
    recipes: dict[str, Recipe]
    candidates: Mapping[str, Recipe] = dataclasses.field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    tasks: tuple[type[Task], ...] = field(default_factory=lambda: tuple(TASKS[name] for name in TASKS.added))
    kinds: tuple[Kind, ...] = field(default_factory=lambda: tuple(KINDS[name] for name in KINDS.added))

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        for task in self.tasks:
            register(task)
        for kind in self.kinds:
            register_kind(kind)


def _says(text: object) -> TypeGuard[str]:
    """Whether it is a text that is not empty."""
    return isinstance(text, str) and bool(text.strip())


def _plain(weights: Mapping[Any, Any] | Iterable[Any]) -> dict[Any, Any] | tuple[Any, ...]:
    """Return weights of classes as Python's own numbers and words, whatever they were given as."""
    if isinstance(weights, Mapping):
        return {_scalar(key): _scalar(value) for key, value in weights.items()}
    return tuple(map(_scalar, weights))


def _scalar(value: object) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def task_of(data: Dataset, settings: Settings) -> Task:
    """Return what is predicted in a study of this data, and which metric decides.

    Raises:
        ReglabError: for labels that are none of the task that was named, or a metric that it does not have.
    """
    return task_for(
        data.form, data.y, data.names, kind=settings.task, metric=settings.metric, outputs=data.outputs
    )  # fmt: skip


def named_recipes(recipes: Recipes) -> dict[str, Recipe]:
    """Return recipes by name, from a mapping, a list of recipes or texts, or texts of the form ``name=recipe``.

    Raises:
        ReglabError: if two have one name.
    """
    if isinstance(recipes, Mapping):
        return {_checked_name(str(name)): Recipe.of(value) for name, value in recipes.items()}
    if isinstance(recipes, str) or not isinstance(recipes, Iterable):
        recipes = [recipes]
    named: dict[str, Recipe] = {}
    for item in recipes:
        name, recipe = _named(item)
        if name in named:
            raise ReglabError(f"Two recipes are called {name!r}. Leave one out, or name it: 'other name=recipe'.")
        named[name] = recipe
    return named


def _named(item: RecipeLike) -> tuple[str, Recipe]:
    if isinstance(item, str) and "=" in item.split("(", 1)[0]:
        name, text = (part.strip() for part in item.split("=", 1))
        if not name:
            raise ReglabError(f"{item!r} has no name before '='. Write name=recipe, or the recipe alone.")
        return _checked_name(name), Recipe.parse(text)
    recipe = Recipe.of(item)
    return recipe.to_text(), recipe


def _checked_name(name: str) -> str:
    """Return a recipe's name if it is one that people can read and files can hold."""
    if not name.strip() or len(name) > _LONGEST_NAME or any("\ud800" <= letter <= "\udfff" for letter in name):
        raise ReglabError(
            f"{name[:40]!r} cannot be the name of a recipe. Expected text, at most {_LONGEST_NAME} characters of it."
        )
    return name


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the arguments of a study from a YAML file, checked by name."""
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ReglabError(f"Cannot read {path}: {error.strerror}. Give the path of a YAML file.") from None
    except UnicodeDecodeError as error:
        raise ReglabError(
            f"{path} is not UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}. Save it as UTF-8."
        ) from None
    try:
        content = yaml.safe_load(text)
    except RecursionError:
        raise ReglabError(f"{path} is nested too deeply to be a study. It has {_KEYS}.") from None
    # PyYAML lets through what impossible dates, numbers of thousands of digits and odd tags raise inside of it.
    except Exception as error:
        raise ReglabError(f"{path} is not valid YAML: {error}. A study has {_KEYS}.") from None
    if not isinstance(content, dict):
        raise ReglabError(f"{path} does not hold a study. It has {_KEYS}.")
    known = ["data", "model", "recipes", "baseline", *params(Settings), *ALONE, "python_objects"]
    for key in content:
        if key not in known:
            raise ReglabError(f"{path}: unknown key {key!r}.{nearest(str(key), known)} Known are {', '.join(known)}.")
    for key, what, fits in _FORMS:
        if content.get(key) is not None and not fits(content[key]):
            raise ReglabError(f"{path}: {key} is {shown(content[key])}. Expected {what}.")
    return {key: _number(value) if key in _FLOATS else value for key, value in content.items()}


_KEYS = "keys such as data, model, recipes, seeds, epochs"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_recipes(value: object) -> bool:
    named = isinstance(value, dict) and all(_is_text(str(name)) for name in value)
    return named or _is_text(value) or isinstance(value, list)


# What a file says of data, model and recipes: key, what is expected, and whether a value is that.
_FORMS: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("data", "the name of a data set or a path, as text", _is_text),
    ("model", "the name of a model, or module:function, as text", _is_text),
    ("baseline", "the name of a recipe, as text", lambda value: isinstance(value, str)),
    ("recipes", "a mapping from names to recipes, or a list of recipes", _are_recipes),
    ("python_objects", "a list of keys", lambda value: isinstance(value, list) and all(map(_is_text, value))),
)


_FLOATS = {name for name, declared in params(Settings).items() if declared.kind == "float"}


def _number(value: object) -> object:
    """Return the number that YAML 1.1 takes for text: ``1e-3``."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
