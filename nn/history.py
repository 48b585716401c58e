"""What happened in a training: the numbers of each epoch, and how they are shown while they come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nn.data import Row
from nn.plotting import plot_history


class History:
    """One row of numbers for each epoch of a training. Printed it is a table."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.stopped = ""  # why the training ended before its last epoch, if it did

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> list[float]:
        """The numbers of one column, from the first epoch to the last; a KeyError names the columns that there are."""
        if self.rows and name not in self.rows[0]:
            raise KeyError(f"the history has no {name!r}: it has {', '.join(self.rows[0])}")
        return [row[name] for row in self.rows]

    def __str__(self) -> str:
        """The epochs as a table; of more than 25, the first, the last, and some between them, evenly spread."""
        last = len(self) - 1
        some = range(last + 1) if last < 25 else [round(i * last / 24) for i in range(25)]
        lines = [line for i in some for line in _lines(self.rows[i])[0 if i == 0 else 2 :]]
        return "\n".join([*lines, self.stopped] if self.stopped else lines)

    def plot(self, ax: Any = None) -> Any:
        """Draw the history with `nn.plot_history` on the axes `ax`, or on a new figure; the axes are returned."""
        return plot_history(self, ax)


@contextmanager
def progress(verbose: bool | None, steps: int) -> Iterator[tuple[Callable[[Row], None], Callable[[float], None]]]:
    """What shows a finished epoch, in an aligned line, and what notes a step and its loss, on a bar of `steps`.

    Both do nothing if not `verbose`; None stands for whether standard output is a terminal. The bar is tqdm's, where
    that is installed, and standard error is a terminal.
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
    """A header, a rule, and the row beneath; those of one history are equally wide."""
    cells = {
        name: f"{x:.0f}" if name == "epoch" else f"{x:.4f}" if x == 0 or 1e-3 <= abs(x) < 1e4 else f"{x:.3e}"
        for name, x in row.items()
    }
    widths = {name: max(len(name), 5 if name == "epoch" else 9) for name in row}
    header = "  ".join(name.rjust(widths[name]) for name in row)
    return [header, "-" * len(header), "  ".join(cells[name].rjust(widths[name]) for name in row)]
