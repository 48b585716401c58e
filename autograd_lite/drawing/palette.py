"""The colours of all the drawings."""

# Boxes are filled and lines are mid-grey, so that the picture stands on white paper and on a dark page alike. The two
# hues differ in lightness too: they stay apart for the colour-blind and in print.
INK, GREY, LINE = "#1f2328", "#57606a", "#848d97"
DATA, GRAD = "#0b4f8a", "#c2410c"
LEAF, MADE, CONSTANT = "#eaf2fb", "#ffffff", "#eef0f2"
