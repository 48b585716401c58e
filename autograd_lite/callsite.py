"""Where in the user's code we were called from. Imports nothing of ours."""

import linecache
import os
import sys
from typing import NamedTuple

_HERE = os.path.dirname(__file__)
_OURS = tuple([os.path.join(package, "") for package in (_HERE, os.path.join(os.path.dirname(_HERE), "nn"))])


class CallSite(NamedTuple):
    """A line of source code. Prints as `file:line: text`."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {linecache.getline(self.file, self.line).strip() or '(no source)'}"


def call_site() -> CallSite:
    """The innermost line under execution that is neither this package's own nor that of `nn`, installed beside it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return CallSite(frame.f_code.co_filename, frame.f_lineno)
