"""Models to study: networks for each kind of input that a name and options stand for, or the user's own."""

from __future__ import annotations

from reglab.models.fcn import fcn
from reglab.models.head import by_output, check_output, output_mask
from reglab.models.inception import inception, inception_module
from reglab.models.mlp import mlp
from reglab.models.registry import GIVEN, MODELS, ModelSource, Network, is_built_in, resolve, takes
from reglab.models.resnet import resnet
from reglab.models.text_cnn import text_cnn
from reglab.models.transformer import transformer
from reglab.models.unet import unet

__all__ = [
    "GIVEN",
    "MODELS",
    "ModelSource",
    "Network",
    "by_output",
    "check_output",
    "fcn",
    "inception",
    "inception_module",
    "is_built_in",
    "mlp",
    "output_mask",
    "resnet",
    "resolve",
    "takes",
    "text_cnn",
    "transformer",
    "unet",
]
