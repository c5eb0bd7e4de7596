"""Faults that the tests have to notice, each one small change of the source.

A mutant is a change that somebody could make by mistake: a wrong sign, a dropped term, an index off by one, a seed that
is not used, a lease that is not checked, a file that is not synced, an interval that is not adjusted, a test set that
is read too early. ``run.py`` makes each of them in a copy of the source and runs the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["MUTANTS", "Mutant"]


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        file: the module, relative to ``src/reglab``.
        what: the fault, in words.
        old: the text it replaces, which occurs once in the module.
        new: what stands there instead.
        tests: where to look first, relative to ``tests``.
    """

    file: str
    what: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def called(self) -> str:
        """The module and the fault in words, which is what ``noticed.json`` calls it."""
        return f"{self.file}: {self.what}"

    def applied(self, source: Path) -> str:
        """Return the text of the module with the fault in it.

        Raises:
            ValueError: if the text to replace does not occur exactly once.
        """
        text = (source / self.file).read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file}: {self.old!r} occurs {text.count(self.old)} times, and has to occur once.")
        return text.replace(self.old, self.new)


def _of(file: str, tests: tuple[str, ...], *faults: tuple[str, str, str]) -> list[Mutant]:
    return [Mutant(file, what, old, new, tests) for what, old, new in faults]


_STUDY = ("study",)
_PLAN = ("study/test_study_plan.py", "study")
_STORE = ("study/test_study_store.py", "study/test_study_survival.py", "study")
_TRAIN = ("study/test_study_execute.py", "study")
_CHECKPOINT = ("study/test_study_checkpoint.py", "study/test_study_survival.py", "study")
_REGULARIZED = ("regularized", "strategies")
_STRATEGIES = ("strategies", "regularized")
_ANALYSIS = ("analysis",)
_TUNING = ("tuning",)
_EXPORT = ("export", "test_sklearn.py")

MUTANTS: list[Mutant] = [
    # --- study: what is trained, from which numbers ------------------------------------------------------------------
    *_of(
        "seeds.py",
        ("test_sklearn.py", "study", "strategies"),
        ("the seed is not used: every seed draws the same", "(int(seed), *names)", "(0, *names)"),
    ),
    *_of(
        "study/plan.py",
        _PLAN,
        (
            "the identity of a run leaves the version of results out",
            '{"result_version": RESULT_VERSION, **facts}',
            "{**facts}",
        ),
        ("the identity ignores the recipe", '{**facts[seed], "recipe": recipe.fingerprint()}', "{**facts[seed]}"),
        (
            "a training has the same key for every seed",
            "{self.recipe.fingerprint()} {self.seed}",
            "{self.recipe.fingerprint()}",
        ),
        ("recorded runs are planned again", "if run.id not in have:", "if True:"),
        (
            "runs with two momenta share one training",
            "of_host.setdefault(aboard, []).append(run)",
            "of_host.setdefault(next(iter(of_host)), []).append(run)",
        ),
        ("a ride that is put back comes last", "self._first -= 1", "self._first += 1_000"),
    ),
    *_of(
        "study/run.py",
        _TRAIN,
        (
            "the network does not start from the seed's weights",
            "self.model.network.set_weights(data.initial_weights)",
            "pass",
        ),
        ("random streams do not restart with the seed", 'self.model.set_seed(data.stream("training"))', "pass"),
        (
            "variables do not go back to their start",
            "        for variable, value in self._start:\n            variable.assign(value)\n",
            "        pass\n",
        ),
        (
            "preprocessing is fitted on all examples",
            "data.preprocess(data.x[np.sort(data.train)])",
            "data.preprocess(data.x)",
        ),
        (
            "predictions are those of the last epoch",
            "for variable, value in zip(self.model.standing(), track.best_weights, strict=True):",
            "for variable, value in ():",
        ),
        (
            "training accuracy is measured on validation",
            '"train": (self._data.clean[1], slice(None, count), counts_train)',
            '"train": (self._data.validation[1][:count], slice(count, 2 * count), counts_train)',
        ),
        ("averaged weights stay in the network", "shown.back()", "pass"),
        ("padded rows are kept", "yield _float32(found)[:count]", "yield _float32(found)"),
        ("checkpoints one epoch too late", "(epoch + 1) % checkpoint_every == 0", "epoch % checkpoint_every == 0"),
        ("batches begin anew after a checkpoint", "first_epoch=first, weights", "first_epoch=0, weights"),
    ),
    *_of(
        "study/track.py",
        _TRAIN,
        ("divergence is not noticed", "if not all(np.isfinite(values[key]) for key in watched):", "if False:"),
    ),
    *_of(
        "data/splits.py",
        ("data", "study"),
        ("every seed has the same validation part", 'seed=derive(seed, "validation")', 'seed=derive(0, "validation")'),
        (
            "test examples are trained on",
            "rest = np.setdiff1d(np.arange(len(data)), test)",
            "rest = np.arange(len(data))",
        ),
    ),
    *_of(
        "tasks/hold_out.py",
        ("tasks", "data", "study"),
        ("splits are not stratified", "stratify=y", "stratify=None"),
    ),
    *_of(
        "tasks/hold_out.py",
        ("tasks/test_multi_label.py",),
        ("label sets are held out anyhow", "key=lambda i: (wanted[i], room[i])", "key=lambda i: room[i]"),
    ),
    *_of(
        "tasks/label_sets.py",
        ("tasks/test_multi_label.py",),
        (
            "ties among probabilities are broken",
            'searchsorted(falling, falling, side="right")',
            "arange(1, len(y) + 1)",
        ),
        ("labels are given from another probability on", "probabilities >= 0.5", "probabilities > 0.6"),
    ),
    *_of(
        "tasks/per_position.py",
        ("tasks/test_positions.py",),
        ("what is given where nothing counts is counted", "count(there, chosen)", "count(there | True, chosen)"),
        (
            "the union counts hits twice",
            "return _mean(_ratios(hits, given + true - hits))",
            "return _mean(_ratios(hits, given + true))",
        ),
    ),
    *_of(
        "study/workbench.py",
        ("tasks/test_positions.py",),
        ("padding counts in metrics", "y if mask is None else self.task.masked(y, mask)", "y"),
    ),
    *_of(
        "study/workbench.py",
        ("data/test_padding.py",),
        ("padding is scaled", "kept = self._indices | self._masked", "kept = self._indices"),
    ),
    *_of(
        "tasks/base.py",
        ("tasks", "study"),
        ("a gap has the wrong sign", 'better, worse = ("train", "val")', 'better, worse = ("val", "train")'),
    ),
    *_of(
        "tasks/outputs.py",
        ("models/test_head.py", "tasks", "study"),
        ("the columns of two classes change places", "[1 - outputs, outputs]", "[outputs, 1 - outputs]"),
    ),
    *_of(
        "data/preprocess.py",
        ("data", "study"),
        ("inputs are not centred", "((x.astype(self.mean.dtype) - self.mean) / self.scale)", "(x / self.scale)"),
    ),
    *_of(
        "data/preprocess.py",
        ("data",),
        ("a missing value is more than the mean", "np.nan_to_num(found)", "np.nan_to_num(found, nan=1.0)"),
    ),
    *_of(
        "data/pixels.py",
        ("data/test_pixels.py",),
        ("hidden colours are seen", 'if whole.getchannel("A").getextrema()[0] < 255:', "if False:"),
        ("16 bits are cut", "wide = np.minimum(image, largest)", "wide = np.minimum(image, 255)"),
    ),
    *_of(
        "data/images.py",
        ("data/test_layouts.py",),
        ("broken files vanish without a word", "if read.broken and not (skip_broken and read.names):", "if False:"),
    ),
    *_of(
        "data/members.py",
        ("data/test_layouts.py",),
        ("links to a folder around them are followed", "and _place(status) not in places", ""),
    ),
    *_of(
        "data/arrays.py",
        ("data/test_arrays.py",),
        ("parts of other scales are not compared", "if min(sizes) <= 0 or not", "if True or not"),
    ),
    *_of(
        "data/tables.py",
        ("data",),
        (
            "labels do not follow the rows that are left",
            "read_labels(labels[rows],",
            "read_labels(labels[: rows.sum()],",
        ),
    ),
    *_of(
        "data/decimals.py",
        ("data",),
        ("what fits two notations has a point", "return next(iter(others))", "return POINT"),
    ),
    *_of(
        "data/delimited.py",
        ("data",),
        ("short lines are filled up", "if len(row) != expected:", "if len(row) > expected:"),
    ),
    *_of(
        "data/batches.py",
        ("data", "study"),
        ("every epoch has the same order", 'derive(seed, "epoch", epoch)', 'derive(seed, "epoch", 0)'),
        ("the last batch is dropped", "math.ceil(len(indices) / batch_size)", "max(1, len(indices) // batch_size)"),
        (
            "weights of examples by position and not by example",
            "self._weights[chosen],",
            "self._weights[: len(chosen)],",
        ),
    ),
    # --- study: what is kept -----------------------------------------------------------------------------------------
    *_of(
        "study/storage/ledger.py",
        _STORE,
        (
            "a lease is not checked",
            "return open_ is not None and (row is None or row[0] not in ACCEPTED)",
            "return row is None or row[0] not in ACCEPTED",
        ),
        (
            "a result is taken twice",
            "return open_ is not None and (row is None or row[0] not in ACCEPTED)",
            "return open_ is not None",
        ),
        ("readings of the test set are not logged", '"INSERT INTO test_readings (run) VALUES (?)"', '"SELECT ?"'),
        ("a transaction is not rolled back", 'self._database.execute("ROLLBACK")', 'self._database.execute("COMMIT")'),
    ),
    *_of(
        "study/storage/disk.py",
        _STORE,
        (
            "a file is not synced",
            "        file.write(content)\n        file.flush()\n        os.fsync(file.fileno())",
            "        file.write(content)",
        ),
        ("a folder is not synced", "os.fsync(handle)", "pass"),
        ("sizes of files are not looked at", "(folder / name).stat().st_size == size", "(folder / name).exists()"),
        ("bytes of files are not looked at", "(not thorough or _digest(folder / name) == digest)", "True"),
        (
            "a file is written in place",
            "        yield unfinished\n        os.replace(unfinished, path)",
            "        yield unfinished\n        path.write_bytes(unfinished.read_bytes())",
        ),
    ),
    *_of(
        "study/storage/store.py",
        _STORE,
        (
            "a folder without a row is thrown away",
            "self._ledger.take_in(summary)",
            "disk.remove(folder)",
        ),
        (
            "a changed spec is accepted",
            "            changed = differences(held, spec)\n            if changed:",
            "            changed = differences(held, spec)\n            if False:",
        ),
        (
            "changed facts are accepted",
            "return [] if held is None else differences(held, facts)",
            "return []",
        ),
        ("damaged runs are not trained again", "if run_folder.damaged(folder):", "if False:"),
    ),
    *_of(
        "study/checkpoint.py",
        _CHECKPOINT,
        ("a checkpoint of another recipe fits", "self.hyperparameters == ride.recipe.fingerprint()", "True"),
        (
            "the best weights are not kept in checkpoints",
            "enumerate(track.best_weights)}",
            "enumerate(track.best_weights[:0])}",
        ),
    ),
    *_of(
        "study/storage/checkpoint_store.py",
        _CHECKPOINT,
        ("the oldest checkpoint is read", "reverse=True", "reverse=False"),
    ),
    *_of(
        "study/coordinate.py",
        ("study/test_study_survival.py", "study/test_study_processes.py", "study"),
        ("killed trainings are never tried again", "if self.lost[again.key] < self.limits.tries:", "if False:"),
        ("killed trainings are tried for ever", "if self.lost[again.key] < self.limits.tries:", "if True:"),
        ("a training never times out", "time.monotonic() - job.began > self.limits.timeout", "False"),
        ("checkpoints stay after their training", "self.store.checkpoints.drop(job.ride.key)", "pass"),
    ),
    # --- regularized: the step ----------------------------------------------------------------------------------------
    *_of(
        "regularized/step.py",
        _REGULARIZED,
        (
            "what a strategy sees as penalty is subtracted",
            "total = term if total is None else total + term",
            "total = term if total is None else total - term",
        ),
        (
            "offsets of weights are forgotten",
            "values[id(weight)] = values[id(weight)] + keras.ops.cast(offset, values[id(weight)].dtype)",
            "pass",
        ),
        (
            "sample weights are ignored in the ascent",
            "each(batch.y, y_pred, batch.sample_weight)",
            "each(batch.y, y_pred)",
        ),
        ("metrics see soft labels", "self._held.labels = (batch.y, seen)", "self._held.labels = None"),
        (
            "metrics under smoothing see the heaviest class",
            "seen = (given if each_its_own else targets.harden(batch.y))",
            "seen = (targets.harden(batch.y))",
        ),
        ("several labels are smoothed as one", "independent=targets.binary", "independent=False"),
        (
            "attacks run in training mode",
            "return keras.ops.sum(each(y, self._forward(x, training=False)))",
            "return keras.ops.sum(each(y, self._forward(x, training=True)))",
        ),
        ("statistics of the moved pass are lost", "variable.assign(after)", "pass"),
        (
            "losses of the moved pass are lost",
            "self.add_loss(loss)",
            "pass",
        ),
        (
            "noise is on in evaluation",
            "moved = self._moved_weights() if training else self._evaluated_weights()",
            "moved = self._moved_weights()",
        ),
    ),
    *_of(
        "regularized/model.py",
        _REGULARIZED,
        ("schedules stay at their start", "self.recipe.at(epoch), strict=True", "self.recipe.at(0), strict=True"),
        (
            "a new seed does not reach the layers",
            "        self.seed = seed\n        seed_layers(self.network, seed)",
            "        self.seed = seed",
        ),
        ("callbacks of strategies are forgotten", "for callback in strategy.callbacks()]", "for callback in ()]"),
        ("compiling again forgets set_recipe", "self.set_epoch(0)  # the strengths", "pass  # the strengths"),
        (
            "XLA is chosen for what it cannot compile",
            'given["jit_compile"] = False  # what Keras',
            "pass  # what Keras",
        ),
        ("outputs lose their names", "return self.network.output_names", "raise AttributeError"),
    ),
    *_of(
        "regularized/targets.py",
        ("regularized/test_losses.py", *_REGULARIZED),
        (
            "a class made of a loss passes for it",
            "type(loss) in classes if exactly",
            "isinstance(loss, classes) if exactly",
        ),
        ("padding counts in the ascent", "values = values if mask is None else weighted(values, mask)", "pass"),
        (
            "labels that are no class train towards nothing",
            "ops.where(ops.expand_dims(known, -1), one_hot, ",
            "ops.where(True, one_hot, ",
        ),
        (
            "positions that the loss ignores count in soft losses",
            'counts = ops.cast(counted, "float32")',
            'counts = ops.ones_like(counted, dtype="float32")',
        ),
    ),
    *_of(
        "regularized/inputs.py",
        ("regularized/test_inputs.py", *_REGULARIZED),
        (
            "indices inside a layer of one's own are not seen",
            "return _equal(first, fractional) and not _equal(first, other)",
            "return False",
        ),
        ("nothing is looked through on the way to an embedding", "waiting += node.outputs", "pass"),
    ),
    *_of(
        "regularized/watching.py",
        ("regularized/test_callbacks.py", "strategies/test_swa.py", *_REGULARIZED),
        (
            "weights are validated, and not their averages",
            "def on_test_begin(self, logs: Logs = None) -> None:\n        self._show()",
            "def on_test_begin(self, logs: Logs = None) -> None:\n        pass",
        ),
        ("training goes on from the averages", "self._network.set_weights(self._moving)", "pass"),
    ),
    *_of(
        "regularized/statistics.py",
        ("strategies/test_swa.py", *_REGULARIZED),
        ("batches count alike", "total + size * each", "total + 16 * each"),
        ("a layer is taken to be called once", "return 1.0 - momentum**calls", "return 1.0 - momentum"),
    ),
    *_of(
        "strategies/weights/spectral_normalization.py",
        ("strategies/test_spectral_normalization.py",),
        (
            "the singular value has no gradient",
            "for each in power_step(kernel, u))\n    return",
            "for each in power_step(kernel, u))\n    kernel = ops.stop_gradient(kernel)\n    return",
        ),
    ),
    *_of(
        "strategies/base.py",
        ("strategies/test_own_strategies.py", *_STRATEGIES),
        ("whoever is made of a rider rides", 'bool(vars(origin)["rider"]) and all(', "cls.rider or all("),
        ("indices are changed", "if self.acts_on_inputs and not given.continuous and", "if False and"),
        ("padding is unmasked by noise", "if self.moves_padding and given.masked:", "if False:"),
    ),
    *_of(
        "regularized/parts.py",
        _REGULARIZED,
        ("two strategies of a name share their random numbers", "names[:position].count(name)", "0"),
        ("strategies share one stream", 'derive(seed, "strategy", name,', 'derive(seed, "strategy", "",'),
    ),
    *_of(
        "regularized/activity.py",
        ("strategies/test_penalties.py", *_REGULARIZED),
        ("the user's own activity regularizer is dropped", "if self.original is not None:", "if False:"),
    ),
    # --- strategies ---------------------------------------------------------------------------------------------------
    *_of(
        "strategies/penalties/coefficients.py",
        ("strategies/test_penalties.py", *_STRATEGIES),
        ("L1 of the square", "keras.ops.sum(keras.ops.absolute(x))", "keras.ops.sum(keras.ops.square(x))"),
    ),
    *_of(
        "strategies/penalties/l1l2.py",
        ("strategies/test_penalties.py", *_STRATEGIES),
        ("L1L2 without its L2 term", 'magnitude(x) + s[f"{what}_l2"] * squares(x)', "magnitude(x)"),
    ),
    *_of(
        "strategies/architecture/dropout.py",
        ("strategies/test_dropout.py", *_STRATEGIES),
        ("dropout does not scale what is left", "1.0 / (1.0 - float(self.rate))", "1.0"),
    ),
    *_of(
        "strategies/architecture/stochastic_depth.py",
        ("strategies/test_stochastic_depth.py",),
        ("what stays is not scaled", "ops.cast(1.0 / (1.0 - rate), h.dtype)", "ops.cast(1.0, h.dtype)"),
        ("every branch has the last one's probability", "(place.index + 1) / place.count if", "1.0 if"),
    ),
    *_of(
        "regularized/graph.py",
        ("strategies/test_stochastic_depth.py", "regularized"),
        (
            "the shortcut is taken for the branch",
            "ends[kernels.index(max(kernels))]",
            "ends[kernels.index(min(kernels))]",
        ),
    ),
    *_of(
        "strategies/penalties/trades.py",
        ("strategies/test_trades.py",),
        ("the ball is not kept to", "ops.minimum(ops.maximum(moved, x - epsilon), x + epsilon)", "moved"),
        ("the way leads downhill", "moved + step * ops.sign", "moved - step * ops.sign"),
    ),
    *_of(
        "strategies/data/mixing.py",
        ("strategies/test_mixup.py", *_STRATEGIES),
        (
            "labels are not mixed",
            "return batch._replace(y=mix(batch.y, m))",
            "return batch",
        ),
        (
            "one m for a whole batch",
            "m = keras.random.beta((count,), alphas, alphas, seed=random)",
            "m = keras.random.beta((count,), alphas, alphas, seed=random)\n    m = ops.zeros_like(m) + m[0]",
        ),
    ),
    *_of(
        "strategies/targets/label_smoothing.py",
        ("strategies/test_label_smoothing.py", *_STRATEGIES),
        (
            "smoothing without the rest",
            "batch.y * (1.0 - s.smoothing) + s.smoothing / classes",
            "batch.y * (1.0 - s.smoothing)",
        ),
    ),
    *_of(
        "strategies/data/adversarial.py",
        ("strategies/test_adversarial.py", *_STRATEGIES),
        (
            "the attack goes downhill",
            "delta + step * _direction(slope, norm)",
            "delta - step * _direction(slope, norm)",
        ),
        (
            "the ball is not kept to",
            "delta * keras.ops.minimum(1.0, epsilon / keras.ops.maximum(_length(delta), _TINY))",
            "delta",
        ),
        (
            "the share is one example too large",
            "slice(0, max(1, round(share * count)))",
            "slice(0, 1 + max(1, round(share * count)))",
        ),
        ("the step of many steps is one step's", "2.5 * self.epsilon / self.steps", "2.5 * self.epsilon"),
    ),
    *_of(
        "strategies/gradients/sam.py",
        ("strategies/test_sam.py", *_STRATEGIES),
        (
            "the ascent is a norm a weight",
            "norm = ops.sqrt(sum(squares[1:], squares[0]))",
            "norm = ops.sqrt(squares[0])",
        ),
        ("the ascent is a descent", "factor = rho / (norm + 1e-12)", "factor = -rho / (norm + 1e-12)"),
    ),
    *_of(
        "strategies/optimization/weight_decay.py",
        ("strategies/test_weight_decay.py", *_STRATEGIES),
        (
            "biases decay too",
            'exclude_from_weight_decay(var_names=[r"bias(:\\d+)?$", r"\\b(gamma|beta|scale|alpha)(:\\d+)?$"])\n\n',
            "exclude_from_weight_decay(var_names=[])\n\n",
        ),
    ),
    *_of(
        "schedules.py",
        ("test_recipe.py", *_STRATEGIES),
        (
            "a linear schedule ends one epoch late",
            "_between(self.start, self.end, min(epoch / self.epochs, 1.0))",
            "_between(self.start, self.end, min(epoch / (self.epochs + 1), 1.0))",
        ),
        ("steps one epoch late", "sum(epoch >= boundary", "sum(epoch > boundary"),
    ),
    *_of(
        "strategies/data/resample.py",
        ("strategies/test_augmentation.py", *_STRATEGIES),
        (
            "images turn about their corner",
            "row_centre, col_centre = (height - 1) / 2, (width - 1) / 2",
            "row_centre, col_centre = height / 2, width / 2",
        ),
        (
            "columns and rows exchanged in shifts",
            "row_offset = cos * row_shift + sin * col_shift",
            "row_offset = cos * col_shift + sin * row_shift",
        ),
    ),
    # --- analysis -----------------------------------------------------------------------------------------------------
    *_of(
        "analysis/paired.py",
        _ANALYSIS,
        (
            "Holm multiplies by m alone once too few",
            "(len(tested) - rank) * values[index]",
            "(len(tested) - rank - 1) * values[index]",
        ),
        ("Holm is not made monotone", "largest = max(largest, min(1.0,", "largest = max(0.0, min(1.0,"),
        (
            "a one-sided interval",
            "half = float(special.stdtrit(self.n - 1, (1 + confidence) / 2))",
            "half = float(special.stdtrit(self.n - 1, confidence))",
        ),
        (
            "the crossed interval forgets the examples",
            "terms = [(ms_seed, n - 1), (ms_example, count - 1),",
            "terms = [(ms_seed, n - 1), (0.0, count - 1),",
        ),
        (
            "McNemar counts what both have wrong",
            "c = int(np.count_nonzero(~right & other_right))",
            "c = int(np.count_nonzero(~right & ~other_right))",
        ),
        ("possibly best at a level that is not shared", "p.min() > alpha / (k - 1)", "p.min() > alpha"),
    ),
    *_of(
        "analysis/verdict.py",
        _ANALYSIS,
        ("p values are not adjusted", "holm([found[key].p for key in tested])", "[found[key].p for key in tested]"),
        ("intervals are not adjusted", "share = alpha / max(1, len(tested))", "share = alpha"),
        (
            "paired by position and not by seed",
            "[value - baseline[seed] for seed, value in values.items() if seed in baseline]",
            "[value - other for value, other in zip(values.values(), baseline.values(), strict=False)]",
        ),
        ("diverged runs are not counted", '(state in ("diverged", "failed") for', '(state in ("failed",) for'),
        ("half an equivalence", "-margin <= low and high <= margin", "-margin <= low"),
    ),
    *_of(
        "tasks/probabilities.py",
        _ANALYSIS,
        (
            "confidence below accuracy counts as above",
            "self.share * (self.confidence - self.accuracy)",
            "self.share * np.abs(self.confidence - self.accuracy)",
        ),
        (
            "a bin off by one",
            "np.ceil(confidence * bins - _EDGE).astype(int) - 1",
            "np.ceil(confidence * bins - _EDGE).astype(int)",
        ),
        (
            "the Brier score without its one",
            "np.sum(p * p, axis=1) - 2 * right + 1",
            "np.sum(p * p, axis=1) - 2 * right",
        ),
    ),
    *_of(
        "analysis/decompose.py",
        _ANALYSIS,
        ("the bias is not corrected for few seeds", ".mean()) - spread / count, spread", ".mean()), spread"),
    ),
    *_of(
        "analysis/curves.py",
        _ANALYSIS,
        ("a turn is the minimum of the raw curve", "at = int(smoothed.argmin())", "at = int(curve.argmin())"),
        (
            "noise does not raise the threshold",
            "needed = max(RISE_MATTERS * lowest, RISE_NOISE * noise)",
            "needed = RISE_MATTERS * lowest",
        ),
    ),
    # --- tuning -------------------------------------------------------------------------------------------------------
    *_of(
        "tuning/search.py",
        _TUNING,
        ("a search may read the test set", "if not study.settings.sealed:", "if False:"),
        ("a recipe is tried twice", "fresh = recipe not in known", "fresh = True"),
        ("failed runs are worth what they had", 'if held is None or held["status"] != "finished":', "if held is None:"),
        (
            "pruned trials come first",
            "(trial.state != COMPLETE, -trial.gain, trial.number)",
            "(trial.state == COMPLETE, -trial.gain, trial.number)",
        ),
        (
            "the worst trial first",
            "(trial.state != COMPLETE, -trial.gain, trial.number)",
            "(trial.state != COMPLETE, trial.gain, trial.number)",
        ),
    ),
    *_of(
        "tuning/racing.py",
        _TUNING,
        ("everybody is hopeful", "if _reached(self.seen[name, seed]) >= best]", "]"),
        (
            "a standard error that does not shrink with seeds",
            "_SURE * spread / math.sqrt(len(seeds))",
            "_SURE * spread",
        ),
        ("what was trained is paid again", "max(0, epochs - self.trained.get((name, seed), 0))", "epochs"),
    ),
    # --- export -------------------------------------------------------------------------------------------------------
    *_of(
        "export/deploy.py",
        _EXPORT,
        (
            "an export that predicts otherwise is handed out",
            "if not all(by <= tolerance * largest for by, largest in far):",
            "if False:",
        ),
    ),
    *_of(
        "tasks/classes.py",
        _EXPORT,
        (
            "two classes exchanged",
            'keras.layers.Concatenate(dtype="float32", name=layer_name("classes", of))([first, found])',
            'keras.layers.Concatenate(dtype="float32", name=layer_name("classes", of))([found, first])',
        ),
    ),
    *_of(
        "export/network.py",
        _EXPORT,
        ("seeds of layers are not the study's", 'if layer.name in self.seeds and "seed" in config:', "if False:"),
        (
            "penalties of the model are dropped",
            'more = {**more, key: f"both({self._value(value)}, {more[key]})"}',
            "pass",
        ),
    ),
    *_of(
        "export/render.py",
        _EXPORT,
        ("a script shuffles by another seed", "% (2**31 - 1)", "% (2**31 - 2)"),
        ("a script keeps the last epoch", 'lines.append(f"    model.load_weights({best})")', "pass"),
    ),
    *_of(
        "export/write.py",
        _EXPORT,
        (
            "the script validates on the test set",
            '"val": np.sort(split.val), "test": np.sort(split.test)',
            '"val": np.sort(split.test), "test": np.sort(split.test)',
        ),
    ),
]
