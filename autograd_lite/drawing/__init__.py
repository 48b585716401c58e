"""Pictures of a graph: Graphviz, text. Sees nodes through `graph` only, and imports graphviz only to draw."""

from autograd_lite.drawing.dot import draw as draw
from autograd_lite.drawing.text import to_text as to_text
