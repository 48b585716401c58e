"""Writing a file in one step, so that a reader never sees half of it. Imports nothing else of the package."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes, make_folders: bool = False) -> None:
    """Write `content` to the file `path`; with `make_folders`, make missing folders above it first.

    An OSError that names the path if it cannot be written; the file is then as it was before.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if make_folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_bytes(content)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise type(error)(error.errno, f"cannot write {path} ({reason}): choose another path") from error
