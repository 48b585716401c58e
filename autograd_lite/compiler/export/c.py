"""Export to C99: no allocation, no dependency but the standard library's math, in double or in float."""

from __future__ import annotations

import struct
from math import copysign, inf
from textwrap import wrap

from autograd_lite import primitives as p
from autograd_lite.compiler.export.language import CONDITION, OPERATORS, PRODUCT, SIGN, SUM, WIDTH, Language, Operator
from autograd_lite.compiler.export.listing import Function, Let, Listing, Variable
from autograd_lite.primitives import Primitive

STACK = 2048  # numbers in all local arrays of a function, at most, that are on the stack
LIBRARY = """exp exp2 expm1 log log2 log10 log1p sqrt cbrt sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh
atanh hypot erf pow floor ceil"""
# The results at infinities, zeros and nan are those of ieee.py.
DEFINED = {
    "mod": """
static {real} mod({real} x, {real} y) {{ /* the sign of y, as in Python */
    {real} r = fmod{f}(x, y);
    if (r == 0) return copysign{f}(0, y);
    return (y < 0) != (r < 0) ? r + y : r;
}}""",
    "floordiv": """
static {real} floordiv({real} x, {real} y) {{
    {real} r, q, whole;
    if (y == 0) return x / y;
    r = fmod{f}(x, y);
    q = (x - r) / y;
    if (r != 0 && (y < 0) != (r < 0)) q -= 1;
    if (q == 0) return copysign{f}(0, x / y);
    whole = floor{f}(q);
    return q - whole > ({real})0.5 ? whole + 1 : whole;
}}""",
    "sigmoid": """
static {real} sigmoid({real} x) {{
    {real} e = exp{f}(-fabs{f}(x));
    return (x >= 0 ? 1 : e) / (1 + e);
}}""",
    "softplus": """
static {real} softplus({real} x) {{
    return (x <= 0 ? 0 : x) + log1p{f}(exp{f}(-fabs{f}(x)));
}}""",
    "relu": "\nstatic {real} relu({real} x) {{ return x <= 0 ? 0 : x; }}",
    "step": "\nstatic {real} step({real} x) {{ return x <= 0 ? 0 : 1; }}",
    "sign": "\nstatic {real} sign({real} x) {{ return x > 0 ? 1 : x < 0 ? -1 : x; }}",
    "maximum": "\nstatic {real} maximum({real} x, {real} y) {{ return x > y || x != x ? x : y; }}",
    "minimum": "\nstatic {real} minimum({real} x, {real} y) {{ return x < y || x != x ? x : y; }}",
    "share": """
static {real} share({real} x, {real} y) {{ /* how much of maximum(x, y) is x's */
    return x == y ? ({real})0.5 : x < y ? 0 : 1;
}}""",
}


WRITTEN: dict[Primitive, Operator] = {
    **OPERATORS,
    p.div: (PRODUCT, "{} / {}", (PRODUCT, SIGN)),
    p.where: (CONDITION, "{} != 0 ? {} : {}", (SUM, SUM, SUM)),
}


class C(Language):
    """C99, with `double` or `float` numbers."""

    operators = WRITTEN
    counter, closing = "int", "};"

    def __init__(self, precision: str) -> None:
        self.real, self.f = precision, "f" if precision == "float" else ""
        names = {name: (name + self.f, "") for name in LIBRARY.split()}
        names |= {"pow_const": (f"pow{self.f}", ""), "abs": (f"fabs{self.f}", ""), "round": (f"rint{self.f}", "")}
        form = {"real": self.real, "f": self.f}
        self.functions = names | {name: (name, text.format(**form).lstrip("\n")) for name, text in DEFINED.items()}

    def number(self, x: float) -> str:
        if x != x:
            return "NAN"
        if self.f and abs(x) != inf:
            try:
                x = struct.unpack("f", struct.pack("f", x))[0]
            except OverflowError:
                x = copysign(inf, x)
        if abs(x) == inf:
            return "INFINITY" if x > 0 else "-INFINITY"
        text = f"{x:.9g}" if self.f else repr(x)
        return (text if set(text) & {".", "e"} else text + ".0") + self.f

    def let(self, statement: Let) -> str:
        const = "" if statement.varies else "const "
        return f"{const}{self.real} {statement.name} = {self.expression(statement.expression)};"

    def declared(self, name: str, size: int, largest: int | None = None) -> str:
        integer = "unsigned char" if (largest or 0) < 256 else "unsigned short" if (largest or 0) < 65536 else "int"
        return f"static const {self.real if largest is None else integer} {name}[{size}] = {{"

    def comment(self, text: str) -> str:
        return f"/* {text} */"

    def parameter(self, variable: Variable, result: bool) -> str:
        """An argument or a result in the head of a function."""
        const = "" if result else "const "
        if variable.size is not None:
            return f"{const}{self.real} {variable.name}[{variable.size}]"
        return f"{self.real} *{variable.name}" if result else f"{self.real} {variable.name}"

    def head(self, function: Function) -> list[str]:
        """The head of a function. The first result, if it is one number, is what it returns."""
        results = function.results
        returned = self.real if results[0].size is None else "void"
        parameters = [self.parameter(x, False) for x in function.arguments]
        parameters += [self.parameter(x, True) for x in results[results[0].size is None :]]
        together = [x.replace(" ", "\0") for x in parameters]  # no line ends between a type and its name
        line = f"{returned} {function.name}({', '.join(together) or 'void'}) {{"
        lines = wrap(line, WIDTH, subsequent_indent="        ", break_long_words=False)
        return [x.replace("\0", " ") for x in lines]

    def memory(self, function: Function) -> list[str]:
        """The definitions of the local arrays: on the stack as long as they are small."""
        static, lines = "", []
        if sum(function.arrays.values()) > STACK:
            static = "static "
            lines.append(
                "    /* These arrays are static, not on the stack: one thread at a time may call the function. */"
            )
        return lines + [f"    {static}{self.real} {name}[{size}];" for name, size in function.arrays.items()]

    def function(self, function: Function) -> list[str]:
        """One function with the comment above it."""
        lines = ["/* " + "\n * ".join(self.heading(function)) + " */", *self.head(function)]
        lines += self.memory(function)
        lines += [f"    (void){x.name};" for x in function.arguments if x.name not in function.reads]
        lines += self.statements(function.body)
        first, *rest = function.results
        if first.size is not None:
            rest = function.results
        lines += [f"    *{x.name} = {self.expression(function.scalars[x.name])};" for x in rest if x.size is None]
        if first.size is None:
            lines.append(f"    return {self.expression(function.scalars[first.name])};")
        return [*lines, "}", ""]

    def listing(self, listing: Listing) -> str:
        definitions = self.definitions(listing)
        macro = f"{listing.name.upper()}_TEST"
        about = [*listing.about, "", f"Self-test: cc -std=c99 -D{macro} {listing.name}.c -lm && ./a.out"]
        lines = ["/* " + "\n * ".join(about).replace(" * \n", " *\n") + "\n */", "#include <math.h>", ""]
        lines += [f"static const {self.real} {name} = {self.number(x)};" for name, x in listing.constants.items()]
        if listing.constants:
            lines.append("")
        for array in self.constant_arrays(listing):
            lines += [*array, ""]
        for text in definitions:
            lines += [text, ""]
        for function in listing.functions:
            lines += self.function(function)
        return "\n".join([*lines, *self.test(listing, macro)]) + "\n"

    def test(self, listing: Listing, macro: str) -> list[str]:
        """The self-test: a `main` that is compiled where `macro` is defined."""
        tolerance = "1e-4" if self.f else "1e-12"
        lines = [
            f"#ifdef {macro}",
            "#include <stdio.h>",
            "",
            f"static int differs(const char *name, int count, const {self.real} *got, const double *expected) {{",
            f"    double scale = 0, tolerance = {tolerance}; /* relative to the largest of the expected numbers */",
            "    int failures = 0;",
            "    for (int n = 0; n < count; n++)",
            "        if (fabs(expected[n]) <= 1e300) scale = fmax(scale, fabs(expected[n]));",
            "    for (int n = 0; n < count; n++) {",
            "        double g = got[n], e = expected[n];",
            "        if (g == e || (g != g && e != e) || fabs(g - e) <= tolerance * scale) continue;",
            '        printf("%s: number %d is %.17g, expected %.17g\\n", name, n, g, e);',
            "        failures++;",
            "    }",
            "    return failures;",
            "}",
            "",
            "int main(void) {",
            "    int failures = 0;",
        ]
        total = 0
        for function in listing.functions:
            for inputs, expected in function.cases:
                total += len(expected)
                lines += self.case(function, inputs, expected)
        lines += [
            f'    printf("{listing.name}: %d of {total} numbers differ\\n", failures);',
            "    return failures != 0;",
            "}",
            "#endif",
        ]
        return lines

    def case(self, function: Function, inputs: list[float], expected: list[float]) -> list[str]:
        """One call and the comparison of its results."""
        lines, given, at = ["    {"], [], 0
        for variable in function.arguments:
            values = inputs[at : at + variable.width]
            at += variable.width
            if variable.size is None:
                given.append(self.number(values[0]))
            else:
                lines += self.braced(values, f"const {self.real} {variable.name}[] = {{", "};", "        ")
                given.append(variable.name)
        lines += C("double").braced(expected, "const double expected[] = {", "};", "        ")
        lines.append(f"        {self.real} got[{len(expected)}];")
        at, first = 0, function.results[0].size is None
        for n, variable in enumerate(function.results):
            if n or not first:
                given.append(f"got + {at}" if at else "got")
            at += variable.width
        call = f"{function.name}({', '.join(given)});"
        lines.append(f"        got[0] = {call}" if first else f"        {call}")
        lines.append(f'        failures += differs("{function.name}", {len(expected)}, got, expected);')
        return [*lines, "    }"]
