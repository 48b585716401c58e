"""What a type checker infers for users' code. tests/test_typing.py gives this file to mypy and pyright, and runs it."""

from collections.abc import Callable
from typing import Any, assert_type

import numpy as np

import nn
from autograd_lite import (
    Value,
    atan2,
    cond,
    dot,
    fixed_point,
    gelu,
    grad,
    gradients,
    hessian,
    hvp,
    hypot,
    jacobian,
    jit,
    jvp,
    log_softmax,
    logsumexp,
    maximum,
    mean,
    no_grad,
    norm,
    primitive,
    root,
    silu,
    sin,
    softmax,
    sum,
    tanh,
    topological_order,
    value_and_grad,
    vjp,
    where,
)

a, b = Value(2.0), Value(3.0, label="b")

# ---- operators

assert_type(a + b, Value)
assert_type(a * b, Value)
assert_type(a + 1.0, Value)
assert_type(a - 1, Value)
assert_type(2 * a, Value)
assert_type(1.5 / a, Value)
assert_type(a**2, Value)
assert_type(2.0**a, Value)
assert_type(a**b, Value)
assert_type(a % 2, Value)
assert_type(7.0 // a, Value)
assert_type(-a, Value)
assert_type(+a, Value)
assert_type(abs(a), Value)
assert_type(a < 1.0, bool)
assert_type(a * np.int64(2), Value)
assert_type(a ** np.float32(2.0), Value)
assert_type(np.int64(2) * a, Value)
(a * np.ones(2))[0].backward()
(np.linspace(0.0, 1.0, 3) - a)[0].backward()
np.sin(a)
assert_type(a >= b, bool)
assert_type(a.data, float)
assert_type(a.grad, float)
assert_type(a.label, str)
assert_type(a.tanh(), Value)
assert_type(a.exp().log(), Value)
assert_type(a.detach(), Value)
assert_type(a.backward(), None)
assert_type(topological_order(a * b), list[Value])

# ---- functions: numbers give a float, a Value gives a Value


def scaled(x: Value | float) -> Value | float:
    return 2.0 * sin(x)


assert_type(sin(a), Value)
assert_type(gelu(a, approximate="tanh"), Value)
assert_type(silu(0.5), float)
assert_type(silu(scaled(a)), Value | float)
assert_type(sin(0.5), float)
assert_type(tanh(1), float)
assert_type(scaled(a), Value | float)
assert_type(atan2(a, 1.0), Value)
assert_type(atan2(1.0, 2.0), float)
assert_type(hypot(3.0, a), Value)
assert_type(maximum(a, 0.0), Value)
assert_type(where(1.0, 2.0, 3.0), float)
assert_type(where(a, b, 0.0), Value)
assert_type(sum([1.0, 2.0]), float)
assert_type(sum([a, b]), Value)
assert_type(dot([a, b], [1.0, 2.0]), Value)
assert_type(mean([a, 1.0]), Value)
assert_type(norm([3.0, 4.0]), float)
assert_type(logsumexp([a, b]), Value)
assert_type(softmax([1.0, 2.0]), list[float])
assert_type(log_softmax([a, b]), list[Value])

# ---- functions and losses of what has no annotation, such as the outputs of a model

model = nn.MLP(2, [4, 1], seed=1)
layer = nn.Layer(2, 3)
rows, targets = [[1.0, 2.0], [3.0, 4.0]], [1.0, -1.0]
nn.mse(model(rows[0]), targets[0]).backward()
nn.mse([model(x) for x in rows], targets).backward()
losses = [nn.mse(model(x), y) for x, y in zip(rows, targets, strict=True)]
mean(losses).backward()
sum(losses).backward()
sum([(model(x) - y) ** 2 for x, y in zip(rows, targets, strict=True)]).backward()
dot(layer(rows[0]), [1.0, 2.0, 3.0]).backward()
norm(layer(rows[0])).backward()
softmax(layer(rows[0]))[0].backward()
nn.cross_entropy(layer(rows[0]), 1).backward()
nn.huber(model(rows[0]), 0.0).backward()


def hinge_of(x: list[float], y: float) -> Value:
    loss: Value = nn.hinge(model(x), y)
    return loss


# ---- calculus: the gradient has the type of the first argument, and keeps the other parameters of the function


def f(x: float, scale: float = 2.0) -> float:
    return scale * x * x


def of_value(x: Value) -> Value:
    return a * x


def of_either(x: Value | float) -> Value | float:
    return 2.0 * x


def energy(x: list[float]) -> float:
    return x[0] * x[1]


def energy_of_values(x: list[Value]) -> Value:
    return x[0] * x[1] + a * x[0]


def swapped(x: list[float]) -> list[float]:
    return [x[1], x[0]]


def weighted(p: dict[str, float]) -> float:
    return p["w"] * p["b"]


xs, values = [1.0, 2.0], [a, b]

assert_type(gradients(a * b, [a, b]), list[Value])
assert_type(grad(f)(3.0), float)
assert_type(grad(f)(a), Value)
assert_type(grad(f)(3.0, scale=1.0), float)
assert_type(grad(f, 1)(3.0, 4.0), Any)
assert_type(grad(f, (0, 1))(3.0, 4.0), tuple[Any, ...])
assert_type(grad(grad(f))(3.0), float)
assert_type(grad(sin)(3.0), float)
assert_type(grad(grad(sin))(a), Value)
assert_type(grad(of_value)(a), Value)
assert_type(grad(of_value)(3.0), Any)  # a Value, as the function uses `a`
assert_type(grad(of_either)(a), Value)
assert_type(grad(energy)(xs), list[float])
assert_type(grad(energy)([1, 2]), list[float])
assert_type(grad(energy)(values), list[Value])
assert_type(grad(energy_of_values)(values), list[Value])
assert_type(grad(energy_of_values)(xs), list[Any])
assert_type(grad(weighted)({"w": 1.0, "b": 2.0}), dict[str, float])
assert_type(value_and_grad(f)(3.0), tuple[float, float])
assert_type(value_and_grad(f)(a), tuple[Value, Value])
assert_type(value_and_grad(energy)(xs), tuple[float, list[float]])
assert_type(jacobian(f)(3.0), float)
assert_type(jacobian(swapped)(xs), list[list[float]])
assert_type(hessian(f)(3.0), float)
assert_type(hessian(energy)(xs), list[list[float]])
assert_type(hessian(energy)(values), list[list[Value]])
assert_type(jvp(f, (3.0,), (1.0,)), tuple[float, float])
assert_type(jvp(f, (a,), (1.0,)), tuple[Any, Any])
assert_type(vjp(f, 3.0)[0], float)
assert_type(vjp(f, 3.0)[1](1.0), tuple[float, ...])
assert_type(hvp(energy, (xs,), (xs,)), list[float])
slope: Callable[[Value], Value] = grad(sin)
root(lambda x: x * x - a, 1.0).backward()
fixed_point(lambda x: 0.2 * a * sin(x), 1.0).backward()
assert_type(root(f, 1.0), float)
assert_type(cond(a > 1.0, sin, tanh, a), Value)
assert_type(cond(2.0 > 1.0, f, f, 1.0), float)
assert_type(grad(f).__name__, str)

# Functions without annotations take whatever is right when the program runs.
grad(lambda x: x * x)(3.0)
grad(lambda x: a * x)(3.0).backward()
grad(lambda x: x[0] * x[1])([3.0, 4.0])[1]
grad(lambda x: sum(v * v for v in x))([3.0, 4.0])[0]
grad(lambda p: p["w"] * p["b"])({"w": 3.0, "b": 4.0})["w"]
grad(lambda x, y: x * y, 1)(3.0, 4.0)
grad(grad(lambda x: x**3))(3.0)
jacobian(grad(lambda x: x[0] * x[1]))([3.0, 4.0])[0][1]
value_and_grad(lambda x: x[0] * x[1])([3.0, 4.0])[1][0]
hessian(lambda x: x[0] * x[1])([3.0, 4.0])[0][1]
jvp(lambda x: x[0] * x[1], ([3.0, 4.0],), ([1.0, 0.0],))
hvp(lambda x: x[0] * x[1], ([3.0, 4.0],), ([1.0, 0.0],))
jit(grad(lambda x: x[0] * x[1]))([3.0, 4.0])[0]
grad(jit(lambda x: x[0] * x[1]))([3.0, 4.0])[0]
list(map(grad(lambda x: x * x), [1.0, 2.0]))

# ---- jit keeps the parameters and the result


@jit
def area(width: float, height: float) -> float:
    return width * height


@jit(backend="python")
def volume(sides: list[float]) -> float:
    return sides[0] * sides[1] * sides[2]


assert_type(area(2.0, 3.0), float)
assert_type(area(2.0, height=3.0), float)
assert_type(area.map([1.0, 2.0], [3.0, 4.0]), list[float])
assert_type(area.mean([1.0, 2.0], [3.0, 4.0]), float)
assert_type(volume.map([[1.0, 2.0, 3.0]]), list[float])
assert_type(volume([1.0, 2.0, 3.0]), float)
assert_type(jit(f)(1.0), float)
assert_type(grad(area)(2.0, 3.0), float)
assert_type(jit(grad(f))(3.0), float)
assert_type(jit(grad(f))(a), Value)
assert_type(jit(grad(energy))(xs), list[float])
assert_type(jit(value_and_grad(energy))(xs), tuple[float, list[float]])
assert_type(jit(hessian(energy))(xs), list[list[float]])
assert_type(jit(jacobian(swapped))(xs), list[list[float]])
jit(grad(energy)).map([xs, xs])
jit(lambda x: a * x).mean([1.0, 2.0]).backward()
jit(lambda x: a * x).map([1.0, 2.0])[0].backward()

# ---- users' primitives take numbers and Values


@primitive(partials=lambda z, x: (3 * x**2,))
def cube(x: float) -> float:
    return x**3


@primitive(partials=lambda z, x, y: (y, x))
def product(x: float, y: float) -> float:
    return x * y


assert_type(cube(2.0), float)
assert_type(cube(a), Value)
assert_type(product(2.0, a), Value)

# ---- no_grad keeps the type of the function that it decorates


@no_grad
def quiet(x: Value) -> Value:
    return x * 2


assert_type(quiet(a), Value)


@no_grad()
def silent(x: Value) -> Value:
    return x * 2


assert_type(silent(a), Value)

# ---- nn

optimizer = nn.SGD(model.parameters(), lr=0.1)
keep: Callable[[Any], Any] = model  # a model is callable
assert_type(model.parameters(), list[Value])
assert_type(model.layers[0].neurons, list[nn.Neuron])
assert_type(nn.Embedding(5, 2, seed=1)(0), list[Value])
assert_type(nn.Neuron(2, "tanh")([1.0, a]), Value)
nn.Layer(2, 3)([1.0, a])[2].backward()  # a list of Values
model([0.0, 1.0]).backward()  # one Value
nn.Layer(2, 3, activation=sin), nn.Layer(2, 3, activation=lambda z: z * z)
assert_type(nn.mse(a, 1.0), Value)
assert_type(nn.mse([1.0, 2.0], [1.0, 3.0]), float)
assert_type(nn.hinge([a, a], [1.0, -1.0]), Value)
assert_type(nn.huber(0.5, 1.0, delta=0.1), float)
assert_type(nn.cross_entropy([a, a], 1), Value)
assert_type(nn.fit(model, [[0.0, 1.0]], [1.0], lambda p, t: (p - t) ** 2, optimizer, verbose=False), nn.History)
assert_type(nn.diagnose(model, [[0.0, 1.0]], [1.0], nn.hinge), nn.Diagnosis)
assert_type(nn.accuracy([1.0], [1.0]), float)
assert_type(nn.mse(np.ones(2), np.ones(2)), Any)  # of an array of Values a Value


class SignDescent(nn.Optimizer):
    def update(self, p: Any, g: Any, t: int) -> tuple[Any, ...]:
        return (p - self.lr * tanh(g),)


def loaded(path: str) -> nn.MLP:
    return nn.load(path, model)


assert_type(optimizer.step(), None)
assert_type(model.zero_grad(), None)
assert_type(nn.fit(model, [[0.0, 1.0]], [1.0], nn.hinge, optimizer, epochs=1, verbose=False), nn.History)
assert_type(nn.predict(model, [[0.0, 1.0]]), list[Any])
