"""Export to Python: one module that needs nothing but Python."""

from __future__ import annotations

import math

from autograd_lite import primitives as p
from autograd_lite.compiler.export.language import CONDITION, OPERATORS, SUM, WIDTH, Language
from autograd_lite.compiler.export.listing import Count, Function, Let, Listing, Loop

RAISING = "sin cos tan log log2 log10 log1p sqrt asin acos acosh exp exp2 expm1 sinh"
PLAIN = "atan atan2 hypot tanh asinh erf cbrt"
POLES = {"log": "0.0", "log2": "0.0", "log10": "0.0", "log1p": "-1.0"}
TOTAL = """def {name}(x):
    try:
        return math.{name}(x)
    except ValueError:
        return {outside}
    except OverflowError:
        return math.copysign(math.inf, x)"""
# The results at infinities, zeros and nan are those of IEEE 754, where Python's own functions raise.
DEFINED = {
    "div": """def div(x, y):
    try:
        return x / y
    except ZeroDivisionError:
        return math.copysign(math.inf, x) * math.copysign(1.0, y) if x and x == x else math.nan""",
    "pow": """def power(x, y):
    try:
        return math.pow(x, y)
    except (ValueError, OverflowError):
        if x < 0 and y % 1:
            return math.nan
        return -math.inf if math.copysign(1.0, x) < 0 and y % 2 == 1 else math.inf""",
    "cosh": """def cosh(x):
    try:
        return math.cosh(x)
    except OverflowError:
        return math.inf""",
    "atanh": """def atanh(x):
    return math.atanh(x) if abs(x) < 1 else math.copysign(math.inf, x) if abs(x) == 1 else math.nan""",
    "floor": """def floor(x):
    return math.copysign(math.floor(x), x) if math.isfinite(x) else x""",
    "ceil": """def ceil(x):
    return math.copysign(math.ceil(x), x) if math.isfinite(x) else x""",
    "round": """def round_half_even(x):
    return math.copysign(round(x), x) if math.isfinite(x) else x""",
    "mod": """def mod(x, y):
    return x % y if y else math.nan""",
    "floordiv": """def floordiv(x, y):  # needs: div
    return x // y if y else div(x, y)""",
    "sigmoid": """def sigmoid(x):
    e = math.exp(-abs(x))
    return (1.0 if x >= 0 else e) / (1.0 + e)""",
    "softplus": """def softplus(x):
    return (0.0 if x <= 0 else x) + math.log1p(math.exp(-abs(x)))""",
    "relu": "def relu(x):\n    return 0.0 if x <= 0 else x",
    "step": "def step(x):\n    return 0.0 if x <= 0 else 1.0",
    "sign": "def sign(x):\n    return 1.0 if x > 0 else -1.0 if x < 0 else x",
    "maximum": "def maximum(x, y):\n    return x if x > y or x != x else y",
    "minimum": "def minimum(x, y):\n    return x if x < y or x != x else y",
    "share": """def share(x, y):  # how much of maximum(x, y) is x's
    return 0.5 if x == y else 0.0 if x < y else 1.0""",
}
CALLED = {"pow": "power", "round": "round_half_even"}


FUNCTIONS = {
    **{name: (f"math.{name}", "") for name in PLAIN.split()},
    **{name: (name, TOTAL.format(name=name, outside="math.nan")) for name in RAISING.split()},
    **{
        name: (name, TOTAL.format(name=name, outside=f"-math.inf if x == {x} else math.nan"))
        for name, x in POLES.items()
    },
    **{name: (CALLED.get(name, name), text) for name, text in DEFINED.items()},
    "pow_const": ("power", DEFINED["pow"]),
    "abs": ("abs", ""),
}
WRITTEN = {**OPERATORS, p.where: (CONDITION, "{1} if {0} else {2}", (SUM, SUM, SUM))}


class Python(Language):
    """Python 3."""

    end = terminator = ""
    closing = "]"
    operators = WRITTEN
    functions = FUNCTIONS

    def number(self, x: float) -> str:
        if math.isfinite(x):
            return repr(x)
        return "math.nan" if x != x else "math.inf" if x > 0 else "-math.inf"

    def let(self, statement: Let) -> str:
        return f"{statement.name} = {self.expression(statement.expression)}"

    def declared(self, name: str, size: int, largest: int | None = None) -> str:
        return f"{name} = ["

    def loop(self, loop: Loop) -> str:
        steps = f"range({loop.times})"
        return f"for {loop.variable} in {f'reversed({steps})' if loop.reverse else steps}:"

    def count(self, count: Count) -> str:
        return f"float({super().count(count)})"

    def comment(self, text: str) -> str:
        return f"# {text}"

    def break_if(self, condition: str) -> str:
        return f"if {condition}: break"

    def branch(self, condition: str) -> str:
        return f"if {condition}:"

    endless = "while True:"

    def broken(self, line: str) -> list[str]:
        if len(line) <= WIDTH:
            return [line]
        return super().broken(line.replace("= ", "= (", 1) + ")")

    def function(self, function: Function) -> list[str]:
        """One function with its docstring."""
        lines = [f"def {function.name}({', '.join([x.name for x in function.arguments])}):"]
        lines += ['    """' + "\n    ".join(self.heading(function)) + '"""']
        lines += [f"    {name} = [0.0] * {size}" for name, size in function.arrays.items()]
        lines += [f"    {x.name} = [0.0] * {x.size}" for x in function.results if x.size is not None]
        lines += self.statements(function.body)
        found = [x.name if x.size is not None else self.expression(function.scalars[x.name]) for x in function.results]
        return [*lines, f"    return {', '.join(found)}", "", ""]

    def listing(self, listing: Listing) -> str:
        definitions = self.definitions(listing)
        lines = ['"""' + "\n".join([*listing.about, "", f"Self-test: python {listing.name}.py"]) + '\n"""', ""]
        lines += ["import math", ""]
        lines += [f"{name} = {self.number(x)}" for name, x in listing.constants.items()]
        for array in self.constant_arrays(listing):
            lines += array
        lines += ["", ""] if lines[-1] else [""]
        for text in definitions:
            lines += [text, "", ""]
        for function in listing.functions:
            lines += self.function(function)
        return "\n".join([*lines, *self.test(listing)]) + "\n"

    def test(self, listing: Listing) -> list[str]:
        """The self-test: runs where the file is the main module."""
        lines = [
            "def test():",
            '    """Call each function with the numbers below, and return how many results differ."""',
            "    failures = 0",
            "    for function, given, expected in CASES:",
            "        got = []",
            "        results = function(*given)",
            "        for x in results if isinstance(results, tuple) else (results,):",
            "            got += x if isinstance(x, list) else [x]",
            "        scale = max([abs(x) for x in expected if abs(x) <= 1e300], default=0.0)",
            "        for n, (g, e) in enumerate(zip(got, expected)):",
            "            if not (g == e or (g != g and e != e) or abs(g - e) <= 1e-12 * scale):",
            '                print(f"{function.__name__}: number {n} is {g!r}, expected {e!r}")',
            "                failures += 1",
            "    return failures",
            "",
            "",
            "CASES = [  # a function, its arguments, the numbers that it gives",
        ]
        total = 0
        for function in listing.functions:
            for inputs, expected in function.cases:
                total += len(expected)
                lines += ["    (", f"        {function.name},", "        ["]
                lines += self.given(function.arguments, inputs, "            ")
                lines += ["        ],", *self.braced(expected, "[", "],", "        "), "    ),"]
        return [
            *lines,
            "]",
            "",
            'if __name__ == "__main__":',
            "    failed = test()",
            f'    print(f"{listing.name}: {{failed}} of {total} numbers differ")',
            "    raise SystemExit(failed != 0)",
        ]
