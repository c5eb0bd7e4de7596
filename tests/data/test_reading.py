"""What was read is told: facts, and what was assumed or left out, by every command and in Python."""

import logging

import numpy as np
from click.testing import CliRunner

import reglab
from reglab.cli import cli
from reglab.data import Dataset, load
from reglab.data.dataset import TEST, TRAIN
from reglab.data.listing import few
from reglab.study.plan import Plan


def made(count=12, **more):
    x = np.arange(2 * count, dtype="float32").reshape(count, 2) / 4
    return Dataset("made", x, np.arange(count) % 3, ("a", "b", "c"), **more)


def test_the_facts():
    assert made().facts == (
        "made: 12 examples of 2 (table, float32, 0 to 5.75), 3 classes: a 4, b 4, c 4",
        "no parts are given: test and validation are split off",
    )
    parted = made(part=np.repeat(np.array([TRAIN, TEST], "int8"), [9, 3]))
    assert parted.facts[1] == "parts: train 9, test 3; validation split off"


def test_many_classes_and_long_names_are_shortened():
    names = ("x" * 500, *(f"class {i}" for i in range(1, 60)))
    line = Dataset("many", np.zeros((120, 2), "uint8"), np.arange(120) % 60, names).facts[0]
    assert "60 classes" in line
    assert "and 50 more" in line
    assert len(line) < 300
    assert few("abcdef", 2) == "a, b and 4 more"


def test_the_representation_is_the_facts_and_the_notes():
    assert repr(made(notes=("Two rows were left out.",))).splitlines()[-1] == "note: Two rows were left out."
    assert repr(made()).splitlines() == list(made().facts)


def test_reading_is_logged_once_and_a_data_set_is_not_read_again(caplog):
    with caplog.at_level(logging.INFO, "reglab.data"):
        data = load((made().x, made().y))
        load(data)
    assert [record.getMessage() for record in caplog.records] == list(data.facts)


def test_a_command_tells_what_it_read_on_standard_error():
    result = CliRunner().invoke(cli, ["compare", "--data", "digits", "--model", "nonsense", "--workers", "0"])
    assert isinstance(result.exception, reglab.ReglabError)
    assert result.stderr.count("data: digits: 1,797 examples of 8x8x1 (image, uint8, 0 to 16), 10 classes: 0 178,") == 1
    assert "data: digits" not in result.stdout
    assert not logging.getLogger("reglab.data").handlers


def test_the_notes_of_the_data_stand_with_those_of_the_study():
    study = reglab.Study(made(60, notes=("Two rows were left out.",)), "mlp")
    about = study._about(Plan(runs={}, facts={}, versions={}, task=study.task), ["One more."])
    assert about["notes"] == ["Two rows were left out.", "One more."]
    assert about["data"]["read"] == list(study.dataset.facts)
