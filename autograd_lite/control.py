"""Loops, branches and equations: `scan`, `fori_loop`, `while_loop`, `cond`, `root`, `fixed_point`, as JAX names them.

On numbers and Values the loops and `cond` are the plain Python that their docstrings say, so their results can be
differentiated to any order; those of `root` and `fixed_point` up to the third. Under `jit` they compile where plain
Python would be unrolled or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from math import isfinite, nan
from operator import index
from typing import Any, TypeVar, TypeVarTuple, overload

from autograd_lite import primitives as p
from autograd_lite.calculus import described, jacobian, leaves_like
from autograd_lite.calls import item
from autograd_lite.compiler.arguments import is_number
from autograd_lite.compiler.branches import branch
from autograd_lite.compiler.jit import jit
from autograd_lite.compiler.loops import UNKNOWN, Column, Loop, loop_of_traced_body
from autograd_lite.compiler.trace import Symbol, Trace, trace_of
from autograd_lite.naming import parameter_names, unpacked_names
from autograd_lite.recording import no_grad
from autograd_lite.trees import Tree, tree_leaves, tree_like, tree_map, tree_paths
from autograd_lite.value import Value, active_recorder

S = TypeVar("S")
X = TypeVar("X")
Y = TypeVar("Y")
Ts = TypeVarTuple("Ts")


def scan(
    f: Callable[[S, Any], tuple[S, Y]],
    init: S,
    xs: Iterable[Any] | None = None,
    length: int | None = None,
    *,
    reverse: bool = False,
    checkpoint: int | None = None,
) -> tuple[S, list[Y]]:
    """Run `state, y = f(state, x)` for each x of `xs`, from the state `init`; return the last state and the list of y.

    `init` is a number, or nested lists, tuples and dicts of numbers; `f` returns a state of the same structure. `xs` is
    a list or an array with one item for each step. Without `xs`, f gets None, `length` times. With `reverse` the steps
    run from the last item to the first; the list of y is in the order of `xs` nonetheless.

    Reverse mode needs the state at every step. With `checkpoint=k` it keeps every k-th state only, and computes the
    steps between two of them again when it comes to them: memory for n/k + k states in place of n, for one more run of
    the steps. `f` is then traced, as under `jit`, also where the loop itself is not compiled.

    This is jax.lax.scan on lists: where JAX has one array for each leaf of x, with the steps along its first axis, we
    have one list of items, and an item may be a tree. In the same way the second result is a list of all y.

    A TypeError if `f` does not return a pair, a ValueError if it returns a state of another structure.

    >>> scan(lambda total, x: (total + x, total * x), 0.0, [1.0, 2.0, 3.0])
    (6.0, [0.0, 2.0, 9.0])
    """
    what = described("scan", f)
    return _scanned("scan", f, init, _items(xs, length, what), reverse, _checkpoint(checkpoint, what), what, f)


def _scanned(
    name: str,
    f: Callable[[S, Any], tuple[S, Y]],
    init: S,
    items: list[Any],
    reverse: bool,
    every: int | None,
    what: str,
    step: Callable[..., Any],
) -> tuple[S, list[Y]]:
    """Run `scan` with checked arguments. `step` is the user's function, which `f` calls; its parameters give labels."""
    if every and len(items) > every:
        return _checkpointed(name, f, init, items, reverse, every, what, step)
    if items and active_recorder().symbolic:
        return _compiled_scan(name, f, init, items, reverse, what, step)
    state = init
    ys: list[Any] = []
    for x in reversed(items) if reverse else items:
        state, y = _stepped(f(state, x), state, what)
        ys.append(y)
    return state, ys[::-1] if reverse else ys


def fori_loop(
    lower: int, upper: int, body_fun: Callable[[Any, S], S], init_val: S, *, checkpoint: int | None = None
) -> S:
    """Run `state = body_fun(i, state)` for i from `lower` to `upper - 1`, from the state `init_val`; return the state.

    `lower` and `upper` are ints. The state is a number, or nested lists, tuples and dicts of numbers, whose structure
    stays the same. i is an int; in a compiled loop it is a traced Value, and with `checkpoint` a traced Value or a
    float, which cannot index a list. See `scan` for lists, and for `checkpoint`.

    A TypeError if a bound is not an int, a ValueError if `body_fun` returns a state of another structure.

    >>> fori_loop(0, 5, lambda i, total: total + i, 0.0)
    10.0
    """
    what = described("fori_loop", body_fun)
    first, end = _integer(lower, f"{what}: lower"), _integer(upper, f"{what}: upper")
    state = init_val
    every = _checkpoint(checkpoint, what)
    if end > first and (every or active_recorder().symbolic):

        def step(carry: tuple[Any, S], _: Any) -> tuple[tuple[Any, S], None]:
            i, state = carry
            return (i + 1.0, _checked_state(body_fun(i, state), state, what)), None

        items, begin = [None] * (end - first), (float(first), init_val)
        (_, state), _ = _scanned("fori_loop", step, begin, items, False, every, what, body_fun)
        return state
    for i in range(first, end):
        state = _checked_state(body_fun(i, state), state, what)
    return state


def while_loop(cond_fun: Callable[[S], Any], body_fun: Callable[[S], S], init_val: S) -> S:
    """Run `state = body_fun(state)`, from the state `init_val`, as long as `cond_fun(state)` holds; return the state.

    The state is a number, or nested lists, tuples and dicts of numbers, whose structure stays the same. `cond_fun`
    returns a comparison such as `x < 100.0`, a bool, or a number that is 0 for "stop". `(a < b) & (c < d)` and
    `(a < b) | (c < d)` combine two comparisons, under `jit` too, and `1 - c` is the opposite of `c`. A compiled
    while_loop has forward mode only, as in JAX; for a solution that the steps converge to use `fixed_point`. A step
    takes about 2 us, as Python looks at the condition; one of `scan` or `fori_loop` takes a small part of that.

    A ValueError if `body_fun` returns a state of another structure, a TypeError for a condition that is not a
    number or a comparison.

    >>> while_loop(lambda x: x < 100.0, lambda x: 2.0 * x, 3.0)
    192.0
    """
    what = described("while_loop", body_fun)
    described("while_loop", cond_fun)
    state = init_val
    if active_recorder().symbolic:
        return _compiled_while(cond_fun, body_fun, init_val, what)
    while _holds(cond_fun(state), what):
        state = _checked_state(body_fun(state), state, what)
    return state


def cond(pred: Any, true_fun: Callable[[*Ts], X], false_fun: Callable[[*Ts], X], *operands: *Ts) -> X:
    """`true_fun(*operands)` if `pred` is true, else `false_fun(*operands)`.

    `pred` is a comparison such as `x > 0.0`, a bool, or a number that is 0 for "false". No gradient flows through it.
    On numbers and Values only the function that is chosen runs. Where `pred` is a comparison of traced Values under
    `jit`, both functions are traced, and return results of one structure. A compiled call skips the function that is
    not chosen, and its derivatives. The Python backend decides for each row. The native backend decides for each block
    of up to 128 rows, and skips a function if no row of the block chooses it. NumPy and other array modules compute
    both functions and select, as every backend does where a function is cheaper than a jump.

    A scan or fori_loop inside a function is skipped if no row of the call chooses that function. A loop that depends on
    captured Values only runs once for all rows, whatever they choose. A while_loop takes steps only for rows that
    choose its function.

    No gradient flows through the function that is not chosen, even where its derivative is infinite. Under `jit` that
    holds for Values that the function uses from outside, too. It does not hold for an operation on captured Values
    alone, such as sqrt(w): all rows share it, and 0 times its infinite derivative is nan.

    A ValueError if the two traced functions return different structures, a TypeError for a condition that is not a
    number or a comparison.

    >>> cond(2.0 > 1.0, lambda x: x * x, lambda x: -x, 3.0)
    9.0
    """
    what = described("cond", true_fun)
    described("cond", false_fun)
    if not (isinstance(pred, Value) and active_recorder().symbolic):
        return true_fun(*operands) if _holds(pred, what) else false_fun(*operands)
    trace = trace_of(active_recorder())
    condition = trace.operand(pred)
    if type(condition) is float:
        return true_fun(*operands) if condition else false_fun(*operands)
    begin = trace.made
    with trace.anew():
        chosen, other = true_fun(*operands), false_fun(*operands)
    leaves_like(chosen, other, f"{what}: the two functions must return results of one structure")
    for leaf in (*tree_leaves(chosen), *tree_leaves(other)):
        if not isinstance(leaf, Value):
            p.to_float(leaf, f"{what}: the result of a function")
    sides = []
    for tree, taken in ((chosen, True), (other, False)):
        roots = [trace.operand(leaf) for leaf in tree_leaves(tree) if isinstance(leaf, Value)]
        found = iter(branch(trace, roots, condition, taken, begin))
        sides.append(tree_map(lambda leaf: next(found) if isinstance(leaf, Value) else leaf, tree))  # noqa: B023
    result: X = tree_map(lambda x, y: p.where(pred, x, y), *sides)
    return result


@overload
def root(f: Callable[[float], Value], x0: float, *, tol: float = 1e-12, max_steps: int = 100) -> Value: ...
@overload
def root(f: Callable[[S], Any], x0: S, *, tol: float = 1e-12, max_steps: int = 100) -> S: ...
def root(f: Callable[[Any], Any], x0: Any, *, tol: float = 1e-12, max_steps: int = 100) -> Any:
    """A solution x of f(x) = 0, found by Newton's method from `x0`.

    x is a number, or nested lists, tuples and dicts of numbers; f returns the same structure. The method stops where
    its step is not larger than `tol` times 1 + |x|. A step that makes the largest |f| larger is halved; under `jit` a
    halving counts as one of the `max_steps`.

    The derivatives of x by every Value that f uses come from the implicit function theorem at the solution,
    dx = -(df/dx)^-1 df, not from the steps towards it; they are right up to the third order. The derivative by `x0`
    is 0. They are computed by two Newton steps at the solution that are differentiated: k steps give
    derivatives up to order 2^k - 1 (Griewank and Walther, Evaluating Derivatives, 2008, chapter 15).

    An ArithmeticError if the method does not converge, a ValueError if f returns another structure than x. Under `jit`
    the numbers of a call that does not converge are nan.

    >>> from autograd_lite import grad
    >>> round(root(lambda x: x * x - 2.0, 1.0), 12)
    1.414213562373
    >>> round(grad(lambda a: root(lambda x: x * x - a, 1.0))(4.0), 12)
    0.25
    """
    what = described("root", f)
    f_flat = _flattened(f, x0, what)
    with no_grad():
        xs = _solution(_newton, _compiled_newton, f_flat, x0, tol, max_steps, what)
    result: Any = tree_like(x0, _differentiable(f_flat, xs))
    return result


@overload
def fixed_point(f: Callable[[float], Value], x0: float, *, tol: float = 1e-12, max_steps: int = 10_000) -> Value: ...
@overload
def fixed_point(f: Callable[[S], Any], x0: S, *, tol: float = 1e-12, max_steps: int = 10_000) -> S: ...
def fixed_point(f: Callable[[Any], Any], x0: Any, *, tol: float = 1e-12, max_steps: int = 10_000) -> Any:
    """A solution x of f(x) = x, found by the iteration x = f(x) from `x0`.

    x is a number, or nested lists, tuples and dicts of numbers; f returns the same structure. The iteration stops where
    x changes by no more than `tol` times 1 + |x|. The derivatives are those of `root` of f(x) - x.

    An ArithmeticError if the iteration does not converge, a ValueError if f returns another structure than x. Under
    `jit` the numbers of a call that does not converge are nan.

    >>> from autograd_lite import cos, grad
    >>> round(fixed_point(cos, 1.0), 10)
    0.7390851332
    >>> round(grad(lambda a: fixed_point(lambda x: a * cos(x), 1.0))(0.5), 10)
    0.7394815923
    """
    what = described("fixed_point", f)
    f_flat = _flattened(f, x0, what)
    with no_grad():
        xs = _solution(_iterated, _compiled_iteration, f_flat, x0, tol, max_steps, what)
    result: Any = tree_like(x0, _differentiable(lambda xs: [y - x for y, x in zip(f_flat(xs), xs, strict=True)], xs))
    return result


# ---- compiled loops


def _compiled_scan(
    name: str,
    f: Callable[[S, Any], tuple[S, Y]],
    init: S,
    items: list[Any],
    reverse: bool,
    what: str,
    step: Callable[..., Any],
) -> tuple[S, list[Y]]:
    """`_scanned` in a trace: one step is traced, and the graph gets a loop of it."""
    recorder = active_recorder()
    trace = trace_of(recorder)

    leaves_of_items = [
        leaves_like(items[0], other, f"{what}: item {n} of xs has another structure than item 0")
        for n, other in enumerate(items)
    ]
    labels = _labels(step, init if name == "fori_loop" else (init, items[0]))
    state, x = _symbols(trace, init, labels), _symbols(trace, items[0], labels[len(tree_leaves(init)) :])
    new, y = _stepped(f(state, x), state, what)
    rows = [[leaf for leaf in leaves if is_number(leaf)] for leaves in leaves_of_items]
    columns = [
        Column(leaf, [trace.operand(row[k]) for row in rows])
        for k, leaf in enumerate([leaf for leaf in tree_leaves(x) if isinstance(leaf, Symbol)])
    ]
    outputs = [leaf for leaf in tree_leaves(y) if is_number(leaf)]
    loop = loop_of_traced_body(
        name,
        trace,
        len(items),
        reverse,
        tree_leaves(state),
        [trace.operand(leaf) for leaf in tree_leaves(init)],
        [trace.operand(leaf) for leaf in leaves_like(state, new, what)],
        [trace.operand(leaf) for leaf in outputs],
        columns,
        [f"y{path}" for leaf, path in zip(tree_leaves(y), tree_paths(y, ""), strict=True) if is_number(leaf)],
        what,
    )
    op = loop.op
    assert isinstance(op, Loop)

    def result(key: int) -> Any:
        return recorder.record(item, (loop, float(key)))

    last = tree_like(init, [result(k) for k in range(len(op.body.states))])
    ys = []
    for n in range(len(items)):
        place = iter(range(len(outputs)))
        ys.append(tree_map(lambda leaf: result(op.key(next(place), n)) if is_number(leaf) else leaf, y))  # noqa: B023
    return last, ys


def _compiled_while(cond_fun: Callable[[S], Any], body_fun: Callable[[S], S], init: S, what: str) -> S:
    """`while_loop` in a trace: condition and body are traced once, and the graph gets a loop of them."""
    recorder = active_recorder()
    trace = trace_of(recorder)
    state = _symbols(trace, init, _labels(body_fun, (init,)))
    states = tree_leaves(state)
    holds = cond_fun(state)
    _check_condition(holds, what)
    condition = trace.operand(holds)
    new = _checked_state(body_fun(state), state, what)
    next_states = [trace.operand(leaf) for leaf in leaves_like(state, new, what)]
    first = [trace.operand(leaf) for leaf in tree_leaves(init)]
    loop = loop_of_traced_body(
        "while_loop", trace, UNKNOWN, False, states, first, next_states, [condition], [], [""], what
    )
    return tree_like(init, [recorder.record(item, (loop, float(k))) for k in range(len(states))])  # type: ignore[no-any-return]


def _labels(step: Callable[..., Any], arguments: Any) -> list[str]:
    """Labels for the numbers in `arguments`, in order: the names of the parameters of `step`, or of their parts."""
    labels = []
    for argument, name in zip(arguments, parameter_names(step, len(arguments)), strict=True):
        parts = unpacked_names(step, name)
        labels += [parts.get(path, name + path) for path in tree_paths(argument)]
    return labels


def _symbols(trace: Trace, tree: Tree, labels: Sequence[str]) -> Any:
    """`tree` with a new Symbol for each number."""
    names = iter(labels)

    def symbol(leaf: Any) -> Any:
        label = next(names, "")
        return Symbol(trace, row=True, label=label) if is_number(leaf) else leaf

    return tree_map(symbol, tree)


def _checkpointed(
    name: str,
    f: Callable[[S, Any], tuple[S, Y]],
    init: S,
    items: list[Any],
    reverse: bool,
    every: int,
    what: str,
    step: Callable[..., Any],
) -> tuple[S, list[Y]]:
    """`_scanned` as a scan of scans of `every` steps. In eager code each of the inner scans is one jitted call."""

    def segment(state: S, xs: list[Any]) -> tuple[S, list[Y]]:
        return _scanned(name, f, state, xs, reverse, None, what, step)

    whole = len(items) // every * every
    pieces, rest = [items[i : i + every] for i in range(0, whole, every)], items[whole:]
    last: list[Y] = []
    state = init
    if not active_recorder().symbolic:
        run = jit(segment)
        pieces += [rest] * bool(rest)
        parts: list[list[Y]] = []
        for piece in reversed(pieces) if reverse else pieces:
            state, ys = run(state, piece)
            parts.append(ys)
        return state, [y for ys in (reversed(parts) if reverse else parts) for y in ys]
    if rest and reverse:
        state, last = segment(state, rest)
    state, parts = _scanned(name, segment, state, pieces, reverse, None, what, step)
    if rest and not reverse:
        state, last = segment(state, rest)
    return state, [*[y for ys in parts for y in ys], *last]


def _checkpoint(checkpoint: int | None, what: str) -> int | None:
    """`checkpoint` as an int; a TypeError or a ValueError unless it is None or an int of at least 1."""
    if checkpoint is None:
        return None
    try:
        every = index(checkpoint)
    except TypeError:
        raise TypeError(f"{what}: checkpoint must be an int, got {checkpoint!r}") from None
    if every < 1:
        raise ValueError(f"{what}: checkpoint must be at least 1, got {every}")
    return every


# ---- solving equations

ListFunction = Callable[[list[Any]], list[Any]]  # from a list of numbers to a list of as many numbers


def _solution(
    find: Callable[..., list[float]],
    compiled: Callable[..., list[Any]],
    f: ListFunction,
    x0: Tree,
    tol: float,
    max_steps: int,
    what: str,
) -> list[Any]:
    """The solution that `find` finds, or the traced solution of `compiled`: nan if it does not converge."""
    bound: Any = tol  # a Value if it is an argument of a jitted function
    limit: Any = max_steps
    if not is_number(bound) or not (isinstance(bound, Value) or bound >= 0):
        raise ValueError(f"{what}: tol must be a number of at least 0, got {bound!r}")
    if not isinstance(limit, int) or limit < 1:
        raise ValueError(f"{what}: max_steps must be an int of at least 1, got {limit!r}")
    if active_recorder().symbolic:
        return compiled(f, [trace_of(active_recorder()).operand(x) for x in tree_leaves(x0)], tol, float(max_steps))
    return find(f, _numbers(tree_leaves(x0), what), tol, max_steps, what)


def _newton(f: ListFunction, xs: list[float], tol: float, max_steps: int, what: str) -> list[float]:
    """The floats x at which Newton's method from `xs` stops."""
    ys = _numbers(f(xs), what)
    for _ in range(max_steps):
        rows = [_numbers(row, what) for row in jacobian(f)(xs)]
        steps = _solve(rows, ys)
        if all(map(isfinite, chain(ys, *rows))) and not all(map(isfinite, steps)):
            raise ArithmeticError(_no_convergence(what, xs, ys, "the Jacobian is singular there"))
        largest = max(map(abs, ys), default=0.0)
        size = 1.0
        while True:
            new = [x - size * dx for x, dx in zip(xs, steps, strict=True)]
            found = _numbers(f(new), what)
            if max(map(abs, found), default=0.0) <= largest and all(y == y for y in found):
                break
            if _is_small([size * dx for dx in steps], xs, tol):  # rounding alone keeps |f| from falling
                return xs
            size /= 2.0
            if size < 1e-10:
                raise ArithmeticError(_no_convergence(what, xs, ys, "no Newton step from there makes it smaller"))
        if _is_small(steps, new, tol):
            return new
        xs, ys = new, found
    raise ArithmeticError(_no_convergence(what, xs, ys, f"it stopped after max_steps={max_steps}"))


def _iterated(f: ListFunction, xs: list[float], tol: float, max_steps: int, what: str) -> list[float]:
    """The floats x at which the iteration x = f(x) from `xs` stops."""
    steps: list[float] = []
    for count in range(1, max_steps + 1):
        new = _numbers(f(xs), what)
        steps = [y - x for x, y in zip(xs, new, strict=True)]
        if _is_small(steps, new, tol):
            return new
        if not all(map(isfinite, new)):
            why = f"the iteration is not finite after {count} steps"
            raise ArithmeticError(_no_convergence(what, xs, steps, why))
        xs = new
    raise ArithmeticError(_no_convergence(what, xs, steps, f"the iteration has not converged after {max_steps} steps"))


def _compiled_newton(f: ListFunction, xs: list[Any], tol: float, max_steps: float) -> list[Any]:
    """`_newton` as a compiled loop. A step moves x by `size` times Newton's step, or halves `size`."""

    def body(state: Any) -> Any:
        xs, size, steps_left, _ = state
        ys = f(xs)
        newton = _solve(jacobian(f)(xs), ys)
        new = [x - size * dx for x, dx in zip(xs, newton, strict=True)]
        before, after = [p.abs_(y) for y in ys], [p.abs_(y) for y in f(new)]
        worse = p.step(_largest(after) - _largest(before))
        small = p.where(worse, _all_small([size * dx for dx in newton], xs, tol), _all_small(newton, new, tol))
        stuck = p.where(worse, p.step(2e-10 - size), 0.0)  # `_newton` gives up at this size
        xs = [p.where(worse, x, y) for x, y in zip(xs, new, strict=True)]
        return xs, p.where(worse, 0.5 * size, 1.0), p.where(stuck, 0.0, steps_left - 1.0), small

    return _converged(body, xs, max_steps)


def _compiled_iteration(f: ListFunction, xs: list[Any], tol: float, max_steps: float) -> list[Any]:
    """`_iterated` as a compiled loop."""

    def body(state: Any) -> Any:
        xs, _, steps_left, _ = state
        new = f(xs)
        small = _all_small([y - x for x, y in zip(xs, new, strict=True)], new, tol)
        return new, 1.0, steps_left - 1.0, small

    return _converged(body, xs, max_steps)


def _converged(body: Callable[[Any], Any], xs: list[Any], max_steps: float) -> list[Any]:
    """The xs of the state (xs, size, steps left, whether it is done) after the last step of `body`; nan if not done."""
    xs, _, _, done = while_loop(lambda s: p.where(s[3], 0.0, p.step(s[2])), body, (xs, 1.0, max_steps, 0.0))
    return [p.where(done, x, nan) for x in xs]


def _all_small(steps: Sequence[Any], xs: Sequence[Any], tol: float) -> Any:
    """1.0 if no step is larger than `tol` times 1 + |x|, else 0.0; also 0.0 if a number is infinite or nan."""
    done: Any = 1.0
    for x, dx in zip(xs, steps, strict=True):
        bound = tol * (1.0 + p.abs_(x))
        excess = p.abs_(dx) - bound  # nan if x or dx is infinite or nan
        done = p.where(p.step(excess), 0.0, p.where(p.step(-excess), done, p.where(excess, 0.0, done)))
    return done


def _largest(xs: Sequence[Any]) -> Any:
    largest: Any = 0.0
    for x in xs:
        largest = p.maximum(largest, x)
    return largest


def _is_small(steps: Sequence[float], xs: Sequence[float], tol: float) -> bool:
    return all(isfinite(x) and abs(dx) <= tol * (1.0 + abs(x)) for x, dx in zip(xs, steps, strict=True))


def _no_convergence(what: str, xs: Sequence[float], residuals: Sequence[float], why: str) -> str:
    shown = ", ".join([f"{x:.6g}" for x in xs[:5]]) + ", ..." * (len(xs) > 5)
    largest = max(map(abs, residuals), default=0.0)
    return (
        f"{what} does not converge: the residual is {largest:.3g} at x = {shown}, and {why}; start from another x0, "
        "or check that there is a solution"
    )


def _differentiable(f: ListFunction, xs: list[Any]) -> list[Any]:
    """The solution `xs` of f(x) = 0, a list of numbers without derivatives, with its derivatives up to order three."""
    for _ in range(2):
        ys = f(xs)
        if not any(isinstance(y, Value) for y in ys):
            break  # nothing to differentiate by
        xs = [x - dx for x, dx in zip(xs, _solve(jacobian(f)(xs), ys), strict=True)]
    return xs


def _solve(rows: Iterable[Sequence[Any]], ys: Sequence[Any]) -> list[Any]:
    """The x with A x = y, for the square matrix of `rows` A, by Gaussian elimination with partial pivoting."""
    table = [[*row, y] for row, y in zip(rows, ys, strict=True)]
    n = len(table)
    for k in range(n):
        for i in range(k + 1, n):
            table[k], table[i] = _larger_first(table[k], table[i], k)
        for i in range(k + 1, n):
            factor = p.div(table[i][k], table[k][k])
            table[i] = [*table[i][: k + 1], *[x - factor * y for x, y in zip(table[i], table[k], strict=True)][k + 1 :]]
    xs: list[Any] = []
    for k in reversed(range(n)):
        rest = table[k][n]
        for a, x in zip(table[k][k + 1 : n], xs, strict=True):
            rest = rest - a * x
        xs.insert(0, p.div(rest, table[k][k]))
    return xs


def _larger_first(row: list[Any], other: list[Any], k: int) -> tuple[list[Any], list[Any]]:
    """The two rows, the one whose number in column k has the larger absolute value first."""
    a, b = row[k], other[k]
    if active_recorder().symbolic:
        swap = p.step(p.abs_(b) - p.abs_(a))
        pairs = list(zip(row, other, strict=True))
        return [p.where(swap, y, x) for x, y in pairs], [p.where(swap, x, y) for x, y in pairs]
    return (other, row) if abs(_number(b)) > abs(_number(a)) else (row, other)


def _flattened(f: Callable[[Any], Any], x0: Tree, what: str) -> ListFunction:
    """`f` as a function of the list of its argument's leaves; a ValueError if f returns another structure than x0."""

    def f_flat(xs: list[Any]) -> list[Any]:
        ys = leaves_like(x0, f(tree_like(x0, xs)), f"{what}: the result must have the structure of x")
        return [y if isinstance(y, Value) else p.to_float(y, f"{what}: the result") for y in ys]

    return f_flat


def _number(x: Any) -> float:
    return x.data if isinstance(x, Value) else x


def _numbers(xs: Iterable[Any], what: str) -> list[float]:
    return [x.data if isinstance(x, Value) else p.to_float(x, what) for x in xs]


# ---- checks of arguments and of the functions' results


def _integer(n: Any, what: str) -> int:
    try:
        return index(n)
    except TypeError:
        raise TypeError(f"{what} is an int, got {n!r}: for a count that depends on numbers use while_loop") from None


def _items(xs: Iterable[Any] | None, length: int | None, what: str) -> list[Any]:
    """The items of `xs`, or `length` times None; a ValueError if the two disagree or both are missing."""
    n = None if length is None else _integer(length, f"{what}: length")
    if xs is None:
        if n is None:
            raise ValueError(f"{what} takes xs, or length, the number of steps")
        if n < 0:
            raise ValueError(f"{what}: length must be at least 0, got {n}")
        return [None] * n
    if isinstance(xs, dict | str | Value) or not isinstance(xs, Iterable):
        raise TypeError(f"{what}: xs is a list or an array with one item for each step, got {type(xs).__name__}")
    as_list = getattr(xs, "tolist", None)  # a NumPy array gives Python numbers
    items = list(as_list() if as_list else xs)
    if n is not None and n != len(items):
        raise ValueError(f"{what}: length={n}, and xs has {len(items)} items")
    return items


def _stepped(result: Any, state: S, what: str) -> tuple[S, Any]:
    """The pair (state, y) that a step returned; a TypeError or ValueError for any other result."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"{what}: a step returns the pair (state, y), got {type(result).__name__}: for no y return None"
        )
    new, y = result
    return _checked_state(new, state, what), y


def _checked_state(new: Any, state: S, what: str) -> S:
    """`new`; a ValueError unless it has the structure of `state`, with numbers at its leaves."""
    leaves = leaves_like(state, new, f"{what}: the structure of the state changes")
    for x, path in zip(leaves, tree_paths(state), strict=True):
        if type(x) is not float and not isinstance(x, Value):
            p.to_float(x, f"{what}: the state{path}")
    result: S = new
    return result


def _holds(condition: Any, what: str) -> bool:
    """Whether `condition`, a bool, a number or a Value, is true; a TypeError for anything else."""
    _check_condition(condition, what)
    return bool(condition.data if isinstance(condition, Value) else condition)


def _check_condition(condition: Any, what: str) -> None:
    if not is_number(condition):
        given = f"{type(condition).__name__} {condition!s:.60}"
        raise TypeError(f"{what}: the condition is a number or a comparison such as x < 3.0, got {given}")
