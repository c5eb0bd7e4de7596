"""The text of ``train.py``: what every script has, around what a recipe puts into it."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reglab.data.preprocess import Preprocess
from reglab.errors import ReglabError
from reglab.export.script import Script
from reglab.export.source import call, comment, docstring, in_text, literal, named
from reglab.export.trained import Trained
from reglab.export.training import training
from reglab.strategies.script import ScriptOutput
from reglab.tasks import Metric

__all__ = ["Facts", "render"]


@dataclass(frozen=True)
class Facts:
    """What a script says of the run it repeats.

    Attributes:
        title: the recipe's name, data, and seed, as the first line of the script.
        recipe: as text.
        result: what it has on the test set, and versions of the run, in sentences.
        score: the metric that decides, on the test set.
        settings: of the study.
        trained: how it was trained.
        batches: the seed of the order of batches.
        statistics: the seed of the order in which statistics are computed anew.
        threads: how many the run was trained with, or None where nothing says it.
        scaled: whether labels are standardized for training.
        preprocessing: what is done to each input, by its name; that of a single one is empty.
    """

    title: str
    recipe: str
    result: str
    score: float
    settings: Any
    trained: Trained
    batches: int
    statistics: int
    threads: int | None
    scaled: bool
    preprocessing: Mapping[str, Preprocess]


def render(script: Script, functions: list[str], imports: set[str], facts: Facts) -> str:
    """Return the script: ``functions`` build the network, the last one all of it."""
    penalties = "\n".join(script.penalties())
    measuring = _measuring(script, facts)
    parts = [_data(script, facts), *measuring, *_helpers(penalties, functions)]
    parts += [penalties] if penalties else []
    parts += [*script.definitions, *functions, *filter(None, [script.losses()]), _batches(script, facts)]
    parts += [_STATISTICS_INPUTS] if script.settles else []
    parts += [training(script)] if script.wrapped else []
    parts.append(_main(script, facts))
    head = _head(script, imports | script.imports, facts, rest="\n".join(parts))
    text = _spaced([part.rstrip() for part in (head, *parts)]) + "\n"
    used = re.search(r"\bops\.", text.replace("keras.ops.", ""))
    return text if used else text.replace("from keras import layers, ops", "from keras import layers")


def _helpers(penalties: str, functions: list[str]) -> list[str]:
    """Return the functions that combine regularizers, where they are needed."""
    text = "\n".join([penalties, *functions])
    return [source for name, source in (("both(", _BOTH), ("in_float32(", _IN_FLOAT32)) if name in text]


_BOTH = '''def both(*penalties):
    """Return the sum of several regularizers."""
    return lambda w: sum(penalty(w) for penalty in penalties)'''

_IN_FLOAT32 = '''def in_float32(penalty):
    """Return a regularizer that does not overflow on 16-bit activities."""
    return lambda h: penalty(ops.cast(h, "float32"))'''


def _spaced(parts: list[str]) -> str:
    """Join parts with two empty lines around functions and classes, and one elsewhere."""
    text = parts[0]
    for before, part in itertools.pairwise(parts):
        block = part.startswith(("def ", "class ")) or before.splitlines()[-1].startswith(" ")
        text += ("\n\n\n" if block else "\n\n") + part
    return text


def _head(script: Script, imports: set[str], facts: Facts, *, rest: str) -> str:
    lines = [docstring(facts.title, f"    {facts.recipe}", facts.result), ""]
    lines += ["import hashlib", "import os", "from pathlib import Path"]
    lines += ["from types import SimpleNamespace"] if script.ascent else []
    lines += ["", f'os.environ.setdefault("KERAS_BACKEND", "{script.backend}")']
    if facts.threads:
        lines += [
            'for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):',
            f'    os.environ.setdefault(name, "{facts.threads}")  # the last bits of a result depend on it',
        ]
    backend = {"tensorflow": "import tensorflow as tf", "jax": "import jax", "torch": "import torch"}[script.backend]
    needs = re.search(rf"(?<![\w.`]){backend.rsplit(maxsplit=1)[1]}\.", rest)
    modules = sorted(["import keras", "import numpy as np", *([backend] if needs else [])])
    modules += ["from keras import layers, ops", *sorted(imports)]
    lines += ["", *(f"{line}  # noqa: E402" for line in modules), ""]
    if script.precision != "float32":
        lines.append(f'keras.config.set_dtype_policy("{script.precision}")')
    settings = facts.settings
    lines += [
        "HERE = Path(__file__).parent",
        f"EPOCHS, BATCH_SIZE = {settings.epochs}, {settings.batch_size}",
        f"ORDER = {facts.batches}  # seed of the order of batches",
        *([f"STATISTICS = {facts.statistics}  # seed of the order of their inputs"] if script.settles else []),
        f"STUDY = {facts.score!r}  {comment(f'{script.task.decides.title} of this run, on the test set')}",
        named({name: _loss(each, facts) for name, each in script.outputs.items()}, before="LOSS = "),
    ]
    return "\n".join(lines)


def _loss(output: ScriptOutput, facts: Facts) -> str:
    """Return the loss of an output as text; labels that are distributions need the dense form of a sparse one."""
    said = facts.trained.losses.get(output.name)
    if said and not (output.soft and "losses.Sparse" in said):
        return said
    loss = output.task.loss(output.head)
    if output.soft and loss.get_config().get("ignore_class") is not None:
        raise ReglabError(
            "Some positions are to be ignored, and the recipe makes distributions of labels, which a script in plain "
            "Keras does not weigh. Leave the script out (script=False, --no-script)."
        )
    name, usual = type(loss).__name__, inspect.signature(type(loss)).parameters
    given = {key: value for key, value in loss.get_config().items() if key in usual and value != usual[key].default}
    arguments = ", ".join(f"{key}={literal(value)}" for key, value in given.items())
    return f"keras.losses.{name.removeprefix('Sparse') if output.soft else name}({arguments})"


def _data(script: Script, facts: Facts) -> str:
    lines = [
        "# Raw examples of this seed's split, and what preprocessing was fitted to its training part.",
        'with np.load(HERE / "data.npz") as arrays:',
        "    data = dict(arrays)",
    ]
    lines += [f'{name.upper()} = ops.convert_to_tensor(data["{name}"])' for name in script.arrays]
    single = facts.preprocessing.get("")
    if single and single.mode != "none":
        lines.append('MEAN, SCALE = data["mean"], data["scale"]')
    lines += ['TARGET_MEAN, TARGET_SCALE = data["target_mean"], data["target_scale"]'] if facts.scaled else []
    lines += ["", "", *(_normalizing_each(facts.preprocessing) if single is None else _normalizing(single))]
    made = {name: _labels(each, scaled=facts.scaled) for name, each in script.outputs.items()}
    lines += ["", "", "def labels(y):", '    """Return labels as the loss takes them."""']
    lines.append(named(made, before="return ", indent=4))
    return "\n".join(lines)


def _labels(output: ScriptOutput, *, scaled: bool) -> str:
    """Return the labels of an output as its loss takes them, as an expression of what data.npz has."""
    y, outputs = output.labels, output.head.outputs
    one = outputs == 1 and output.task.form in ("classes", "numbers")
    if one or scaled:
        own = f"(({y} - TARGET_MEAN) / TARGET_SCALE)" if scaled else y
        return f'{own}{"[:, None]" if one else ""}.astype("float32")'
    if not output.soft:
        return f"np.ascontiguousarray({y})" if output.name else y
    # Label sets and numbers are mixed and softened as they are, and so is the probability of one of two classes.
    if output.task.form in ("classes", "per_position") and outputs > 1:
        return f'np.eye({outputs}, dtype="float32")[{y}]'
    return f'{y}{"[..., None]" if outputs == 1 else ""}.astype("float32")'


def _normalizing(preprocess: Preprocess) -> list[str]:
    """Return the function from raw inputs to what the network gets."""
    if preprocess.mode == "none":
        convert = 'x if x.dtype.kind in "iu" and x.dtype != np.uint8 else x.astype("float32")'
        doc = "Return inputs as the network gets them."
    else:
        convert = '((x.astype(MEAN.dtype) - MEAN) / SCALE).astype("float32")'
        convert = f"np.nan_to_num({convert})" if preprocess.fills else convert  # the mean, which is 0 now
        doc = "Return raw inputs as the network gets them."
    return ["def normalize(x):", f'    """{doc}"""', f"    return {convert}"]


_STANDARDIZED = '''def standardized(x, name):
    """Return one of the raw inputs, standardized."""
    mean, scale = data[f"mean_{name}"], data[f"scale_{name}"]
    return ((x[name].astype(mean.dtype) - mean) / scale).astype("float32")


'''

_UNCHANGED = '''def unchanged(x):
    """Return a raw input as it is, indices in their own type."""
    return np.ascontiguousarray(x if x.dtype.kind in "iu" and x.dtype != np.uint8 else x.astype("float32"))


'''


def _normalizing_each(preprocessing: Mapping[str, Preprocess]) -> list[str]:
    """Return the functions from several raw inputs to what the network gets, by name."""
    modes = {each.mode == "none" for each in preprocessing.values()}
    lines = [
        *(_STANDARDIZED.splitlines() if False in modes else []),
        *(_UNCHANGED.splitlines() if True in modes else []),
    ]
    lines += ["def normalize(x):", '    """Return raw inputs as the network gets them, by name."""', "    return {"]
    for name, each in preprocessing.items():
        key = literal(name)
        made = f"unchanged(x[{key}])" if each.mode == "none" else f"standardized(x, {key})"
        lines.append(f"        {key}: {made},")
    return [*lines, "    }"]


def _measuring(script: Script, facts: Facts) -> list[str]:
    """Return what measures in the script that Keras' metrics do not: functions, and a callback that asks them."""
    asked = [metric for metric in _measured(script) if not _in_keras(script, metric)]
    if not asked:
        return []
    lines = [f"logs[{literal(f'val_{metric.name}')}] = {_value(script, metric, 'val', 'found')}" for metric in asked]
    return [
        *([_COUNTED] if script.masked else []),
        _predict(script, facts, [script.task.of_output(metric)[0] for metric in asked]),
        _MEASURE.replace("{lines}", "\n        ".join(lines)),
    ]


def _predict(script: Script, facts: Facts, names: list[str]) -> str:
    """Return the function from raw inputs to what the study keeps of these outputs."""
    given = "model.predict(normalize(x), verbose=0)"
    kept = {name: given if not name else f"found{script.outputs[name].at}" for name in names}
    for name in kept:
        kept[name] += "" if script.precision == "float32" else '.astype("float32")'
        for step in script.outputs[name].task.kept_by(script.outputs[name].head):
            kept[name] = f"{script.carry(step)}({kept[name]})"
        kept[name] += " * TARGET_SCALE + TARGET_MEAN" if facts.scaled else ""
    first = f"    found = {given}\n" if script.several else ""
    doc = '    """Return predictions for raw inputs, as the study keeps them."""\n'
    return f"def predict(model, x):\n{doc}{first}{named(kept, before='return ', indent=4)}"


def _value(script: Script, metric: Metric, part: str, predicted: str) -> str:
    """Return the expression of a metric of a part, from what is predicted of it."""
    name, task, own = script.task.of_output(metric)
    true = f'counted("{part}")' if script.masked else f'data["y_{part}"]'
    of = f"[{literal(name)}]" if name else ""
    return f"{script.carry(task.in_python(own))}({true}{of}, {predicted}{of})"


_COUNTED = '''def counted(part):
    """Return labels, -1 of the positions that the network's own mask leaves out."""
    return np.where(data[f"counted_{part}"], data[f"y_{part}"], -1)'''

_MEASURE = '''class Measure(keras.callbacks.Callback):
    """Measures validation after each epoch, as the study does."""

    def on_epoch_end(self, epoch, logs=None):
        found = predict(self.model, data["x_val"])
        {lines}'''


def _measured(script: Script) -> list[Metric]:
    """Return the metrics that choose an epoch."""
    decides = script.task.decides
    return [decides] if script.restores in (None, decides) else [decides, script.restores]


def _in_keras(script: Script, metric: Metric) -> str:
    """Return the metric of Keras' that measures the same, as text; empty where there is none."""
    name, task, own = script.task.of_output(metric)
    return task.in_keras(own, script.outputs[name].head, dense=script.outputs[name].soft)


def _metrics(script: Script) -> list[str]:
    """Return what ``compile`` is told of metrics: those that choose an epoch, of several outputs by name."""
    found: dict[str, list[str]] = {}
    for metric in _measured(script):
        if text := _in_keras(script, metric):
            found.setdefault(script.task.of_output(metric)[0], []).append(text)
    listed = {name: f"[{', '.join(texts)}]" for name, texts in found.items()}
    return [f"metrics={named(listed)}"] if listed else []


_BATCHES = '''class Batches(keras.utils.PyDataset):
    """All batches of all epochs, in the study's order: a permutation of the training examples an epoch."""

    steps = -(-len(data["y_train"]) // BATCH_SIZE)

    def __len__(self):
        return EPOCHS * self.steps

    def __getitem__(self, item):
        epoch, step = divmod(item, self.steps)
        digest = hashlib.sha256(f"{ORDER}\\x1fepoch\\x1f{epoch}".encode()).digest()
        seed = int.from_bytes(digest[:8], "big") % (2**31 - 1)
        order = np.random.default_rng(seed).permutation(len(data["y_train"]))
        chosen = order[step * BATCH_SIZE : (step + 1) * BATCH_SIZE]
        {taken}'''


_STATISTICS_INPUTS = '''def statistics_inputs():
    """Return the training inputs in batches, in the order in which the study computes statistics on them."""
    order = np.random.default_rng(STATISTICS).permutation(len(data["y_train"]))
    for start in range(0, len(order), BATCH_SIZE):
        yield normalize(data["x_train"][order[start : start + BATCH_SIZE]])'''


def _batches(script: Script, facts: Facts) -> str:
    given = 'normalize(data["x_train"][chosen]), labels(data["y_train"][chosen])'
    more = ', data["w_train"][chosen]' if facts.trained.weighted else ""
    lines = [f"x, y = {given}", *script.labels, f"return x, y{more}"] if script.labels else [f"return {given}{more}"]
    return _BATCHES.replace("{taken}", "\n        ".join(lines))


def _main(script: Script, facts: Facts) -> str:
    name, config = facts.trained.optimizer
    # What a strategy says of the optimizer goes before what the study does.
    merged = {**config, **script.optimizer}
    arguments = [f"{key}={value}" for key, value in merged.items()]
    optimizer = call(f"keras.optimizers.{name}", arguments, before="optimizer = ", indent=4)
    decides = script.task.decides
    callbacks = list(script.before_checkpoint)
    callbacks += [] if all(_in_keras(script, metric) for metric in _measured(script)) else ["Measure()"]
    best = 'HERE / "best.weights.h5"'
    if not script.restores:
        callbacks.append(
            call("keras.callbacks.ModelCheckpoint", [
                best, f"monitor={literal(f'val_{decides.name}')}",
                f'mode="{"min" if decides.better == "lower" else "max"}"',
                "save_best_only=True", "save_weights_only=True",
            ], indent=12).lstrip()
        )  # fmt: skip
    callbacks += script.callbacks
    lines = [
        "def main():",
        '    """Train, keep the weights of the best epoch by validation, and measure them on the test set once."""',
        "    network = build_network()",
        '    network.load_weights(HERE / "initial.weights.h5")',
        f"    model = {'Training(network)' if script.wrapped else 'network'}",
        optimizer,
        *(f"    {line}" for line in script.optimizer_lines),
        call(
            "model.compile",
            [
                "optimizer",
                "LOSS",
                *(f"{key}={value}" for key, value in facts.trained.compiled.items()),
                *_metrics(script),
            ],
            indent=4,
        ),
        "    batches = Batches()",
        "    model.fit(",
        "        batches,",
        "        epochs=EPOCHS,",
        "        steps_per_epoch=batches.steps,",
        "        shuffle=False,  # batches come in their own order",
        '        validation_data=(normalize(data["x_val"]), labels(data["y_val"])),',
        "        callbacks=[",
        *(f"            {line}," for line in callbacks),
        "        ],",
        "        verbose=2,",
        "    )",
    ]
    if not script.restores:
        lines.append(f"    model.load_weights({best})")
    lines += [
        *_tested(script),
        *(["    model.hand_over()"] if script.made else []),
        '    network.save_weights(HERE / "trained.weights.h5")',
        "",
        "",
        'if __name__ == "__main__":',
        "    main()",
    ]
    return "\n".join(lines)


def _tested(script: Script) -> list[str]:
    """Return the lines that measure the test set and say it beside what the study has."""
    decides = script.task.decides
    form = ".4f" if decides.highest == 1 else ".4g"
    if _in_keras(script, decides):
        found = "found"
        lines = [
            '    given = normalize(data["x_test"]), labels(data["y_test"])',
            "    found = model.evaluate(*given, verbose=0, return_dict=True)",
            f"    found = found[{literal(decides.name)}]",
        ]
    else:
        found = "found"
        given = 'predict(model, data["x_test"])'
        lines = [f"    found = {_value(script, decides, 'test', given)}"]
    return [
        *lines,
        f"""    print(f"test {in_text(decides.title)} {{{found}:{form}}}, in the study {{STUDY:{form}}}")""",
    ]
