"""Writing a file in one step, so that a reader never sees half of it. Imports nothing else of the package."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes, what: str, make_folders: bool = False) -> None:
    """Write `content` to the file `path`, on the disk too; with `make_folders`, make missing folders above it first.

    No reader sees a part of it. An OSError that names `what` and the path if it cannot be written; the file is then as
    it was before.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if make_folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"{what}: cannot write {path} ({reason}), and it is as it was before: choose another path"
        raise type(error)(error.errno, message) from error
