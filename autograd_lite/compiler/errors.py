"""The error for code that the compiler cannot compile. This module imports no other module of the package."""


class CompileError(Exception):
    """A function that runs on numbers cannot be compiled. Every error that says so is a CompileError.

    The function may be right all the same: run without `jit`, it gives its result. `nn.fit` catches this error, and no
    other, to train such a loss eagerly.

    >>> from autograd_lite import jit
    >>> try:
    ...     jit(lambda x: x if x > 0 else -x)(1.0)
    ... except CompileError as error:
    ...     print(type(error).__name__)
    TraceError
    """
