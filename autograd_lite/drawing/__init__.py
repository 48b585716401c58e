"""Pictures of a graph: Graphviz, text, Mermaid, LaTeX, pages. Sees nodes by `graph`; imports graphviz only to draw."""

from autograd_lite.drawing.dot import draw as draw
from autograd_lite.drawing.html import to_html as to_html
from autograd_lite.drawing.latex import to_latex as to_latex
from autograd_lite.drawing.mermaid import to_mermaid as to_mermaid
from autograd_lite.drawing.text import to_text as to_text
