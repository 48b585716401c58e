"""Pictures of a graph: Graphviz, text, Mermaid, LaTeX and web pages.

Knows nodes by `graph` and their names by `naming`. `structure` finds what made the values (neuron, layer, loss, rows of
a batch), `view` chooses the boxes, and `dot` and `html` draw them. graphviz is imported only by `draw`.
"""

from autograd_lite.drawing.dot import draw as draw
from autograd_lite.drawing.html import to_html as to_html
from autograd_lite.drawing.latex import to_latex as to_latex
from autograd_lite.drawing.mermaid import to_mermaid as to_mermaid
from autograd_lite.drawing.text import to_text as to_text
