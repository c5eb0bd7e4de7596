"""A model is found by name, by the user's function, or given as an object; what cannot be found is said clearly."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.models import GIVEN, MODELS, mlp, resolve

TABLE = {"input_shape": (4,), "num_classes": 3}
IMAGE = {"input_shape": (8, 8, 1), "num_classes": 10}

MODULE = """
import keras
from beside import UNITS

def build(input_shape, num_classes, units=UNITS):
    inputs = keras.Input(input_shape)
    x = keras.layers.Dense(units, name="own")(inputs)
    return keras.Model(inputs, keras.layers.Dense(num_classes)(x))

def number(input_shape, num_classes):
    return num_classes

def fails(input_shape, num_classes):
    raise RuntimeError("no luck")

model = build((4,), 3)
_hidden = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with the user's module and one it imports; everything it adds to the interpreter is taken back."""
    (tmp_path / "own_models.py").write_text(MODULE)
    (tmp_path / "beside.py").write_text("UNITS = 7\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("own_models", "beside", "broken"):
        sys.modules.pop(name, None)


def test_importing_and_resolving_a_name_import_no_keras():
    code = (
        "import sys; from reglab.models import resolve;"
        "resolve('inception(pooled=true)', input_shape=(8, 8, 1), num_classes=10);"
        "assert not {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


SHAPES = {"image": (8, 8, 1), "table": (6,), "series": (12, 3), "tokens": (12,), "array": (2, 3, 4, 5)}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in MODELS for kind in MODELS[name].kinds])
@pytest.mark.parametrize("ending", ["softmax", "linear"])
def test_every_name_builds_a_model_for_each_kind_of_data_that_it_takes(name, kind, ending):
    shape = SHAPES[kind]
    places = (8, 8) if name == "unet" else ()
    model = resolve(
        name, input_shape=shape, num_classes=10, ending=ending, kind=kind, vocabulary=9, per_position=bool(places)
    )()  # fmt: skip
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, *places, 10)
    assert model.layers[-1].activation.__name__ == ending
    assert all(isinstance(option, int | str | bool | tuple) for option in options_of(name).values())


@pytest.mark.parametrize(("name", "shape"), [("fcn", (12, 3)), ("transformer", (12,)), ("unet", (8, 8, 1))])
def test_networks_of_positions_keep_them(name, shape):
    model = resolve(name, input_shape=shape, num_classes=4, vocabulary=9, per_position=True)()
    assert model.output_shape == (None, *(shape[:-1] or shape), 4)


@pytest.mark.parametrize(
    ("name", "per_position", "said"),
    [
        ("inception", True, r"inception gives one prediction per example.*fcn \(series\), .*unet \(images\)"),
        ("unet", False, "the data has labels of whole images. Use inception or resnet"),
    ],
)
def test_a_network_of_other_labels_is_refused(name, per_position, said):
    with pytest.raises(ReglabError, match=said):
        resolve(name, **IMAGE, per_position=per_position)()


def options_of(name):
    parameters = inspect.signature(MODELS[name].build).parameters
    return {key: parameter.default for key, parameter in parameters.items() if key not in GIVEN}


def test_options_are_read_from_the_text():
    model = resolve("inception(filters=(1, 2, 3), pooled=true)", **IMAGE)()
    assert model.get_layer("module1").output.shape[1:] == (8, 8, 1 + 2 + 3 + 1)
    assert model.get_layer("reduce1")


def test_each_call_of_the_builder_makes_a_new_model():
    build = resolve("mlp", **TABLE)
    assert build() is not build()


def test_a_keras_model_is_returned_as_it_is():
    model = mlp((4,), 3)
    assert resolve(model, **TABLE)() is model


def test_functions_get_what_they_ask_for():
    model = mlp((4,), 3)
    asked = []

    def nothing():
        return model

    def two(shape, classes, extra=0):
        asked.append((shape, classes))
        return model

    def keywords(*, num_classes, input_shape):
        asked.append((input_shape, num_classes))
        return model

    def one(num_classes):
        asked.append(num_classes)
        return model

    def positional(input_shape, num_classes, /):
        asked.append((input_shape, num_classes))
        return model

    for function in (nothing, two, keywords, one, positional):
        assert resolve(function, **TABLE)() is model
    assert asked == [((4,), 3), ((4,), 3), 3, ((4,), 3)]


def test_a_model_class_is_a_builder():
    class Own(keras.Model):
        def __init__(self, num_classes):
            super().__init__()
            self.head = keras.layers.Dense(num_classes)

        def call(self, x):
            return self.head(x)

    assert isinstance(resolve(Own, **TABLE)(), Own)


def test_a_function_of_a_file_is_found_with_the_file_beside_it(own):
    assert resolve(f"{own}/own_models.py:build", **TABLE)().get_layer("own").units == 7


def test_a_function_of_a_file_takes_options(own):
    assert resolve(f"{own}/own_models.py:build(units=5)", **TABLE)().get_layer("own").units == 5


def test_a_changed_file_is_read_again(own):
    resolve(f"{own}/own_models.py:build", **TABLE)
    (own / "own_models.py").write_text(MODULE.replace('name="own"', 'name="other"'))
    assert resolve(f"{own}/own_models.py:build", **TABLE)().get_layer("other")


def test_a_file_named_as_a_library_does_not_replace_it(own):
    (own / "random.py").write_text(MODULE)
    before = sys.modules["random"]
    assert resolve(f"{own}/random.py:build", **TABLE)()
    assert sys.modules["random"] is before


def test_a_function_of_a_module_in_the_working_folder_is_found(own, monkeypatch):
    monkeypatch.chdir(own)
    assert resolve("own_models:build", **TABLE)().output_shape == (None, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("incepton", "Did you mean 'inception'.*fcn, inception, mlp, resnet.*module:function"),
        ("mlp(unit=3)", "no option 'unit'. Did you mean 'units'.*units, activation"),
        ("mlp(num_classes=3)", "comes from the data"),
        ("mlp(3)", "without its name"),
        ("mlp(units=3", "Cannot read"),
        ("own_models.build", "names no model.*module:function"),
        (":build", "names no model"),
        ("no_such_module:build", "There is no module 'no_such_module'"),
        ("own_models.sub:build", "Importing own_models.sub failed|There is no module"),
        ("nofile.py:build", "There is no file nofile.py"),
        ("own_models:biuld", "no function 'biuld'. Did you mean 'build'.*It has build, number, fails"),
        ("own_models:_hidden", "is int; it has to be a function"),
        ("own_models:model", "is Functional; it has to be a function"),
        ("own_models:build(depth=3)", "no option 'depth'.*It has units"),
    ],
)
def test_what_cannot_be_found_is_said_with_what_can(own, monkeypatch, text, said):
    monkeypatch.chdir(own)
    with pytest.raises(ReglabError, match=f"(?s){said}"):
        resolve(text, **TABLE)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'.*line 1 of .*broken.py"),
        ("x = 1\n1 / 0", "ZeroDivisionError.*line 2 of .*broken.py"),
        ("def build(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
@pytest.mark.parametrize("place", ["broken", "broken.py"])
def test_a_failing_import_says_its_cause_and_line(own, monkeypatch, place, source, said):
    (own / "broken.py").write_text(source)
    monkeypatch.chdir(own)
    with pytest.raises(ReglabError, match=f"(?s)Importing .*failed: {said}") as caught:
        resolve(f"{place}:build", **TABLE)
    assert caught.value.__cause__ is not None
    assert "broken" not in sys.modules


def test_a_function_that_returns_no_model_is_told_what_it_returned(own):
    with pytest.raises(ReglabError, match=r"number returned int; it has to return a keras\.Model"):
        resolve(f"{own}/own_models.py:number", **TABLE)()


def test_a_function_that_fails_says_its_cause_and_line(own):
    with pytest.raises(ReglabError, match=r"fails failed .*RuntimeError: no luck \(line 14 of .*own_models\.py\)"):
        resolve(f"{own}/own_models.py:fails", **TABLE)()


@pytest.mark.parametrize("function", [lambda a, b, c: None, lambda a: None, lambda *, a, b: None])
def test_a_function_that_requires_something_else_is_told_what_builders_take(function):
    with pytest.raises(ReglabError, match=r"requires .*a.*\(input_shape, num_classes\)"):
        resolve(function, **TABLE)


@pytest.mark.parametrize("thing", [None, 3, ["mlp"]])
def test_what_is_no_model_is_refused(thing):
    with pytest.raises(ReglabError, match="is not a model"):
        resolve(thing, **TABLE)
