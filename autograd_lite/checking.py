"""Finding the rule that is wrong, and the line that made the nan: `check_grads` and `detect_anomaly`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, overload

from autograd_lite import primitives as p
from autograd_lite.calculus import described, jacobian, jvp
from autograd_lite.callsite import CallSite, call_site
from autograd_lite.graph import topological_order
from autograd_lite.recording import Mode, Wrapper, keeps_history, no_grad, recording_with, with_history
from autograd_lite.trees import Tree, tree_leaves, tree_like, tree_paths
from autograd_lite.value import Recorder, Value, active_recorder, node_of

Scalar = Any  # a Value, or a float
ListFunction = Callable[[list[Any]], list[Any]]  # from a list of numbers to a list of numbers


# ---- check_grads


def check_grads(f: Callable[..., Any], *args: Tree, order: int = 2, modes: Sequence[str] = ("rev", "fwd")) -> None:
    """Compare the derivatives of f at `args` with central differences, up to `order`, in reverse and forward mode.

    f takes and returns numbers, and nested lists, tuples and dicts of them. The tolerance is the error that the
    differences themselves estimate. An AssertionError names the argument, both numbers, and the first primitive whose
    own rule disagrees with its own differences. Choose `args` away from kinks: there a difference is no derivative.
    A ValueError where nothing can be known: f is not finite at `args` or beside, it changes faster than any difference
    can follow, or what changes is lost in rounding.
    """
    what = described("check_grads", f)
    if not isinstance(order, int):
        raise TypeError(f"check_grads takes an int as order, got {type(order).__name__}")
    if order < 1:
        raise ValueError(f"check_grads takes order >= 1, got {order}")
    if not modes:
        raise ValueError(f"check_grads takes modes 'rev' and 'fwd', got none: {modes!r}")
    for mode in modes:
        if mode not in _MODES:
            raise ValueError(f"check_grads takes modes 'rev' and 'fwd', got {mode!r}")
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
    """Check the last of `functions`: the function itself, its derivative, the derivative of that, and so on."""
    f = functions[-1]
    ys = _numbers(f(_leaves(point)))
    if not ys:
        raise ValueError(f"{what}: there is no number in the result to differentiate")
    for j, y in enumerate(ys):
        if not math.isfinite(y):
            raise ValueError(f"{what}: the function is not finite at this point: result {j} is {y}")
    differences = [_difference(lambda xs: _numbers(f(_leaves(xs))), point, i) for i in range(len(point))]
    for mode in modes:
        derivative = _MODES[mode](f)  # a flat list: of the i-th argument, the derivative of the j-th result
        found = derivative(_leaves(point))
        numbers = _numbers(found)
        for i, rows in enumerate(differences):
            for j, difference in enumerate(rows):
                g = numbers[i * len(rows) + j]
                place = f"result {j} by {names[i]} = {point[i]!r}"
                if not math.isfinite(difference.estimate):
                    raise ValueError(f"{what}: the function is not finite beside this point: no difference of {place}")
                if difference.confirms(g):
                    continue
                beside = f(_leaves(_moved(point, i, difference.step)))
                lost = 10 * math.ulp(_largest(beside[j])) / difference.step
                if difference._replace(error=max(difference.error, lost)).confirms(g):
                    continue
                if difference.contradicts(g, lost):
                    raise AssertionError(
                        f"{what}, {mode}: the derivative of {place} is {g!r}, "
                        f"differences give {difference.estimate!r}; {_first_wrong_rule(functions, point)}"
                    )
                if not (difference.is_zero(lost) and abs(g) <= 10 * math.ulp(_largest(found[i * len(rows) + j]))):
                    raise ValueError(
                        f"{what}: the differences at this point are too uncertain to check: for {place} they give "
                        f"{difference.estimate:.3g} +- {max(difference.error, lost):.3g}"
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
        units = [[float(i == j) for j in range(len(xs))] for i in range(len(xs))]
        return [dy for unit in units for dy in jvp(f, (xs,), (unit,))[1]]

    return derivative


_MODES: dict[str, Callable[[ListFunction], ListFunction]] = {"rev": _reverse, "fwd": _forward}


def _leaves(xs: list[float]) -> list[Value]:
    return [Value(x) for x in xs]


def _numbers(xs: Sequence[Any]) -> list[float]:
    return [x.data if isinstance(x, Value) else p.to_float(x, "check_grads") for x in xs]


def _moved(point: list[float], i: int, step: float) -> list[float]:
    return [*point[:i], point[i] + step, *point[i + 1 :]]


def _largest(y: Scalar) -> float:
    """The size of the largest number that is computed on the way to `y`, which bounds what is lost to rounding."""
    nodes = [node for node in topological_order(y) if node.op is not None] if isinstance(y, Value) else []
    return max(map(abs, _numbers([y, *nodes])))


class _Difference(NamedTuple):
    """A derivative by central differences of a function, and how far it may be off.

    `steepness` is the larger of the slopes to both sides, which may cancel; `step` is how far to each side it looked.
    """

    estimate: float
    error: float
    steepness: float
    step: float

    def agrees_with(self, g: float) -> bool:
        tolerance = 1e-7 * max(abs(g), abs(self.estimate)) + 10 * self.error + 1e-8 * self.steepness
        return math.isfinite(g) and abs(g - self.estimate) <= tolerance

    def is_sharp(self) -> bool:
        """Whether the error is small beside the estimate, or beside what cancelled in it."""
        return self.error <= max(1e-3 * abs(self.estimate), 1e-6 * self.steepness)

    def is_zero(self, lost: float) -> bool:
        """Whether it is nothing but rounding, where `lost` is how much that may come to."""
        return abs(self.estimate) + self.error <= lost

    def confirms(self, g: float) -> bool:
        return g == self.estimate or (self.is_sharp() and self.agrees_with(g))

    def contradicts(self, g: float, lost: float) -> bool:
        known = self.is_sharp() or (self.is_zero(lost) and lost <= 1e-3 * abs(g) < math.inf)
        return known and not (self.agrees_with(g) or abs(g - self.estimate) <= lost)


def _difference(f: Callable[[list[float]], list[float]], point: list[float], i: int) -> list[_Difference]:
    """The derivative of each result of f by the i-th number.

    Steps on the scale of the number, and on the scale of 1, each halved twice and extrapolated (Richardson); of all
    these the one is taken that halving changes least, rounding included. So nobody has to choose a step.
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
            continue  # rounding takes the step away, or makes it longer to one side
        steps = [_extrapolated(*three) for three in zip(slopes(h), slopes(h / 2), slopes(h / 4), strict=True)]
        best = [_surer(*two) for two in zip(best or steps, steps, strict=True)]
    return best


def _extrapolated(wide: _Difference, half: _Difference, fine: _Difference) -> _Difference:
    """To a step of 0. The error is what the last halving changed, and what rounding may."""
    before, estimate = (4 * half.estimate - wide.estimate) / 3, (4 * fine.estimate - half.estimate) / 3
    error = abs(estimate - before) + fine.error
    smooth = fine.steepness <= 2 * wide.steepness  # else it is near a pole, where nothing cancels
    steepness = wide.steepness if smooth else 0.0
    return _Difference(estimate, error if error == error else math.inf, steepness, fine.step)


def _surer(wide: _Difference, fine: _Difference) -> _Difference:
    """The one with the smaller error. Of two that contradict each other the fine, in doubt until a finer one agrees:
    a wide step jumps over kinks and waves. But one that changed nothing says nothing against a sharp one.
    """
    if fine.steepness == 0.0 and wide.is_sharp():
        return wide
    gap = abs(wide.estimate - fine.estimate)
    if gap > wide.error + fine.error:
        return fine._replace(error=max(fine.error, gap / 10))
    return fine if fine.error < wide.error else wide


def _first_wrong_rule(functions: list[ListFunction], point: list[float]) -> str:
    """The first operation on the way to `functions` whose rule disagrees with differences.

    The rules of all are compared with differences of their numbers before any is differentiated again: for a wrong
    rule makes the derivatives wrong of those that use it.
    """
    with recording_with(_Inlining()):
        nodes = topological_order(*[y for f in functions for y in f(_leaves(point)) if isinstance(y, Value)])
    for depth in range(len(functions)):
        for node in nodes:
            if node.op is not None and node.op is not p.detach and (wrong := _wrong_rule(node, node.op, depth)):
                return wrong
    return "every rule on the way agrees with its own differences: f has a kink here, or cuts a gradient with detach"


class _Inlining(Recorder):
    """An eager recorder that also records what happens inside jitted functions and inner derivatives."""

    inlines = True


def _wrong_rule(node: Value, op: p.Primitive, depth: int) -> str:
    """What is wrong with the rule of `op`, differentiated `depth` times, at the arguments of `node`; "" if nothing."""
    places = [i for i, x in enumerate(node.args) if isinstance(x, Value)]
    point = [node.args[i].data for i in places]

    def called(xs: list[Any]) -> list[Any]:
        args = dict(enumerate(node.args)) | dict(zip(places, xs, strict=True))
        return [op(*args.values())]

    f: ListFunction = called
    for _ in range(depth):
        f = _reverse(f)
    ys, found = f(_leaves(point)), _numbers(_reverse(f)(_leaves(point)))
    for i in range(len(point)):
        for j, difference in enumerate(_difference(lambda xs: _numbers(f(_leaves(xs))), point, i)):
            g = found[i * len(ys) + j]
            lost = 10 * math.ulp(_largest(ys[j])) / difference.step
            if math.isfinite(difference.estimate) and difference.contradicts(g, lost):
                by = [j // len(point) ** k % len(point) for k in range(depth)] + [i]  # in the order of differentiation
                first, *further = [places[k] for k in by]
                what = "".join([f"the derivative by {k} of " for k in reversed(further)]) + f"its partial {first}"
                return (
                    f"the rule of {op} is wrong: at {_expression(op, node.args)} {what} is {g!r}, "
                    f"differences give {difference.estimate!r}"
                )
    return ""


def _expression(op: p.Primitive, args: tuple[Any, ...]) -> str:
    """`mul(2.0, 3.0)`, with no more than a few arguments."""
    numbers = [repr(x) for x in _numbers(args[:6])]
    return f"{op}({', '.join(numbers)}{', ...' if len(args) > 6 else ''})"


# ---- detect_anomaly


F = TypeVar("F", bound=Callable[..., Any])


@overload
def detect_anomaly() -> Mode: ...
@overload
def detect_anomaly(function: F) -> F: ...
def detect_anomaly(function: Any = None) -> Any:
    """While this is open, in this thread, the first nan or infinity is a FloatingPointError that says where it is from.

    In the forward pass: the operation, its numbers, and the file, line and text of the code that did it. In `backward`,
    and in what `grad`, `vjp`, `gradients` and the like do: the operation whose gradient was finite and whose
    contribution to an argument was not, the partial, the line where the operation was recorded, and the way there from
    the loss. In `jvp`: the operation whose tangent was not. Costs nothing when it is not open.

    `with detect_anomaly():` opens it; `@detect_anomaly` and `@detect_anomaly()` make a function run so.
    """
    mode = Mode("detect_anomaly", _watching)
    return mode if function is None else mode(function)


@contextmanager
def _watching() -> Iterator[None]:
    without = nullcontext() if keeps_history() else no_grad()
    with with_history(), recording_with(_Watch(active_recorder())), without:
        yield


class _Placed(Value):
    """A Value that knows the line of code that recorded it."""

    __slots__ = ("site",)
    site: CallSite


class _Watch(Wrapper):
    """The recorder of `detect_anomaly`: checks every number that `outer` records, and notes the line of code."""

    def __init__(self, outer: Recorder) -> None:
        super().__init__(outer)
        self.watches = True

    def record(self, op: p.Primitive, args: tuple[Any, ...]) -> Value:
        z = self.outer.record(op, args)
        if self.symbolic:
            return z  # there is no number to check
        self.check(op, args, z)
        return _placed(z) if z.op is op and type(z) is Value else z

    def check(self, op: p.Primitive, args: tuple[Any, ...], z: Scalar) -> None:
        """A FloatingPointError if `z`, which is `op` of `args`, is not finite."""
        (number,) = _numbers([z])
        if not math.isfinite(number):
            raise FloatingPointError(f"{_expression(op, args)} is {number}, at {call_site()}")

    def watch_backward(self, order: list[Value]) -> None:
        """A FloatingPointError if the backward pass over `order` met a nan or an infinity."""
        if all(math.isfinite(node.grad) for node in order):
            return
        gradients = dict.fromkeys(order, 0.0)
        gradients[order[-1]] = 1.0
        _follow("backward", "the loss", order, set(order), gradients)
        found = next(node for node in order if not math.isfinite(node.grad))
        raise FloatingPointError(f"backward: the gradient of {_described(found)} is {found.grad}: it was so before")

    def watch_pull_back(
        self, order: list[Value], active: set[Value], ys: Sequence[Scalar], cotangents: Sequence[Scalar]
    ) -> None:
        """A FloatingPointError if the sweep that is to begin, back over the `active` of `order`, meets one."""
        if self.symbolic:
            return  # there are no numbers
        gradients: dict[Value, float] = {}
        for y, g in zip(ys, _numbers(cotangents), strict=True):
            if y in active:
                gradients[y] = gradients.get(y, 0.0) + g
        _follow("reverse mode", "the result", order, active, gradients)

    def watch_push_forward(self, order: list[Value], xs: Sequence[Value], tangents: Sequence[Scalar]) -> None:
        """A FloatingPointError if the sweep that is to begin, forward over `order`, meets one."""
        if self.symbolic:
            return
        found = dict(zip(xs, _numbers(tangents), strict=True))
        for node in order:
            if node in found:
                continue
            terms = [(x, found[x], dx) for x, dx in _partials(node) if x in found]
            for x, t, dx in terms:
                if not math.isfinite(t * dx):
                    raise FloatingPointError(
                        f"forward mode: the tangent {t!r} of {_described(x)}, times the partial {dx!r} by it of "
                        f"{_described(node)}, is {t * dx}"
                    )
            if terms:
                found[node] = total = sum([t * dx for _, t, dx in terms])
                if not math.isfinite(total):
                    raise FloatingPointError(
                        f"forward mode: the tangent of {_described(node)} is {total}, though every contribution to it "
                        "is finite: their sum overflows"
                    )


def _partials(node: Value) -> list[tuple[Value, float]]:
    """The Values that `node` was made from, each with the number of its partial; without those that have none."""
    if node.op is None:
        return []
    pairs = zip(node.args, node.op.partials(node.data, *_numbers(node.args)), strict=True)
    return [(x, _numbers([dx])[0]) for x, dx in pairs if isinstance(x, Value) and dx is not None]


def _follow(what: str, start: str, order: list[Value], active: set[Value], gradients: dict[Value, float]) -> None:
    """A FloatingPointError if `gradients`, of the last of `order`, become a nan or an infinity on the way back."""
    user: dict[Value, Value] = {}  # by which a node was reached: if it can be, by one from which a gradient flows
    reached: set[Value] = set()
    for node in reversed(order):
        g = gradients.get(node)
        if g is None:
            continue
        if not math.isfinite(g):
            raise FloatingPointError(
                f"{what}: the gradient of {_described(node)} is {g}, though every contribution to it is finite: "
                f"their sum overflows; {_way(node, user, start)}"
            )
        for x in node.args:
            if isinstance(x, Value):
                user.setdefault(x, node)
        for x, dx in _partials(node):
            if x not in active:
                continue
            flows = dx or (node.op is not None and not node.op.selects)
            passed = g * dx if flows else 0.0
            if not math.isfinite(passed):
                raise FloatingPointError(
                    f"{what}: the gradient {g!r} of {_described(node)}, times its partial {dx!r} by {x.data!r}, "
                    f"is {passed}; {_way(node, user, start)}"
                )
            gradients[x] = gradients.get(x, 0.0) + passed
            if flows and x not in reached:
                reached.add(x)
                user[x] = node


def _placed(z: Value) -> _Placed:
    """A new node's double that knows the line of code that is running."""
    double = node_of(z.op, z.args, z.data, _Placed)
    double.site = call_site()
    return double


def _described(node: Value) -> str:
    if node.op is None:
        return f"the leaf {node.label or node.data}"
    place = node.site if isinstance(node, _Placed) else "a line outside detect_anomaly"
    return f"{_expression(node.op, node.args)} = {node.data!r}, recorded at {place}"


def _way(node: Value, user: dict[Value, Value], start: str) -> str:
    """From `start` to `node`, by operation and line; of a long way, both ends."""
    way = [node]
    while way[-1] in user:
        way.append(user[way[-1]])
    steps = [_step(z) for z in reversed(way)]
    if len(steps) > 10:
        steps[5:-5] = [f"... {len(steps) - 10:,} more ..."]
    return f"from {start}: {' -> '.join(steps)}"


def _step(node: Value) -> str:
    name = node.label or str(node.op or "leaf")
    return f"{name} ({Path(node.site.file).name}:{node.site.line})" if isinstance(node, _Placed) else name
