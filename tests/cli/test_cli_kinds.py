"""Series and tokens from an .npz file through compare and report; what does not fit is refused before training."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from reglab import Results
from reglab.cli import main

SMALL = ("--epochs", 2, "--seeds", 2, "--batch-size", 16, "--recipe", "some=dropout(rate=0.1)", "--recipe",
         "more=dropout(rate=0.4)", "--baseline", "some")  # fmt: skip


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run ``reglab`` with arguments in an empty folder; return exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments):
        here = ("--workers", "0") if arguments[0] == "compare" else ()
        monkeypatch.setattr(sys, "argv", ["reglab", *map(str, arguments), *here])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return call


def texts(count=60, length=8, words=12):
    """Return token ids, padded with 0, and whether word 3 is in a text."""
    random = np.random.default_rng(0)
    x = random.integers(1, words, (count, length))
    x[np.arange(length) >= random.integers(4, length + 1, (count, 1))] = 0
    return x, (x == 3).any(axis=1).astype("int32")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "model", "options", "said"),
    [
        (texts(), "transformer(width=4, heads=1, depth=1)", (), "(tokens, int64, 0 to 11)"),
        (
            (texts()[0][..., None] * [0.5, 100.0], texts()[1]), "fcn(filters=(3, 4), kernels=(3, 2))", (),
            "60 examples of 8x2 (series, float32, 0 to 1100)",
        ),
        (
            (texts()[0] * 0.5, texts()[0].mean(axis=1) + 0.5), "fcn(filters=(3,), kernels=(3,))", ("--kind", "series"),
            "60 examples of 8x1 (series, float32, 0 to 5.5), to predict: target",
        ),
        (
            (texts()[0].reshape(60, 4, 2, 1) * 0.5, texts()[0].reshape(60, 4, 2) % 2), "unet(width=2, depth=1)", (),
            "60 examples of 4x2x1 (image, float32, 0 to 5.5), a class for each of 4x2 positions",
        ),
        (
            (texts()[0], texts()[0] % 3), "transformer(width=4, heads=1, depth=1)", ("--kind", "tokens"),
            "60 examples of 8 (tokens, int64, 0 to 11), a class for each of 8 positions",
        ),
    ],
    ids=["tokens", "series", "series to numbers", "pixels", "tags"],
)  # fmt: skip
def test_each_kind_is_said_compared_and_reported(run, tmp_path, data, model, options, said):
    np.savez("made.npz", x=data[0], y=data[1])
    code, out, err = run("compare", "--data", "made.npz", "--model", model, *options, *SMALL, "--out", "study")
    assert code == 0, err
    assert said in err
    taken = "note: Rows of 8 numbers (int64) were taken for tokens, which transformer takes."
    assert (taken in err) == ("tokens" in said and not options)
    assert ("padding, count nowhere" in out + err) == ("tokens" in said and bool(options))
    assert "standardize" not in err
    for name in ("some", "more"):
        assert name in out
    code, out, err = run("report", "study")
    assert code == 0, err
    results = Results.load("study")
    assert f"({results.data['kind']}, " in said
    assert ("inputs" in results.facts) == ("tokens" in said)
    assert all(run.status == "finished" for runs in results.runs.values() for run in runs.values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "mlp", "--kind", "tokens"), "mlp takes tables, series, images, other arrays; the data is tokens"),
        (("--model", "transformer", "--recipe", "gaussian_noise"), "they are indices (token ids, categories)"),
        (("--model", "mlp", "--recipe", "augmentation(rotation_range=5)"), "augmentation acts on images, and the"),
        (("--model", "resnet"), "Of tables there is mlp"),
        (("--model", "transformer(heads=3)"), "width=64 is no multiple of heads=3"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_trained(run, tmp_path, arguments, said):
    np.savez("made.npz", x=texts()[0], y=texts()[1])
    code, _, err = run("compare", "--data", "made.npz", *arguments, "--epochs", 1)
    assert code == 2
    assert said in err
    assert not (tmp_path / "reglab-out").exists()


def test_models_lists_the_networks_and_what_they_take(run):
    code, out, _ = run("models")
    assert code == 0
    assert "transformer  tokens" in out
    code, out, _ = run("models", "resnet")
    assert "weighted layers: 8, 14, 20, 32, 44, 56, ..." in out
    assert run("models", "resnt")[0] == 2
