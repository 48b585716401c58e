"""Derivatives as graphs: every result here is made of Values, so it can be differentiated, drawn and compiled again.

There are two sweeps over a recorded graph, `pull_back` (reverse mode) and `push_forward` (forward mode). They differ
in direction only: both run the rules of the table on Values and make one sum of products per node. The rest of the
module, under JAX's names, turns functions into graphs for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import index
from typing import Any, TypeAlias

from autograd_lite import primitives as p
from autograd_lite.graph import dependents, topological_order
from autograd_lite.recording import keeps_history, with_history
from autograd_lite.trees import Tree, tree_leaves, tree_like, tree_map, tree_paths
from autograd_lite.value import Value, active_recorder, constant, constants

Scalar: TypeAlias = Any  # a Value, or a float
Function: TypeAlias = Callable[..., Any]
Argnums: TypeAlias = int | Sequence[int]


def gradients(y: Value, xs: Iterable[Value]) -> list[Value]:
    """dy/dx for each of `xs`, as Values that are recorded graphs themselves; 0 where y does not depend on x.

    `xs` may be leaves or nodes in between. A TypeError if `y` is not a Value, or `xs` not a list of them.
    """
    if not isinstance(y, Value):
        raise TypeError(f"gradients takes one Value to differentiate, got {type(y).__name__}")
    if isinstance(xs, Value):
        raise TypeError("gradients takes a list of Values to differentiate by, got one Value: write gradients(y, [x])")
    if not isinstance(xs, Iterable):
        raise TypeError(f"gradients takes a list of Values to differentiate by, got {type(xs).__name__}")
    xs = list(xs)
    for x in xs:
        if not isinstance(x, Value):
            raise TypeError(f"gradients differentiates by Values, got {type(x).__name__}: make it a Value, then use it")
    y, *xs = map(active_recorder().symbol_for, [y, *xs])
    return [_value(g) for g in pull_back([y], [1.0], xs)]


def pull_back(ys: Sequence[Scalar], cotangents: Sequence[Scalar], xs: Sequence[Value]) -> list[Scalar]:
    """The sum of cotangent * dy/dx over `ys`, for each of `xs`; the float 0.0 where no y depends on x."""
    order = topological_order(*_values(ys))
    active = dependents(order, xs)
    active_recorder().watch_pull_back(order, active, ys, cotangents)
    pairs: dict[Value, list[Scalar]] = {}  # a node's cotangent is a sum of products; these are the factors, two by two
    for y, g in zip(ys, cotangents, strict=True):
        if y in active:
            pairs.setdefault(y, []).extend((g, 1.0))
    found = dict.fromkeys(xs, 0.0)
    for node in reversed(order):
        factors = pairs.pop(node, None)
        if factors is None:
            continue
        g = _sum_of_products(factors)
        op, args = node.op, node.args
        if node in found:
            found[node] = g
        if op is None:
            continue
        selects = op.selects
        for x, dx in zip(args, op.partials(node, *args), strict=False):  # strict would cost a tenth of the sweep
            if x in active and dx is not None:
                passed = _passed(g, dx) if selects else g
                known = pairs.get(x)
                if known is None:
                    pairs[x] = [passed, dx]
                else:
                    known += passed, dx
    return [found[x] for x in xs]


def push_forward(ys: Sequence[Scalar], xs: Sequence[Value], tangents: Sequence[Scalar]) -> list[Scalar]:
    """The sum of dy/dx * tangent over `xs`, for each of `ys`; the float 0.0 where y depends on no x."""
    found = dict(zip(xs, tangents, strict=True))
    order = topological_order(*_values(ys))
    active_recorder().watch_push_forward(order, xs, tangents)
    for node in order:
        op, args = node.op, node.args
        if op is None or node in found or found.keys().isdisjoint(args):
            continue
        factors: list[Scalar] = []
        for x, dx in zip(args, op.partials(node, *args), strict=True):
            if x in found and dx is not None:
                factors += _passed(found[x], dx) if op.selects else found[x], dx
        found[node] = _sum_of_products(factors)
    return [found.get(y, 0.0) for y in ys]


def _passed(g: Scalar, partial: Scalar) -> Scalar:
    """What of `g` a selecting operation lets through: nothing where its partial is 0, lest 0 * inf make a nan."""
    if type(partial) is float:
        return g if partial else 0.0
    return p.where(partial, g, 0.0)


def _sum_of_products(factors: list[Scalar]) -> Scalar:
    """x0*y0 + x1*y1 + ... of [x0, y0, x1, y1, ...], as at most one node; a factor of 1.0 is not multiplied by."""
    if len(factors) == 2:
        x, y = factors
        return x if type(y) is float and y == 1.0 else y if type(x) is float and x == 1.0 else x * y
    xs, ys = factors[::2], factors[1::2]
    if all(type(y) is float and y == 1.0 for y in ys):
        return p.sum_(*xs) if xs else 0.0
    return p.dot(*xs, *ys)


def _values(xs: Iterable[Scalar]) -> list[Value]:
    return [x for x in xs if isinstance(x, Value)]


def _value(x: Scalar) -> Value:
    return x if isinstance(x, Value) else constant(Value(x))


# ---- the arguments and the results of a derivative


class _Inputs:
    """What a function is differentiated by: `given`, of Values and floats, with a new node in the place of each.

    A number becomes a leaf. A Value becomes a node that equals it and that nothing else uses: derivatives flow on to
    the Value, but what the function makes of the Value by other ways stays apart (no perturbation confusion).
    """

    def __init__(self, given: Tree, what: str) -> None:
        recorder = active_recorder()
        self.what = what
        self.structure = tree_map(recorder.fresh, given)
        self.nodes: list[Value] = tree_leaves(self.structure)
        self.are_numbers = not recorder.inlines and not _values(tree_leaves(given))
        self.constants = set(self.nodes)  # leaves that cannot vary any more, once the function has returned

    def tree(self, leaves: Sequence[Scalar] | None = None) -> Tree:
        """A new tree of the nodes, or of other leaves: the function may change it as it likes."""
        return tree_like(self.structure, self.nodes if leaves is None else leaves)

    def call(self, f: Function, args: Sequence[Any], options: dict[str, Any]) -> Tree:
        """f's result, made of Values and floats."""
        token = constants.set(self.constants)
        try:
            y = f(*args, **options)
        finally:
            constants.reset(token)
        return _scalars(y, f"the result under {self.what}")

    def results(self, tree: Tree) -> Tree:
        """`tree` as floats, if the inputs were numbers and nothing in its graph can vary any more; else as Values."""
        around = constants.get()
        if around is not None:
            around |= self.constants
        if self.are_numbers:
            order = topological_order(*_values(tree_leaves(tree)))
            if all(node.op is not None or node in self.constants for node in order):
                return tree_map(lambda z: z.data if isinstance(z, Value) else z, tree)
        return tree_map(_value if keeps_history() else lambda z: _value(z).detach(), tree)


def _scalar(x: Any, what: str) -> Scalar:
    return x if isinstance(x, Value) else p.to_float(x, what)


def _leaves_like(tree: Tree, given: Tree, what: str) -> list[Scalar]:
    """The leaves of `given`; a ValueError if it has another structure than `tree`."""
    leaves: list[Any] = []
    try:
        tree_map(lambda _, leaf: leaves.append(leaf), tree, given)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    return _leaf_scalars(leaves, tree, what)


def _scalars(tree: Tree, what: str) -> Tree:
    """`tree` of Values and floats; a TypeError that says where in it there is anything else."""
    return tree_like(tree, _leaf_scalars(tree_leaves(tree), tree, what))


def _leaf_scalars(leaves: list[Any], tree: Tree, what: str) -> list[Scalar]:
    try:
        return [_scalar(x, what) for x in leaves]
    except TypeError:
        for x, path in zip(leaves, tree_paths(tree), strict=True):
            _scalar(x, what + path)
        raise


def described(what: str, f: Function) -> str:
    """`what` of f, to begin an error with. A TypeError if f is no function."""
    if not callable(f):
        raise TypeError(f"{what} takes a function, got {type(f).__name__}")
    return f"{what} of {_name(f)}"


def _indices(argnums: Any, what: str) -> Argnums:
    """`argnums` as an int or a tuple of them; a TypeError if it is neither."""
    try:
        if hasattr(argnums, "__index__"):
            return index(argnums)
        return tuple([index(i) for i in argnums])
    except TypeError:
        raise TypeError(f"{what}: argnums takes an int or a tuple of them, got {argnums!r}") from None


def _name(f: Function) -> str:
    return getattr(f, "__name__", repr(f))


def _call(f: Function, argnums: Argnums, what: str, args: tuple[Any, ...], options: Any) -> tuple[_Inputs, Tree]:
    """Fresh inputs for the arguments that `argnums` picks, and f's result on them."""
    picked = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for i in picked:
        if not -len(args) <= i < len(args):
            raise ValueError(f"{what}: argnums {i} is out of range, the call has {len(args)} positional arguments")
    places = [i % len(args) for i in picked]
    if len(set(places)) < len(places):
        raise ValueError(f"{what}: argnums {argnums} picks an argument twice")
    given = [_scalars(args[i], f"{what}: args[{i}]") for i in places]
    inputs = _Inputs(given[0] if isinstance(argnums, int) else tuple(given), what)
    trees = dict(zip(places, [inputs.tree()] if isinstance(argnums, int) else inputs.tree(), strict=True))
    return inputs, inputs.call(f, [trees.get(i, arg) for i, arg in enumerate(args)], options)


def _differentiate(
    f: Function, argnums: Argnums, what: str, args: tuple[Any, ...], options: Any
) -> tuple[_Inputs, Scalar, Tree]:
    """Fresh inputs, f's result on them, which must be one number, and its gradient."""
    with with_history():
        inputs, y = _call(f, argnums, what, args, options)
        if not isinstance(y, Value | float):
            raise TypeError(f"{what} needs a function that returns one number, got {type(y).__name__}: see jacobian")
        return inputs, y, inputs.tree(pull_back([y], [1.0], inputs.nodes))


def grad(f: Function, argnums: Argnums = 0) -> Function:
    """The function that gives the gradient of f, in the structure of the argument that `argnums` says.

    f takes numbers, and nested lists, tuples and dicts of numbers, and returns one number. With several `argnums`
    the result is a tuple. Of plain numbers it is made of floats, unless it depends on a leaf that f meets, or makes
    itself and not by `detach` or `no_grad`; else of Values, to be differentiated by all they depend on. So it is with
    the functions that follow.
    """
    what = described("grad", f)
    argnums = _indices(argnums, what)

    def gradient(*args: Any, **options: Any) -> Tree:
        inputs, _, g = _differentiate(f, argnums, what, args, options)
        return inputs.results(g)

    return _named(gradient, f"grad({_name(f)})")


def value_and_grad(f: Function, argnums: Argnums = 0) -> Function:
    """The function that gives the pair of f's result and its gradient, as `grad` has it, for one evaluation of f."""
    what = described("value_and_grad", f)
    argnums = _indices(argnums, what)

    def value_and_gradient(*args: Any, **options: Any) -> tuple[Scalar, Tree]:
        inputs, y, g = _differentiate(f, argnums, what, args, options)
        return inputs.results(y), inputs.results(g)

    return _named(value_and_gradient, f"value_and_grad({_name(f)})")


def jacobian(f: Function, argnums: Argnums = 0) -> Function:
    """The function that gives f's result with, in the place of each number, its gradient by the `argnums` argument.

    So the Jacobian of a function from lists to lists is a list of rows. One reverse sweep per number of f's result.
    """
    what = described("jacobian", f)
    argnums = _indices(argnums, what)

    def rows(*args: Any, **options: Any) -> Tree:
        with with_history():
            inputs, ys = _call(f, argnums, what, args, options)
            tree = tree_map(lambda y: inputs.tree(pull_back([y], [1.0], inputs.nodes)), ys)
        return inputs.results(tree)

    return _named(rows, f"jacobian({_name(f)})")


def hessian(f: Function, argnums: Argnums = 0) -> Function:
    """The function that gives the Jacobian of the gradient of f: a list of rows, where f is a function of a list."""
    argnums = _indices(argnums, described("hessian", f))
    return _named(jacobian(grad(f, argnums), argnums), f"hessian({_name(f)})")


def jvp(f: Function, primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Tree, Tree]:
    """f(*primals), and its derivative in the direction `tangents`, by one forward sweep: both of f's structure.

    A ValueError if the tangents have another structure than the primals.
    """
    what = described("jvp", f)
    primals, tangents = _sequence(primals, f"{what}: primals"), _sequence(tangents, f"{what}: tangents")
    with with_history():
        directions = _leaves_like(primals, tangents, f"{what}: tangents")
        inputs = _Inputs(_scalars(primals, f"{what}: primals"), what)
        ys = inputs.call(f, inputs.tree(), {})
        derivative = tree_like(ys, push_forward(tree_leaves(ys), inputs.nodes, directions))
    return inputs.results(ys), inputs.results(derivative)


def vjp(f: Function, *primals: Tree) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
    """f(*primals), and the function from cotangents, of f's structure, to their product with the Jacobian.

    It gives a tuple, of the structures of `primals`, by one reverse sweep; a ValueError for another structure than f's.
    """
    what = described("vjp", f)
    with with_history():
        inputs = _Inputs(_scalars(primals, f"{what}: primals"), what)
        ys = inputs.call(f, inputs.tree(), {})

    def pullback(cotangents: Tree) -> tuple[Tree, ...]:
        with with_history():
            weights = _leaves_like(ys, cotangents, f"{what}: cotangents")
            products = inputs.tree(pull_back(tree_leaves(ys), weights, inputs.nodes))
        results: tuple[Tree, ...] = inputs.results(products)
        return results

    return inputs.results(ys), pullback


def hvp(f: Function, primals: Sequence[Tree], tangents: Sequence[Tree]) -> Tree:
    """The Hessian of f at `primals` times `tangents`, at the cost of a few evaluations of f: forward over reverse.

    In the structure of the one primal; of several, a tuple.
    """
    primals = _sequence(primals, f"{described('hvp', f)}: primals")
    return jvp(grad(f, 0 if len(primals) == 1 else range(len(primals))), primals, tangents)[1]


def _sequence(xs: Any, what: str) -> tuple[Any, ...]:
    if not isinstance(xs, list | tuple):
        raise TypeError(f"{what} must be a tuple, one item for each argument, got {type(xs).__name__}: write (x,)")
    return tuple(xs)


def _named(f: Function, name: str) -> Function:
    f.__name__ = f.__qualname__ = name
    return f
