"""The history of a training: the numbers of each epoch, and how they are shown while it runs."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nn.data import Row, evenly_spaced
from nn.plotting import plot_history
from nn.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nn.diagnosis import Diagnosis
    from nn.filming import Recording


class History:
    """The numbers of each epoch of a training: `rows`, and `history["loss"]` for a column. It prints as a table.

    >>> history = History()
    >>> history.rows += [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
    >>> history["loss"]
    [0.5, 0.25]
    >>> print(history)
    epoch       loss
    ----------------
        1     0.5000
        2     0.2500
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.stopped = ""  # why the training ended before its last epoch, if it did
        self.recording: Recording | None = None  # of the callback nn.Recording, for nn.film
        self.diagnosis: Diagnosis | None = None  # of `fit(..., diagnose=True)`

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> list[float]:
        """The numbers of one column, from the first epoch to the last; a KeyError names the columns of the history."""
        if self.rows and name not in self.names:
            raise KeyError(f"the history has no {name!r}: it has {', '.join(self.names)}")
        return [row.get(name, math.nan) for row in self.rows]

    @property
    def names(self) -> list[str]:
        """The names of all columns. A column that training began later, or stopped, is nan in the other epochs."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def __repr__(self) -> str:
        """The number of epochs and the last numbers, in one line."""
        last = [f"{name}={x}" for name, x in _cells(self.rows[-1]).items() if name != "epoch"] if self.rows else []
        return f"History({', '.join([f'{len(self)} epochs', *last])})"

    def __str__(self) -> str:
        """The epochs as a table: all up to 25, or 25 that are evenly spaced, the first and the last among them."""
        lines = [
            line for i in evenly_spaced(range(len(self)), 25) for line in _lines(self.rows[i])[0 if i == 0 else 2 :]
        ]
        return "\n".join([*lines, self.stopped] if self.stopped else lines)

    def _repr_html_(self) -> str | None:
        """The same table in HTML, for notebooks. Never raises."""
        try:
            if not self.rows:
                return Table([("epoch", "loss")], caption="no epoch yet")._repr_html_()
            cells = [_cells(self.rows[i]) for i in evenly_spaced(range(len(self)), 25)]
            rows = [tuple(self.names), *[tuple([row.get(name, "") for name in self.names]) for row in cells]]
            return Table(rows, caption=self.stopped)._repr_html_()
        except Exception:
            return None

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the history with `nn.plot_history` on the axes `ax`, or on a new figure; the axes are returned."""
        return plot_history(self, ax)


@contextmanager
def progress(verbose: bool | None, steps: int) -> Iterator[tuple[Callable[[Row], None], Callable[[float], None]]]:
    """Yield two functions: one prints the row of a finished epoch, the other moves a progress bar on by one of `steps`.

    The second shows the loss of the step beside the bar. Both do nothing unless `verbose`, which is by default true if
    standard output is a terminal. The bar is tqdm's, and not shown if tqdm is not installed or standard error is not a
    terminal.
    """
    if not (sys.stdout.isatty() if verbose is None else verbose):
        yield lambda row: None, lambda loss: None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        tqdm = None
    bar = tqdm and tqdm(total=steps, unit="step", leave=False, disable=None)
    shown = 0

    def show(row: Row) -> None:
        nonlocal shown
        for line in _lines(row)[0 if shown == 0 else 2 :]:
            bar.write(line, file=sys.stdout) if bar else print(line, flush=True)
        shown += 1

    def note(loss: float) -> None:
        if bar:
            bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
            bar.update()

    try:
        yield show, note
    finally:
        if bar:
            bar.close()


def _lines(row: Row) -> list[str]:
    """A header, a rule and the row below them. Columns have the same widths for every row of a history."""
    cells = _cells(row)
    widths = {name: max(len(name), 5 if name == "epoch" else 9) for name in row}
    header = "  ".join(name.rjust(widths[name]) for name in row)
    return [header, "-" * len(header), "  ".join(cells[name].rjust(widths[name]) for name in row)]


def _cells(row: Row) -> dict[str, str]:
    """The numbers of a row as text."""
    return {
        name: f"{x:.0f}" if name == "epoch" else f"{x:.4f}" if x == 0 or 1e-3 <= abs(x) < 1e4 else f"{x:.3e}"
        for name, x in row.items()
    }
