"""The colours of the drawings. Those that only the page has, such as its dark ones, are in page.html."""

# Boxes are filled and lines are mid-grey, so that the picture can be read on white paper and on a dark page. The two
# hues differ in lightness too, so that colour-blind readers and printed pages can tell them apart. Every text inside a
# box has a contrast of at least 4.5 to 1 with the fill behind it (WCAG 2, level AA).
INK, GREY, LINE = "#1f2328", "#535c66", "#848d97"
DATA, GRAD, WARN = "#0b4f8a", "#a33208", "#8f1d1d"
MIDDLE = "#737b85"  # text outside the boxes, on a white page or on a dark one
LEAF, MADE, CONSTANT, FRAME = "#eaf2fb", "#ffffff", "#eef0f2", "#f6f8fa"
COLD, HOT = (0xFF, 0xFF, 0xFF), (0xFB, 0xCB, 0x9C)  # the fill of a group by the size of its gradient
OFF, EDGE_OF_FRAME = "#e3e6ea", "#d0d7de"


def heat(share: float) -> str:
    """The fill for a gradient of that share, from 0 for a vanishing one to 1 for the largest."""
    mixed = [round(cold + (hot - cold) * share) for cold, hot in zip(COLD, HOT, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed)
