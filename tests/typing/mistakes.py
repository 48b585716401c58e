"""Mistakes that a type checker reports. Each line that ends in `# error` is reported, and no other line."""

import nn
from autograd_lite import Value, atan2, dot, grad, hessian, jit, primitive, sin, sum, value_and_grad, where

a = Value(2.0)


def f(x: float, scale: float = 2.0) -> float:
    return scale * x * x


def energy(x: list[float]) -> float:
    return x[0] * x[1]


@jit
def area(width: float, height: float) -> float:
    return width * height


@primitive(partials=lambda z, x: (3 * x**2,))
def cube(x: float) -> float:
    return x**3


a * "x"  # error
"x" + a  # error
a < "x"  # error
Value("2")  # error
sin(1.0, 2.0, "x")  # error
sin("x")  # error
sin([a])  # error
atan2(a)  # error
where(a, a)  # error
sum(["x"])  # error
dot([a], "x")  # error
float(a)  # error
int(a)  # error
a.backwards()  # error
grad(f)()  # error
grad(f)(1.0, 2.0, 3.0)  # error
grad(f)("x")  # error
grad(f)([1.0])  # error
grad(energy)(1.0)  # error
grad(energy)(["x"])  # error
grad(f)(1.0).backward()  # error
value_and_grad(f)("x")  # error
hessian(energy)("x")  # error
area(1.0)  # error
area(1.0, "x")  # error
cube()  # error
cube("x")  # error
nn.SGD(lr=0.1)  # error
nn.MLP("2", [1])  # error
nn.Layer(2, 3, activation=lambda: 1.0)  # error
nn.Neuron(2)("x", "y")  # error
nn.mse(a)  # error
nn.mse(a, None)  # error
nn.Embedding(2, 3)("x")  # error
