"""`check_grads`: compare derivatives with finite differences, and find the primitive whose rule is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from autograd_lite import primitives as p
from autograd_lite.calculus import described, jacobian, push_directions
from autograd_lite.debugging.text import call_text, floats
from autograd_lite.graph import topological_order
from autograd_lite.recording import recording_with
from autograd_lite.trees import Tree, tree_leaves, tree_like, tree_paths
from autograd_lite.value import Recorder, Value, active_recorder

ListFunction = Callable[[list[Any]], list[Any]]  # from a list of numbers to a list of numbers


def check_grads(f: Callable[..., Any], *args: Tree, order: int = 2, modes: Sequence[str] = ("rev", "fwd")) -> None:
    """Compare the derivatives of f at `args` with central differences, up to `order`, in reverse and forward mode.

    f takes and returns numbers, and nested lists, tuples and dicts of them. The tolerance is the error estimate of the
    differences themselves. Choose `args` away from kinks: at a kink a difference is not a derivative.

    An AssertionError names the argument, both numbers, and the first primitive whose rule disagrees with differences of
    that primitive alone. A ValueError says that the check is impossible: f is not finite at `args` or beside them, it
    changes faster than a difference can follow, or rounding hides the change. A TypeError if an argument is not a
    number or `order` not an int; a ValueError if `order` is below 1, or `modes` is not a list of "rev" and "fwd".

    >>> from autograd_lite import sin
    >>> check_grads(sin, 0.5)
    >>> from autograd_lite import primitive
    >>> square = primitive(partials=lambda z, x: (3 * x,))(lambda x: x * x)
    >>> check_grads(square, 1.0, modes=["rev"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    AssertionError: check_grads of <lambda>, rev: the derivative of result 0 by args[0] = 1.0 is 3.0, differences ...
    """
    what = described("check_grads", f)
    if not isinstance(order, int):
        raise TypeError(f"check_grads takes an int as order, got {type(order).__name__}")
    if order < 1:
        raise ValueError(f"check_grads takes order >= 1, got {order}")
    if isinstance(modes, str) or not modes or any(mode not in _MODES for mode in modes):
        raise ValueError(f"check_grads takes a list of the modes 'rev' and 'fwd', got {modes!r}")
    point = [x.data if isinstance(x, Value) else p.to_float(x, what) for x in tree_leaves(args)]
    names = [f"args{path}" for path in tree_paths(args)]

    def flat(xs: list[Any]) -> list[Any]:
        return tree_leaves(f(*tree_like(args, xs)))

    if not point:
        raise ValueError(f"{what}: there is no number among the arguments to differentiate by")
    for where, x in zip(names, point, strict=True):
        if not math.isfinite(x):
            raise ValueError(f"{what}: {where} is {x}: choose a finite point")
    _check([flat], point, names, order, modes, what)


def _check(
    functions: list[ListFunction], point: list[float], names: list[str], order: int, modes: Sequence[str], what: str
) -> None:
    """Check the derivative of the last of `functions`, then the derivatives of that, up to `order`.

    `functions` are the user's function, its derivative, the derivative of that, and so on.
    """
    f = functions[-1]
    ys = floats(f(_leaves(point)), what)
    if not ys:
        raise ValueError(f"{what}: there is no number in the result to differentiate")
    for j, y in enumerate(ys):
        if not math.isfinite(y):
            raise ValueError(f"{what}: the function is not finite at this point: result {j} is {y}")
    differences = [_differences(lambda xs: floats(f(_leaves(xs))), point, i) for i in range(len(point))]
    for mode in modes:
        derivative = _MODES[mode](f)  # a flat list: for each argument, the derivative of each result
        found = derivative(_leaves(point))
        numbers = floats(found)
        for i, column in enumerate(differences):
            for j, difference in enumerate(column):
                g = numbers[i * len(column) + j]
                place = f"result {j} by {names[i]} = {point[i]!r}"
                if not math.isfinite(difference.estimate):
                    raise ValueError(f"{what}: the function is not finite beside this point: no difference of {place}")
                if difference.confirms(g):
                    continue
                beside = f(_leaves(_moved(point, i, difference.step)))
                rounding = 10 * math.ulp(_largest(beside[j])) / difference.step
                if difference._replace(error=max(difference.error, rounding)).confirms(g):
                    continue
                if difference.contradicts(g, rounding):
                    raise AssertionError(
                        f"{what}, {mode}: the derivative of {place} is {g!r}, "
                        f"differences give {difference.estimate!r}; {_first_wrong_rule(functions, point)}"
                    )
                both_zero = difference.is_zero(rounding) and abs(g) <= 10 * math.ulp(
                    _largest(found[i * len(column) + j])
                )
                if not both_zero:
                    raise ValueError(
                        f"{what}: the differences at this point are too uncertain to check: for {place} they give "
                        f"{difference.estimate:.3g} +- {max(difference.error, rounding):.3g}"
                    )
        if order > 1:
            _check([*functions, derivative], point, names, order - 1, modes, f"{what}, {mode}")


def _reverse(f: ListFunction) -> ListFunction:
    def derivative(xs: list[Any]) -> list[Any]:
        rows = jacobian(f)(xs)
        return [row[i] for i in range(len(xs)) for row in rows]

    return derivative


def _forward(f: ListFunction) -> ListFunction:
    def derivative(xs: list[Any]) -> list[Any]:
        inputs = [active_recorder().fresh(x) for x in xs]
        columns = push_directions(f(inputs), [([x], [1.0]) for x in inputs])
        return [dy for column in columns for dy in column]

    return derivative


_MODES: dict[str, Callable[[ListFunction], ListFunction]] = {"rev": _reverse, "fwd": _forward}


def _leaves(xs: list[float]) -> list[Value]:
    return [Value(x) for x in xs]


def _moved(point: list[float], i: int, step: float) -> list[float]:
    return [*point[:i], point[i] + step, *point[i + 1 :]]


def _largest(y: Any) -> float:
    """The largest absolute value in the graph of `y`. It bounds what rounding can change in `y`."""
    nodes = [node for node in topological_order(y) if node.op is not None] if isinstance(y, Value) else []
    return max(map(abs, floats([y, *nodes])))


class _Difference(NamedTuple):
    """A derivative estimated by central differences, and a bound of its error.

    `steepness` is the larger of the one-sided slopes, which may cancel in the estimate; `step` is the smallest step
    taken to each side.
    """

    estimate: float
    error: float
    steepness: float
    step: float

    def agrees_with(self, g: float) -> bool:
        tolerance = 1e-7 * max(abs(g), abs(self.estimate)) + 10 * self.error + 1e-8 * self.steepness
        return math.isfinite(g) and abs(g - self.estimate) <= tolerance

    def is_sharp(self) -> bool:
        """True if the error is small relative to the estimate, or to the slopes that cancel in it."""
        return self.error <= max(1e-3 * abs(self.estimate), 1e-6 * self.steepness)

    def is_zero(self, rounding: float) -> bool:
        """True if the estimate cannot be told from 0, where rounding may have changed it by `rounding`."""
        return abs(self.estimate) + self.error <= rounding

    def confirms(self, g: float) -> bool:
        return g == self.estimate or (self.is_sharp() and self.agrees_with(g))

    def contradicts(self, g: float, rounding: float) -> bool:
        known = self.is_sharp() or (self.is_zero(rounding) and rounding <= 1e-3 * abs(g) < math.inf)
        return known and not (self.agrees_with(g) or abs(g - self.estimate) <= rounding)


def _differences(f: Callable[[list[float]], list[float]], point: list[float], i: int) -> list[_Difference]:
    """The derivative of each result of f by the i-th number of `point`.

    Central differences with steps on the scale of the number and on the scale of 1, each halved twice and extrapolated
    to a step of 0 (Richardson). The estimate that halving changes least is returned, so no caller chooses a step.
    """

    def slopes(h: float) -> list[_Difference]:
        above, below = _moved(point, i, h), _moved(point, i, -h)
        width = above[i] - below[i]
        return [
            _Difference(
                (y1 - y0) / width,
                math.ulp(max(abs(y1), abs(y0))) / width,
                2 * max(abs(y1 - y), abs(y - y0)) / width,
                h,
            )
            for y1, y, y0 in zip(f(above), ys, f(below), strict=True)
        ]

    ys = f(point)
    best: list[_Difference] = []
    x = point[i]
    scale = 1.0 if 0.1 < abs(x) < 10.0 or x == 0.0 else 2.0 ** (math.frexp(x)[1] - 1)
    for h in sorted({s * 2.0**-k for s in (1.0, scale) for k in (8, 12, 16, 20)}, reverse=True):
        if abs(x + h / 4 - x - h / 4) >= 1e-9 * (h / 4):
            continue  # rounding of x + h would change the step
        steps = [_extrapolated(*three) for three in zip(slopes(h), slopes(h / 2), slopes(h / 4), strict=True)]
        best = [_more_reliable(*two) for two in zip(best or steps, steps, strict=True)]
    return best


def _extrapolated(wide: _Difference, half: _Difference, fine: _Difference) -> _Difference:
    """The estimate for a step of 0. Its error is the change by the last halving, plus rounding."""
    before, estimate = (4 * half.estimate - wide.estimate) / 3, (4 * fine.estimate - half.estimate) / 3
    error = abs(estimate - before) + fine.error
    smooth = fine.steepness <= 2 * wide.steepness  # otherwise there is a pole nearby, and slopes do not cancel
    steepness = wide.steepness if smooth else 0.0
    return _Difference(estimate, error if error == error else math.inf, steepness, fine.step)


def _more_reliable(wide: _Difference, fine: _Difference) -> _Difference:
    """The estimate with the smaller error, of one with a wide step and one with a fine step.

    If they contradict each other, the fine one with a larger error: a wide step jumps over kinks and waves. A fine step
    that changed nothing, because of rounding, does not contradict a sharp wide one.
    """
    if fine.steepness == 0.0 and wide.is_sharp():
        return wide
    gap = abs(wide.estimate - fine.estimate)
    if gap > wide.error + fine.error:
        return fine._replace(error=max(fine.error, gap / 10))
    return fine if fine.error < wide.error else wide


def _first_wrong_rule(functions: list[ListFunction], point: list[float]) -> str:
    """A sentence about the first operation in the graphs of `functions` whose rule disagrees with differences.

    All rules are first compared with differences of their numbers, and only then differentiated again: a wrong rule
    also makes the second derivatives of every rule that uses it wrong.
    """
    with recording_with(_Inlining()):
        nodes = topological_order(*[y for f in functions for y in f(_leaves(point)) if isinstance(y, Value)])
    for depth in range(len(functions)):
        for node in nodes:
            if node.op is not None and node.op is not p.detach and (wrong := _wrong_rule(node, node.op, depth)):
                return wrong
    return "the rule of every operation agrees with its own differences: f has a kink here, or detaches a gradient"


class _Inlining(Recorder):
    """An eager recorder that also records what happens inside jitted functions and inner derivatives."""

    inlines = True


def _wrong_rule(node: Value, op: p.Primitive, depth: int) -> str:
    """How the rule of `op`, differentiated `depth` times, is wrong at the arguments of `node`; "" if it is right."""
    places = [i for i, x in enumerate(node.args) if isinstance(x, Value)]
    point = [node.args[i].data for i in places]

    def called(xs: list[Any]) -> list[Any]:
        args = dict(enumerate(node.args)) | dict(zip(places, xs, strict=True))
        return [op(*args.values())]

    f: ListFunction = called
    for _ in range(depth):
        f = _reverse(f)
    ys, found = f(_leaves(point)), floats(_reverse(f)(_leaves(point)))
    for i in range(len(point)):
        for j, difference in enumerate(_differences(lambda xs: floats(f(_leaves(xs))), point, i)):
            g = found[i * len(ys) + j]
            rounding = 10 * math.ulp(_largest(ys[j])) / difference.step
            if math.isfinite(difference.estimate) and difference.contradicts(g, rounding):
                by = [j // len(point) ** k % len(point) for k in range(depth)] + [i]  # in the order of differentiation
                first, *further = [places[k] for k in by]
                what = "".join([f"the derivative by argument {k} of " for k in reversed(further)])
                what += f"its partial by argument {first}"
                return (
                    f"the rule of {op} is wrong: at {call_text(op, node.args)} {what} is {g!r}, "
                    f"differences give {difference.estimate!r}"
                )
    return ""
