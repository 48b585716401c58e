"""Neurons, layers and multi-layer perceptrons of Values, and what it takes to train them."""

from nn import init
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
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    Optimizer,
    RMSprop,
    Schedule,
    StepLR,
    clip_grad_norm_,
    clip_grad_value_,
)
from nn.plotting import plot_decision_boundary, plot_history, plot_network
from nn.serialization import load, save
from nn.training import DivergenceError, evaluate, fit, predict

__all__ = [
    "MLP",
    "SGD",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "DivergenceError",
    "Embedding",
    "ExponentialLR",
    "History",
    "Layer",
    "Linear",
    "LinearLR",
    "Module",
    "Neuron",
    "Optimizer",
    "RMSprop",
    "Schedule",
    "Sequential",
    "StepLR",
    "accuracy",
    "binary_accuracy",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "clip_grad_norm_",
    "clip_grad_value_",
    "cross_entropy",
    "evaluate",
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
