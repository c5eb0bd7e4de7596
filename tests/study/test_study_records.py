"""What an error says in a line."""

from __future__ import annotations

import traceback

import pytest

from reglab.study.records import reason


def _traceback(function):
    try:
        function()
    except BaseException:
        return traceback.format_exc()
    raise AssertionError("it raised nothing")


def test_of_a_traceback_the_last_exception():
    def inner():
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("no such luck\n\nand more") from None

    assert reason(_traceback(inner)) == "ValueError: no such luck"
    assert reason(_traceback(lambda: 1 / 0)) == "ZeroDivisionError: division by zero"
    assert reason(_traceback(lambda: exec("raise SystemExit"))) == "SystemExit"


@pytest.mark.backend
def test_of_what_a_layer_raises_its_own_message():
    import keras

    class Broken(keras.layers.Layer):
        def call(self, x):
            raise RuntimeError("no such luck")

    found = reason(_traceback(lambda: Broken()(keras.ops.ones((1, 2)))))
    assert found.startswith("RuntimeError: ")
    assert "no such luck" in found


def test_of_other_texts_the_first_line():
    assert reason("killed: by SIGKILL\nwords") == "killed: by SIGKILL"
    assert reason("") == "no reason is known"
