"""Models to study: the paper's Inception, a multilayer perceptron, a residual network, or the user's own."""

from __future__ import annotations

from reglab.models.head import check_output
from reglab.models.inception import inception, inception_module
from reglab.models.mlp import mlp
from reglab.models.registry import MODELS, Network, is_built_in, resolve, takes
from reglab.models.resnet import resnet

__all__ = [
    "MODELS",
    "Network",
    "check_output",
    "inception",
    "inception_module",
    "is_built_in",
    "mlp",
    "resnet",
    "resolve",
    "takes",
]
