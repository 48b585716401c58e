"""A call of a compiled function on plain numbers: one run of the program, and numbers of the same structure out."""

import math
from typing import Any

import pytest

import autograd_lite as ag
from autograd_lite import jit

kernel = pytest.importorskip("autograd_lite.compiler.executors.kernel")
np = pytest.importorskip("numpy")


def loaded(f: Any, *args: Any) -> Any:
    compiled = jit(f).compiled((args, {}), None)
    return kernel.load(compiled.program(compiled.roots)).call


def test_the_kernel_reads_and_builds_nested_structures() -> None:
    call = loaded(lambda x, p: [x * p["w"][0], p["w"][1]], 1.0, {"w": (1.0, 2.0)})
    template = (float, {"w": (float, float)})
    for wanted in ([float, float], (float, [float]), {"a": float, "b": (float, "text", None)}):
        got = call(template, wanted, None, None, (3.0, {"w": (True, 5)}))
        assert repr(got) == repr(wanted).replace("<class 'float'>", "3.0", 1).replace("<class 'float'>", "5.0", 1)
    for other in ((), (1.0,), (1.0, {}), (1.0, {"v": (1.0, 2.0)}), (1.0, {"w": [1.0, 2.0]}), ("1", {"w": (1.0, 2.0)})):
        assert call(template, [float, float], None, None, other) is NotImplemented
    assert call(template, [float, float], None, None, (10**400, {"w": (1.0, 2.0)})) is NotImplemented
    with pytest.raises(ValueError, match="structure of their template"):
        call(template, float, None, None, (3.0, {"w": (1.0, 2.0)}))


def test_the_kernel_reads_arrays_where_the_template_has_lists() -> None:
    call = loaded(lambda x: [ag.sum(x[0]), ag.sum(x[1])], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    template, x = ([[float] * 3] * 2,), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert call(template, [float, float], np.ndarray, None, (x,)) == [6.0, 15.0]
    assert call(template, [float, float], np.ndarray, None, ([x[0], [4.0, 5.0, math.inf]],)) == [6.0, math.inf]
    assert call(template, [float, float], np.ndarray, np.frombuffer, (x,)).tolist() == [6.0, 15.0]
    for other in (x.T, x[:, ::-1], x.astype("f4"), x.astype(">f8"), x.ravel(), x[None], x[0, 0]):
        assert call(template, [float, float], np.ndarray, None, (other,)) is NotImplemented
    assert call(template, [float, float], None, None, (x,)) is NotImplemented
    with pytest.raises(TypeError, match="array_type is a type or None"):
        call(template, [float, float], "ndarray", None, (x,))
