"""Tables: aligned text in a terminal, HTML in a notebook. Imports nothing else of the package."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

LONGEST = 500  # characters of a cell
_STYLE = (
    "<style>.ag-table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    ".ag-table th,.ag-table td{padding:.2em .8em;text-align:left;border:0}"
    ".ag-table th{border-bottom:1px solid currentColor}"
    ".ag-table .n{text-align:right}"
    ".ag-table caption{caption-side:bottom;text-align:left;padding:.4em .8em}</style>"
)


class Table(str):
    """Rows of cells, the first of them the header. A string of aligned columns, which a notebook shows as a table.

    >>> print(Table([("layer", "parameters"), ("Layer", "48"), ("total", "337")], caption="counted"))
    layer  parameters
    -----------------
    Layer          48
    total         337
    counted
    """

    rows: tuple[tuple[str, ...], ...]
    caption: str

    def __new__(cls, rows: Sequence[Sequence[str]], caption: str = "") -> Table:
        """The table of `rows`, all of the same length, with a `caption` below. Columns of numbers are aligned right."""
        rows = [[_one_line(cell) for cell in row] for row in rows]
        caption = _one_line(caption)
        columns = list(zip(*rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        right = [_is_numeric(column) for column in columns]
        lines = [
            "  ".join(
                cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True)
            ).rstrip()
            for row in rows
        ]
        lines.insert(1, "-" * (sum(widths) + 2 * len(widths) - 2))
        table = super().__new__(cls, "\n".join([*lines, caption] if caption else lines))
        table.rows, table.caption = tuple([tuple(row) for row in rows]), caption
        return table

    def __repr__(self) -> str:
        """The table itself, so that a console shows it as it is printed."""
        return str(self)

    def _repr_html_(self) -> str:
        """The table in HTML, which notebooks show. Every cell is text: markup in it is not interpreted."""
        right = [_is_numeric(column) for column in zip(*self.rows, strict=True)]

        def line(row: Sequence[str], tag: str, scope: str = "") -> str:
            kinds = [' class="n"' if r else "" for r in right]
            cells = [f"<{tag}{scope}{k}>{escape(cell)}</{tag}>" for cell, k in zip(row, kinds, strict=True)]
            return f"<tr>{''.join(cells)}</tr>"

        body = "".join([line(row, "td") for row in self.rows[1:]])
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        header = line(self.rows[0], "th", ' scope="col"')
        return f'{_STYLE}<table class="ag-table">{caption}<thead>{header}</thead><tbody>{body}</tbody></table>'


def _one_line(cell: str) -> str:
    """A cell in one line, with a replacement character for each that cannot be printed, cut to LONGEST characters."""
    text = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in cell[: LONGEST + 1])
    text = text.replace("\n", " ")
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _is_numeric(column: Sequence[str]) -> bool:
    """True if every cell below the header begins like a number or is empty."""
    return all(cell[:1].isdigit() or cell[:1] == "-" for cell in column[1:] if cell)
