"""Label sets and a class per pixel go through the verbs that train several studies, and what is shown of one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from small_tasks import label_sets, masks

import reglab
from reglab.cli import cli
from reglab.experiments.masks import load
from reglab.experiments.robustness import Robustness

TASKS = {"label sets": (label_sets, "mlp(units=4)", "mAP"), "pixels": (masks, "unet(width=2,depth=1)", "mean IoU")}
COMMON = ["--epochs", "6", "--learning-rate", "0.03", "--batch-size", "20", "--workers", "0", "--test", "0.2"]


@pytest.fixture(scope="module", params=TASKS)
def asked(request, tmp_path_factory):
    """Options of a small study, the title of what decides, and a folder."""
    make, model, title = TASKS[request.param]
    data, folder = make(), tmp_path_factory.mktemp("verbs")
    np.savez(folder / "data.npz", x=data.x[:60], y=data.y[:60])
    return ["--data", str(folder / "data.npz"), "--model", model, *COMMON], title, folder


def told(*arguments):
    done = CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False, env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


@pytest.mark.slow
def test_sweep_ablate_and_calibrate_go_by_what_decides(asked):
    study, title, folder = asked
    recipe = "dropout(rate=0.1) + l2(kernel=1e-3)"
    sweep = ["--strategy", "l2", "--param", "kernel", "--values", "1e-4,1e-2", "--seeds", 1]
    swept = told("sweep", *study, *sweep, "--out", folder / "sweep")
    assert title in swept
    assert "kernel=0.01" in swept
    apart = told("ablate", recipe, *study, "--seeds", 2, "--out", folder / "ablate")
    assert title in apart
    assert "dropout and l2" in apart
    noise = told("calibrate", *study, "--seeds", 2, "--repetitions", 2, "--out", folder / "calibrate")
    assert title in noise
    for text in (swept, apart, noise):
        assert "cross-entropy" not in text or title == "mean IoU"


@pytest.mark.slow
def test_what_is_left_under_attack_and_which_pixels_are_given_what_is_shown(asked):
    study, title, folder = asked
    recipes = ["--recipe", "gaussian_noise(stddev=0.1)"]
    told("compare", *study, *recipes, "--seeds", 1, "--out", folder / "study", "--no-references")
    told("robustness", folder / "study", "--epsilon", 1.0)
    results = reglab.Results.load(folder / "study")
    found = Robustness.load(results)
    assert found.metric.title == title
    (base, *_, end) = found.curves["none"]["fgsm"].mean
    assert end < base
    told("report", folder / "study")
    page = (folder / "study" / "report" / "index.html").read_text("utf-8")
    made = load(results)
    if title == "mAP":
        assert made is None
        assert 'id="masks"' not in page
        return
    assert made.images.shape == (6, 6, 6, 1)
    assert (made.true[:, 0] == -1).all()
    assert set(np.unique(made.predicted["none"])) <= {0, 1}
    assert page.count("its pixels as labelled") == 6
    assert all(f'alt=""> {name}' in page for name in ("0", "1", "no label"))


@pytest.mark.slow
def test_a_search_goes_by_what_decides_and_says_so(asked):
    study, title, folder = asked
    search = ["--strategy", "l2", "--trials", 2, "--search-seeds", 1, "--rivals", 0, "--seeds", 1]
    assert title in told("tune", *study, *search, "--out", folder / "tune")
    held = json.loads((folder / "tune" / "search" / "search.json").read_text("utf-8"))
    assert len(held["trials"]) == 2
