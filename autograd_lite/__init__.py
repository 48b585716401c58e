"""A scalar reverse-mode autodiff engine: Values record a computation graph, `backward` differentiates it."""

from autograd_lite.functions import abs as abs
from autograd_lite.functions import sum as sum
from autograd_lite.functions import (
    acos, asin, atan, cos, cosh, dot, elu, exp, expm1, gelu, leaky_relu, log, log1p, log_softmax, logsumexp,
    maximum, mean, minimum, norm, primitive, relu, sigmoid, sign, silu, sin, sinh, softmax, softplus, sqrt, step,
    tan, tanh, where,
)
from autograd_lite.graph import topological_order
from autograd_lite.value import Value
