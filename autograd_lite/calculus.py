"""Derivatives as graphs: they are computed with Values, so they can be differentiated, drawn and compiled again.

Two functions sweep over a recorded graph: `pull_back` (reverse mode) and `push_forward` (forward mode). Both apply the
rules of the table to Values and make one sum of products per node. `jacobian_of` and `hessian_of` combine sweeps. The
functions after them, under JAX's names, differentiate Python functions.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from operator import index
from typing import Any, Concatenate, Literal, ParamSpec, TypeAlias, TypeVar, overload

from autograd_lite import primitives as p
from autograd_lite.calls import Call, item
from autograd_lite.extension import adopt, core
from autograd_lite.graph import dependents, topological_order
from autograd_lite.primitives import Result
from autograd_lite.recording import keeps_history, with_history
from autograd_lite.signatures import Derivative, Gradient, Hessian, Jacobian, T, Unannotated, ValueAndGradient
from autograd_lite.sparsity import Sparse, color_columns, dependencies, members, star_colors, transposed
from autograd_lite.trees import (
    Tree,
    arrays_to_lists,
    has_numpy_array,
    lists_to_arrays,
    note_about_lists,
    tree_leaves,
    tree_like,
    tree_map,
    tree_paths,
)
from autograd_lite.value import Calls, Value, active_recorder, constants

P = ParamSpec("P")
R = TypeVar("R")
N = TypeVar("N", bound=float)
Scalar: TypeAlias = Any  # a Value, or a float
Function: TypeAlias = Callable[..., Any]
Argnums: TypeAlias = int | Sequence[int]


class Transformable:
    """A function that builds its own derived functions, such as its gradient: a jitted function compiles them and keeps
    the programs."""

    def transformed(self, key: Hashable, transform: Callable[[Function], Function]) -> Function:
        """The function that `transform` makes of the plain function behind this one; `key` tells transforms apart."""
        raise NotImplementedError

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The function's result."""
        raise NotImplementedError


def gradients(y: Value, xs: Iterable[Value]) -> list[Value]:
    """dy/dx for each of `xs`, as a list of Values that can be differentiated again; 0 where y does not depend on x.

    `xs` may be leaves or nodes in between. A TypeError if `y` is not a Value, or `xs` is not a list of Values.

    >>> x = Value(3.0)
    >>> (dy,) = gradients(x**3, [x])
    >>> (d2y,) = gradients(dy, [x])
    >>> dy.data, d2y.data
    (27.0, 18.0)
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
    """Reverse mode: for each of `xs`, the sum over `ys` of cotangent * dy/dx; the float 0.0 where no y depends on x."""
    order: list[Any] = topological_order(*_values(ys))  # operations on Values, and calls on Symbols
    active = dependents(order, xs)
    active_recorder().watch_pull_back(order, active, ys, cotangents)
    pairs: dict[Value, list[Scalar]] = {}  # [g0, dx0, g1, dx1, ...]: the node's cotangent is the sum of g * dx
    for y, g in zip(ys, cotangents, strict=True):
        if y in active:
            pairs.setdefault(y, []).extend((g, 1.0))
    found = dict.fromkeys(xs, 0.0)
    calls: Calls | None = None
    of_results: dict[Value, dict[Any, list[Any]]] = {}  # the cotangents of the results of each call
    for node in reversed(order):
        if node in of_results:
            for x, g, key in node.op.pull(node, of_results.pop(node), active):
                if key is None:
                    pairs.setdefault(x, []).extend((g, 1.0))
                else:
                    of_results.setdefault(x, {}).setdefault(key, []).append(g)
            continue
        factors = pairs.pop(node, None)
        op, args = node.op, node.args
        if type(op) is Result:
            calls = calls or Calls(order)
            g = None if factors is None else sum_of_products(factors)
            if node in found and g is not None:
                found[node] = g
            for x, dx in calls.pulled(node, g, numbers=False):
                if x in active:
                    pairs.setdefault(x, []).extend((dx, 1.0))
            continue
        if factors is None:
            continue
        g = sum_of_products(factors)
        if node in found:
            found[node] = g
        if op is None:
            continue
        if op is item:
            of_results.setdefault(args[0], {}).setdefault(int(args[1]), []).append(g)
            continue
        add_products(pairs, active, g, args, op.partials(node, *args), _passed if op.selects else None)
    return [found[x] for x in xs]


def push_forward(ys: Sequence[Scalar], xs: Sequence[Value], tangents: Sequence[Scalar]) -> list[Scalar]:
    """Forward mode: for each of `ys`, the sum over `xs` of dy/dx * tangent; the float 0.0 where y depends on no x."""
    return push_directions(ys, [(xs, tangents)])[0]


def push_directions(
    ys: Sequence[Scalar], directions: Sequence[tuple[Sequence[Value], Sequence[Scalar]]]
) -> list[list[Scalar]]:
    """`push_forward` for each direction, which is a pair of inputs and their tangents; the partials are made once."""
    order = topological_order(*_values(ys))
    found: dict[Value, dict[int, Scalar]] = {}  # the tangents of each node, by the number of the direction
    of_calls: dict[tuple[Any, ...], list[Scalar] | None] = {}  # the tangents of the results of each call

    def pushed(op: Result, args: tuple[Any, ...]) -> list[Scalar] | None:
        call = op.result_of, args
        if call not in of_calls:
            given = [(k, found[x][0]) for k, x in enumerate(args) if type(x) is not float and found.get(x)]
            of_calls[call] = op.result_of.push(given, args) if given else []
        return of_calls[call]

    for n, (xs, tangents) in enumerate(directions):
        active_recorder().watch_push_forward(order, xs, tangents)
        for x, tangent in zip(xs, tangents, strict=True):
            found.setdefault(x, {})[n] = tangent
    for node in order:
        op, args = node.op, node.args
        if op is None or found.keys().isdisjoint(args):
            continue
        if isinstance(op, Call):
            active = {n for x in args if x in found for n in found[x]}
            made = {n: op.push(node, {x: found[x][n] for x in args if x in found and n in found[x]}) for n in active}
        elif op is item:
            made = {n: tangent.item(int(args[1])) for n, tangent in found[args[0]].items()}
        elif type(op) is Result and len(directions) == 1 and (of_results := pushed(op, args)) is not None:
            made = {0: of_results[op.index]} if of_results else {}
        else:
            made = tangents_of(args, op.partials(node, *args), found, _passed if op.selects else None)
        found[node] = made | found[node] if node in found else made
    return [[found[y].get(n, 0.0) if y in found else 0.0 for y in ys] for n in range(len(directions))]


def jacobian_of(ys: Sequence[Scalar], xs: Sequence[Value], forward: bool = True) -> Sparse:
    """The Jacobian of `ys` by `xs`: dy/dx wherever y depends on x, by few sweeps.

    Columns that share no row are found in one forward sweep, rows that share no column in one reverse sweep. The mode
    that needs fewer sweeps is used, reverse mode if both need as many, or if `forward` is False. The two differ at
    infinities: for where(x > 0, sqrt(x), 0) at x = 0 reverse mode gives nan and forward mode 0; for sqrt(where(x > 0,
    x, 0)) at x = -1 reverse mode gives 0 and forward mode nan.
    """
    if len(ys) == 1:
        row = pull_back(ys, [1.0], xs)
        mask = sum([1 << j for j, g in enumerate(row) if type(g) is not float or g])
        return _assembled([mask], len(xs), lambda _, j: row[j])
    pattern = dependencies(ys, xs)
    rows, columns = color_columns(transposed(pattern, len(xs)), len(ys)), color_columns(pattern, len(xs))
    if forward and max(columns, default=0) < max(rows, default=0):
        tangents = _compressed(ys, xs, columns)
        return _assembled(pattern, len(xs), lambda i, j: tangents[columns[j]][i])
    groups: list[list[int]] = [[] for _ in range(1 + max(rows, default=-1))]
    for i, color in enumerate(rows):
        groups[color].append(i)
    found = [pull_back([ys[i] for i in group], [1.0] * len(group), xs) for group in groups]
    return _assembled(pattern, len(xs), lambda i, j: found[rows[i]][j])


def hessian_of(y: Scalar, xs: Sequence[Value]) -> Sparse:
    """The Hessian of `y` by `xs`, by one reverse sweep and one forward sweep over it for each colour of its pattern."""
    gradient = pull_back([y], [1.0], xs)
    pattern = dependencies(gradient, xs)
    pattern = [a | b for a, b in zip(pattern, transposed(pattern, len(xs)), strict=True)]
    colors = star_colors(pattern)
    tangents = _compressed(gradient, xs, colors)
    counts: list[dict[int, int]] = [{} for _ in xs]  # for each row, how many of its columns have each colour
    for count, mask in zip(counts, pattern, strict=True):
        for j in members(mask):
            count[colors[j]] = count.get(colors[j], 0) + 1

    def entry(i: int, j: int) -> Scalar:
        """The entry from its own row, if the colour of its column is there once; else from the row of its mirror."""
        low, high = (i, j) if i < j else (j, i)  # so that both halves are the same to the last digit
        alone = counts[low][colors[high]] == 1
        return tangents[colors[high]][low] if alone else tangents[colors[low]][high]

    return _assembled(pattern, len(xs), entry)


def _compressed(ys: Sequence[Scalar], xs: Sequence[Value], colors: Sequence[int]) -> list[list[Scalar]]:
    """For each colour, the derivative of `ys` in the direction that is 1 for the `xs` of that colour."""
    groups: list[list[Value]] = [[] for _ in range(1 + max(colors, default=-1))]
    for x, color in zip(xs, colors, strict=True):
        groups[color].append(x)
    return push_directions(ys, [(group, [1.0] * len(group)) for group in groups])


def _assembled(pattern: Sequence[int], columns: int, entry: Callable[[int, int], Scalar]) -> Sparse:
    """The matrix with an entry at each place of `pattern`."""
    values: list[Scalar] = []
    indices: list[int] = []
    indptr = [0]
    for i, mask in enumerate(pattern):
        row = members(mask)
        values += [entry(i, j) for j in row]
        indices += row
        indptr.append(len(indices))
    return Sparse(values, indices, indptr, (len(pattern), columns))


def _passed(g: Scalar, partial: Scalar) -> Scalar:
    """`g` where the partial of a selecting operation is not 0, else 0.0, so that 0 * inf does not give nan."""
    if type(partial) is float:
        return g if partial else 0.0
    return p.where(partial, g, 0.0)


def sum_of_products(factors: list[Scalar]) -> Scalar:
    """The sum x0*y0 + x1*y1 + ... of the list [x0, y0, x1, y1, ...], as at most one node.

    No node has a factor of 1.0 if there is one product, or if all y are 1.0.
    """
    if len(factors) == 2:
        x, y = factors
        return x if type(y) is float and y == 1.0 else y if type(x) is float and x == 1.0 else x * y
    xs, ys = factors[::2], factors[1::2]
    if all(type(y) is float and y == 1.0 for y in ys):
        return p.sum_(*xs) if xs else 0.0
    return p.dot(*xs, *ys)


def tangents_of(
    args: tuple[Any, ...],
    partials: tuple[Any, ...],
    tangents: dict[Value, dict[int, Scalar]],
    passed: Callable[[Scalar, Scalar], Scalar] | None,
) -> dict[int, Scalar]:
    """The tangents of a node by direction, from its `partials` and the `tangents` of its arguments.

    Each is the sum of t * dx, with passed(t, dx) in place of t unless `passed` is None.
    """
    factors: dict[int, list[Scalar]] = {}
    for x, dx in zip(args, partials, strict=True):
        if dx is not None and x in tangents:
            for n, t in tangents[x].items():
                factors.setdefault(n, []).extend((t if passed is None else passed(t, dx), dx))
    return {n: sum_of_products(pairs) for n, pairs in factors.items()}


def add_products(
    pairs: dict[Value, list[Scalar]],
    active: set[Value],
    g: Scalar,
    args: tuple[Any, ...],
    partials: tuple[Any, ...],
    passed: Callable[[Scalar, Scalar], Scalar] | None,
) -> None:
    """Append the pair g, dx to the `pairs` of each active argument; with `passed`, the pair passed(g, dx), dx."""
    if len(args) != len(partials):
        raise TypeError(f"a rule gives one partial for each argument: {len(args)}, got {len(partials)}")
    for x, dx in zip(args, partials, strict=True):
        if x in active and dx is not None:
            pairs.setdefault(x, []).extend((g if passed is None else passed(g, dx), dx))


if core is not None:
    adopt(globals(), "sum_of_products", "tangents_of", "add_products")


def _values(xs: Iterable[Scalar]) -> list[Value]:
    return [x for x in xs if isinstance(x, Value)]


def _value(x: Scalar) -> Value:
    return x if isinstance(x, Value) else active_recorder().constant(x)


# ---- the arguments and the results of a derivative


class _Inputs:
    """The inputs of a derivative: a fresh node for each leaf of the tree `scalars`, a Value or a float.

    A number becomes a leaf. A Value becomes a new node equal to it: derivatives flow through that node to the Value,
    and the uses of the Value elsewhere stay apart (no perturbation confusion). Where `arrays` were given in place of
    lists, lists in the results become arrays.
    """

    def __init__(self, scalars: Tree, arrays: bool, what: str) -> None:
        recorder = active_recorder()
        self.what, self.arrays = what, arrays
        self.structure = tree_map(recorder.fresh, scalars)
        self.nodes: list[Value] = tree_leaves(self.structure)
        self.are_numbers = not recorder.inlines and all(node.op is None for node in self.nodes)
        self.constants = set(self.nodes)  # leaves that cannot vary after the function has returned

    def tree(self, leaves: Sequence[Scalar] | None = None) -> Tree:
        """A new tree of the nodes, or of other leaves. The function may change it."""
        return tree_like(self.structure, self.nodes if leaves is None else leaves)

    def call(self, f: Function, args: Sequence[Any], options: dict[str, Any]) -> Tree:
        """The result of f, made of Values and floats."""
        token = constants.set(self.constants)
        try:
            y = f(*args, **options)
        except (AttributeError, TypeError) as error:
            if self.arrays:
                note_about_lists(error, self.what)
            raise
        finally:
            constants.reset(token)
        return _scalars(y, f"the result under {self.what}")

    def results(self, tree: Tree) -> Tree:
        """`tree` as floats, if the inputs were numbers and nothing in its graph can vary any more; else as Values."""
        around = constants.get()
        if around is not None:
            around |= self.constants
        order = topological_order(*_values(tree_leaves(tree))) if self.are_numbers else []
        if self.are_numbers and all(node.op is not None or node in self.constants for node in order):
            tree = tree_map(lambda z: z.data if isinstance(z, Value) else z, tree)
        else:
            tree = tree_map(_value if keeps_history() else lambda z: _value(z).detach(), tree)
        return lists_to_arrays(tree) if self.arrays else tree

    def matrix(self, matrix: Sparse) -> Any:
        """`matrix` as a SciPy array; in a trace, a Sparse whose entries are Values.

        A TypeError if the entries of the SciPy array would be Values.
        """
        if active_recorder().symbolic:
            return Sparse([*map(_value, matrix.values)], matrix.indices, matrix.indptr, matrix.shape)
        numbers = self.results(matrix.values)
        if any(isinstance(x, Value) for x in numbers):
            raise TypeError(
                f"{self.what} with sparse=True gives numbers, and these depend on Values: call it with numbers, "
                "and detach the Values that it uses"
            )
        return matrix.to_scipy(numbers)


def _scalar(x: Any, what: str) -> Scalar:
    return x if isinstance(x, Value) else p.to_float(x, what)


def leaves_like(tree: Tree, given: Tree, what: str) -> list[Any]:
    """The leaves of `given`; a ValueError that begins with `what` if it has another structure than `tree`."""
    leaves: list[Any] = []

    def add(_: Any, leaf: Any) -> None:
        if isinstance(leaf, dict | list | tuple):
            raise ValueError(f"expected a number, got {type(leaf).__name__} {str(leaf)[:60]}")
        leaves.append(leaf)

    try:
        tree_map(add, tree, given)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    return leaves


def _scalars_like(tree: Tree, given: Tree, what: str) -> list[Scalar]:
    """The leaves of `given` as Values and floats; a ValueError if it has another structure than `tree`."""
    return _leaf_scalars(leaves_like(tree, arrays_to_lists(given), what), tree, what)


def _scalars(tree: Tree, what: str) -> Tree:
    """`tree` made of Values and floats, with lists for arrays; a TypeError that names the path of any other leaf."""
    tree = arrays_to_lists(tree)
    return tree_like(tree, _leaf_scalars(tree_leaves(tree), tree, what))


def _leaf_scalars(leaves: list[Any], tree: Tree, what: str) -> list[Scalar]:
    with suppress(TypeError):
        return [_scalar(x, what) for x in leaves]
    # One leaf is no number. The error names its path.
    return [_scalar(x, what + path) for x, path in zip(leaves, tree_paths(tree), strict=True)]


def described(what: str, f: Function) -> str:
    """`what` of f, the beginning of an error message. A TypeError if f is not a function."""
    if not callable(f):
        raise TypeError(f"{what} takes a function, got {type(f).__name__}")
    return f"{what} of {_name(f)}"


def _indices(argnums: Any, what: str) -> Argnums:
    """`argnums` as an int or a tuple of ints; a TypeError if it is neither."""
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
    scalars = [_scalars(args[i], f"{what}: args[{i}]") for i in places]
    arrays = has_numpy_array([args[i] for i in places])
    inputs = _Inputs(scalars[0] if isinstance(argnums, int) else tuple(scalars), arrays, what)
    trees = dict(zip(places, [inputs.tree()] if isinstance(argnums, int) else inputs.tree(), strict=True))
    return inputs, inputs.call(f, [trees.get(i, arg) for i, arg in enumerate(args)], options)


def _call_for_number(
    f: Function, argnums: Argnums, what: str, args: tuple[Any, ...], options: Any
) -> tuple[_Inputs, Scalar]:
    """Fresh inputs, and f's result on them, which must be one number."""
    inputs, y = _call(f, argnums, what, args, options)
    if not isinstance(y, Value | float):
        raise TypeError(f"{what} needs a function that returns one number, got {type(y).__name__}: see jacobian")
    return inputs, y


# ---- derivatives of functions


@overload
def grad(f: Derivative[T, R, P], argnums: Literal[0] = 0) -> Gradient[T, R, P]: ...
@overload
def grad(f: Callable[Concatenate[T, P], R], argnums: Literal[0] = 0) -> Gradient[T, R, P]: ...
@overload
def grad(f: Callable[P, Any], argnums: int = 0) -> Callable[P, Any]: ...
@overload
def grad(f: Callable[P, Any], argnums: Sequence[int]) -> Callable[P, tuple[Any, ...]]: ...
def grad(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function that returns the gradient of f: a tree with the structure of the argument number `argnums`.

    f takes numbers, and nested lists, tuples, dicts and NumPy arrays of numbers, and returns one number. Where the
    argument has arrays f sees lists, a vector as a list of numbers and a matrix as a list of rows; the gradient has
    arrays of the same shapes. With a sequence of `argnums` the result is a tuple with one gradient for each.

    Plain numbers give floats, unless the gradient depends on a Value that f uses from outside or makes itself. (Values
    made by `detach` or under `no_grad` do not count.) Values give Values, which can be differentiated by everything
    that they depend on. The gradient of a jitted function is a jitted function. What is said of numbers, Values and
    arrays holds for `value_and_grad`, `jacobian`, `hessian`, `jvp`, `vjp` and `hvp`, too.

    A ValueError if `argnums` is out of range or picks an argument twice; a TypeError that names the path of a leaf that
    is not a number, or if f does not return one number.

    >>> grad(lambda x: x**3)(2.0)
    12.0
    >>> grad(lambda p: p["a"] * p["b"])({"a": 2.0, "b": 5.0})
    {'a': 5.0, 'b': 2.0}
    """
    what = described("grad", f)
    argnums = _indices(argnums, what)
    if isinstance(f, Transformable):
        return f.transformed(("grad", argnums), lambda f: grad(f, argnums))

    def gradient(*args: Any, **options: Any) -> Tree:
        with with_history():
            inputs, y = _call_for_number(f, argnums, what, args, options)
            g = inputs.tree(pull_back([y], [1.0], inputs.nodes))
        return inputs.results(g)

    return _derivative(gradient, f, f"grad({_name(f)})")


@overload
def value_and_grad(f: Derivative[T, R, P], argnums: Literal[0] = 0) -> ValueAndGradient[T, Any, P]: ...
@overload
def value_and_grad(f: Callable[Concatenate[T, P], R], argnums: Literal[0] = 0) -> ValueAndGradient[T, R, P]: ...
@overload
def value_and_grad(f: Callable[P, Any], argnums: int = 0) -> Callable[P, tuple[Any, Any]]: ...
@overload
def value_and_grad(f: Callable[P, Any], argnums: Sequence[int]) -> Callable[P, tuple[Any, tuple[Any, ...]]]: ...
def value_and_grad(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function that returns the pair of f's result and its gradient (see `grad`), for one evaluation of f.

    `scipy.optimize.minimize(value_and_grad(f), x0, jac=True)` needs no wrapper.

    >>> value_and_grad(lambda x: x[0] * x[1])([2.0, 5.0])
    (10.0, [5.0, 2.0])
    """
    what = described("value_and_grad", f)
    argnums = _indices(argnums, what)
    if isinstance(f, Transformable):
        return f.transformed(("value_and_grad", argnums), lambda f: value_and_grad(f, argnums))

    def value_and_gradient(*args: Any, **options: Any) -> tuple[Scalar, Tree]:
        with with_history():
            inputs, y = _call_for_number(f, argnums, what, args, options)
            g = inputs.tree(pull_back([y], [1.0], inputs.nodes))
        return inputs.results(y), inputs.results(g)

    return _derivative(value_and_gradient, f, f"value_and_grad({_name(f)})")


@overload
def jacobian(
    f: Derivative[T, R, P], argnums: Literal[0] = 0, *, sparse: Literal[False] = False
) -> Jacobian[T, Any, P]: ...
@overload
def jacobian(
    f: Callable[Concatenate[T, P], R], argnums: Literal[0] = 0, *, sparse: Literal[False] = False
) -> Jacobian[T, R, P]: ...
@overload
def jacobian(f: Callable[P, Any], argnums: int = 0, *, sparse: bool = False) -> Callable[P, Any]: ...
@overload
def jacobian(f: Callable[P, Any], argnums: Sequence[int], *, sparse: bool = False) -> Callable[P, Any]: ...
def jacobian(f: Callable[..., Any], argnums: Argnums = 0, *, sparse: bool = False) -> Callable[..., Any]:
    """The function that returns f's result with each number replaced by its gradient by the argument `argnums`.

    So the Jacobian of a function from lists to lists is a list of rows; of arrays, a matrix. It is computed in the
    mode, forward or reverse, that needs fewer sweeps: columns, or rows, without a common entry share a sweep (Curtis,
    Powell, Reid 1974).

    With `sparse` the result is a `scipy.sparse.csr_array`: its rows are the numbers of f's result in order, its columns
    those of the argument, and its entries the places where the result may depend on the argument. It needs plain
    numbers. Of a jitted function the pattern is computed once for each structure of the arguments.

    >>> jacobian(lambda x: [x[0] * x[1], x[0]])([2.0, 5.0])
    [[5.0, 2.0], [1.0, 0.0]]
    """
    what = described("jacobian", f)
    argnums = _indices(argnums, what)
    if isinstance(f, Transformable):
        return f.transformed(("jacobian", argnums, sparse), lambda f: jacobian(f, argnums, sparse=sparse))

    def rows(*args: Any, **options: Any) -> Tree:
        with with_history():
            inputs, ys = _call(f, argnums, what, args, options)
            matrix = jacobian_of(tree_leaves(ys), inputs.nodes)
        return inputs.matrix(matrix) if sparse else inputs.results(tree_like(ys, map(inputs.tree, matrix.rows())))

    return _derivative(rows, f, f"jacobian({_name(f)})")


@overload
def hessian(
    f: Derivative[T, R, P], argnums: Literal[0] = 0, *, sparse: Literal[False] = False
) -> Hessian[T, Any, P]: ...
@overload
def hessian(
    f: Callable[Concatenate[T, P], R], argnums: Literal[0] = 0, *, sparse: Literal[False] = False
) -> Hessian[T, R, P]: ...
@overload
def hessian(f: Callable[P, Any], argnums: int = 0, *, sparse: bool = False) -> Callable[P, Any]: ...
@overload
def hessian(f: Callable[P, Any], argnums: Sequence[int], *, sparse: bool = False) -> Callable[P, Any]: ...
def hessian(f: Callable[..., Any], argnums: Argnums = 0, *, sparse: bool = False) -> Callable[..., Any]:
    """The function that returns the matrix of f's second derivatives: the Jacobian of its gradient.

    Of a function of a list it is a list of rows; of an array, a matrix; of a tree, a tree of trees. One reverse sweep,
    and forward sweeps over it for as many directions as a star colouring of the pattern has colours: three for a
    tridiagonal Hessian. `sparse` is as in `jacobian`.

    >>> hessian(lambda x: x[0] ** 2 * x[1])([2.0, 5.0])
    [[10.0, 4.0], [4.0, 0.0]]
    """
    what = described("hessian", f)
    argnums = _indices(argnums, what)
    if isinstance(f, Transformable):
        return f.transformed(("hessian", argnums, sparse), lambda f: hessian(f, argnums, sparse=sparse))

    def rows(*args: Any, **options: Any) -> Tree:
        with with_history():
            inputs, y = _call_for_number(f, argnums, what, args, options)
            matrix = hessian_of(y, inputs.nodes)
        return inputs.matrix(matrix) if sparse else inputs.results(inputs.tree([*map(inputs.tree, matrix.rows())]))

    return _derivative(rows, f, f"hessian({_name(f)})")


@overload
def jvp(f: Callable[..., Unannotated], primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Any, Any]: ...
@overload
def jvp(f: Callable[..., float], primals: Sequence[N], tangents: Sequence[float]) -> tuple[float, float]: ...
@overload
def jvp(f: Function, primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Tree, Tree]: ...
def jvp(f: Function, primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Tree, Tree]:
    """f(*primals) and its derivative in the direction `tangents`, by one forward sweep.

    Both have the structure of f's result.

    `primals` and `tangents` are tuples with one tree for each argument. A TypeError if one of the two is not a tuple or
    a list, a ValueError if the tangents have another structure than the primals.

    >>> jvp(lambda x, y: x * y, (2.0, 5.0), (1.0, 0.0))
    (10.0, 5.0)
    """
    what = described("jvp", f)
    primals, tangents = _sequence(primals, f"{what}: primals"), _sequence(tangents, f"{what}: tangents")
    if isinstance(f, Transformable):
        compiled = f.transformed("jvp", lambda f: _named(lambda x, t: jvp(f, x, t), f"jvp({_name(f)})"))
        both: tuple[Tree, Tree] = compiled(primals, tangents)
        return both
    with with_history():
        directions = _scalars_like(arrays_to_lists(primals), tangents, f"{what}: tangents")
        inputs = _Inputs(_scalars(primals, f"{what}: primals"), has_numpy_array(primals), what)
        ys = inputs.call(f, inputs.tree(), {})
        derivative = tree_like(ys, push_forward(tree_leaves(ys), inputs.nodes, directions))
    return inputs.results(ys), inputs.results(derivative)


@overload
def vjp(f: Callable[..., Unannotated], *primals: Tree) -> tuple[Any, Callable[[Tree], tuple[Any, ...]]]: ...
@overload
def vjp(f: Callable[..., float], *primals: float) -> tuple[float, Callable[[float], tuple[float, ...]]]: ...
@overload
def vjp(f: Function, *primals: Tree) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]: ...
def vjp(f: Function, *primals: Tree) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
    """f(*primals), and the function from cotangents to their product with the Jacobian, by one reverse sweep.

    Cotangents have the structure of f's result, else a ValueError. The product is a tuple with a tree for each primal.

    >>> y, pullback = vjp(lambda x, y: x * y, 2.0, 5.0)
    >>> y, pullback(1.0)
    (10.0, (5.0, 2.0))
    """
    what = described("vjp", f)
    if isinstance(f, Transformable):
        primals = tree_map(lambda x: x.copy() if has_numpy_array(x) else x, primals)  # as they are now
        pull = f.transformed("vjp", lambda f: _named(lambda x, g: vjp(f, *x)[1](g), f"vjp({_name(f)})"))
        return f(*primals), lambda cotangents: pull(primals, cotangents)
    with with_history():
        inputs = _Inputs(_scalars(primals, f"{what}: primals"), has_numpy_array(primals), what)
        ys = inputs.call(f, inputs.tree(), {})

    def pullback(cotangents: Tree) -> tuple[Tree, ...]:
        with with_history():
            weights = _scalars_like(ys, cotangents, f"{what}: cotangents")
            products = inputs.tree(pull_back(tree_leaves(ys), weights, inputs.nodes))
        results: tuple[Tree, ...] = inputs.results(products)
        return results

    return inputs.results(ys), pullback


@overload
def hvp(f: Callable[..., Unannotated], primals: Sequence[Tree], tangents: Sequence[Tree]) -> Any: ...
@overload
def hvp(f: Callable[..., float], primals: tuple[float], tangents: tuple[float]) -> float: ...
@overload
def hvp(f: Callable[..., float], primals: tuple[list[float]], tangents: tuple[list[float]]) -> list[float]: ...
@overload
def hvp(f: Function, primals: Sequence[Tree], tangents: Sequence[Tree]) -> Tree: ...
def hvp(f: Function, primals: Sequence[Tree], tangents: Sequence[Tree]) -> Tree:
    """The Hessian of f at `primals` times `tangents`, for a few evaluations of f: forward over reverse mode.

    It has the structure of the only primal; of several, it is a tuple. `primals` and `tangents` are as in `jvp`.

    >>> hvp(lambda x: x[0] ** 2 * x[1], ([2.0, 5.0],), ([1.0, 0.0],))
    [10.0, 4.0]
    """
    what = described("hvp", f)
    primals, tangents = _sequence(primals, f"{what}: primals"), _sequence(tangents, f"{what}: tangents")
    if isinstance(f, Transformable):
        return f.transformed("hvp", lambda f: _named(lambda x, t: hvp(f, x, t), f"hvp({_name(f)})"))(primals, tangents)
    return jvp(grad(f, 0 if len(primals) == 1 else range(len(primals))), primals, tangents)[1]


def _sequence(xs: Any, what: str) -> tuple[Any, ...]:
    if not isinstance(xs, list | tuple):
        raise TypeError(f"{what} must be a tuple, one item for each argument, got {type(xs).__name__}: write (x,)")
    return tuple(xs)


def _derivative(derivative: Callable[P, Any], f: Function, name: str) -> Callable[P, Any]:
    """`derivative` with its name, and with f as what it wraps, so that `help` shows the parameters of f."""
    derivative.__wrapped__ = f  # type: ignore[attr-defined]
    return _named(derivative, name)


def _named(f: Callable[P, Any], name: str) -> Callable[P, Any]:
    f.__name__ = f.__qualname__ = name
    return f
