"""The content of an exported file: a traced function, its derivatives, their programs, and names for the numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from autograd_lite import primitives
from autograd_lite.calculus import pull_back, push_forward
from autograd_lite.calls import item
from autograd_lite.compiler.arguments import is_number
from autograd_lite.compiler.export.listing import (
    Expression,
    Function,
    Index,
    Item,
    Listing,
    Name,
    Variable,
    identifier,
)
from autograd_lite.compiler.export.writing import Part, Sweep, expected, stems, whole, write
from autograd_lite.compiler.loops import Loop
from autograd_lite.compiler.pipeline import Pipeline, planned
from autograd_lite.compiler.program import Program
from autograd_lite.compiler.simplify import leaves_by_use, simplify
from autograd_lite.compiler.trace import Symbol, Trace, order_of
from autograd_lite.ieee import to_float
from autograd_lite.naming import names_of, parameter_names
from autograd_lite.primitives import Primitive
from autograd_lite.recording import recording_with
from autograd_lite.trees import Tree, arrays_to_lists, tree_leaves, tree_map, tree_paths
from autograd_lite.value import Value

NAMED = 16  # captured numbers, at most, that get a name each and not a place in an array
CASES = (1.0, 0.75, 1.25)  # the inputs of a self-test, as multiples of the example's
LARGE = 200  # numbers in a case from which on one case is enough


class Parameter(NamedTuple):
    """A parameter of the function: its name, the symbols for its numbers, where each is, and the example's numbers."""

    name: str
    symbols: list[Symbol]
    paths: list[str]
    example: list[float]

    @property
    def size(self) -> int | None:
        """The size of its array; None for one number."""
        return None if self.paths == [""] else len(self.paths)


class Output(NamedTuple):
    """A named result, and the operands that give its numbers. `size` is None for one number."""

    name: str
    size: int | None
    roots: list[Any]


class Exported:
    """`f`, traced on the structure of `example`, and the derivatives of it that are exported to `language`.

    A ValueError if `f` uses an operation that is not in the table of primitives. A TypeError if it gives no numbers, or
    several with `hvp`.

    `captured_as_arguments`: the Values that `f` captured become an argument, and derivatives by them are exported too.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        example: Tree,
        language: str,
        gradient: bool,
        hvp: bool,
        captured_as_arguments: bool,
    ) -> None:
        self.gradient, self.hvp = gradient, hvp
        self.label = getattr(f, "__name__", None) or type(f).__name__
        self.trace = Trace()
        self.parameters: list[Parameter] = []
        arguments, options = arrays_to_lists(example)
        args = [self._parameter(name, x) for name, x in zip(parameter_names(f, len(arguments)), arguments, strict=True)]
        kwargs = {name: self._parameter(name, x) for name, x in options.items()}
        with recording_with(self.trace):
            result = f(*args, **kwargs)
        leaves = [x for x in tree_leaves(result) if is_number(x)]
        if not leaves or len(leaves) < sum(x is not None and not isinstance(x, str) for x in tree_leaves(result)):
            raise TypeError(f"export takes a function that gives numbers; {self.label} gives {_short(result)}")
        self.is_one = leaves[0] is result
        self.roots = self._operands(leaves)
        self._check(self.roots, language)
        if hvp and not self.is_one:
            raise TypeError(f"export: hvp needs a function that gives one number; {self.label} gives {len(leaves)}")
        values = {symbol: value for value, symbol in self.trace.captured.items()}
        self.captured = [x for x in leaves_by_use(simplify(self.trace, self.roots), self.roots) if x in values]
        self.numbers = [values[x].data for x in self.captured]
        known = names_of([values[x] for x in self.captured])
        self.labels = [known.get(values[x], "") for x in self.captured]
        if captured_as_arguments and self.captured:
            self._move_captured()

    def _check(self, roots: Sequence[Any], language: str) -> None:
        """A ValueError if `roots`, or the body of a loop, need a primitive that is not in the table."""
        for node in order_of(roots):
            if isinstance(node.op, Loop):
                self._check([*node.op.body.next, *node.op.columns], language)
            elif node.op not in (None, item) and not is_standard(node.op):
                raise ValueError(
                    f"export: {language} has no primitive {node.op.name!r}: write the function with autograd_lite's own"
                )

    def _parameter(self, name: str, branch: Tree) -> Tree:
        """The branch of the arguments with symbols in place of numbers; they become a parameter."""
        paths = iter(tree_paths(branch, ""))
        parameter = Parameter(name, [], [], [])

        def symbol(leaf: Any) -> Any:
            path = next(paths)
            if not is_number(leaf):
                return leaf
            parameter.symbols.append(Symbol(self.trace, row=True, label=name + path))
            parameter.paths.append(path)
            parameter.example.append(leaf.data if isinstance(leaf, Value) else to_float(leaf, name))
            return parameter.symbols[-1]

        tree = tree_map(symbol, branch)
        if parameter.symbols:
            self.parameters.append(parameter)
        return tree

    def _move_captured(self) -> None:
        """Make arguments of the captured Values: record the graph once more with symbols that vary."""
        one_by_one = len(self.captured) <= NAMED and all(self.labels) and len(set(self.labels)) == len(self.labels)
        parameters = self.parameters
        if one_by_one:
            captured = zip(self.labels, self.captured, self.numbers, strict=True)
            parameters += [Parameter(label, [x], [""], [number]) for label, x, number in captured]
        else:
            paths = [f"[{n}]" for n in range(len(self.captured))]
            parameters.append(Parameter("parameters", self.captured, paths, self.numbers))
        new: dict[Any, Any] = {x: Symbol(self.trace, row=True, label=x.label) for p in parameters for x in p.symbols}
        for node in order_of(self.roots):
            if node.op is not None and node not in new:
                new[node] = self.trace.make(node.op, tuple([x if type(x) is float else new[x] for x in node.args]))
        self.roots = [x if type(x) is float else new[x] for x in self.roots]
        self.parameters = [p._replace(symbols=[new[x] for x in p.symbols]) for p in parameters]
        self.captured, self.numbers, self.labels = [], [], []

    @property
    def inputs(self) -> list[Symbol]:
        """The symbols of all the parameters."""
        return [x for parameter in self.parameters for x in parameter.symbols]

    def outputs(self) -> list[Output]:
        """The value or the values of the function."""
        return [Output("value", None, self.roots) if self.is_one else Output("values", len(self.roots), self.roots)]

    def gradients(self) -> list[Output]:
        """The derivatives of the results by each parameter: the Jacobian, row after row, where there are several."""
        with recording_with(self.trace):
            rows = [self._operands(pull_back([y], [1.0], self.inputs)) for y in self.roots]
        found, at = [], 0
        for parameter in self.parameters:
            count = len(parameter.symbols)
            roots = [x for row in rows for x in row[at : at + count]]
            at += count
            size = None if self.is_one and parameter.size is None else len(roots)
            found.append(Output(f"d_{parameter.name}", size, roots))
        return found

    @property
    def needs_sweeps(self) -> bool:
        """Whether a Jacobian would have one loop for each of several results."""
        order = order_of(self.roots)
        return len(self.roots) > 1 and any(isinstance(x.op, Loop) for x in order)

    def sweeps(self) -> tuple[list[Output], list[Sweep]]:
        """The values and the Jacobian, as `gradients` has it, and the sweeps that compute them.

        A parameter of fewer numbers than there are results is swept in forward mode, a column of the Jacobian in each
        sweep; all others together in reverse mode, a row in each.
        """
        m = len(self.roots)
        outputs = [*self.outputs(), *[Output(f"d_{p.name}", m * len(p.symbols), []) for p in self.parameters]]
        forward = [len(p.symbols) < m for p in self.parameters]
        jobs: list[tuple[int, list[Any], list[Any], list[Part]]] = []
        columns = [n for n, ahead in enumerate(forward) if not ahead]
        with recording_with(self.trace):
            if columns:
                seeds = [Symbol(self.trace, row=True) for _ in range(m)]
                xs = [x for n in columns for x in self.parameters[n].symbols]
                parts, at = [], 0
                for n in columns:
                    count = len(self.parameters[n].symbols)
                    parts.append(Part(n + 1, at, count, count, 1))
                    at += count
                jobs.append((m, seeds, self._operands(pull_back(self.roots, seeds, xs)), parts))
            for n in [n for n, ahead in enumerate(forward) if ahead]:
                xs = self.parameters[n].symbols
                seeds = [Symbol(self.trace, row=True) for _ in xs]
                found = self._operands(push_forward(self.roots, xs, seeds))
                jobs.append((len(xs), seeds, found, [Part(n + 1, 0, m, 1, len(xs))]))
        sweeps: list[Sweep] = []
        for count, seeds, roots, parts in jobs:
            if not sweeps:  # the first computes the values, too, which are the same in every sweep
                parts = [*[part._replace(first=part.first + m) for part in parts], Part(0, 0, m, 0, 1)]
                roots = [*self.roots, *roots]
            sweeps.append(Sweep(self._planned(roots, seeds), count, parts))
        return outputs, sweeps

    def _operands(self, xs: Sequence[Any]) -> list[Any]:
        return [self.trace.operand(x) for x in xs]

    def products(self) -> tuple[list[Parameter], list[Output]]:
        """The parameters for a direction, and the product of the Hessian with it."""
        directions = [
            parameter._replace(
                name=f"v_{parameter.name}",
                symbols=[Symbol(self.trace, row=True) for _ in parameter.symbols],
                example=[1.0 / (n + 1) for n in range(len(parameter.symbols))],
            )
            for parameter in self.parameters
        ]
        with recording_with(self.trace):
            gradient = pull_back(self.roots, [1.0], self.inputs)
            tangents = [x for direction in directions for x in direction.symbols]
            found = self._operands(push_forward(gradient, self.inputs, tangents))
        products, at = [], 0
        for parameter in self.parameters:
            count = len(parameter.symbols)
            products.append(Output(f"h_{parameter.name}", parameter.size, found[at : at + count]))
            at += count
        return directions, products

    def program(self, outputs: Sequence[Output], directions: Sequence[Parameter] = ()) -> Program | Pipeline:
        """The program that computes `outputs` from the parameters and `directions`."""
        return self._planned(
            [x for output in outputs for x in output.roots], [x for direction in directions for x in direction.symbols]
        )

    def _planned(self, roots: Sequence[Any], more_inputs: Sequence[Symbol]) -> Program | Pipeline:
        return planned(self.trace, simplify(self.trace, roots), [], [*self.inputs, *more_inputs], self.captured)

    # --- As a listing -----------------------------------------------------------------------------------------------

    def listing(self, stem: str) -> Listing:
        """The function, and the derivatives that are exported with it, as a listing for the file `stem`."""
        taken: set[str] = set()
        name = identifier("f" if self.label == "<lambda>" else self.label, taken)
        kind = "jacobian" if not self.is_one else "gradient"
        names = {suffix: identifier(f"{name}_{suffix}", taken) for suffix in (kind, "hvp")}
        listing = Listing(identifier(stem, set()), [f"{name}, exported by autograd-lite."])
        captured = self._constants(listing, taken)
        listing.about += self._layout()
        value = "the value" if self.is_one else f"the {len(self.roots)} values"
        jobs: list[tuple[str, str, list[Output], list[Parameter], list[Sweep]]] = [
            (name, f"{value[0].upper()}{value[1:]} of {name}.", self.outputs(), [], [])
        ]
        if self.gradient and self.inputs:
            derivatives = "the derivatives by" if self.is_one else "the Jacobian, row after row, by"
            about = f"{value[0].upper()}{value[1:]} of {name}, and {derivatives} each argument."
            results, sweeps = self.sweeps() if self.needs_sweeps else ([*self.outputs(), *self.gradients()], [])
            jobs.append((names[kind], about, results, [], sweeps))
        if self.hvp and self.inputs:
            directions, products = self.products()
            arguments = ", ".join([x.name for x in directions])
            about = f"The Hessian of {name} times the direction {arguments}."
            jobs.append((names["hvp"], about, products, directions, []))
        for job in jobs:
            listing.functions.append(self._function(listing, set(taken), captured, *job))
        listing.leave_out_unused()
        return listing

    def _constants(self, listing: Listing, taken: set[str]) -> list[Expression]:
        """Put the captured numbers into the listing; return the expression that reads each."""
        if len(self.captured) <= NAMED:
            names = [identifier(label or f"parameter_{n}", taken) for n, label in enumerate(self.labels)]
            listing.constants = dict(zip(names, self.numbers, strict=True))
            return [Name(name) for name in names]
        array_name = identifier("parameters", taken)
        rows, at = [], 0
        for label, count in stems(self.labels):
            rows.append((label, self.numbers[at : at + count]))
            at += count
        listing.arrays[array_name] = rows
        return [Item(array_name, Index(n)) for n in range(len(self.captured))]

    def _layout(self) -> list[str]:
        """For each argument that is neither one number nor one list: the order of its numbers in the array."""
        lines = []
        for parameter in self.parameters:
            flat = parameter.paths in ([""], [f"[{n}]" for n in range(len(parameter.paths))])
            if not flat:
                order = ", ".join(parameter.paths[:6]) + (", ..." if len(parameter.paths) > 6 else "")
                lines.append(f"The {len(parameter.paths)} numbers of {parameter.name} are those at {order}.")
        return lines

    def _function(
        self,
        listing: Listing,
        taken: set[str],
        captured: list[Expression],
        name: str,
        about: str,
        outputs: list[Output],
        directions: list[Parameter],
        sweeps: list[Sweep],
    ) -> Function:
        """One function of the listing, with its body and its cases."""
        parameters = [*self.parameters, *directions]
        arguments = [Variable(identifier(x.name, taken), x.size) for x in parameters]
        results = [Variable(identifier(x.name, taken), x.size) for x in outputs]
        function = Function(name, about, arguments, results)
        sweeps = sweeps or [whole(self.program(outputs, directions), results)]
        example = [x for parameter in parameters for x in parameter.example]
        small = example and len(example) + sum([x.width for x in results]) < LARGE
        for scale in CASES if small else CASES[:1]:
            inputs = [scale * x for x in example]
            function.cases.append((inputs, expected(sweeps, results, inputs, self.numbers)))
        write(listing, function, sweeps, taken, captured, self.numbers)
        return function


def is_standard(op: Primitive) -> bool:
    """Whether `op` is in the table of primitives, and not a user's."""
    return getattr(primitives, op.name, None) is op or getattr(primitives, op.name + "_", None) is op


def _short(x: Any) -> str:
    text = " ".join(str(x).split())
    return text if len(text) <= 60 else text[:57] + "..."
