"""A copy gives what the model gives, for every layer and every network that Keras ships."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import reglab

L = keras.layers

WORDS = np.array([["red"], ["green"], ["blue"], ["red"]])
FLOATS = np.random.default_rng(0).normal(3, 7, (32, 5)).astype("float32")

# What is no layer of a network by itself, or wraps a program of one framework that has no configuration.
NOT_ALONE = {"InputLayer", "Layer", "Wrapper", "FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"}
# What Keras itself makes no model of: Equalization gives a symbolic input back as it is, texts are TensorFlow's alone.
NO_MODEL = {"Equalization"}
if keras.backend.backend() != "tensorflow":
    NO_MODEL |= {"StringLookup", "TextVectorization"}
if keras.backend.backend() == "jax":
    NO_MODEL |= {"StackedRNNCells"}
CELLS = {"GRUCell", "LSTMCell", "SimpleRNNCell"}

VECTOR, SEQUENCE, IMAGE, VOLUME = (5,), (6, 4), (8, 8, 3), (4, 4, 4, 2)
BY_SUFFIX = {"1D": SEQUENCE, "2D": IMAGE, "3D": VOLUME}

# Arguments that have no default, or a default under which the layer does little.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "Activation": {"activation": "gelu"},
    "ActivityRegularization": {"l2": 0.1},
    "CategoryEncoding": {"num_tokens": 16, "output_mode": "multi_hot"},
    "CenterCrop": {"height": 4, "width": 4},
    "Dense": {"units": 3, "activation": "relu"},
    "Discretization": {"num_bins": 4},
    "Dot": {"axes": 1},
    "Dropout": {"rate": 0.5},
    "AlphaDropout": {"rate": 0.5},
    "GaussianDropout": {"rate": 0.5},
    "GaussianNoise": {"stddev": 0.5},
    "EinsumDense": {"equation": "abc,cd->abd", "output_shape": (None, 3), "bias_axes": "d"},
    "Embedding": {"input_dim": 16, "output_dim": 3},
    "GRU": {"units": 3},
    "GroupNormalization": {"groups": 2},
    "GroupQueryAttention": {"head_dim": 3, "num_query_heads": 2, "num_key_value_heads": 2},
    "HashedCrossing": {"num_bins": 4},
    "Hashing": {"num_bins": 4},
    "LSTM": {"units": 3},
    "MelSpectrogram": {"fft_length": 16, "num_mel_bins": 4, "sequence_stride": 8},
    "MultiHeadAttention": {"num_heads": 2, "key_dim": 3},
    "Permute": {"dims": (2, 1)},
    "RandomBrightness": {"factor": 0.3},
    "RandomColorDegeneration": {"factor": 0.3},
    "RandomContrast": {"factor": 0.3},
    "RandomCrop": {"height": 4, "width": 4},
    "RandomHue": {"factor": 0.3},
    "RandomPosterization": {"factor": 4},
    "RandomRotation": {"factor": 0.3},
    "RandomSaturation": {"factor": 0.3},
    "RandomSharpness": {"factor": 0.3},
    "RandomTranslation": {"height_factor": 0.3, "width_factor": 0.3},
    "RandomZoom": {"height_factor": 0.3},
    "RepeatVector": {"n": 3},
    "Rescaling": {"scale": 3.0},
    "Reshape": {"target_shape": (5, 1)},
    "Resizing": {"height": 4, "width": 4},
    "ReversibleEmbedding": {"input_dim": 16, "output_dim": 3},
    "SimpleRNN": {"units": 3},
    "STFTSpectrogram": {"frame_length": 8, "frame_step": 4, "fft_length": 8},
    "TextVectorization": {"max_tokens": 20, "output_sequence_length": 4},
    "UpSampling1D": {"size": 2},
}
ARGUMENTS |= {
    name: {"output_size": 2}
    for name in (f"Adaptive{kind}Pooling{n}D" for kind in ("Average", "Max") for n in (1, 2, 3))
}
ARGUMENTS |= {f"{kind}{n}D": {"pool_size": 2} for kind in ("AvgPool", "MaxPool") for n in (1, 2, 3)}
ARGUMENTS |= {f"SpatialDropout{n}D": {"rate": 0.5} for n in (1, 2, 3)}
ARGUMENTS |= {
    name: {"filters": 3, "kernel_size": 2}
    for kind in ("Conv", "SeparableConv", "ConvLSTM")
    for name in (f"{kind}{n}D" for n in (1, 2, 3))
}
ARGUMENTS |= {f"Conv{n}DTranspose": {"filters": 3, "kernel_size": 2} for n in (1, 2, 3)}
ARGUMENTS |= {f"DepthwiseConv{n}D": {"kernel_size": 2} for n in (1, 2)}

# Layers that take another one, made anew for each model.
INNER: dict[str, Callable[[], Any]] = {
    "Bidirectional": lambda: L.Bidirectional(L.LSTM(3)),
    "Lambda": lambda: L.Lambda(lambda x: x * len(WORDS)),
    "Pipeline": lambda: L.Pipeline([L.Rescaling(2.0), L.RandomFlip()]),
    "RNN": lambda: L.RNN(L.StackedRNNCells([L.LSTMCell(3), L.GRUCell(3)])),
    "SpectralNormalization": lambda: L.SpectralNormalization(L.Dense(3)),
    "StackedRNNCells": lambda: L.RNN(L.StackedRNNCells([L.LSTMCell(3)])),
    "TimeDistributed": lambda: L.TimeDistributed(L.Dense(3)),
}

# What each takes where it is neither an image nor what its last letters say.
TAKES: dict[str, tuple[int, ...]] = dict.fromkeys(
    ("Attention", "AdditiveAttention", "Bidirectional", "EinsumDense", "GRU", "GroupQueryAttention", "LSTM",
     "Masking", "MultiHeadAttention", "Permute", "RNN", "SimpleRNN", "StackedRNNCells", "TimeDistributed", *CELLS),
    SEQUENCE,
) | {"MelSpectrogram": (64,), "STFTSpectrogram": (32, 1), "GroupNormalization": (6, 4)}  # fmt: skip
IMAGES = ("AugMix", "AutoContrast", "CenterCrop", "Contrast", "CutMix", "Equalization", "MixUp", "Pipeline", "Rand",
          "Resizing", "Solarization")  # fmt: skip
INDICES = {"CategoryEncoding", "Embedding", "ReversibleEmbedding", "IntegerLookup", "HashedCrossing", "Hashing"}
PAIRS = {"Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract", "Dot", "HashedCrossing"}
QUERY_AND_VALUE = {"GroupQueryAttention", "MultiHeadAttention"}
TEXTS = {"StringLookup", "TextVectorization"}
BOXES = {"MaxNumBoundingBoxes"}


def every_layer() -> list[str]:
    names = [name for name, cls in vars(L).items() if inspect.isclass(cls) and issubclass(cls, L.Layer)]
    once = {getattr(L, name): name for name in sorted(names, key=len, reverse=True)}  # some have two names
    return sorted(set(once.values()) - NOT_ALONE - NO_MODEL - BOXES)


def shape_of(name: str) -> tuple[int, ...]:
    if name in TAKES:
        return TAKES[name]
    if name.startswith(IMAGES):
        return IMAGE
    return BY_SUFFIX.get(name[-2:], SEQUENCE if name[-2:] == "se" and name.endswith("Transpose") else VECTOR)


def example(name: str) -> tuple[keras.Model, Any]:
    """A model of one layer, with weights and statistics of its own, and inputs for it."""
    random = np.random.default_rng(1)
    if name in CELLS:
        layer = L.RNN(getattr(L, name)(3))
    else:
        layer = INNER[name]() if name in INNER else getattr(L, name)(**ARGUMENTS.get(name, {}))
    shape = BY_SUFFIX[name[-11:-9]] if name.endswith("Transpose") else shape_of(name)
    if name.startswith("ConvLSTM"):
        shape = (3, *shape)
    if name in TEXTS:
        layer.adapt(WORDS)
        inputs: Any = keras.Input((1,), dtype="string")
        x: Any = keras.ops.convert_to_tensor(WORDS) if keras.backend.backend() == "tensorflow" else strings(WORDS)
    elif name in INDICES:
        inputs = keras.Input((1,) if name == "HashedCrossing" else VECTOR, dtype="int32")
        x = random.integers(0, 16, (4, *inputs.shape[1:])).astype("int32")
    else:
        inputs, x = keras.Input(shape), (3 * random.normal(size=(4, *shape))).astype("float32")
    if name == "IntegerLookup":
        layer.adapt(10 * np.arange(16))
        x = 10 * x
    if name in ("Normalization", "Discretization"):
        layer.adapt(FLOATS)
    if name in PAIRS or name in ("Attention", "AdditiveAttention"):
        other = keras.Input(inputs.shape[1:], dtype=inputs.dtype)
        model = keras.Model([inputs, other], layer([inputs, other]))
        x = [x, x[::-1].copy()]
    elif name in QUERY_AND_VALUE:
        model = keras.Model(inputs, layer(inputs, inputs))
    else:
        model = keras.Model(inputs, layer(inputs))
    for weight in model.weights:
        if "float" in weight.dtype and layer.__class__.__name__ not in ("Normalization", "TextVectorization"):
            weight.assign(random.uniform(0.1, 1, weight.shape))
    return model, x


def strings(words: np.ndarray) -> Any:
    return pytest.importorskip("tensorflow").constant(words)


def arrays(outputs: Any) -> list[np.ndarray]:
    return [np.asarray(keras.ops.convert_to_numpy(y)) for y in keras.tree.flatten(outputs)]


@pytest.mark.backend
# Keras' HashedCrossing asks for 64-bit integers, which JAX cuts to 32 and says.
@pytest.mark.filterwarnings("ignore:(?s).*Explicitly requested dtype int64:UserWarning")
@pytest.mark.parametrize("name", every_layer())
def test_copy_of_a_layer_gives_what_the_layer_gives(name: str) -> None:
    model, x = example(name)

    copy = reglab.regularize(model, "none", seed=0)

    for want, got in zip(arrays(model(x, training=False)), arrays(copy(x)), strict=True):
        np.testing.assert_array_equal(got, want)
    for want, got in zip(model.get_weights(), copy.network.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)


def test_every_layer_is_tried_or_named_as_none_of_a_network() -> None:
    classes = {getattr(L, name) for name in (*every_layer(), *NOT_ALONE, *NO_MODEL, *BOXES)}

    assert {cls for cls in vars(L).values() if inspect.isclass(cls) and issubclass(cls, L.Layer)} == classes


APPLICATIONS = {
    "ConvNeXtTiny": 32, "DenseNet121": 32, "EfficientNetB0": 32, "EfficientNetV2B0": 32, "InceptionResNetV2": 75,
    "InceptionV3": 75, "MobileNet": 32, "MobileNetV2": 32, "MobileNetV3Small": 32, "NASNetMobile": 32, "ResNet50": 32,
    "ResNet50V2": 32, "VGG16": 32, "Xception": 71,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_copy_of_a_network_of_keras_predicts_what_the_network_predicts(name: str) -> None:
    size = APPLICATIONS[name]
    make = getattr(keras.applications, name)
    model = make(weights=None, include_top=False, input_shape=(size, size, 3), pooling="avg")
    for layer in model.layers:
        if isinstance(layer, L.Normalization) and layer.weights:  # those of a given mean have none
            mean, variance, count = layer.get_weights()
            layer.set_weights([np.full_like(mean, 0.4), np.full_like(variance, 0.05), count])
            layer.finalize_state()
    x = (255 * np.random.default_rng(0).random((2, size, size, 3))).astype("float32")

    copy = reglab.regularize(model, "none", seed=0)

    np.testing.assert_array_equal(copy.predict(x, verbose=0), model.predict(x, verbose=0))
