"""Where in the user's code we were called from. Imports nothing of ours."""

import linecache
import sys
from typing import NamedTuple

_PACKAGE = __name__.partition(".")[0]


class CallSite(NamedTuple):
    """A line of source code. Prints as `file:line: text`."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {linecache.getline(self.file, self.line).strip() or '(no source)'}"


def call_site() -> CallSite:
    """The innermost line under execution that is not this package's own."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
    return CallSite(frame.f_code.co_filename, frame.f_lineno)
