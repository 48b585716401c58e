"""A scalar reverse-mode autodiff engine: Values record a computation graph, `backward` differentiates it."""

# ruff: noqa: I001
# fmt: off
from autograd_lite.annotations import scope
from autograd_lite.calculus import grad, gradients, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from autograd_lite.compiler.errors import CompileError
from autograd_lite.compiler.jit import jit
from autograd_lite.compiler.rule import compiled_rule
from autograd_lite.compiler.trainer import trainer
from autograd_lite.debugging.anomaly import detect_anomaly
from autograd_lite.debugging.explain import explain
from autograd_lite.debugging.gradcheck import check_grads
from autograd_lite.drawing import draw, to_html, to_latex, to_mermaid, to_text
from autograd_lite.functions import (
    abs, acos, acosh, asin, asinh, atan, atan2, atanh, cbrt, ceil, cos, cosh, dot, elu, erf, exp, exp2, expm1,
    floor, gelu, hypot, leaky_relu, log, log10, log1p, log2, log_softmax, logsumexp, matvec, maximum, mean, minimum,
    norm, primitive, relu, round, sigmoid, sign, silu, sin, sinh, softmax, softplus, sqrt, step, sum, tan, tanh,
    where,
)
from autograd_lite.graph import topological_order
from autograd_lite.naming import name_values, names_of, register_owner
from autograd_lite.recording import no_grad
from autograd_lite.value import Value, zero_grads
from autograd_lite.control import cond, fixed_point, fori_loop, root, scan, while_loop

__all__ = [  # noqa: RUF022
    "grad", "gradients", "hessian", "hvp", "jacobian", "jvp", "no_grad", "value_and_grad", "vjp",
    "check_grads", "detect_anomaly", "explain", "jit", "trainer", "compiled_rule", "CompileError", "zero_grads",
    "name_values", "names_of", "register_owner", "scope",
    "Value", "topological_order", "draw", "to_html", "to_latex", "to_mermaid", "to_text",
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "cos", "cosh", "dot", "elu",
    "erf", "exp", "exp2", "expm1", "floor", "gelu", "hypot", "leaky_relu", "log", "log10", "log1p", "log2",
    "log_softmax", "logsumexp", "matvec", "maximum", "mean", "minimum", "norm", "primitive", "relu", "round",
    "sigmoid", "sign", "silu", "sin", "sinh", "softmax", "softplus", "sqrt", "step", "sum", "tan", "tanh", "where",
    "cond", "fixed_point", "fori_loop", "root", "scan", "while_loop",
]
