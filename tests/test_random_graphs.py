"""Random expression graphs, drawn by hypothesis, against PyTorch float64: numbers, and the gradients of the leaves."""

import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import autograd_lite as al
from autograd_lite import Value
from autograd_lite.value import flows

torch = pytest.importorskip("torch")

NAMES = """neg exp log log1p expm1 sqrt sin cos tan atan sinh cosh tanh sigmoid relu abs
           add sub mul div maximum minimum pow""".split()
TORCH: dict[str, Any] = {name: getattr(torch, name) for name in NAMES} | {
    "sum": lambda *xs: torch.stack(xs).sum(),
    "dot": lambda *xy: (torch.stack(xy[: len(xy) // 2]) * torch.stack(xy[len(xy) // 2 :])).sum(),
}
OURS = al.primitives.PRIMITIVES

numbers = st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0]) | st.floats(-3, 3, allow_nan=False, width=32)


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[float], list[tuple[str, tuple[int, ...]]]]:
    """Some leaves, and steps (operation, indices of earlier results): any DAG, with arguments repeated and unused."""
    leaves = draw(st.lists(numbers, min_size=1, max_size=4))
    steps = []
    for n in range(len(leaves), len(leaves) + draw(st.integers(1, 12))):
        name = draw(st.sampled_from([*TORCH]))
        arity = OURS[name].arity or 2 * draw(st.integers(1, 3))
        steps.append((name, tuple(draw(st.integers(max(0, n - 4), n - 1)) for _ in range(arity))))
    return leaves, steps


def run(leaves: list[Any], steps: list[tuple[str, tuple[int, ...]]], functions: dict[str, Any]) -> list[Any]:
    results = list(leaves)
    for name, args in steps:
        results.append(functions[name](*[results[i] for i in args]))
    return results


@settings(max_examples=500, deadline=None)
@given(programs())
def test_numbers_and_gradients_agree_with_pytorch(
    program: tuple[list[float], list[tuple[str, tuple[int, ...]]]],
) -> None:
    numbers, steps = program
    ours = run([Value(x) for x in numbers], steps, OURS)
    theirs = run([torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in numbers], steps, TORCH)
    pairs = [[ours[i].data for i in args] for name, args in steps if name in ("maximum", "minimum")]
    pairs += [[ours[i].data, 0.0] for name, args in steps if name == "relu" for i in args]
    assume(not any(x == y == 0.0 and str(x) != str(y) for x, y in pairs))  # IEEE 754 leaves the sign of this zero open
    turned = [ours[i].data for name, args in steps if name in ("sin", "cos", "tan") for i in args]
    assume(not any(1e6 < abs(x) < math.inf for x in turned))  # the next number depends on its last digit
    for x, y in zip(ours, theirs, strict=True):
        if not math.isclose(x.data, y.item(), rel_tol=1e-9, abs_tol=1e-12):
            assert math.isnan(x.data) == math.isnan(y.item())
            assert math.isnan(x.data) or math.isinf(x.data)
            assert math.isnan(x.data) or x.data == y.item()
    ours[-1].backward()
    theirs[-1].backward()
    # Where an infinity or a nan lies on the way, 0 * inf depends on the order of the products: compare the finite ones.
    if not all(math.isfinite(x.data) and math.isfinite(x.grad) for x in ours):
        return
    scale = max([1.0, *[abs(z.grad * dx) for z in ours for _, dx in flows(z)]])  # of terms, which may cancel
    for x, y in zip(ours[: len(numbers)], theirs, strict=False):
        expected = 0.0 if y.grad is None else y.grad.item()
        assert math.isclose(x.grad, expected, rel_tol=1e-9, abs_tol=1e-12 * scale), (x.grad, expected)
