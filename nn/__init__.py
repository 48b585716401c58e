"""Neurons, layers and multi-layer perceptrons of Values, and how to train, save, load and draw them."""

from typing import TYPE_CHECKING

from nn import init
from nn.callbacks import Callback, EarlyStopping, Training
from nn.diagnosis import Diagnosis, Finding, diagnose
from nn.filming import Recording, film
from nn.history import History
from nn.layers import MLP, Embedding, Layer, Linear, Neuron, Sequential
from nn.losses import (
    accuracy,
    binary_accuracy,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    hinge,
    huber,
    mae,
    mse,
)
from nn.module import Module
from nn.optim import (
    SGD,
    Adam,
    AdamW,
    Optimizer,
    RMSprop,
    clip_grad_norm_,
    clip_grad_value_,
)
from nn.plotting import plot_decision_boundary, plot_history, plot_network
from nn.prediction import evaluate, predict
from nn.schedules import CosineAnnealingLR, ExponentialLR, LinearLR, Schedule, StepLR
from nn.serialization import load, save
from nn.training import DivergenceError, fit

__all__ = [
    "MLP",
    "SGD",
    "Adam",
    "AdamW",
    "Callback",
    "CosineAnnealingLR",
    "Diagnosis",
    "DivergenceError",
    "EarlyStopping",
    "Embedding",
    "ExponentialLR",
    "Finding",
    "History",
    "Layer",
    "Linear",
    "LinearLR",
    "Module",
    "Neuron",
    "Optimizer",
    "RMSprop",
    "Recording",
    "Schedule",
    "Sequential",
    "StepLR",
    "Training",
    "accuracy",
    "binary_accuracy",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "clip_grad_norm_",
    "clip_grad_value_",
    "cross_entropy",
    "diagnose",
    "evaluate",
    "film",
    "fit",
    "hinge",
    "huber",
    "init",
    "load",
    "mae",
    "mse",
    "plot_decision_boundary",
    "plot_history",
    "plot_network",
    "predict",
    "save",
]

if not TYPE_CHECKING:  # for a type checker, a name that is not here stays a mistake
    _HERE = {
        "ReLU": "autograd_lite.relu", "Tanh": "autograd_lite.tanh", "Sigmoid": "autograd_lite.sigmoid",
        "GELU": "autograd_lite.gelu", "SiLU": "autograd_lite.silu", "Softmax": "autograd_lite.softmax",
        "LeakyReLU": "autograd_lite.leaky_relu", "ELU": "autograd_lite.elu", "Softplus": "autograd_lite.softplus",
        "MSELoss": "nn.mse", "L1Loss": "nn.mae", "HuberLoss": "nn.huber", "CrossEntropyLoss": "nn.cross_entropy",
        "BCELoss": "nn.binary_cross_entropy", "BCEWithLogitsLoss": "nn.binary_cross_entropy_with_logits",
        "SmoothL1Loss": "nn.huber", "Parameter": "autograd_lite.Value", "ModuleList": "a list of modules",
    }  # fmt: skip

    def __getattr__(name: str) -> object:
        """Raise an AttributeError, which for a name of torch.nn names its counterpart in this package."""
        here = f": its place is taken by {_HERE[name]}" if name in _HERE else ""
        raise AttributeError(f"module 'nn' has no attribute {name!r}{here}")
