"""Neurons, layers and multi-layer perceptrons of Values, and what it takes to train them."""

from nn import init
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
from nn.optim import SGD

__all__ = [
    "MLP",
    "SGD",
    "Embedding",
    "Layer",
    "Linear",
    "Module",
    "Neuron",
    "Sequential",
    "accuracy",
    "binary_accuracy",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "hinge",
    "huber",
    "init",
    "mae",
    "mse",
]
