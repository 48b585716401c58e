"""Export to JavaScript: a script for a web page, and a module for Node."""

from __future__ import annotations

import math

from autograd_lite import primitives as p
from autograd_lite.compiler.export.language import CONDITION, OPERATORS, PRODUCT, SIGN, SUM, Language
from autograd_lite.compiler.export.listing import Function, Let, Listing

LIBRARY = """exp expm1 log log2 log10 log1p sqrt cbrt sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh
hypot floor ceil abs"""
# The results at infinities, zeros and NaN are those of IEEE 754 and C, where JavaScript has its own.
DEFINED = {
    "pow": """
function power(x, y) { // 1 ** NaN and (-1) ** Infinity are 1, as in C
    if (x === 1 || (x === -1 && (y === Infinity || y === -Infinity))) return 1;
    return x ** y;
}""",
    "exp2": "function exp2(x) { return 2 ** x; }",
    "round": """
function roundHalfEven(x) {
    const below = Math.floor(x), rest = x - below;
    const whole = rest < 0.5 || (rest === 0.5 && below % 2 === 0) || rest !== rest ? below : below + 1;
    return whole === 0 && (x < 0 || Object.is(x, -0)) ? -0 : whole;
}""",
    "mod": """
function mod(x, y) { // the sign of y, as in Python
    const r = x % y;
    if (r === 0) return y < 0 || Object.is(y, -0) ? -0 : 0;
    return (y < 0) !== (r < 0) ? r + y : r;
}""",
    "floordiv": """
function floordiv(x, y) {
    if (y === 0) return x / y;
    const r = x % y;
    let q = (x - r) / y;
    if (r !== 0 && (y < 0) !== (r < 0)) q -= 1;
    if (q === 0) return x / y < 0 || Object.is(x / y, -0) ? -0 : 0;
    const whole = Math.floor(q);
    return q - whole > 0.5 ? whole + 1 : whole;
}""",
    "erf": """
function erf(x) { // Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.6: a series of positive terms
    if (x !== x || x === 0) return x;
    if (Math.abs(x) > 6) return Math.sign(x);
    let term = x, sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
        term *= 2 * x * x / (2 * n + 1);
        sum += term;
    }
    return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
}""",
    "sigmoid": """
function sigmoid(x) {
    const e = Math.exp(-Math.abs(x));
    return (x >= 0 ? 1 : e) / (1 + e);
}""",
    "softplus": """
function softplus(x) {
    return (x <= 0 ? 0 : x) + Math.log1p(Math.exp(-Math.abs(x)));
}""",
    "relu": "function relu(x) { return x <= 0 ? 0 : x; }",
    "step": "function step(x) { return x <= 0 ? 0 : 1; }",
    "sign": "function sign(x) { return x > 0 ? 1 : x < 0 ? -1 : x; }",
    "maximum": "function maximum(x, y) { return x > y || x !== x ? x : y; }",
    "minimum": "function minimum(x, y) { return x < y || x !== x ? x : y; }",
    "share": "function share(x, y) { return x === y ? 0.5 : x < y ? 0 : 1; } // how much of maximum(x, y) is x's",
}
CALLED = {"pow": "power", "round": "roundHalfEven"}


FUNCTIONS = {
    **{name: (f"Math.{name}", "") for name in LIBRARY.split()},
    **{name: (CALLED.get(name, name), text.lstrip("\n")) for name, text in DEFINED.items()},
}
FUNCTIONS["pow_const"] = FUNCTIONS["pow"]
WRITTEN = {
    **OPERATORS,
    p.div: (PRODUCT, "{} / {}", (PRODUCT, SIGN)),
    p.where: (CONDITION, "{} !== 0 ? {} : {}", (SUM, SUM, SUM)),
}


class JavaScript(Language):
    """JavaScript: the functions are ECMAScript 2016, the self-test 2019."""

    operators = WRITTEN
    counter = "let"
    functions = FUNCTIONS

    def number(self, x: float) -> str:
        if math.isfinite(x):
            return repr(x).removesuffix(".0")
        return "NaN" if x != x else "Infinity" if x > 0 else "-Infinity"

    def let(self, statement: Let) -> str:
        return f"{'let' if statement.varies else 'const'} {statement.name} = {self.expression(statement.expression)};"

    def declared(self, name: str, size: int, largest: int | None = None) -> str:
        return f"const {name} = ["

    def function(self, function: Function) -> list[str]:
        """One function with the comment above it."""
        lines = ["// " + line for line in self.heading(function)]
        lines.append(f"function {function.name}({', '.join([x.name for x in function.arguments])}) {{")
        lines += [f"    const {name} = new Float64Array({size});" for name, size in function.arrays.items()]
        lines += [f"    const {x.name} = new Array({x.size});" for x in function.results if x.size is not None]
        lines += self.statements(function.body)
        found = [x.name if x.size is not None else self.expression(function.scalars[x.name]) for x in function.results]
        lines.append(f"    return {found[0]};" if len(found) == 1 else f"    return [{', '.join(found)}];")
        return [*lines, "}", ""]

    def listing(self, listing: Listing) -> str:
        definitions = self.definitions(listing)
        about = [*listing.about, "", f"Self-test: node {listing.name}.js"]
        lines = [f"// {line}".rstrip() for line in about] + ['"use strict";', ""]
        lines += [f"const {name} = {self.number(x)};" for name, x in listing.constants.items()]
        for array in self.constant_arrays(listing):
            lines += array
        lines += [""] if lines[-1] else []
        for text in definitions:
            lines += [text, ""]
        for function in listing.functions:
            lines += self.function(function)
        lines += self.test(listing)
        return "\n".join(lines) + "\n"

    def test(self, listing: Listing) -> list[str]:
        """The self-test: runs where Node runs the file as the main one. A module exports the functions."""
        lines = [
            "// Call each function with the numbers below, and return how many results differ.",
            "function test() {",
            "    const cases = [ // a function, its arguments, the numbers that it gives",
        ]
        total = 0
        for function in listing.functions:
            for inputs, expected in function.cases:
                total += len(expected)
                lines += [f"        [{function.name},"]
                lines += [
                    "            [",
                    *self.given(function.arguments, inputs, "                "),
                    "            ],",
                ]
                lines += self.braced(expected, "[", "]],", "            ")
        names = ", ".join([function.name for function in listing.functions])
        return [
            *lines,
            "    ];",
            "    let failures = 0;",
            "    for (const [run, given, expected] of cases) {",
            "        const got = [run(...given)].flat(2);",
            "        const scale = Math.max(0, ...expected.map(Math.abs).filter((x) => x <= 1e300));",
            "        expected.forEach((e, n) => {",
            "            const g = got[n];",
            "            if (g === e || (g !== g && e !== e) || Math.abs(g - e) <= 1e-12 * scale) return;",
            "            console.log(`${run.name}: number ${n} is ${g}, expected ${e}`);",
            "            failures++;",
            "        });",
            "    }",
            f"    console.log(`{listing.name}: ${{failures}} of {total} numbers differ`);",
            "    return failures;",
            "}",
            "",
            'if (typeof module !== "undefined") {',
            f"    module.exports = {{ {names}, test }};",
            '    if (typeof require !== "undefined" && require.main === module) process.exit(test() ? 1 : 0);',
            "}",
        ]
