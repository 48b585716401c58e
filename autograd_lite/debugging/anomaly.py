"""`detect_anomaly`: raise at the first nan or infinity, with the operation and the line of code that made it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar, overload

from autograd_lite.annotations import annotated
from autograd_lite.debugging.callsite import call_site
from autograd_lite.debugging.text import call_text, floats
from autograd_lite.naming import names_of, printable
from autograd_lite.primitives import Primitive
from autograd_lite.recording import Mode, Wrapper, keeps_history, no_grad, recording_with, with_history
from autograd_lite.value import Recorder, Value, active_recorder, flows

F = TypeVar("F", bound=Callable[..., Any])
SHOWN = 10  # how many steps of the path from the loss are printed


@overload
def detect_anomaly() -> Mode: ...
@overload
def detect_anomaly(function: F) -> F: ...
def detect_anomaly(function: Any = None) -> Any:
    """While this is open in this thread, raise a FloatingPointError at the first nan or infinity.

    Forward pass: the message names the operation, its numbers, and the file, line and text of the code that called it.
    Reverse mode (`backward`, `grad`, `vjp`, `gradients`, ...): it names the operation whose gradient was finite and
    whose contribution to an argument is not, that partial derivative, the line that recorded the operation, and the
    path to it from the loss. Forward mode (`jvp`): the same for the tangent. It costs nothing while it is not open.

    `with detect_anomaly():` opens it; `@detect_anomaly` and `@detect_anomaly()` make a function run inside it.

    >>> from autograd_lite import Value, log
    >>> with detect_anomaly():
    ...     log(Value(2.0) - 2.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    FloatingPointError: log(0.0) is -inf, at ...
    """
    mode = Mode("detect_anomaly", _watching)
    return mode if function is None else mode(function)


@contextmanager
def _watching() -> Iterator[None]:
    inside_no_grad = nullcontext() if keeps_history() else no_grad()
    with with_history(), recording_with(_Watch(active_recorder())), inside_no_grad:
        yield


class _Watch(Wrapper):
    """The recorder of `detect_anomaly`: checks every number that `outer` records, and keeps the line of code."""

    def __init__(self, outer: Recorder) -> None:
        super().__init__(outer)
        self.watches = True

    def record(self, op: Primitive, args: tuple[Any, ...]) -> Value:
        z = self.outer.record(op, args)
        if self.symbolic:
            return z  # a symbol has no number to check
        self.check(op, args, z)
        return annotated(z, op, site=call_site())

    def check(self, op: Primitive, args: tuple[Any, ...], z: Any) -> None:
        """Raise a FloatingPointError if `z`, the result of `op` on `args`, is not finite."""
        (number,) = floats([z])
        if not math.isfinite(number):
            raise FloatingPointError(f"{call_text(op, args)} is {number}, at {call_site()}")

    def watch_backward(self, order: list[Value]) -> None:
        """Raise a FloatingPointError if `backward` over `order` gave a nan or an infinity."""
        if all(math.isfinite(node.grad) for node in order):
            return
        gradients = dict.fromkeys(order, 0.0)
        gradients[order[-1]] = 1.0
        _check_reverse("backward", "the loss", order, set(order), gradients)
        found = next(node for node in order if not math.isfinite(node.grad))
        raise FloatingPointError(
            f"backward: the gradient of {_described(found)} is {found.grad}, as it was before this backward"
        )

    def watch_pull_back(
        self, order: list[Value], active: set[Value], ys: Sequence[Any], cotangents: Sequence[Any]
    ) -> None:
        """Raise a FloatingPointError if the reverse sweep that follows will meet a nan or an infinity."""
        if self.symbolic:
            return
        gradients: dict[Value, float] = {}
        for y, g in zip(ys, floats(cotangents), strict=True):
            if y in active:
                gradients[y] = gradients.get(y, 0.0) + g
        _check_reverse("reverse mode", "the result", order, active, gradients)

    def watch_push_forward(self, order: list[Value], xs: Sequence[Value], tangents: Sequence[Any]) -> None:
        """Raise a FloatingPointError if the forward sweep that follows will meet a nan or an infinity."""
        if not self.symbolic:
            _check_forward(order, dict(zip(xs, floats(tangents), strict=True)))


def _check_forward(order: list[Value], tangents: dict[Value, float]) -> None:
    """Push the `tangents` of the inputs through `order`; a FloatingPointError where one is not finite."""
    for node in order:
        if node in tangents:
            continue
        terms = [(x, tangents[x], dx) for x, dx in flows(node) if x in tangents]
        for x, t, dx in terms:
            if not math.isfinite(t * dx):
                raise FloatingPointError(
                    f"forward mode: the tangent {t!r} of {_described(x)}, times the partial derivative {dx!r} with "
                    f"respect to it of {_described(node)}, is {t * dx}"
                )
        if terms:
            tangents[node] = total = sum([t * dx for _, t, dx in terms])
            if not math.isfinite(total):
                raise FloatingPointError(
                    f"forward mode: the tangent of {_described(node)} is {total}, though every contribution to it "
                    "is finite: their sum overflows"
                )


def _check_reverse(
    mode: str, start: str, order: list[Value], active: set[Value], gradients: dict[Value, float]
) -> None:
    """Pull the `gradients` of the results back through `order`; a FloatingPointError where one is not finite.

    `mode` and `start` are words for the message: the derivative that is taken, and where the path begins.
    """
    user: dict[Value, Value] = {}  # for each node, one that uses it: if a gradient flows to it, one from which it flows
    reached: set[Value] = set()  # the nodes that a gradient flows to
    for node in reversed(order):
        g = gradients.get(node)
        if g is None:
            continue
        if not math.isfinite(g):
            raise FloatingPointError(
                f"{mode}: the gradient of {_described(node)} is {g}, though every contribution to it is finite: "
                f"their sum overflows; {_path(node, user, start)}"
            )
        for x in node.args:
            if isinstance(x, Value):
                user.setdefault(x, node)
        for x, dx in flows(node):
            if x not in active:
                continue
            if not math.isfinite(g * dx):
                raise FloatingPointError(
                    f"{mode}: the gradient {g!r} of {_described(node)}, times its partial derivative {dx!r} with "
                    f"respect to the argument {x.data!r}, is {g * dx}; {_path(node, user, start)}"
                )
            gradients[x] = gradients.get(x, 0.0) + g * dx
            if x not in reached:
                reached.add(x)
                user[x] = node
        for x in _blocked(node):
            if x in active:
                gradients.setdefault(x, 0.0)  # the sweep goes on from there, and 0 times an infinite partial is a nan


def _blocked(node: Value) -> list[Value]:
    """The arguments to which a selecting operation passes no gradient here, such as that of a relu below 0."""
    if node.op is None or not node.op.selects:
        return []
    partials = node.op.partials(node.data, *floats(node.args))
    return [x for x, dx in zip(node.args, partials, strict=True) if isinstance(x, Value) and dx == 0.0]


def _described(node: Value) -> str:
    if node.op is None:
        return f"the leaf {printable(names_of([node]).get(node, '')) or node.data}"
    place = getattr(node, "site", "a line outside detect_anomaly")
    return f"{call_text(node.op, node.args)} = {node.data!r}, recorded at {place}"


def _path(node: Value, user: dict[Value, Value], start: str) -> str:
    """The path from `start` to `node`: the operation and line of each step, without the middle of a long path."""
    path = [node]
    while path[-1] in user:
        path.append(user[path[-1]])
    steps = [_step(z) for z in reversed(path)]
    if len(steps) > SHOWN:
        half = SHOWN // 2
        steps[half:-half] = [f"... {len(steps) - 2 * half:,} more ..."]
    return f"from {start}: {' -> '.join(steps)}"


def _step(node: Value) -> str:
    name = printable(node.label) or str(node.op or "leaf")
    site = getattr(node, "site", None)
    return f"{name} ({Path(site.file).name}:{site.line})" if site else name
