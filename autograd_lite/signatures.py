"""The types of derivatives, for annotations. What type checkers and editors see is in signatures.pyi."""

from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class Unannotated:
    """A type that nothing has, so that only Any fits it."""


class Derivative(Generic[T, R, P]):
    """The type of a derivative of a function (T, P) -> R. At run time a derivative is a plain function."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The derivative at the arguments of the function."""
        raise NotImplementedError


class Gradient(Derivative[T, R, P]):
    """The type of `grad(f)`: a gradient has the structure of f's first argument."""


class ValueAndGradient(Derivative[T, R, P]):
    """The type of `value_and_grad(f)`: f's result and its gradient."""


class Hessian(Derivative[T, R, P]):
    """The type of `hessian(f)`: in the place of each number of f's first argument, a tree of its structure."""


class Jacobian(Derivative[T, R, P]):
    """The type of `jacobian(f)`: in the place of each number of f's result, a tree like f's first argument."""
