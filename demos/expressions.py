"""Build an expression, differentiate it, look inside, and draw it.

    python demos/expressions.py

The picture in the README is what `--out demos/expression.svg` writes. The script also writes a page of the same name
with .html, which steps forward and backward through the expression: open it in a browser.
"""

import argparse
from pathlib import Path

from autograd_lite import Value, draw, explain, name_values, tanh, to_html, to_text

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--out", default="out/expression.svg", help="the picture: .svg, .png, .pdf or .dot (%(default)s)")
options = parser.parse_args()

# Build. Every operation records what it was made from.
a = Value(2.0)
b = Value(-0.5)
y = tanh(a * b + b**2)
name_values(a=a, b=b, y=y)  # or name_values(locals())

# Differentiate. `backward` leaves dy/dv in the `grad` of every v under y.
y.backward()
print(f"y = {y.data:.6f}")
print(f"dy/da = {a.grad:.6f}")
print(f"dy/db = {b.grad:.6f}")

# Check. A nudge to b moves y by dy/db times the nudge.
h = 1e-6
slope = (tanh(a.data * (b.data + h) + (b.data + h) ** 2) - tanh(a.data * (b.data - h) + (b.data - h) ** 2)) / (2 * h)
print(f"finite difference = {slope:.6f}")

# Inspect. A value knows its operation and its arguments.
(total,) = y.args
print(f"y is {y.op} of {total.data}, which is {total.op} of {[x.data for x in total.args]}")
print()
print(to_text(y))

# Ask why. The derivative is the sum over all paths from b to y.
print()
print(explain(y, b))

# Draw.
print()
print("wrote", draw(y).render(outfile=options.out, cleanup=True))
page = Path(options.out).with_suffix(".html")
to_html(y, page)
print("wrote", page)
