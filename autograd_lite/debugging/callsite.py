"""The line of the user's code that is running. Imports nothing else of the package."""

import contextlib
import linecache
import os
import sys
from typing import NamedTuple

_PACKAGE = os.path.dirname(os.path.dirname(__file__))  # autograd_lite
_OURS = tuple([os.path.join(path, "") for path in (_PACKAGE, os.path.join(os.path.dirname(_PACKAGE), "nn"))])
_OURS += (contextlib.__file__,)  # it calls functions of the package that a context manager decorates


class CallSite(NamedTuple):
    """A line of source code. Prints as `file:line: text`."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {linecache.getline(self.file, self.line).strip() or '(no source)'}"


def call_site() -> CallSite:
    """The innermost running line outside `autograd_lite` and `nn`."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return CallSite(frame.f_code.co_filename, frame.f_lineno)
